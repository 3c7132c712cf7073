/*
 * A client that is stopped in a critical section, at each of its instructions:
 * nobody else waits for it.
 *
 *	stop SHMALLOCD [NAME...]	TAP, a test an operation of ops.c
 *	stop --hold			leave one stopped, for other tests
 *
 * A traced child steps through an operation.  After each instruction at which
 * it holds an arena's lock it stays stopped, and another client (the tracer)
 * allocates and frees chunks and extents, of the locked arena too.  Each call
 * must succeed without any sleep; the slowest is printed beside a canary, a
 * thread that only reads the clock.
 *
 * --hold does so once, in the segment of the daemon that $SHMALLOC_SOCKET
 * names: it prints the PID of a child that is stopped and holds a lock, and
 * ends, with the child, when its input does.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/access.h"
#include "shm/lock.h"
#include "shm/thread.h"
#include "tests/kill/kill.h"

#define MAX_STEPS 2000000
#define RING      8

/* What the other client holds, oldest first. */
struct other {
	struct shmalloc *heap;
	shmalloc_off ring[RING];
	size_t next;
	uint64_t calls, longest_ns;
};

struct canary {
	pthread_t thread;
	_Atomic bool is_over;
	_Atomic uint64_t longest_ns;
};

struct trace {
	struct kill_rig *rig;
	pid_t pid;
	uint64_t steps, stops;
};

static uint64_t
clock_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void *
canary_run(void *arg)
{
	struct canary *canary = arg;
	uint64_t before = clock_ns();

	while (!shm_load(&canary->is_over)) {
		uint64_t now = clock_ns();

		if (now - before > shm_load(&canary->longest_ns))
			shm_store(&canary->longest_ns, now - before);
		before = now;
	}
	return NULL;
}

/* ---- The other client ---------------------------------------------------- */

static bool
other_replace(struct other *other, size_t size)
{
	shmalloc_off *place = &other->ring[other->next++ % RING];
	uint64_t start = clock_ns(), ns;

	shmalloc_free(other->heap, *place);
	*place = shmalloc_alloc(other->heap, size);
	ns = clock_ns() - start;
	other->calls += 2;
	if (ns > other->longest_ns)
		other->longest_ns = ns;
	return *place != 0;
}

/* Beyond what a thread cache keeps, so each call needs an arena. */
static bool
other_work(struct other *other)
{
	return other_replace(other, 50000) && other_replace(other, 300000) &&
	    other_replace(other, 40000);
}

/* How often a thread has slept on a lock. */
static uint64_t
sleeps(const struct shm_seg *seg)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < shm_load(&seg->super->n_arenas); i++)
		sum += shm_load(&seg->arenas[i].slept);
	return sum;
}

/* ---- The child ----------------------------------------------------------- */

