/*
 * sh6: blocks of the sizes 1, 2, 4, 7, 11, 17, ... below 1000, and of their
 * halvings, BLOCKS of each by turns, fill a buffer.  When it is full, a window
 * of a fifth of it survives; what lies before the window is freed first in,
 * first out, what lies behind it last in, first out; then the window moves on
 * by its length.  Marks are checked.
 */
#include "bench/bench.h"

#define BLOCKS    4u    /* of each size, one after the other */
#define STEPS_MAX 128u  /* sizes and their halvings */
#define WINDOW    1000u /* slots */
#define SLOTS     (5 * WINDOW)

extern const struct bench_workload work_sh6;

struct slot {
	uint64_t ref; /* 0: free */
	uint16_t size;
	uint8_t mark;
};

struct sh6 {
	unsigned steps, made; /* blocks, ever */
	unsigned window;      /* the first slot that survives next */
	uint16_t size[STEPS_MAX];
	struct slot slot[SLOTS];
};

static void
sizes_make(struct sh6 *sh6)
{
	for (unsigned size = 1; size < 1000; size += size / 2 + 1)
		for (unsigned half = size; half > 0; half /= 2)
			sh6->size[sh6->steps++] = (uint16_t)half;
}

static void
slot_fill(struct bench_worker *worker, struct slot *slot)
{
	struct sh6 *sh6 = worker->state;

	slot->size = sh6->size[sh6->made / BLOCKS % sh6->steps];
	slot->mark = (uint8_t)sh6->made++;
	slot->ref = bench_alloc_marked(&worker->ops, slot->size, slot->mark);
}

static void
slot_free(struct bench_worker *worker, struct slot *slot)
{
	bench_free_marked(&worker->ops, slot->ref, slot->size, slot->mark);
	slot->ref = 0;
}

static void
sh6_begin(struct bench_worker *worker)
{
	struct sh6 *sh6 = bench_map(sizeof(*sh6));

	worker->state = sh6;
	sizes_make(sh6);
	for (unsigned i = 0; i < SLOTS; i++)
		slot_fill(worker, &sh6->slot[i]);
}

static uint64_t
sh6_round(struct bench_worker *worker)
{
	struct sh6 *sh6 = worker->state;
	unsigned from = sh6->window, to = from + WINDOW;

	for (unsigned i = 0; i < from; i++)
		slot_free(worker, &sh6->slot[i]);
	for (unsigned i = SLOTS; i > to; i--)
		slot_free(worker, &sh6->slot[i - 1]);
	for (unsigned i = 0; i < SLOTS; i++)
		if (sh6->slot[i].ref == 0)
			slot_fill(worker, &sh6->slot[i]);
	sh6->window = to % SLOTS;
	return SLOTS - WINDOW;
}

static void
sh6_end(struct bench_worker *worker)
{
	struct sh6 *sh6 = worker->state;

	for (unsigned i = 0; i < SLOTS; i++)
		slot_free(worker, &sh6->slot[i]);
}

const struct bench_workload work_sh6 = {
	.name = "sh6",
	.workers_least = 1,
	.begin = sh6_begin,
	.round = sh6_round,
	.end = sh6_end,
};
