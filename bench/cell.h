/*
 * What bench's process, the process of a cell and its workers share; private
 * to cell.c, worker.c, memory.c, tails.c and fixed.c.
 */
#ifndef BENCH_CELL_H
#define BENCH_CELL_H

#include <pthread.h>

#include "bench/bench.h"
#include "bench/tails.h"

/* ---- Workers --------------------------------------------------------------
 */

enum cell_step { CELL_SETS_UP, CELL_WARMS_UP, CELL_MEASURES, CELL_ENDS };

struct cell;

struct cell_worker {
	_Alignas(128) struct bench_worker worker;
	struct cell *cell;
	bool is_timed; /* single operations */
	struct tails tails;
	/* Measured. */
	double seconds;
	uint64_t pairs, faults, live_bytes;
	uint64_t faults_of_successors;
	_Atomic int step; /* enum cell_step */
	_Atomic bool is_done;
};

struct cell {
	const struct bench_heap *heap;
	const struct bench_workload *workload;
	const struct bench_options *options;
	unsigned workers;
	pthread_barrier_t barrier;
	uint64_t resident_before, resident;
	struct bench_peak peak;
	char why[200];
	struct cell_worker worker[BENCH_WORKERS_MAX];
	struct bench_shared shared;
};

/* A cell that is ready to run; with no workload it is a probe of HEAP. */
struct cell *cell_make(const struct bench_heap *heap,
    const struct bench_workload *workload, unsigned workers,
    const struct bench_options *options);

/* A worker's life; ARG is its struct cell_worker.  NULL. */
void *worker_main(void *arg);

/* ---- Memory ---------------------------------------------------------------
 */

/* Bytes of memory that CELL's heap has now. */
uint64_t memory_now(const struct cell *cell);

#endif
