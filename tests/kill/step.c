/*
 * The program: see tests/kill/kill.h and README.md.  Prints TAP, a test for
 * each operation and heap state, with how many instructions were stepped and
 * how many distinct states were judged.
 *
 *	step [-k KINDS] [-f FLOOR] [-w FLOOR] SHMALLOCD [NAME...]
 *
 * KINDS are letters: o operations, r the recoverer, s signals,
 * p pairs.
 * FLOOR says how many distinct states each must have; -w writes it.  The daemon
 * is stopped meanwhile, so that nobody else changes the segment; it goes on
 * while an operation waits for it.
 *
 * Kills at each instruction are the same as kills at each distinct state:
 * between two instructions that do not change the segment there is nothing to
 * tell them apart by.
 */
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/kill/pair.h"

#define TITLE 128

struct session {
	const char *daemon;
	char **names; /* operations that are wanted; NULL: all */
	FILE *floor, *written;
	const char *kinds; /* letters of what is wanted; NULL: all */
	unsigned long long tests, failed;
	struct kill_points ops, recoveries, signals, pairs;
};

static bool
is_wanted(const struct session *session, const char *name)
{
	if (!*session->names)
		return true;
	for (char **want = session->names; *want; want++)
		if (strstr(name, *want))
			return true;
	return false;
}

static bool
kind_is_wanted(const struct session *session, char kind)
{
	return !session->kinds || strchr(session->kinds, kind);
}

/* ---- The floor ----------------------------------------------------------- */

/* The fewest states that TITLE may have; 0: it isn't there.  Lines are a number
 * and a title. */
static unsigned long long
floor_find(FILE *floor, const char *title)
{
	char line[2 * TITLE];

	rewind(floor);
	while (fgets(line, sizeof(line), floor)) {
		char *end;
		unsigned long long least = strtoull(line, &end, 10);

		line[strcspn(line, "\n")] = 0;
		if (*end == ' ' && strcmp(end + 1, title) == 0)
			return least;
	}
	return 0;
}

/* Compilers differ: nine tenths will do.  What the daemon does meanwhile is
 * seen as it comes. */
static bool
floor_holds(struct session *session, const char *title, unsigned flags,
    unsigned long long states)
{
	unsigned long long least;

	if (session->written)
		(void)fprintf(session->written, "%llu %s\n",
		    flags & KILL_ASKS ? states * 2 / 3 : states, title);
	if (!session->floor)
		return true;
	least = floor_find(session->floor, title);
	if (least == 0)
		(void)printf("# the floor has no line '%s'\n", title);
	else if (states * 10 < least * 9)
		(void)printf("# %llu distinct states, and there were %llu\n",
		    states, least);
	return least != 0 && states * 10 >= least * 9;
}

/* ---- Operations ---------------------------------------------------------- */

static void
result_print(struct session *session, bool is_good, const char *title,
    const char *what, const struct kill_points *points)
{
	(void)printf("%sok %llu - %s%s: ", is_good ? "" : "not ",
	    ++session->tests, title, what);
	if (points->runs)
		(void)printf("%llu times, ", (unsigned long long)points->runs);
	(void)printf("%llu kill points, %llu distinct states\n",
	    (unsigned long long)points->steps,
	    (unsigned long long)points->states);
	session->failed += !is_good;
}

static void
points_add(struct kill_points *sum, const struct kill_points *points)
{
	sum->runs += points->runs;
	sum->steps += points->steps;
	sum->states += points->states;
}

static void
points_print(const char *what, const struct kill_points *points)
{
	(void)printf(
	    "# %s: %llu runs, %llu kill points, %llu distinct states\n", what,
	    (unsigned long long)points->runs, (unsigned long long)points->steps,
	    (unsigned long long)points->states);
}

static void
op_test(
    struct session *session, const struct kill_op *op, enum kill_state state)
{
	struct kill_points points = { 0 };
	struct kill_run run;
	char title[TITLE];
	bool is_good;

	(void)snprintf(
	    title, sizeof(title), "%s [%s]", op->name, kill_state_names[state]);
	is_good = run_begin(&run, session->daemon, op, state, false) &&
	    run_all(&run, NULL, NULL);
	run_end(&run);
	if (op->states & KILL_BIT(state))
		is_good = is_good &&
		    floor_holds(session, title, op->flags, run.states);
	points.steps = run.trace.steps;
	points.states = run.states;
	result_print(session, is_good, title, "", &points);
	points.runs = 1;
	points_add(&session->ops, &points);
}

/* ---- The recoverer ------------------------------------------------------- */

struct recovery {
	uint64_t every, from; /* which states: FROM, FROM + EVERY ... */
	struct kill_points points;
};

static bool
recovery_at(struct kill_run *run, void *arg)
{
	struct recovery *recovery = arg;

	return run->states % recovery->every != recovery->from ||
	    recover_test(run, &recovery->points);
}

/* In a cold heap, where that makes sense, there is less to repair. */
static enum kill_state
state_choose(const struct kill_op *op)
{
	unsigned states = op->states | (kill_is_long() ? 0 : op->more);

	return (enum kill_state)__builtin_ctz(states);
}

/* The short form takes one state, early in an operation's work; the NTH
 * operation's differs from the next one's. */
