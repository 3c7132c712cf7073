/*
 * Everything at once: actors of several kinds, and at random times one of them
 * is killed, stopped for a while, or both; the daemon is killed; thresholds
 * and limits change; memory is trimmed.  In the end everything is freed.
 *
 *	soak [SECONDS [ACTORS [SEED]]]
 *
 * The kinds: plain; with extents; several threads on one attachment; attaching
 * again and again; forking children that go on with the attachment.
 *
 * Its keeper starts the daemon again; without one set SOAK_DAEMON_KILLS=0.
 * With SOAK_THREADS=N each actor has N threads: a single one of many threads is
 * what ThreadSanitizer can watch, which sees no other process.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/stress/actor.h"
#include "tests/stress/admin.h"
#include "tests/stress/pattern.h"
#include "tests/stress/table.h"

struct soak;

static const struct timespec tick = { 0, 2000000 };

/* Something that happens at random times, each MEAN_MS on average; one of the
 * two does it, and returns false if not this time. */
struct event {
	const char *name;
	double mean_ms;
	bool (*happen)(struct soak *soak);
	bool (*operate)(struct admin *self);
	uint64_t next_ns;
};

struct crew {
	pid_t pid;
	uint64_t stopped_until_ns; /* 0: it runs */
};

struct soak {
	struct actor_board *board;
	struct admin admin; /* of the admin's process */
	uint64_t seed, random;
	uint32_t actors;
	uint32_t threads; /* of each; 0: by its kind */
	uint64_t n_bad;
	uint64_t n_killed; /* and not yet buried; in the end 0 */
	struct crew crew[ACTORS_MAX];
	_Atomic uint64_t *n_events; /* as in events[]; shared */
};

static uint64_t
now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t
dice(struct soak *soak, uint64_t sides)
{
	return pattern_random(&soak->random) % sides;
}

/* ---- The actors ---------------------------------------------------------- */

static void
crew_start(struct soak *soak, uint32_t i)
{
	struct actor_options options = {
		.seed = soak->seed++,
		.number = i,
		.may_lack_memory = true,
		.uses_extents = i % 2 == 1,
		.threads = soak->threads != 0 ? soak->threads
		    : i % 5 == 2              ? 3
					      : 1,
		.life = i % 5 == 3 ? 200 : 0,
		.brood = i % 5 == 4 ? 300 : 0,
	};

	soak->crew[i] = (struct crew){ actor_start(soak->board, &options), 0 };
}

/* Which actor process PID is; soak->actors: none. */
static uint32_t
crew_find(const struct soak *soak, pid_t pid)
{
	uint32_t i = 0;

	while (i < soak->actors && soak->crew[i].pid != pid)
		i++;
	return i;
}

/*
 * Bury who has ended: actors that were killed; children that outlived theirs.
 * With IS_LAST wait for everybody.
 */
static void
crew_bury(struct soak *soak, bool is_last)
{
	siginfo_t info = { .si_pid = 0 };
	uint32_t i;

	while (
	    waitid(P_ALL, 0, &info, WEXITED | (is_last ? 0 : WNOHANG)) == 0 &&
	    info.si_pid != 0) {
		if (info.si_code == CLD_KILLED && info.si_status == SIGKILL) {
			soak->n_killed--;
			continue;
		}
		i = is_last ? soak->actors : crew_find(soak, info.si_pid);
		if (i == soak->actors && info.si_status == 0)
			continue;
		warnx("process %d ended by itself with %d", (int)info.si_pid,
		    info.si_status);
		soak->n_bad++;
		if (i < soak->actors)
			crew_start(soak, i);
	}
}

/* The next one begins while this one still dies. */
static bool
crew_kill(struct soak *soak, uint32_t i)
{
	if (kill(soak->crew[i].pid, SIGKILL) != 0)
		err(1, "actor %u", i);
	soak->n_killed++;
	crew_start(soak, i);
	return true;
}

static bool
event_kill(struct soak *soak)
{
	return crew_kill(soak, (uint32_t)dice(soak, soak->actors));
}

/* Several at once. */
static bool
event_massacre(struct soak *soak)
{
	for (uint32_t i = 0; i < soak->actors; i++)
		if (dice(soak, 2) == 0)
			(void)crew_kill(soak, i);
	return true;
}

static bool
event_stop(struct soak *soak)
{
	uint32_t i = (uint32_t)dice(soak, soak->actors);

	if (soak->crew[i].stopped_until_ns != 0)
		return false;
	atomic_fetch_add(&soak->board->stops[i], 1);
	if (kill(soak->crew[i].pid, SIGSTOP) != 0)
		err(1, "actor %u", i);
	soak->crew[i].stopped_until_ns =
	    now_ns() + (1 + dice(soak, 300)) * 1000000;
	return true;
}

/* Those whose time is over go on, or die. */
static void
crew_continue(struct soak *soak, uint64_t now)
{
	for (uint32_t i = 0; i < soak->actors; i++) {
		struct crew *crew = &soak->crew[i];

		if (crew->stopped_until_ns == 0 || crew->stopped_until_ns > now)
			continue;
		crew->stopped_until_ns = 0;
		if (dice(soak, 4) == 0)
			(void)crew_kill(soak, i);
		else if (kill(crew->pid, SIGCONT) != 0)
			err(1, "actor %u", i);
	}
}

/* ---- The run ------------------------------------------------------------- */

