/*
 * Each worker holds an array of objects and replaces one at random:
 * larson: 4096 of 16 to 1024 bytes; medium: 256 of 4 to 256 KiB, their last
 * byte written too; churn: 200 000 in all, sizes lognormal from 50 to 4000
 * bytes with a mean of 297, and the memory that they take is measured.
 */
#include <math.h>

#include "bench/bench.h"

#define QUANTILES 4096u
#define ROUND     2000u

extern const struct bench_workload work_larson, work_medium, work_churn;

struct slot {
	uint64_t ref;
	uint64_t size;
};

struct slots {
	uint64_t n;
	bool touches_end;
	/* Sizes: from..from+range-1 uniform, or one of the quantiles. */
	uint64_t from, range;
	uint32_t quantile[QUANTILES];
	struct slot slot[];
};

static uint64_t
size_pick(struct bench_worker *worker, const struct slots *slots)
{
	if (slots->range != 0)
		return slots->from + bench_below(&worker->random, slots->range);
	return slots->quantile[bench_below(&worker->random, QUANTILES)];
}

static void
slot_fill(struct bench_worker *worker, struct slots *slots, struct slot *slot)
{
	slot->size = size_pick(worker, slots);
	slot->ref = bench_alloc(&worker->ops, slot->size);
	if (slots->touches_end)
		worker->ops.base[slot->ref + slot->size - 1] = 1;
	worker->live_bytes += slot->size;
}

static struct slots *
slots_make(struct bench_worker *worker, uint64_t n)
{
	struct slots *slots =
	    bench_map(sizeof(*slots) + n * sizeof(struct slot));

	slots->n = n;
	worker->state = slots;
	return slots;
}

static void
slots_fill(struct bench_worker *worker, struct slots *slots)
{
	for (uint64_t i = 0; i < slots->n; i++)
		slot_fill(worker, slots, &slots->slot[i]);
}

static uint64_t
slots_round(struct bench_worker *worker)
{
	struct slots *slots = worker->state;

	for (unsigned i = 0; i < ROUND; i++) {
		struct slot *slot =
		    &slots->slot[bench_below(&worker->random, slots->n)];

		worker->ops.free(worker->ops.heap, slot->ref);
		worker->live_bytes -= slot->size;
		slot_fill(worker, slots, slot);
	}
	return ROUND;
}

static void
slots_end(struct bench_worker *worker)
{
	struct slots *slots = worker->state;

	for (uint64_t i = 0; i < slots->n; i++)
		worker->ops.free(worker->ops.heap, slots->slot[i].ref);
}

static void
larson_begin(struct bench_worker *worker)
{
	struct slots *slots = slots_make(worker, 4096);

	slots->from = 16;
	slots->range = 1009;
	slots_fill(worker, slots);
}

static void
medium_begin(struct bench_worker *worker)
{
	struct slots *slots = slots_make(worker, 256);

	slots->from = 4096;
	slots->range = (256 - 4) * 1024 + 1;
	slots->touches_end = true;
	slots_fill(worker, slots);
}

/* The value below which a share P of the standard normal distribution lies. */
static double
normal_quantile(double p)
{
	double low = -8, high = 8;

	while (high - low > 1e-9) {
		double middle = (low + high) / 2;

		if (erfc(-middle / sqrt(2)) / 2 < p)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static void
churn_begin(struct bench_worker *worker)
{
	struct slots *slots = slots_make(worker, 200000 / worker->workers);

	for (unsigned i = 0; i < QUANTILES; i++) {
		double z = normal_quantile((i + 0.5) / QUANTILES);
		double size = fmin(fmax(200 * exp(0.888 * z), 50), 4000);

		slots->quantile[i] = (uint32_t)size;
	}
	slots_fill(worker, slots);
	/* Replace each once, so that what is measured is no fresh heap. */
	for (uint64_t i = 0; i < slots->n / ROUND + 1; i++)
		slots_round(worker);
}

const struct bench_workload work_larson = {
	.name = "larson",
	.workers_least = 1,
	.begin = larson_begin,
	.round = slots_round,
	.end = slots_end,
};

const struct bench_workload work_medium = {
	.name = "medium",
	.workers_least = 1,
	.begin = medium_begin,
	.round = slots_round,
	.end = slots_end,
};

const struct bench_workload work_churn = {
	.name = "churn",
	.workers_least = 1,
	.measures_memory = true,
	.begin = churn_begin,
	.round = slots_round,
	.end = slots_end,
};
