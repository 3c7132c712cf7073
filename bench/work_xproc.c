/*
 * xproc: worker 2i allocates objects of 64 to 512 bytes and hands them over,
 * worker 2i+1 frees them.
 */
#include <sched.h>

#include "bench/bench.h"

#define ROUND 1000u

extern const struct bench_workload work_xproc;

static struct bench_ring *
ring_of(const struct bench_worker *worker)
{
	return &worker->shared->ring[worker->number / 2];
}

/* Wait while *WORD is VALUE; false: for too long, the other may have ended. */
static bool
ring_wait(const _Atomic uint64_t *word, uint64_t value)
{
	for (unsigned tries = 1; tries <= 4096; tries++) {
		if (atomic_load_explicit(word, memory_order_acquire) != value)
			return true;
		if (tries % 256 == 0)
			sched_yield();
	}
	return false;
}

static void
produce(struct bench_worker *worker)
{
	struct bench_ring *ring = ring_of(worker);
	uint64_t tail = atomic_load(&ring->tail);

	for (unsigned i = 0; i < ROUND; i++, tail++) {
		size_t size = 64 + bench_below(&worker->random, 449);

		if (!ring_wait(&ring->head, tail - BENCH_RING))
			return;
		atomic_store_explicit(&ring->ref[tail % BENCH_RING],
		    bench_alloc(&worker->ops, size), memory_order_relaxed);
		atomic_store_explicit(
		    &ring->tail, tail + 1, memory_order_release);
	}
}

/* Free up to N objects; how many. */
static uint64_t
consume(struct bench_worker *worker, uint64_t n)
{
	struct bench_ring *ring = ring_of(worker);
	uint64_t head = atomic_load(&ring->head), i;

	for (i = 0; i < n; i++, head++) {
		uint64_t ref;

		if (!ring_wait(&ring->tail, head))
			break;
		ref = atomic_load_explicit(
		    &ring->ref[head % BENCH_RING], memory_order_relaxed);
		worker->ops.base[ref] = 2;
		worker->ops.free(worker->ops.heap, ref);
		atomic_store_explicit(
		    &ring->head, head + 1, memory_order_release);
	}
	return i;
}

static void
xproc_begin(struct bench_worker *worker)
{
	(void)worker;
}

/* Only consumers count, so an object counts once. */
static uint64_t
xproc_round(struct bench_worker *worker)
{
	if (worker->number % 2 != 0)
		return consume(worker, ROUND);
	produce(worker);
	return 0;
}

static void
xproc_end(struct bench_worker *worker)
{
	if (worker->number % 2 != 0)
		(void)consume(worker, BENCH_RING);
}

const struct bench_workload work_xproc = {
	.name = "xproc",
	.workers_least = 2,
	.is_wall = true,
	.begin = xproc_begin,
	.round = xproc_round,
	.end = xproc_end,
};
