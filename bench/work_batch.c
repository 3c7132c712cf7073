/*
 * batch_fifo: allocate 1000 objects of 16 to 1024 bytes, then free them in
 * order; batch_random: in random order.
 */
#include "bench/bench.h"

#define BATCH  1000u
#define ORDERS 16u /* different sizes and orders, one after the other */

extern const struct bench_workload work_batch_fifo, work_batch_random;

struct batch {
	unsigned turn;
	uint64_t ref[BATCH];
	uint16_t size[ORDERS][BATCH];
	uint16_t order[ORDERS][BATCH];
};

/* The numbers 0..BATCH-1, shuffled (Fisher-Yates) if IS_RANDOM. */
static void
order_make(uint16_t order[BATCH], uint64_t *random, bool is_random)
{
	for (uint16_t i = 0; i < BATCH; i++)
		order[i] = i;
	for (uint64_t i = BATCH - 1; is_random && i > 0; i--) {
		uint64_t j = bench_below(random, i + 1);
		uint16_t other = order[j];

		order[j] = order[i];
		order[i] = other;
	}
}

static void
batch_begin(struct bench_worker *worker, bool is_random)
{
	struct batch *batch = bench_map(sizeof(*batch));

	for (unsigned i = 0; i < ORDERS; i++) {
		for (unsigned j = 0; j < BATCH; j++)
			batch->size[i][j] =
			    (uint16_t)(16 + bench_below(&worker->random, 1009));
		order_make(batch->order[i], &worker->random, is_random);
	}
	worker->state = batch;
}

static void
fifo_begin(struct bench_worker *worker)
{
	batch_begin(worker, false);
}

static void
random_begin(struct bench_worker *worker)
{
	batch_begin(worker, true);
}

static uint64_t
batch_round(struct bench_worker *worker)
{
	const struct bench_ops ops = worker->ops;
	struct batch *batch = worker->state;
	unsigned turn = batch->turn++ % ORDERS;

	for (unsigned i = 0; i < BATCH; i++)
		batch->ref[i] = bench_alloc(&ops, batch->size[turn][i]);
	for (unsigned i = 0; i < BATCH; i++)
		ops.free(ops.heap, batch->ref[batch->order[turn][i]]);
	return BATCH;
}

static void
batch_end(struct bench_worker *worker)
{
	(void)worker;
}

const struct bench_workload work_batch_fifo = {
	.name = "batch_fifo",
	.workers_least = 1,
	.begin = fifo_begin,
	.round = batch_round,
	.end = batch_end,
};

const struct bench_workload work_batch_random = {
	.name = "batch_random",
	.workers_least = 1,
	.begin = random_begin,
	.round = batch_round,
	.end = batch_end,
};
