#define _GNU_SOURCE /* affinity, RUSAGE_THREAD */

#include "bench/bench.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What one worker measured. */
struct cell_row {
	_Alignas(128) double seconds;
	uint64_t pairs, faults, live_bytes;
	bool is_done;
};

/* In memory that the cell's process, its workers and the caller share. */
struct cell {
	const struct bench_heap *heap;
	const struct bench_workload *workload;
	const struct bench_options *options;
	unsigned workers;
	pthread_barrier_t barrier;
	uint64_t resident_before, resident;
	char why[200];
	struct cell_row row[BENCH_WORKERS_MAX];
	struct bench_shared shared;
};

struct cell_worker {
	struct cell *cell;
	unsigned number;
};

void *
bench_map(size_t len)
{
	/* Shared memory is not counted as the private heaps' own. */
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (at == MAP_FAILED)
		err(1, "mmap");
	return at;
}

_Noreturn void
bench_no_memory(void)
{
	errx(1, "no memory");
}

static double
seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static uint64_t
faults_now(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)(usage.ru_minflt + usage.ru_majflt);
}

/* ---- Memory ---------------------------------------------------------------
 */

/* Bytes of this process's private memory. */
static uint64_t
resident_private(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	unsigned long long kib = 0;
	char line[200];

	if (file == NULL)
		err(1, "/proc/self/smaps_rollup");
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Anonymous: %llu kB", &kib) == 1)
			break;
	fclose(file);
	return kib * 1024;
}

/* Bytes of the memory files that this process has open. */
static uint64_t
resident_shared(void)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	uint64_t bytes = 0;

	if (folder == NULL)
		err(1, "/proc/self/fd");
	while ((entry = readdir(folder)) != NULL) {
		char target[64];
		struct stat stat_of;
		ssize_t len = readlinkat(
		    dirfd(folder), entry->d_name, target, sizeof(target) - 1);

		if (len < 7 || memcmp(target, "/memfd:", 7) != 0)
			continue;
		if (fstat(atoi(entry->d_name), &stat_of) == 0)
			bytes += (uint64_t)stat_of.st_blocks * 512;
	}
	closedir(folder);
	return bytes;
}

static uint64_t
resident_now(const struct cell *cell)
{
	return cell->heap->is_shared ? resident_shared() : resident_private();
}

/* ---- A worker -------------------------------------------------------------
 */

static void
worker_pin(unsigned number)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(number % (unsigned)cores, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		err(1, "sched_setaffinity");
}

/* Do rounds for so many seconds; the pairs. */
static uint64_t
worker_spend(struct bench_worker *worker, const struct bench_workload *workload,
    double seconds)
{
	double end = seconds_now() + seconds;
	uint64_t pairs = 0;

	do
		pairs += workload->round(worker);
	while (seconds_now() < end);
	return pairs;
}

static void
worker_measure(struct cell *cell, struct bench_worker *worker)
{
	struct cell_row *row = &cell->row[worker->number];
	double start;

	worker_spend(worker, cell->workload, cell->options->warm_up);
	pthread_barrier_wait(&cell->barrier);
	row->faults = faults_now();
	start = seconds_now();
	row->pairs =
	    worker_spend(worker, cell->workload, cell->options->seconds);
	row->seconds = seconds_now() - start;
	row->faults = faults_now() - row->faults;
	row->live_bytes = worker->live_bytes;
	pthread_barrier_wait(&cell->barrier);
	if (worker->number == 0 && cell->workload->measures_memory)
		cell->resident = resident_now(cell);
	pthread_barrier_wait(&cell->barrier);
}

static void *
worker_main(void *arg)
{
	const struct cell_worker *self = arg;
	struct cell *cell = self->cell;
	struct bench_worker worker = { .number = self->number,
		.workers = cell->workers,
		.shared = &cell->shared,
		.random = (cell->options->seed + self->number) *
			UINT64_C(0x9e3779b97f4a7c15) |
		    1 };

	worker_pin(self->number);
	if (!cell->heap->attach(&worker.ops))
		exit(1);
	cell->workload->begin(&worker);
	worker_measure(cell, &worker);
	cell->workload->end(&worker);
	if (cell->heap->detach != NULL)
		cell->heap->detach(&worker.ops);
	cell->row[self->number].is_done = true;
	return NULL;
}

