/*
 * xmalloc: producers allocate batches of 4096 objects of 64 bytes and put them
 * on a list of at most 100 batches; consumers take a batch and free it.  The
 * first half of the workers produces, the second consumes; xmalloc_1n has one
 * producer, xmalloc_n1 one consumer.
 */
#include <sched.h>

#include "bench/bench.h"

#define BATCH      4096u
#define BATCHES    100u
#define BATCH_SIZE 64u

extern const struct bench_workload work_xmalloc, work_xmalloc_1n,
    work_xmalloc_n1;

/* A batch is an object itself, of the heap that is measured. */
struct batch {
	uint64_t ref[BATCH];
};

/* The list of batches; its lock is held for a few instructions only. */
static void
list_lock(struct bench_list *list)
{
	while (
	    atomic_exchange_explicit(&list->lock, 1, memory_order_acquire) != 0)
		sched_yield();
}

static void
list_unlock(struct bench_list *list)
{
	atomic_store_explicit(&list->lock, 0, memory_order_release);
}

static bool
list_push(struct bench_list *list, uint64_t ref)
{
	bool has_room;

	list_lock(list);
	has_room = list->n < BATCHES;
	if (has_room)
		list->ref[list->n++] = ref;
	list_unlock(list);
	return has_room;
}

/* 0: the list is empty. */
static uint64_t
list_pop(struct bench_list *list)
{
	uint64_t ref = 0;

	list_lock(list);
	if (list->n > 0)
		ref = list->ref[--list->n];
	list_unlock(list);
	return ref;
}

static void
batch_free(struct bench_worker *worker, uint64_t ref)
{
	const struct bench_ops ops = worker->ops;
	const struct batch *batch = (void *)(ops.base + ref);

	for (unsigned i = 0; i < BATCH; i++)
		ops.free(ops.heap, batch->ref[i]);
	ops.free(ops.heap, ref);
}

/* Make a batch and push it, waiting a little while there is no room. */
static void
produce(struct bench_worker *worker)
{
	const struct bench_ops ops = worker->ops;
	uint64_t ref = bench_alloc(&ops, sizeof(struct batch));
	struct batch *batch = (void *)(ops.base + ref);

	for (unsigned i = 0; i < BATCH; i++)
		batch->ref[i] = bench_alloc(&ops, BATCH_SIZE);
	for (unsigned tries = 0; tries < 64; tries++) {
		if (list_push(&worker->shared->list, ref))
			return;
		sched_yield();
	}
	batch_free(worker, ref);
}

static uint64_t
consume(struct bench_worker *worker)
{
	uint64_t ref = list_pop(&worker->shared->list);

	if (ref == 0) {
		sched_yield();
		return 0;
	}
	batch_free(worker, ref);
	return BATCH;
}

static uint64_t
round_of(struct bench_worker *worker, unsigned producers)
{
	if (worker->number >= producers)
		return consume(worker);
	produce(worker);
	return 0;
}

static uint64_t
half_round(struct bench_worker *worker)
{
	return round_of(worker, worker->workers / 2);
}

static uint64_t
one_round(struct bench_worker *worker)
{
	return round_of(worker, 1);
}

static uint64_t
most_round(struct bench_worker *worker)
{
	return round_of(worker, worker->workers - 1);
}

static void
xmalloc_begin(struct bench_worker *worker)
{
	(void)worker;
}

static void
xmalloc_end(struct bench_worker *worker)
{
	uint64_t ref;

	while ((ref = list_pop(&worker->shared->list)) != 0)
		batch_free(worker, ref);
}

#define XMALLOC(variable, label, least, fn)                                    \
	const struct bench_workload variable = {                               \
		.name = label,                                                 \
		.workers_least = least,                                        \
		.begin = xmalloc_begin,                                        \
		.round = fn,                                                   \
		.end = xmalloc_end,                                            \
	}

XMALLOC(work_xmalloc, "xmalloc", 2, half_round);
XMALLOC(work_xmalloc_1n, "xmalloc_1n", 4, one_round);
XMALLOC(work_xmalloc_n1, "xmalloc_n1", 4, most_round);
