/*
 * mstress: worker i allocates 5000 x (i mod 8 + 1) blocks of 2^0 to 2^4 words,
 * one in 100 of them 100 times as large and one in 1000 a thousand times, and
 * keeps every second one until its round ends; after each allocation it frees
 * one of the others at random (67 %), and swaps one with one of 1000 slots that
 * all workers share (26 %).  Every word of a block holds a cookie, which is
 * checked when the block is freed, by whoever does.
 */
#include "bench/bench.h"

#define BLOCKS 5000u
#define WORDS  16000u /* of the largest block */
#define COOKIE UINT64_C(0x5bd1e995bf58476d)

extern const struct bench_workload work_mstress;

/* References of blocks that a worker holds. */
struct blocks {
	uint64_t n;
	uint64_t *ref;
};

struct stress {
	uint64_t n; /* blocks of a round */
	uint64_t freed;
	struct blocks kept, loose;
	uint64_t ref[];
};

/* ---- A block: the first word says how many there are, the rest count down */

static uint64_t
block_make(const struct bench_ops *ops, uint64_t words)
{
	uint64_t ref = bench_alloc(ops, words * sizeof(uint64_t));
	uint64_t *word = (void *)(ops->base + ref);

	for (uint64_t i = 0; i < words; i++)
		word[i] = (words - i) ^ COOKIE;
	return ref;
}

static void
block_free(struct bench_worker *worker, uint64_t ref)
{
	const struct bench_ops ops = worker->ops;
	uint64_t *word = (void *)(ops.base + ref);
	const uint64_t words = word[0] ^ COOKIE;
	struct stress *stress = worker->state;

	if (words == 0 || words > WORDS)
		bench_wrong();
	for (uint64_t i = 1; i < words; i++)
		if (word[i] != ((words - i) ^ COOKIE))
			bench_wrong();
	/* Who holds it, too, finds no block. */
	word[0] = 0;
	ops.free(ops.heap, ref);
	stress->freed++;
}

static uint64_t
words_pick(uint64_t *random)
{
	uint64_t chance = bench_below(random, 1000);
	uint64_t words = UINT64_C(1) << bench_below(random, 5);

	if (chance < 1)
		return words * 1000;
	return chance < 11 ? words * 100 : words;
}

/* ---- A round */

static uint64_t *
loose_pick(struct bench_worker *worker)
{
	const struct stress *stress = worker->state;

	return &stress->loose
		    .ref[bench_below(&worker->random, stress->loose.n)];
}

static void
loose_free(struct bench_worker *worker)
{
	struct blocks *loose = &((struct stress *)worker->state)->loose;
	uint64_t *place = loose_pick(worker), ref = *place;

	*place = loose->ref[--loose->n];
	block_free(worker, ref);
}

/* Swap a block with a shared slot's, or leave it there if that is empty. */
static void
loose_swap(struct bench_worker *worker)
{
	struct blocks *loose = &((struct stress *)worker->state)->loose;
	uint64_t *place = loose_pick(worker);

	*place = atomic_exchange(
	    &worker->shared->slot[bench_below(&worker->random, BENCH_SLOTS)],
	    *place);
	if (*place == 0)
		*place = loose->ref[--loose->n];
}

static void
all_free(struct bench_worker *worker, struct blocks *blocks)
{
	while (blocks->n > 0)
		block_free(worker, blocks->ref[--blocks->n]);
}

static uint64_t
stress_round(struct bench_worker *worker)
{
	struct stress *stress = worker->state;

	stress->freed = 0;
	for (uint64_t i = 0; i < stress->n; i++) {
		struct blocks *to = i % 2 == 0 ? &stress->kept : &stress->loose;
		uint64_t chance = bench_below(&worker->random, 100);

		to->ref[to->n++] =
		    block_make(&worker->ops, words_pick(&worker->random));
		if (stress->loose.n > 0 && chance < 67)
			loose_free(worker);
		if (stress->loose.n > 0 && chance >= 74)
			loose_swap(worker);
	}
	all_free(worker, &stress->loose);
	all_free(worker, &stress->kept);
	return stress->freed;
}

static void
stress_begin(struct bench_worker *worker)
{
	uint64_t n = BLOCKS * (worker->number % 8 + 1);
	struct stress *stress =
	    bench_map(sizeof(*stress) + n * sizeof(uint64_t));

	stress->n = n;
	stress->kept.ref = stress->ref;
	stress->loose.ref = stress->ref + (n + 1) / 2;
	worker->state = stress;
}

static void
stress_end(struct bench_worker *worker)
{
	for (unsigned i = 0; i < BENCH_SLOTS; i++) {
		uint64_t ref = atomic_exchange(&worker->shared->slot[i], 0);

		if (ref != 0)
			block_free(worker, ref);
	}
}

const struct bench_workload work_mstress = {
	.name = "mstress",
	.workers_least = 1,
	.begin = stress_begin,
	.round = stress_round,
	.end = stress_end,
};
