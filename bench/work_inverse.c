/*
 * glibc_thread: a worker has 1024 slots; it takes one at random, frees what is
 * there and allocates anew: 4 to 32768 bytes, the likelier the smaller (their
 * density falls with the square of the size), every byte written.  The first
 * and the last are checked.
 */
#include <string.h>

#include "bench/bench.h"

#define SLOTS 1024u
#define ROUND 1000u

#define SIZE_LEAST 4u
#define SIZE_MOST  32768u

extern const struct bench_workload work_glibc_thread;

struct slot {
	uint64_t ref;
	uint32_t size;
	uint8_t mark;
};

/* 1 / size is uniform. */
static uint32_t
size_pick(uint64_t *random)
{
	const uint64_t one = UINT64_C(1) << 32;

	return (uint32_t)(one /
	    (one / SIZE_MOST +
		bench_below(random, one / SIZE_LEAST - one / SIZE_MOST)));
}

static void
slot_fill(struct bench_worker *worker, struct slot *slot)
{
	slot->size = size_pick(&worker->random);
	slot->mark = (uint8_t)(slot->mark + 1);
	slot->ref = bench_alloc(&worker->ops, slot->size);
	memset(worker->ops.base + slot->ref, slot->mark, slot->size);
}

static void
slot_free(struct bench_worker *worker, const struct slot *slot)
{
	bench_free_marked(&worker->ops, slot->ref, slot->size, slot->mark);
}

static void
inverse_begin(struct bench_worker *worker)
{
	struct slot *slot = bench_map(SLOTS * sizeof(*slot));

	worker->state = slot;
	for (unsigned i = 0; i < SLOTS; i++)
		slot_fill(worker, &slot[i]);
}

static uint64_t
inverse_round(struct bench_worker *worker)
{
	struct slot *slot = worker->state;

	for (unsigned i = 0; i < ROUND; i++) {
		struct slot *one = &slot[bench_below(&worker->random, SLOTS)];

		slot_free(worker, one);
		slot_fill(worker, one);
	}
	return ROUND;
}

static void
inverse_end(struct bench_worker *worker)
{
	const struct slot *slot = worker->state;

	for (unsigned i = 0; i < SLOTS; i++)
		slot_free(worker, &slot[i]);
}

const struct bench_workload work_glibc_thread = {
	.name = "glibc_thread",
	.workers_least = 1,
	.begin = inverse_begin,
	.round = inverse_round,
	.end = inverse_end,
};
