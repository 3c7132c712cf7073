/*
 * See tests/kill/pair.h.
 *
 * Both clients are prepared and stopped.  The first one is stepped from point
 * to point; at each the second one is, from its beginning.  At each pair of
 * points there are five futures: either is killed, and recovered before the
 * survivor goes on or after it has ended; or nobody is killed.  Each is tried,
 * judged, and undone: the segment is restored from a copy, the processes from
 * what they were when they were frozen.
 *
 * A point is an instruction that may tell states apart: it follows a change, or
 * is about to read and write shared memory at once; in the long form any that
 * is about to touch it.
 */
#include "tests/kill/pair.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/daemon.h"
#include "tests/kill/freeze.h"

#define MAX_STEPS 100000

enum future {
	FIRST_DIES,
	FIRST_DIES_LATE, /* is recovered when the survivor has ended */
	SECOND_DIES,
	SECOND_DIES_LATE,
	NOBODY_DIES,
	FUTURES,
};

/* One of the two. */
struct party {
	int who; /* its place in the pair */
	uint32_t slot;
	struct kill_trace trace;
	struct frozen here; /* at its present point */
	bool is_over;       /* its operation is */
};

struct contest {
	const struct pair *pair;
	struct kill_rig rig;
	struct party party[2]; /* in the order of stepping */
	struct frozen begin;   /* the second one's */
	/* The segment at the first one's point, at both points, at the end. */
	struct kill_copy outer, inner, end;
	struct kill_points *points;
	uint64_t i, j; /* numbers of the points */
};

/* ---- The clients --------------------------------------------------------- */

static void
party_main(const struct pair *pair, int who)
{
	struct kill_scene scene = { 0 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (shmalloc_attach(NULL, NULL, &scene.heap) != 0 ||
	    shmalloc_root(scene.heap, "kill", &scene.slot) != 0 ||
	    pair->prepare[who](&scene, who) != 0)
		_exit(40);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(41);
	(void)raise(SIGSTOP);
	kill_board->result[who] = pair->run[who](&scene, who);
	(void)raise(SIGSTOP);
	_exit(0);
}

static bool
party_begin(struct contest *contest, int who, struct party *party)
{
	struct shm_seg *live = &contest->rig.live;
	int status;
	pid_t pid;

	(void)malloc_trim(0);
	pid = fork();
	if (pid == 0)
		party_main(contest->pair, who);
	party->who = who;
	party->trace.pid = pid;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) {
		(void)printf("# a client was not ready\n");
		return false;
	}
	party->slot = rig_slot(live, pid);
	return party->slot != 0 && trace_begin(&party->trace, pid, live) &&
	    trace_maps(&party->trace);
}

static void
party_end(struct party *party)
{
	if (party->trace.pid > 0) {
		(void)kill(party->trace.pid, SIGKILL);
		(void)waitpid(party->trace.pid, NULL, 0);
	}
	freeze_free(&party->here);
	trace_end(&party->trace);
}

static bool
is_point(const struct kill_trace *trace, bool has_changed)
{
	bool touches =
	    trace->touch == KILL_SEGMENT || trace->touch == KILL_PINS;

	return has_changed ||
	    (touches && (trace->insn.is_locked || kill_is_long()));
}

/* Step PARTY to its next point, or to its end; COPY follows. */
static bool
party_advance(
    struct contest *contest, struct party *party, struct kill_copy *copy)
{
	bool has_changed = false;

	for (int i = 0; i < MAX_STEPS; i++) {
		enum kill_stop stop;

		if (!trace_look(&party->trace))
			return false;
		if (i && is_point(&party->trace, has_changed))
			break;
		stop = trace_step(&party->trace, 0);
		contest->points->steps++;
		if (stop == KILL_BROKEN || stop == KILL_ENDED)
			return false;
		has_changed |= copy_notice_touch(copy, &party->trace);
		if (stop == KILL_STOPPED) {
			party->is_over = true;
			break;
		}
	}
	freeze_free(&party->here);
	return freeze_save(&party->here, party->trace.pid);
}

/* ---- Futures ------------------------------------------------------------- */

static bool
party_finish(struct party *party)
{
	return party->is_over || trace_run(&party->trace) == KILL_STOPPED;
}

/* The daemon learns of the death. */
static bool
death_recover(struct contest *contest, const struct party *dead)
{
	struct shm_seg *live = &contest->rig.live;

	return shm_daemon_start(live) == 0 &&
	    judge_client_recover(live, dead->slot) != SHM_ECORRUPT;
}

/* Let FUTURE come. */
static bool
future_run(struct contest *contest, enum future future)
{
	struct party *first = &contest->party[0], *second = &contest->party[1];

	switch (future) {
	case FIRST_DIES:
		return death_recover(contest, first) && party_finish(second);
	case FIRST_DIES_LATE:
		return party_finish(second) && death_recover(contest, first);
	case SECOND_DIES:
		return death_recover(contest, second) && party_finish(first);
	case SECOND_DIES_LATE:
		return party_finish(first) && death_recover(contest, second);
	default:
		return party_finish(first) && party_finish(second);
	}
}