static struct event events[] = {
	{ "kills", 90, event_kill, NULL, 0 },
	{ "massacres", 10000, event_massacre, NULL, 0 },
	{ "stops", 700, event_stop, NULL, 0 },
	{ "daemon kills", 3000, NULL, admin_daemon_kill, 0 },
	{ "tunings", 300, NULL, admin_tune, 0 },
	{ "trims", 1500, NULL, admin_trim, 0 },
	{ "exact statistics", 5000, NULL, admin_stats, 0 },
};

#define EVENTS (sizeof(events) / sizeof(*events))

static void
event_plan(struct soak *soak, struct event *event, uint64_t now)
{
	double u =
	    (double)((pattern_random(&soak->random) >> 11) + 1) * 0x1p-53;

	event->next_ns = now + (uint64_t)(-log(u) * event->mean_ms * 1e6);
}

/* Let everything happen whose time has come; of the admin, or not. */
static void
events_happen(struct soak *soak, bool is_admin)
{
	uint64_t now = now_ns();

	for (size_t i = 0; i < EVENTS; i++) {
		struct event *event = &events[i];

		if ((event->operate != NULL) != is_admin ||
		    event->next_ns > now)
			continue;
		atomic_fetch_add(&soak->n_events[i],
		    is_admin ? event->operate(&soak->admin)
			     : event->happen(soak));
		event_plan(soak, event, now);
	}
}

static void
events_begin(struct soak *soak)
{
	const char *kills_daemons = getenv("SOAK_DAEMON_KILLS");

	for (size_t i = 0; i < EVENTS; i++) {
		event_plan(soak, &events[i], now_ns());
		if (events[i].operate == admin_daemon_kill &&
		    kills_daemons != NULL && strcmp(kills_daemons, "0") == 0)
			events[i].next_ns = UINT64_MAX;
	}
}

/* The admin: asks, tunes, trims, and kills the daemon. */
static void
admin_start(struct soak *soak)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid != 0)
		return;
	soak->random ^= UINT64_C(1) << 63;
	soak->admin.random = soak->random;
	while (!atomic_load(&soak->board->stop)) {
		events_happen(soak, true);
		nanosleep(&tick, NULL);
	}
	admin_end(&soak->admin);
	_exit(0);
}

static void
soak_run(struct soak *soak, double seconds)
{
	uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);

	events_begin(soak);
	admin_start(soak);
	for (uint32_t i = 0; i < soak->actors; i++)
		crew_start(soak, i);
	while (now_ns() < end) {
		crew_bury(soak, false);
		crew_continue(soak, now_ns());
		events_happen(soak, false);
		nanosleep(&tick, NULL);
	}
	crew_continue(soak, UINT64_MAX);
}

/* All actors end by themselves, and the children that outlived theirs. */
static void
soak_end(struct soak *soak)
{
	atomic_store(&soak->board->stop, 1);
	crew_bury(soak, true);
	soak->n_bad += soak->n_killed;
	atomic_fetch_add(&soak->board->wrong, table_destroy());
}

static void
canary_start(struct actor_board *board)
{
	pid_t pid = fork();
	uint64_t last, now;

	if (pid < 0)
		err(1, "fork");
	if (pid != 0)
		return;
	for (last = now_ns(); !atomic_load(&board->stop); last = now) {
		now = now_ns();
		if (now - last > board->canary_ns)
			board->canary_ns = now - last;
	}
	_exit(0);
}

int
main(int argc, char *argv[])
{
	static struct soak soak;
	uint64_t seconds = actor_argument(argc, argv, 1, 30);
	const char *threads = getenv("SOAK_THREADS");

	soak.actors = (uint32_t)actor_argument(argc, argv, 2, 16);
	soak.seed = actor_argument(argc, argv, 3, (uint64_t)time(NULL));
	soak.random = soak.seed;
	soak.threads =
	    (uint32_t)strtoul(threads != NULL ? threads : "0", NULL, 10);
	soak.board = actor_board_create();
	soak.n_events = mmap(NULL, EVENTS * sizeof(*soak.n_events),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (soak.n_events == MAP_FAILED)
		err(1, "mmap");
	if (soak.actors == 0 || soak.actors > ACTORS_MAX)
		errx(2, "1 to %u actors", ACTORS_MAX);
	if (soak.threads > THREADS_MAX)
		errx(2, "at most %u threads", THREADS_MAX);
	printf("soak: %" PRIu64 " s, %" PRIu32 " actors, seed %" PRIu64 "\n",
	    seconds, soak.actors, soak.seed);
	fflush(stdout);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
		err(1, "prctl");
	table_create();
	canary_start(soak.board);
	/* So that things happen on a busy machine, too; if it is permitted. */
	(void)setpriority(PRIO_PROCESS, 0, -10);
	soak_run(&soak, (double)seconds);
	soak_end(&soak);
	printf("soak:");
	for (size_t i = 0; i < EVENTS; i++)
		printf(" %" PRIu64 " %s%s", soak.n_events[i], events[i].name,
		    i + 1 < EVENTS ? "," : "\n");
	printf("soak: the longest call took %.1f ms, the canary's longest "
	       "silence %.1f ms\n",
	    (double)soak.board->longest_ns / 1e6,
	    (double)soak.board->canary_ns / 1e6);
	return actor_verdict("soak", soak.board, soak.n_bad);
}
