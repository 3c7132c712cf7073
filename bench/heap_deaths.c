/*
 * shmalloc_deaths: the same as shmalloc, while a client beside the workers is
 * killed every 10 ms, and another takes its place.  It holds 1000 objects, and
 * replaces them by bursts, so that it dies inside calls, too, but leaves the
 * cores to the workers.
 */
#include <err.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

#define LIFE_MS 10
#define OBJECTS 1000u

extern const struct bench_heap heap_shmalloc, heap_shmalloc_deaths;

static pid_t killer_pid;

static void
pause_us(long us)
{
	const struct timespec time = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&time, NULL);
}

static void
objects_replace(
    const struct bench_ops *ops, uint64_t ref[OBJECTS], uint64_t *random)
{
	for (unsigned i = 0; i < OBJECTS; i++) {
		if (ref[i] != 0)
			ops->free(ops->heap, ref[i]);
		ref[i] = bench_alloc(ops, 16 + bench_below(random, 1009));
	}
}

static _Noreturn void
victim_main(void)
{
	uint64_t ref[OBJECTS] = { 0 }, random = (uint64_t)getpid();
	struct bench_ops ops;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!heap_shmalloc.attach(&ops))
		_exit(1);
	for (;;) {
		objects_replace(&ops, ref, &random);
		pause_us(500);
	}
}

/* Kill one after the other, until this process is killed itself. */
static _Noreturn void
killer_main(void)
{
	int status;
	pid_t pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		pid = fork();
		if (pid < 0)
			err(1, "fork");
		if (pid == 0)
			victim_main();
		pause_us(LIFE_MS * 1000);
		kill(pid, SIGKILL);
		/* If it ended otherwise the cell is to fail, as we do. */
		if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) ||
		    WTERMSIG(status) != SIGKILL)
			errx(1, "the client that is to be killed failed");
	}
}

static const char *
heap_open(void)
{
	const char *why = heap_shmalloc.open();

	if (why != NULL)
		return why;
	killer_pid = fork();
	if (killer_pid < 0)
		err(1, "fork");
	if (killer_pid == 0)
		killer_main();
	return NULL;
}

static bool
heap_attach(struct bench_ops *ret_ops)
{
	return heap_shmalloc.attach(ret_ops);
}

static void
heap_detach(struct bench_ops *ops)
{
	heap_shmalloc.detach(ops);
}

static void
heap_give(void *heap, uint64_t ref)
{
	heap_shmalloc.give(heap, ref);
}

static void
heap_close(void)
{
	kill(killer_pid, SIGKILL);
	waitpid(killer_pid, NULL, 0);
	heap_shmalloc.close();
}

const struct bench_heap heap_shmalloc_deaths = {
	.name = "shmalloc_deaths",
	.is_shared = true,
	.open = heap_open,
	.attach = heap_attach,
	.detach = heap_detach,
	.give = heap_give,
	.close = heap_close,
};
