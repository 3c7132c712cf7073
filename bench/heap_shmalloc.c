/* shmalloc: each cell gets a daemon and a segment of its own. */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmalloc/shmalloc.h>

#include "bench/bench.h"

extern const struct bench_heap heap_shmalloc;

char *bench_daemon_arguments[BENCH_DAEMON_ARGUMENTS + 1];

static pid_t daemon_pid;
static char daemon_folder[64];

static uint64_t
heap_alloc(void *heap, size_t size)
{
	return shmalloc_alloc(heap, size);
}

static void
heap_free(void *heap, uint64_t ref)
{
	shmalloc_free(heap, ref);
}

/* Wait, 5 seconds at most, until the daemon has its socket. */
static bool
daemon_wait(void)
{
	const struct timespec tick = { 0, 10000000 };
	char path[96];

	snprintf(path, sizeof(path), "%s/attach", daemon_folder);
	for (int i = 0; i < 500; i++, nanosleep(&tick, NULL)) {
		if (access(path, F_OK) == 0)
			return true;
		if (waitpid(daemon_pid, NULL, WNOHANG) != 0)
			return false;
	}
	return false;
}

/* Become the daemon. */
static _Noreturn void
daemon_main(void)
{
	const char *program = getenv("SHMALLOCD");
	const char *const fixed[] = { "shmallocd", "--no-config", "--socket",
		daemon_folder, "--size", "8G" };
	enum { N = sizeof(fixed) / sizeof(fixed[0]) };
	char *argument[N + BENCH_DAEMON_ARGUMENTS + 1];

	for (size_t i = 0; i < N; i++)
		argument[i] = strdup(fixed[i]);
	/* The NULL behind them, too. */
	memcpy(argument + N, bench_daemon_arguments,
	    sizeof(bench_daemon_arguments));
	/* Silent unless it fails: its log is not ours. */
	if (freopen("/dev/null", "w", stderr) != NULL)
		execvp(program != NULL ? program : "shmallocd", argument);
	_exit(127);
}

static const char *
heap_open(void)
{
	snprintf(
	    daemon_folder, sizeof(daemon_folder), "/tmp/shmalloc-bench.XXXXXX");
	if (mkdtemp(daemon_folder) == NULL)
		return "no temporary folder";
	setenv("SHMALLOC_SOCKET", daemon_folder, 1);
	daemon_pid = fork();
	if (daemon_pid < 0)
		return "fork";
	if (daemon_pid == 0)
		daemon_main();
	return daemon_wait() ? NULL : "shmallocd did not start ($SHMALLOCD)";
}

static bool
heap_attach(struct bench_ops *ret_ops)
{
	struct shmalloc *heap;
	int error = shmalloc_attach(NULL, NULL, &heap);

	if (error != 0) {
		fprintf(
		    stderr, "bench: attach: %s\n", shmalloc_strerror(error));
		return false;
	}
	*ret_ops = (struct bench_ops){ *(char **)(void *)heap, heap, heap_alloc,
		heap_free };
	return true;
}

static void
heap_give(void *heap, uint64_t ref)
{
	int error = shmalloc_share(heap, ref);

	if (error != 0)
		errx(1, "share: %s", shmalloc_strerror(error));
}

static void
heap_detach(struct bench_ops *ops)
{
	shmalloc_detach(ops->heap);
}

static void
heap_close(void)
{
	static const char *const left[] = { "attach", "control", "control-ro",
		"lock" };
	char path[96];

	kill(daemon_pid, SIGTERM);
	waitpid(daemon_pid, NULL, 0);
	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", daemon_folder, left[i]);
		unlink(path);
	}
	rmdir(daemon_folder);
}

const struct bench_heap heap_shmalloc = {
	.name = "shmalloc",
	.is_shared = true,
	.open = heap_open,
	.attach = heap_attach,
	.detach = heap_detach,
	.give = heap_give,
	.close = heap_close,
};