static void
recovery_test(struct session *session, const struct kill_op *op, size_t nth)
{
	struct recovery recovery = { .every = kill_is_long() ? 1 : UINT64_MAX };
	enum kill_state state = state_choose(op);
	struct kill_run run;
	char title[TITLE];
	bool is_good;

	recovery.from = kill_is_long() ? 0 : 5 + nth * 3 % 8;
	is_good = run_begin(&run, session->daemon, op, state, false) &&
	    run_all(&run, recovery_at, &recovery) && recovery.points.runs > 0;
	run_end(&run);
	(void)snprintf(title, sizeof(title), "%s, recovered", op->name);
	if (op->flags & KILL_RECOVER)
		is_good = is_good &&
		    floor_holds(session, title, 0, recovery.points.states);
	result_print(session, is_good, title, "", &recovery.points);
	points_add(&session->recoveries, &recovery.points);
}

/* ---- Signals ------------------------------------------------------------- */

static void
signals_op_test(struct session *session, const struct kill_op *op)
{
	enum kill_state state = state_choose(op);
	struct kill_points points = { 0 };
	struct kill_run run;
	bool is_good = run_begin(&run, session->daemon, op, state, true) &&
	    signals_test(&run, &points);

	run_end(&run);
	result_print(session, is_good, op->name, ", signalled", &points);
	points_add(&session->signals, &points);
}

/* ---- Pairs --------------------------------------------------------------- */

static void
pairs_test(struct session *session)
{
	for (size_t i = 0; i < 2 * n_pairs; i++) {
		const struct pair *pair = &pairs[i / 2];
		struct kill_points points = { 0 };
		char title[TITLE];
		bool is_good;

		if (!is_wanted(session, pair->name) ||
		    (!kill_is_long() &&
			(pair->stride == 0 || (i % 2 && pair->is_symmetric))))
			continue;
		(void)snprintf(title, sizeof(title), "%s, %s first", pair->name,
		    i % 2 ? "right" : "left");
		is_good =
		    pair_test(session->daemon, pair, (int)(i % 2), &points) &&
		    floor_holds(session, title, 0, points.states);
		(void)printf("%sok %llu - %s: %llu pairs of points, "
			     "%llu futures\n",
		    is_good ? "" : "not ", ++session->tests, title,
		    (unsigned long long)points.states,
		    (unsigned long long)points.runs);
		session->failed += !is_good;
		points_add(&session->pairs, &points);
	}
	(void)printf("# pairs: %llu pairs of points, %llu futures, %llu "
		     "instructions\n",
	    (unsigned long long)session->pairs.states,
	    (unsigned long long)session->pairs.runs,
	    (unsigned long long)session->pairs.steps);
}

/* ---- All of them --------------------------------------------------------- */

/* Every heap state, or those that are an operation's own? */
static bool
states_are_wide(void)
{
	const char *states = getenv("KILL_STATES");

	return kill_is_long() || (states && strcmp(states, "all") == 0);
}

static void
ops_test(struct session *session)
{
	for (size_t i = 0; i < kill_n_ops; i++) {
		const struct kill_op *op = &kill_ops[i];
		unsigned states =
		    op->states | (states_are_wide() ? op->more : 0);

		for (unsigned k = 0; k < KILL_STATES; k++)
			if ((states & KILL_BIT(k)) &&
			    is_wanted(session, op->name))
				op_test(session, op, (enum kill_state)k);
	}
	points_print("operations", &session->ops);
}

static void
recoveries_test(struct session *session)
{
	const unsigned simple = KILL_EXTRA | KILL_HOLD;

	for (size_t i = 0; i < kill_n_ops; i++)
		if (is_wanted(session, kill_ops[i].name) &&
		    (kill_is_long() ? !(kill_ops[i].flags & ~simple)
				    : kill_ops[i].flags & KILL_RECOVER))
			recovery_test(session, &kill_ops[i], i);
	points_print("the recoverer", &session->recoveries);
}

static void
signals_all_test(struct session *session)
{
	for (size_t i = 0; i < kill_n_ops; i++)
		if (is_wanted(session, kill_ops[i].name) &&
		    (kill_ops[i].flags & KILL_SIGNALS))
			signals_op_test(session, &kill_ops[i]);
	points_print("signals", &session->signals);
}

/* ---- The program --------------------------------------------------------- */

/* Tracer and child take turns: on one core that is much cheaper. */
static void
core_choose(void)
{
	int core = sched_getcpu();
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(core < 0 ? 0 : (unsigned)core, &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
}

static bool
options_read(struct session *session, int argc, char *argv[])
{
	int option;

	while ((option = getopt(argc, argv, "f:w:k:")) != -1) {
		FILE **file =
		    option == 'f' ? &session->floor : &session->written;

		if (option == 'k') {
			session->kinds = optarg;
			continue;
		}
		*file = option == '?'
		    ? NULL
		    : fopen(optarg, option == 'f' ? "re" : "we");
		if (!*file) {
			perror("step");
			return false;
		}
	}
	session->daemon = argv[optind];
	session->names = argv + optind + 1;
	return optind < argc;
}

int
main(int argc, char *argv[])
{
	struct session session = { 0 };

	if (!options_read(&session, argc, argv))
		return 2;
	kill_board = mmap(NULL, sizeof(*kill_board), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (kill_board == MAP_FAILED)
		return 2;
	core_choose();
	/* A judgement's tables are large, and come again and again. */
	(void)mallopt(M_MMAP_THRESHOLD, 32 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (kind_is_wanted(&session, 'o'))
		ops_test(&session);
	if (kind_is_wanted(&session, 'r'))
		recoveries_test(&session);
	if (kind_is_wanted(&session, 's'))
		signals_all_test(&session);
	if (kind_is_wanted(&session, 'p'))
		pairs_test(&session);
	(void)printf("1..%llu\n", session.tests);
	if (session.written && fclose(session.written) != 0)
		return 2;
	return session.failed != 0;
}
