/* The process of a cell, and how bench's process waits for it. */
#define _GNU_SOURCE /* pthread_barrier_t */

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/cell.h"

/* ---- The cell's process ---------------------------------------------------
 */

/* Remember why, of the first process that fails. */
static void
cell_fail(struct cell *cell, int status)
{
	if (status == 0 || cell->why[0] != '\0')
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == BENCH_NO_MEMORY)
		snprintf(cell->why, sizeof(cell->why), "no memory");
	else if (WIFEXITED(status) && WEXITSTATUS(status) == BENCH_WRONG)
		snprintf(cell->why, sizeof(cell->why), "wrong content");
	else
		snprintf(cell->why, sizeof(cell->why), "it failed (status %d)",
		    status);
}

static void
workers_run_processes(struct cell *cell)
{
	pid_t pid[BENCH_WORKERS_MAX], ended;
	int status;

	for (unsigned i = 0; i < cell->workers; i++) {
		pid[i] = fork();
		if (pid[i] < 0)
			err(1, "fork");
		if (pid[i] == 0) {
			worker_main(&cell->worker[i]);
			_exit(0);
		}
	}
	for (unsigned n = 0; n < cell->workers; n++) {
		ended = waitpid(0, &status, 0);
		cell_fail(cell, status);
		/* It would leave the others at the barrier. */
		for (unsigned i = 0; status != 0 && i < cell->workers; i++)
			if (pid[i] != ended)
				kill(pid[i], SIGKILL);
	}
}

static void
workers_run_threads(struct cell *cell)
{
	pthread_t thread[BENCH_WORKERS_MAX];

	for (unsigned i = 1; i < cell->workers; i++)
		if (pthread_create(
			&thread[i], NULL, worker_main, &cell->worker[i]) != 0)
			errx(1, "pthread_create");
	/* A single worker is a single-threaded process. */
	worker_main(&cell->worker[0]);
	for (unsigned i = 1; i < cell->workers; i++)
		pthread_join(thread[i], NULL);
}

static void
cell_main(struct cell *cell)
{
	const char *why = NULL;

	if (cell->heap->open != NULL)
		why = cell->heap->open();
	if (why != NULL) {
		snprintf(cell->why, sizeof(cell->why), "%s", why);
		return;
	}
	if (!cell->heap->is_shared)
		cell->resident_before = memory_now(cell);
	if (cell->workload == NULL)
		; /* a probe */
	else if (bench_forks(cell->heap))
		workers_run_processes(cell);
	else
		workers_run_threads(cell);
	if (cell->heap->close != NULL)
		cell->heap->close();
}

struct cell *
cell_make(const struct bench_heap *heap, const struct bench_workload *workload,
    unsigned workers, const struct bench_options *options)
{
	struct cell *cell = bench_map(sizeof(*cell));
	pthread_barrierattr_t attributes;

	cell->heap = heap;
	cell->workload = workload;
	cell->workers = workers;
	cell->options = options;
	for (unsigned i = 0; i < workers; i++) {
		cell->worker[i].cell = cell;
		cell->worker[i].worker = (struct bench_worker){
			.number = i,
			.workers = workers,
			.random =
			    (options->seed + i) * UINT64_C(0x9e3779b97f4a7c15) |
			    1,
			.shared = &cell->shared,
			.peak = &cell->peak,
		};
	}
	pthread_barrierattr_init(&attributes);
	pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	if (workers > 0 &&
	    pthread_barrier_init(&cell->barrier, &attributes, workers) != 0)
		errx(1, "pthread_barrier_init");
	return cell;
}

/* ---- Its result -----------------------------------------------------------
 */

static void
result_memory(const struct cell *cell, struct bench_result *result)
{
	uint64_t live = 0, resident = cell->resident;

	if (!cell->workload->measures_memory)
		return;
	for (unsigned i = 0; i < cell->workers; i++)
		live += cell->worker[i].live_bytes;
	if (cell->peak.live_bytes > 0) {
		live = cell->peak.live_bytes;
		resident = cell->peak.resident_bytes;
	}
	result->live_bytes = live;
	result->resident_bytes = resident - cell->resident_before;
}