static void
child_run(const struct kill_op *op)
{
	struct kill_scene scene = { 0 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (shmalloc_attach(NULL, NULL, &scene.heap) != 0 ||
	    shmalloc_root(scene.heap, "kill", &scene.slot) != 0 ||
	    !scene_begin(&scene,
		op->states & KILL_BIT(KILL_COLD) ? KILL_COLD : KILL_WARM) ||
	    (op->prepare && !op->prepare(&scene)))
		_exit(10);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(11);
	(void)raise(SIGSTOP);
	if (!op->run(&scene))
		_exit(12);
	(void)raise(SIGSTOP);
	_exit(0);
}

/* Does a thread of process PID hold an arena's lock? */
static bool
holds_lock(const struct shm_seg *seg, pid_t pid)
{
	for (uint32_t i = 0; i < shm_load(&seg->super->n_arenas); i++) {
		uint32_t word = shm_load(&seg->arenas[i].lock);
		uint32_t thread = shm_lock_thread(word);

		if (word && thread < SHM_THREADS &&
		    shm_load(&seg->threads[thread].tid) == (uint32_t)pid)
			return true;
	}
	return false;
}

/* One instruction further; false at the operation's end. */
static bool
child_step(struct trace *trace)
{
	int status;

	if (ptrace(PTRACE_SINGLESTEP, trace->pid, NULL, NULL) != 0 ||
	    waitpid(trace->pid, &status, 0) != trace->pid ||
	    !WIFSTOPPED(status) || WSTOPSIG(status) == SIGSTOP)
		return false;
	trace->steps++;
	return true;
}

static bool
child_begin(struct trace *trace, const struct kill_op *op)
{
	int status;

	trace->pid = fork();
	if (trace->pid == 0)
		child_run(op);
	return trace->pid > 0 &&
	    waitpid(trace->pid, &status, 0) == trace->pid &&
	    WIFSTOPPED(status) && rig_map(trace->rig, trace->pid);
}

static bool
stops_try(struct trace *trace, struct other *other)
{
	const struct shm_seg *seg = &trace->rig->live;
	uint64_t before = sleeps(seg);

	while (child_step(trace) && trace->steps < MAX_STEPS) {
		if (!holds_lock(seg, trace->pid))
			continue;
		trace->stops++;
		if (!other_work(other)) {
			(void)printf("# no memory at step %llu: %s\n",
			    (unsigned long long)trace->steps,
			    shmalloc_last_failure(other->heap)->reason);
			return false;
		}
	}
	if (sleeps(seg) != before)
		(void)printf("# somebody slept on a lock\n");
	return sleeps(seg) == before && trace->steps > 0;
}

/* ---- Tests --------------------------------------------------------------- */

static bool
op_run(struct kill_rig *rig, const struct kill_op *op, struct other *other,
    struct trace *trace)
{
	bool is_good;

	memset(other, 0, sizeof(*other));
	*trace = (struct trace){ .rig = rig };
	is_good = shmalloc_attach(NULL, NULL, &other->heap) == 0 &&
	    other_work(other) && child_begin(trace, op) &&
	    stops_try(trace, other);
	(void)kill(trace->pid, SIGKILL);
	(void)waitpid(trace->pid, NULL, 0);
	shmalloc_detach(other->heap);
	return is_good;
}

static bool
is_wanted(const struct kill_op *op, int argc, char *argv[])
{
	const unsigned states = KILL_BIT(KILL_COLD) | KILL_BIT(KILL_WARM);

	/* Else all locks are taken by a process that isn't there, or there are
	 * more processes to it. */
	if (!(op->states & states) || op->other ||
	    (op->flags & ~(unsigned)KILL_EXTRA))
		return false;
	/* What a cache locks is what the rows above lock: it calls the same. */
	if (strncmp(op->name, "cache, ", strlen("cache, ")) == 0)
		return false;
	for (int i = 2; i < argc; i++)
		if (strstr(op->name, argv[i]))
			return true;
	return argc <= 2;
}

static int
ops_run(int argc, char *argv[])
{
	unsigned long long n = 0, stops = 0, calls = 0, failed = 0, worst = 0;
	struct canary canary = { .longest_ns = 0 };
	struct kill_rig rig;

	if (pthread_create(&canary.thread, NULL, canary_run, &canary) != 0)
		return 1;
	for (size_t i = 0; i < kill_n_ops; i++) {
		struct other other;
		struct trace trace = { .steps = 0 };
		bool is_good;

		if (!is_wanted(&kill_ops[i], argc, argv))
			continue;
		is_good = rig_start(&rig, argv[1], "64M", kill_ops[i].param) &&
		    op_run(&rig, &kill_ops[i], &other, &trace);
		rig_stop(&rig);
		(void)printf(
		    "%sok %llu - %s: stopped at %llu instructions with "
		    "a lock\n",
		    is_good ? "" : "not ", ++n, kill_ops[i].name,
		    (unsigned long long)trace.stops);
		failed += !is_good;
		stops += trace.stops;
		calls += other.calls;
		if (other.longest_ns > worst)
			worst = other.longest_ns;
	}
	shm_store(&canary.is_over, true);
	(void)pthread_join(canary.thread, NULL);
	(void)printf("# %llu stops, %llu calls of another client; the slowest "
		     "pair took %.1f us, the canary's longest gap was %.1f us\n"
		     "1..%llu\n",
	    stops, calls, (double)worst / 1e3,
	    (double)shm_load(&canary.longest_ns) / 1e3, n);
	return failed != 0 || stops == 0;
}

static int
hold_run(void)
{
	struct kill_rig rig = { .daemon = 0 };
	struct trace trace = { .rig = &rig };
	char line[64];
	int result = 1;

	if (!child_begin(&trace, &kill_ops[0]))
		return 1;
	while (child_step(&trace) && trace.steps < MAX_STEPS)
		if (holds_lock(&rig.live, trace.pid)) {
			(void)printf("%d\n", (int)trace.pid);
			(void)fflush(stdout);
			result = 0;
			break;
		}
	while (result == 0 && fgets(line, sizeof(line), stdin))
		;
	(void)kill(trace.pid, SIGKILL);
	(void)waitpid(trace.pid, NULL, 0);
	return result;
}

int
main(int argc, char *argv[])
{
	if (argc < 2)
		return 2;
	if (strcmp(argv[1], "--hold") == 0)
		return hold_run();
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	return ops_run(argc, argv);
}
