/*
 * cache_scratch: the first worker hands each one an object of 1 byte; a worker
 * frees it, then allocates 1 byte, writes it 2 000 000 / P times and frees it,
 * again and again.  A heap that gives bytes of one cache line to two cores
 * makes them wait for each other.  What counts as a pair is 1000 writes, so
 * that the figure does not depend on P where there is no false sharing.
 */
#include <sched.h>

#include "bench/bench.h"

#define WRITES 2000u /* thousands, of all workers together */

extern const struct bench_workload work_cache_scratch;

static _Atomic uint64_t *
hand_of(const struct bench_worker *worker, unsigned number)
{
	return &worker->shared->slot[number];
}

static void
scratch_begin(struct bench_worker *worker)
{
	uint64_t ref;

	for (unsigned i = 0; worker->number == 0 && i < worker->workers; i++)
		atomic_store(hand_of(worker, i), bench_alloc(&worker->ops, 1));
	while ((ref = atomic_load(hand_of(worker, worker->number))) == 0)
		sched_yield();
	worker->ops.free(worker->ops.heap, ref);
}

static uint64_t
scratch_round(struct bench_worker *worker)
{
	const struct bench_ops ops = worker->ops;
	const uint64_t thousands =
	    (WRITES + worker->workers - 1) / worker->workers;
	const uint64_t ref = bench_alloc(&ops, 1);
	volatile uint8_t *at = (void *)(ops.base + ref);

	for (uint64_t i = 0; i < thousands * 1000; i++)
		*at = (uint8_t)i;
	if (*at != (uint8_t)(thousands * 1000 - 1))
		bench_wrong();
	ops.free(ops.heap, ref);
	return thousands;
}

static void
scratch_end(struct bench_worker *worker)
{
	(void)worker;
}

const struct bench_workload work_cache_scratch = {
	.name = "cache_scratch",
	.workers_least = 1,
	.begin = scratch_begin,
	.round = scratch_round,
	.end = scratch_end,
};