/* Is what came out right?  The survivor is alive; then everybody is dead. */
static bool
future_judge(struct contest *contest, enum future future)
{
	struct kill_copy *end = &contest->end;
	const struct party *dead = future == NOBODY_DIES
	    ? NULL
	    : &contest->party[future >= SECOND_DIES];
	struct pair_outcome outcome = {
		.dead = dead ? dead->who : PAIR_NOBODY,
		.result = kill_board->result,
		.mine = kill_board->mine,
	};
	struct kill_summary summary;

	(void)copy_notice(end, &contest->rig.live);
	copy_restore(end, &end->seg);
	if (end->is_torn || !judge_commit(&end->seg) ||
	    !judge(&end->seg, dead ? dead->slot : 0, &summary))
		return false;
	outcome.slot = summary.slot;
	outcome.n_shared = summary.n_shared;
	memcpy(outcome.value, summary.value, sizeof(outcome.value));
	if (contest->pair->is_right(&outcome))
		return true;
	(void)printf("# not right: results %d and %d, slot %llx, %llu shared, "
		     "values %d %d %d %d\n",
	    outcome.result[0], outcome.result[1],
	    (unsigned long long)outcome.slot,
	    (unsigned long long)outcome.n_shared, outcome.value[0],
	    outcome.value[1], outcome.value[2], outcome.value[3]);
	return false;
}

static bool
future_try(struct contest *contest, enum future future)
{
	int before[2] = { kill_board->result[0], kill_board->result[1] };
	bool is_good =
	    future_run(contest, future) && future_judge(contest, future);

	if (!is_good)
		(void)printf("# future %d of points %llu (step %llu) and %llu "
			     "(step %llu)\n",
		    (int)future, (unsigned long long)contest->i,
		    (unsigned long long)contest->party[0].trace.steps,
		    (unsigned long long)contest->j,
		    (unsigned long long)contest->party[1].trace.steps);
	contest->points->runs++;
	memcpy(kill_board->result, before, sizeof(before));
	copy_restore(&contest->inner, &contest->rig.live);
	return is_good &&
	    freeze_load(&contest->party[0].here, contest->party[0].trace.pid) &&
	    freeze_load(&contest->party[1].here, contest->party[1].trace.pid);
}

/* The short form tries one future of a pair of points. */
static bool
futures_try(struct contest *contest)
{
	uint64_t place = contest->i * 3 + contest->j;
	unsigned every = FUTURES * contest->pair->stride;

	for (unsigned k = 0; k < FUTURES; k++) {
		bool is_wanted = kill_is_long() ||
		    (place + k * contest->pair->stride) % every == 0;

		if (is_wanted && !future_try(contest, (enum future)k))
			return false;
	}
	contest->points->states++;
	return true;
}

/* ---- Points -------------------------------------------------------------- */

/* The second one's points, while the first one stays where it is. */
static bool
inner_run(struct contest *contest)
{
	struct party *second = &contest->party[1];

	if (!freeze_load(&contest->begin, second->trace.pid))
		return false;
	freeze_free(&second->here);
	if (!freeze_save(&second->here, second->trace.pid))
		return false;
	second->is_over = false;
	second->trace.steps = 0;
	(void)copy_notice(&contest->inner, &contest->rig.live);
	for (contest->j = 0;; contest->j++) {
		if (!futures_try(contest))
			return false;
		if (second->is_over)
			break;
		if (!party_advance(contest, second, &contest->inner))
			return false;
	}
	/* As if it had not begun. */
	copy_restore(&contest->outer, &contest->rig.live);
	return freeze_load(
	    &contest->party[0].here, contest->party[0].trace.pid);
}

static bool
outer_run(struct contest *contest)
{
	struct party *first = &contest->party[0];

	if (!freeze_save(&first->here, first->trace.pid) ||
	    !freeze_save(&contest->begin, contest->party[1].trace.pid))
		return false;
	(void)copy_notice(&contest->outer, &contest->rig.live);
	for (contest->i = 0; !first->is_over; contest->i++) {
		if (!inner_run(contest))
			return false;
		if (!party_advance(contest, first, &contest->outer))
			return false;
	}
	return true;
}

/* ---- A test -------------------------------------------------------------- */

static bool
contest_begin(struct contest *contest, const char *daemon_path, int first)
{
	static const char *const param[KILL_PARAMS] = { "lock.wait_ms=0" };
	struct party *one = &contest->party[first == 0 ? 0 : 1];
	struct party *two = &contest->party[first == 0 ? 1 : 0];

	memset(kill_board, 0, sizeof(*kill_board));
	if (!rig_start(&contest->rig, daemon_path, "64M", param) ||
	    !rig_map(&contest->rig, contest->rig.daemon) ||
	    !party_begin(contest, 0, one) || !party_begin(contest, 1, two) ||
	    !rig_daemon_hold(&contest->rig))
		return false;
	return copy_open(&contest->outer, &contest->rig.live) &&
	    copy_open(&contest->inner, &contest->rig.live) &&
	    copy_open(&contest->end, &contest->rig.live);
}

bool
pair_test(const char *daemon_path, const struct pair *pair, int first,
    struct kill_points *points)
{
	static struct contest contest;
	bool is_good;

	memset(&contest, 0, sizeof(contest));
	contest.pair = pair;
	contest.points = points;
	is_good = contest_begin(&contest, daemon_path, first) &&
	    outer_run(&contest) && !contest.outer.is_torn &&
	    !contest.inner.is_torn;
	freeze_free(&contest.begin);
	party_end(&contest.party[0]);
	party_end(&contest.party[1]);
	copy_close(&contest.outer);
	copy_close(&contest.inner);
	copy_close(&contest.end);
	rig_stop(&contest.rig);
	return is_good;
}
