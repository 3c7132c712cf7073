/* A worker: a process or a thread that runs a workload, and measures it. */
#define _GNU_SOURCE /* affinity, RUSAGE_THREAD */

#include <err.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/cell.h"
#include "bench/clock.h"

_Noreturn void
bench_no_memory(void)
{
	exit(BENCH_NO_MEMORY);
}

/* At once: nothing of a heap that has mixed up its objects is to run. */
_Noreturn void
bench_wrong(void)
{
	_exit(BENCH_WRONG);
}

static uint64_t
faults_now(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)(usage.ru_minflt + usage.ru_majflt);
}

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

static void
worker_attach(struct cell_worker *self)
{
	if (!self->cell->heap->attach(&self->worker.ops))
		exit(1);
	if (self->is_timed)
		tails_begin(&self->tails, &self->worker.ops);
}

static void
worker_detach(struct cell_worker *self)
{
	if (self->is_timed)
		self->worker.ops = self->tails.real;
	if (self->cell->heap->detach != NULL)
		self->cell->heap->detach(&self->worker.ops);
}

void
bench_give(struct bench_worker *worker, uint64_t ref)
{
	const struct cell_worker *self = (void *)worker;
	const struct bench_heap *heap = self->cell->heap;
	const struct bench_ops *ops =
	    self->is_timed ? &self->tails.real : &worker->ops;

	if (heap->give != NULL)
		heap->give(ops->heap, ref);
}

/* ---- Steps, some of them in a successor -----------------------------------
 */

/* What the workload does next, and how many pairs that were. */
struct step {
	struct cell_worker *self;
	void (*fn)(struct bench_worker *worker); /* NULL: a round */
	uint64_t pairs;
};

static void
step_here(struct step *step)
{
	struct bench_worker *worker = &step->self->worker;

	if (step->fn != NULL)
		step->fn(worker);
	else
		step->pairs = step->self->cell->workload->round(worker);
}

static void *
successor_main(void *arg)
{
	struct step *step = arg;

	worker_attach(step->self);
	step_here(step);
	worker_detach(step->self);
	step->self->faults_of_successors += faults_now();
	return NULL;
}

static void
successor_fork(struct step *step)
{
	struct step *shared = bench_map(sizeof(*shared));
	int status;
	pid_t pid;

	*shared = *step;
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		successor_main(shared);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	/* The cell says why, as of a worker. */
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		_exit(WEXITSTATUS(status));
	if (status != 0)
		errx(1, "a successor failed (status %d)", status);
	step->pairs = shared->pairs;
	munmap(shared, sizeof(*shared));
}

static uint64_t
step_run(struct cell_worker *self, void (*fn)(struct bench_worker *))
{
	struct step step = { .self = self, .fn = fn };
	pthread_t thread;

	if (!self->cell->workload->is_succession) {
		step_here(&step);
	} else if (bench_forks(self->cell->heap)) {
		successor_fork(&step);
	} else {
		if (pthread_create(&thread, NULL, successor_main, &step) != 0)
			errx(1, "pthread_create");
		pthread_join(thread, NULL);
	}
	return step.pairs;
}

/* Do rounds for so many seconds; the pairs. */
static uint64_t
worker_spend(struct cell_worker *self, double seconds)
{
	double end = seconds_now() + seconds;
	uint64_t pairs = 0;

	do
		pairs += step_run(self, NULL);
	while (seconds_now() < end);
	return pairs;
}

/* ---- A life ---------------------------------------------------------------
 */

static uint64_t
worker_faults(const struct cell_worker *self)
{
	return faults_now() + self->faults_of_successors;
}

static void
worker_measure(struct cell_worker *self)
{
	struct cell *cell = self->cell;
	double start;

	pthread_barrier_wait(&cell->barrier);
	self->step = CELL_MEASURES;
	self->faults = worker_faults(self);
	start = seconds_now();
	self->pairs = worker_spend(self, cell->options->seconds);
	self->seconds = seconds_now() - start;
	self->faults = worker_faults(self) - self->faults;
	self->live_bytes = self->worker.live_bytes;
	pthread_barrier_wait(&cell->barrier);
	if (self->worker.number == 0 && cell->workload->measures_memory)
		cell->resident = memory_now(cell);
	pthread_barrier_wait(&cell->barrier);
}

/* Go on, but time single operations. */
static void
worker_time(struct cell_worker *self)
{
	struct cell *cell = self->cell;

	self->is_timed = true;
	if (!cell->workload->is_succession)
		tails_begin(&self->tails, &self->worker.ops);
	worker_spend(self, cell->options->tails);
	if (!cell->workload->is_succession)
		self->worker.ops = self->tails.real;
	self->is_timed = false;
	pthread_barrier_wait(&cell->barrier);
}

void *
worker_main(void *arg)
{
	struct cell_worker *self = arg;
	struct cell *cell = self->cell;
	const struct bench_workload *workload = cell->workload;

	worker_pin(self->worker.number);
	if (!workload->is_succession)
		worker_attach(self);
	step_run(self, workload->begin);
	self->step = CELL_WARMS_UP;
	worker_spend(self, cell->options->warm_up);
	worker_measure(self);
	worker_time(self);
	self->step = CELL_ENDS;
	step_run(self, workload->end);
	/* Others may still free what this one has allocated. */
	pthread_barrier_wait(&cell->barrier);
	if (!workload->is_succession)
		worker_detach(self);
	self->is_done = true;
	return NULL;
}
