/*
 * Killing the daemon at instructions of its own work, with clients at work, and
 * judging what the next daemon makes of it.
 *
 *	kill KEEPER [KILLS [STEPS [SEED]]]
 *
 * For each of the operations below, in turn: the daemon is stopped as it enters
 * the operation's function, stepped to one of its instructions, and killed. The
 * first time the whole is stepped, to know how long it is; from then on the
 * instructions are spread over it.  When the keeper's next daemon answers and
 * has reclaimed what was to be reclaimed, the check must find nothing, the
 * statistics must add up, and each client must find what it had written.  In
 * the end everything is freed, and nothing may be left.
 *
 * KEEPER is the pid of a shmallocd whose sockets are in $SHMALLOC_SOCKET, with
 * one segment, "default".  Prints TAP, a test an operation.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmalloc/control.h>
#include <shmalloc/shmalloc.h>

#include "tests/daemon/scene.h"
#include "tests/daemon/tracee.h"

#define WAIT_MS 20000

struct op {
	const char *name, *function;
	/* Make the daemon do it; in a child, which is killed afterwards. */
	void (*trigger)(void);
};

static const struct op ops[] = {
	{ "create a segment", "shm_seg_create", scene_create },
	{ "begin with a segment", "shm_daemon_start", scene_create },
	{ "keep a segment", "store_segment", scene_create },
	{ "attach a client", "shm_client_open", scene_attach },
	{ "keep a client", "store_slot", scene_attach },
	{ "grow", "shm_commit", scene_grow },
	{ "trim", "shm_trim", scene_trim },
	{ "punch", "shm_uncommit", scene_trim },
	{ "tick", "shm_tick", scene_attach },
	{ "tune", "shm_tunables_set", scene_tune },
	{ "settle", "shm_publish_settle", scene_die },
	{ "reclaim", "shm_reclaim_step", scene_die },
	{ "begin a repair", "shm_arena_rebuild_begin_locked",
	    scene_die_locked },
	{ "repair", "shm_arena_rebuild_step_locked", scene_die_locked },
	{ "forget a client", "slot_reclaimed", scene_die },
	{ "destroy a segment", "segment_destroy", scene_destroy },
};

#define OPS (sizeof(ops) / sizeof(ops[0]))

static pid_t keeper;
static time_t began;
/* An operation may be longer; it is killed within its first so many. */
static uint64_t steps_max;

/* ---- Daemons --------------------------------------------------------------
 */

/* The keeper's child; 0: it has none now. */
static pid_t
daemon_pid(void)
{
	char path[64];
	int pid = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children",
	    (int)keeper, (int)keeper);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &pid) != 1)
		pid = 0;
	(void)fclose(file);
	return pid;
}

/* Wait until a daemon other than BEFORE serves. */
static bool
daemon_await(pid_t before)
{
	const struct timespec tick = { 0, 2000000 };

	for (int i = 0; i < WAIT_MS / 2; i++) {
		pid_t pid = daemon_pid();

		if (pid != 0 && pid != before && scene_is_served())
			return true;
		(void)nanosleep(&tick, NULL);
	}
	(void)printf("# no daemon serves\n");
	return false;
}

/* ---- One kill -------------------------------------------------------------
 */

static pid_t
trigger_start(const struct op *op)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		op->trigger();
		_exit(0);
	}
	return pid;
}

/* Kill a daemon in OP, at instruction AT (or at its end); how many it was. */
static bool
op_kill(const struct op *op, uint64_t at, uint64_t *ret_steps)
{
	struct tracee tracee;
	pid_t pid = daemon_pid(), child;
	bool is_there;

	if (!scene_prepare() || pid == 0 || !tracee_seize(&tracee, pid) ||
	    !tracee_watch(&tracee, op->function))
		return false;
	child = trigger_start(op);
	is_there = tracee_arrive(&tracee);
	if (is_there)
		*ret_steps = tracee_step(&tracee, at);
	else
		(void)printf("# it never came to %s\n", op->function);
	tracee_kill(&tracee);
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
	return is_there && daemon_await(pid);
}

static bool
op_run(const struct op *op, unsigned kills)
{
	uint64_t len = 0, steps = 0, last = 0;
	unsigned n;

	for (n = 0; n < kills; n++) {
		/* The end first; then spread, with some chance in it. */
		uint64_t at = n == 0
		    ? steps_max
		    : (len * n + (uint64_t)rand() % (len + 1)) /
			(kills - 1 + 1);

		if (!op_kill(op, at, &last) || !scene_judge()) {
			(void)printf("# at instruction %" PRIu64 " of %s\n",
			    last, op->function);
			return false;
		}
		if (n == 0)
			len = last;
		steps += last;
	}
	(void)printf("# %u kills within %" PRIu64
		     " instructions of %s, %" PRIu64 " stepped, %ld s so far\n",
	    n, len, op->function, steps, (long)(time(NULL) - began));
	return true;
}

static unsigned
argument(int argc, char *argv[], int i, unsigned otherwise)
{
	return argc > i ? (unsigned)strtoul(argv[i], NULL, 10) : otherwise;
}

int
main(int argc, char *argv[])
{
	unsigned kills = argument(argc, argv, 2, 100), failed = 0;
	unsigned seed = argument(argc, argv, 4, (unsigned)time(NULL));

	if (argc < 2)
		return 2;
	keeper = (pid_t)argument(argc, argv, 1, 0);
	began = time(NULL);
	steps_max = argument(argc, argv, 3, 100000);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	(void)printf("# seed %u\n1..%zu\n", seed, OPS + 1);
	srand(seed);
	if (!scene_open())
		return 1;
	for (size_t i = 0; i < OPS; i++) {
		unsigned share = kills / (unsigned)OPS + (i < kills % OPS);
		bool is_good = op_run(&ops[i], share);

		(void)printf("%sok %zu - the daemon killed in '%s'\n",
		    is_good ? "" : "not ", i + 1, ops[i].name);
		failed += !is_good;
		if (!is_good && !daemon_await(0))
			break;
	}
	if (!scene_close())
		failed++;
	(void)printf(
	    "%sok %zu - nothing is left\n", failed ? "not " : "", OPS + 1);
	return failed != 0;
}