static struct bench_result
cell_result(const struct cell *cell)
{
	double rate = 0, cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
	struct bench_result result = { .resident_bytes = 0 };
	struct tails tails = { .left = 0 };
	uint64_t faults = 0;

	for (unsigned i = 0; i < cell->workers; i++) {
		const struct cell_worker *row = &cell->worker[i];

		rate += (double)row->pairs / row->seconds;
		result.pairs += row->pairs;
		faults += row->faults;
		tails_add(&tails, &row->tails);
	}
	if (cores > cell->workers)
		cores = cell->workers;
	result.ns = 1e9 * (cell->workload->is_wall ? 1 : cores) / rate;
	result.faults = (double)faults * 1e6 / (double)result.pairs;
	result_memory(cell, &result);
	tails_result(&tails, &result);
	return result;
}

/* ---- Waiting for it -------------------------------------------------------
 */

/* The step that the slowest worker is in. */
static int
cell_step(const struct cell *cell)
{
	int step = CELL_ENDS;

	for (unsigned i = 0; i < cell->workers; i++)
		if (cell->worker[i].step < step)
			step = cell->worker[i].step;
	return step;
}

static bool
cell_is_done(const struct cell *cell)
{
	for (unsigned i = 0; i < cell->workers; i++)
		if (!cell->worker[i].is_done)
			return false;
	return true;
}

/* A cell is a process group of its own, so it does not get the terminal's. */
static sigset_t
signals_waited(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	return set;
}

/*
 * Wait until the process ends, SECONDS at most; then end it, and all that it
 * has started.  True: it ended by itself, *RET_STATUS says how.
 */
static bool
process_wait(pid_t pid, double seconds, int *ret_status)
{
	const struct timespec limit = { (time_t)seconds,
		(long)((seconds - (double)(time_t)seconds) * 1e9) };
	const sigset_t set = signals_waited();
	bool has_ended;
	int signal;

	do
		signal = sigtimedwait(&set, NULL, &limit);
	while (signal < 0 && errno == EINTR);
	has_ended = waitpid(pid, ret_status, WNOHANG) == pid;
	/* Workers that a failed one left at the barrier, too. */
	kill(-pid, SIGKILL);
	if (signal > 0 && signal != SIGCHLD)
		exit(128 + signal);
	if (!has_ended)
		waitpid(pid, ret_status, 0);
	return has_ended;
}

/* Run CELL in a process; true as process_wait() does. */
static bool
cell_run(struct cell *cell, double seconds, int *ret_status)
{
	const sigset_t set = signals_waited();
	sigset_t old;
	bool has_ended;
	pid_t pid;

	sigprocmask(SIG_BLOCK, &set, &old);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		setpgid(0, 0);
		sigprocmask(SIG_SETMASK, &old, NULL);
		cell_main(cell);
		_exit(0);
	}
	setpgid(pid, pid);
	has_ended = process_wait(pid, seconds, ret_status);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return has_ended;
}

static const char *
cell_why(struct cell *cell, bool has_ended, int status)
{
	static const char *const step[] = { "too slow: not set up in time",
		"too slow: not warm in time",
		"too slow: not measured in time" };
	static char why[200];

	if (has_ended && !cell_is_done(cell))
		cell_fail(cell, status);
	snprintf(why, sizeof(why), "%s", cell->why);
	if (why[0] == '\0' && !has_ended && cell_step(cell) < CELL_ENDS)
		return step[cell_step(cell)];
	return why[0] == '\0' ? NULL : why;
}

const char *
bench_cell(const struct bench_heap *heap, const struct bench_workload *workload,
    unsigned workers, const struct bench_options *options,
    struct bench_result *ret_result)
{
	struct cell *cell = cell_make(heap, workload, workers, options);
	double seconds = options->set_up +
	    4 * (options->warm_up + options->seconds + options->tails);
	int status = 0;
	bool has_ended = cell_run(cell, seconds, &status);
	const char *why = cell_why(cell, has_ended, status);

	if (why == NULL)
		*ret_result = cell_result(cell);
	munmap(cell, sizeof(*cell));
	return why;
}

const char *
bench_probe(const struct bench_heap *heap)
{
	struct cell *cell = cell_make(heap, NULL, 0, NULL);
	int status = 0;
	bool has_ended = cell_run(cell, 10, &status);
	const char *why = cell_why(cell, has_ended, status);

	if (why == NULL && (!has_ended || status != 0))
		why = "it does not open";
	munmap(cell, sizeof(*cell));
	return why;
}
