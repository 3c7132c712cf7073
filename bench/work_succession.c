/*
 * larson_succession: a worker owns a slice of 5000 slots and replaces random
 * ones by objects of 8 to 1000 bytes; after 500 000 replacements it ends, and a
 * new process (a thread, for private heaps) inherits the slice.  Attaching,
 * giving the objects away and ending are in the figures.
 *
 * The slice is an object of the heap itself.  A slow heap's worker ends after a
 * tenth of a second, or one life would outlast the measurement.
 */
#include <time.h>

#include "bench/bench.h"

#define SLOTS     5000u
#define LIFE      500000u
#define LIFE_MS   100u
#define CLOCK_PER 10000u /* replacements between two looks at the clock */

extern const struct bench_workload work_larson_succession;

struct slot {
	uint64_t ref;
	uint16_t size;
	uint8_t mark;
	bool is_new; /* allocated by the worker that lives */
};

static uint64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The worker's state is the slice's reference: addresses differ. */
static struct slot *
slice_of(const struct bench_worker *worker)
{
	return (void *)(worker->ops.base + (uintptr_t)worker->state);
}

static void
slot_fill(struct bench_worker *worker, struct slot *slot)
{
	uint64_t random = bench_random(&worker->random);

	slot->size = (uint16_t)(8 + (random >> 32) * 993 / (UINT64_C(1) << 32));
	slot->mark = (uint8_t)random;
	slot->is_new = true;
	slot->ref = bench_alloc_marked(&worker->ops, slot->size, slot->mark);
}

static void
slice_give(struct bench_worker *worker)
{
	struct slot *slice = slice_of(worker);

	for (unsigned i = 0; i < SLOTS; i++) {
		if (!slice[i].is_new)
			continue;
		bench_give(worker, slice[i].ref);
		slice[i].is_new = false;
	}
}

static void
succession_begin(struct bench_worker *worker)
{
	uint64_t ref = bench_alloc(&worker->ops, SLOTS * sizeof(struct slot));

	worker->state = (void *)(uintptr_t)ref;
	for (unsigned i = 0; i < SLOTS; i++)
		slot_fill(worker, &slice_of(worker)[i]);
	slice_give(worker);
	bench_give(worker, ref);
}

static uint64_t
succession_round(struct bench_worker *worker)
{
	const struct bench_ops ops = worker->ops;
	struct slot *slice = slice_of(worker);
	uint64_t end_ms = clock_ms() + LIFE_MS, n = 0;

	do
		for (unsigned i = 0; i < CLOCK_PER; i++) {
			struct slot *slot =
			    &slice[bench_below(&worker->random, SLOTS)];

			bench_free_marked(
			    &ops, slot->ref, slot->size, slot->mark);
			slot_fill(worker, slot);
		}
	while (
	    (n += CLOCK_PER) < LIFE && (bench_is_fixed || clock_ms() < end_ms));
	slice_give(worker);
	return n;
}

static void
succession_end(struct bench_worker *worker)
{
	const struct bench_ops ops = worker->ops;
	struct slot *slice = slice_of(worker);

	for (unsigned i = 0; i < SLOTS; i++)
		bench_free_marked(
		    &ops, slice[i].ref, slice[i].size, slice[i].mark);
	ops.free(ops.heap, (uintptr_t)worker->state);
}

const struct bench_workload work_larson_succession = {
	.name = "larson_succession",
	.workers_least = 1,
	.is_succession = true,
	.begin = succession_begin,
	.round = succession_round,
	.end = succession_end,
};
