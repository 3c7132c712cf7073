/* pair64: allocate 64 bytes, write one, free them. */
#include "bench/bench.h"

extern const struct bench_workload work_pair64;

static void
pair_nothing(struct bench_worker *worker)
{
	(void)worker;
}

static uint64_t
pair_round(struct bench_worker *worker)
{
	const struct bench_ops ops = worker->ops;

	for (int i = 0; i < 10000; i++)
		ops.free(ops.heap, bench_alloc(&ops, 64));
	return 10000;
}

const struct bench_workload work_pair64 = {
	.name = "pair64",
	.workers_least = 1,
	.begin = pair_nothing,
	.round = pair_round,
	.end = pair_nothing,
};