/* ---- The cell's process ---------------------------------------------------
 */

static void
workers_run_processes(struct cell *cell)
{
	pid_t pid[BENCH_WORKERS_MAX], ended;
	int status;

	for (unsigned i = 0; i < cell->workers; i++) {
		struct cell_worker worker = { cell, i };

		pid[i] = fork();
		if (pid[i] < 0)
			err(1, "fork");
		if (pid[i] == 0) {
			worker_main(&worker);
			_exit(0);
		}
	}
	for (unsigned n = 0; n < cell->workers; n++) {
		ended = waitpid(0, &status, 0);
		/* One that fails would leave the others at the barrier. */
		for (unsigned i = 0; status != 0 && i < cell->workers; i++)
			if (pid[i] != ended)
				kill(pid[i], SIGKILL);
	}
}

static void
workers_run_threads(struct cell *cell)
{
	struct cell_worker worker[BENCH_WORKERS_MAX];
	pthread_t thread[BENCH_WORKERS_MAX];

	for (unsigned i = 0; i < cell->workers; i++) {
		worker[i] = (struct cell_worker){ cell, i };
		if (i > 0 &&
		    pthread_create(&thread[i], NULL, worker_main, &worker[i]) !=
			0)
			errx(1, "pthread_create");
	}
	/* A single worker is a single-threaded process. */
	worker_main(&worker[0]);
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
		cell->resident_before = resident_private();
	if (cell->heap->is_shared)
		workers_run_processes(cell);
	else
		workers_run_threads(cell);
	if (cell->heap->close != NULL)
		cell->heap->close();
}

static struct cell *
cell_make(const struct bench_heap *heap, const struct bench_workload *workload,
    unsigned workers, const struct bench_options *options)
{
	struct cell *cell = bench_map(sizeof(*cell));
	pthread_barrierattr_t attributes;

	cell->heap = heap;
	cell->workload = workload;
	cell->workers = workers;
	cell->options = options;
	pthread_barrierattr_init(&attributes);
	pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	if (pthread_barrier_init(&cell->barrier, &attributes, workers) != 0)
		errx(1, "pthread_barrier_init");
	return cell;
}

static struct bench_result
cell_result(const struct cell *cell)
{
	double rate = 0, cores = (double)sysconf(_SC_NPROCESSORS_ONLN);
	struct bench_result result = { .resident_bytes = 0 };
	uint64_t faults = 0;

	for (unsigned i = 0; i < cell->workers; i++) {
		const struct cell_row *row = &cell->row[i];

		rate += (double)row->pairs / row->seconds;
		result.pairs += row->pairs;
		faults += row->faults;
		result.live_bytes += row->live_bytes;
	}
	if (cores > cell->workers)
		cores = cell->workers;
	result.ns = 1e9 * (cell->workload->is_wall ? 1 : cores) / rate;
	result.faults = (double)faults * 1e6 / (double)result.pairs;
	result.resident_bytes = cell->resident - cell->resident_before;
	if (!cell->workload->measures_memory)
		result.live_bytes = result.resident_bytes = 0;
	return result;
}

static bool
cell_is_done(const struct cell *cell)
{
	for (unsigned i = 0; i < cell->workers; i++)
		if (!cell->row[i].is_done)
			return false;
	return true;
}

const char *
bench_cell(const struct bench_heap *heap, const struct bench_workload *workload,
    unsigned workers, const struct bench_options *options,
    struct bench_result *ret_result)
{
	static char why[200];
	struct cell *cell = cell_make(heap, workload, workers, options);
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		cell_main(cell);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	snprintf(why, sizeof(why), "%s", cell->why);
	if (why[0] == '\0' && !cell_is_done(cell))
		snprintf(why, sizeof(why), "it failed (status %d)", status);
	if (why[0] == '\0')
		*ret_result = cell_result(cell);
	munmap(cell, sizeof(*cell));
	return why[0] == '\0' ? NULL : why;
}
