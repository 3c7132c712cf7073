/*
 * Production caches: a worker does what the allocator of such a cache is asked
 * for.  A cache of 4 MiB of values is looked up by keys of the distribution's
 * popularity; what is not there is inserted, with a size that belongs to the
 * key, and the values that were not used for longest make room.  Sixteen such
 * caches run by turns, shared out among the workers: 64 MiB live in all.
 *
 * The look-ups are done once, before all cells: what remains is a trace of
 * insertions and evictions, which each cache replays from a place of its own.
 * So the figures hold the heap's time, not that of a hash table.  Marks are
 * checked.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/distribution.h"

#define CACHES    16u
#define CACHE_LEN (UINT64_C(4) << 20)
#define KEYS_LEN  (4 * CACHE_LEN) /* of all keys' values together */
#define OPS       200000u         /* of the trace, in all caches */
#define ROUND     2000u
#define PAGE      4096u     /* a value is written in each */
#define LOOK_UPS  20000000u /* at most, to make it */

extern const struct bench_workload work_kvcache_reg,
    work_graph_cache_follower_assocs;

/* Put a value of SIZE bytes into SLOT; 0: evict the one that is there. */
struct op {
	uint32_t slot, size;
};

struct trace {
	const char *name; /* the distribution's */
	uint32_t slots, n;
	struct op op[OPS];
};

/* ---- Making a trace ------------------------------------------------------ */

#define NONE DISTRIBUTION_LONE

struct value {
	uint32_t size, key; /* key NONE: one that nobody asks for again */
	uint32_t older, newer;
};

/* A cache that forgets what was not used for longest. */
struct lru {
	uint64_t bytes;
	uint32_t oldest, newest;
	uint32_t slots, empty; /* how many were ever used; a list by `newer` */
	uint32_t *slot_of_key; /* NONE: not cached */
	struct value *value;   /* by slot */
};

static void
lru_unlink(struct lru *lru, uint32_t slot)
{
	struct value *value = &lru->value[slot];

	*(value->older == NONE ? &lru->oldest
			       : &lru->value[value->older].newer) =
	    value->newer;
	*(value->newer == NONE ? &lru->newest
			       : &lru->value[value->newer].older) =
	    value->older;
}

static void
lru_link(struct lru *lru, uint32_t slot)
{
	lru->value[slot].older = lru->newest;
	lru->value[slot].newer = NONE;
	*(lru->newest == NONE ? &lru->oldest : &lru->value[lru->newest].newer) =
	    slot;
	lru->newest = slot;
}

static void
trace_add(struct trace *trace, uint32_t slot, uint32_t size)
{
	if (trace->n < OPS)
		trace->op[trace->n++] = (struct op){ slot, size };
}

static void
lru_evict(struct lru *lru, struct trace *trace)
{
	uint32_t slot = lru->oldest;
	struct value *value = &lru->value[slot];

	lru_unlink(lru, slot);
	lru->bytes -= value->size;
	if (value->key != NONE)
		lru->slot_of_key[value->key] = NONE;
	value->newer = lru->empty;
	lru->empty = slot;
	trace_add(trace, slot, 0);
}

static void
lru_insert(struct lru *lru, struct trace *trace, uint32_t key, uint32_t size)
{
	uint32_t slot;

	while (lru->oldest != NONE && lru->bytes + size > CACHE_LEN)
		lru_evict(lru, trace);
	slot = lru->empty;
	if (slot == NONE)
		slot = lru->slots++;
	else
		lru->empty = lru->value[slot].newer;
	lru->value[slot].size = size;
	lru->value[slot].key = key;
	if (key != NONE)
		lru->slot_of_key[key] = slot;
	lru->bytes += size;
	lru_link(lru, slot);
	trace_add(trace, slot, size);
}

/* The size of KEY's values, always the same. */
static uint32_t
key_size(const struct distribution *distribution, uint32_t key)
{
	uint64_t random = (key + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
	double range = distribution_chance(&random);

	return (uint32_t)distribution_size(
	    distribution, range, distribution_chance(&random));
}

static void
lru_look_up(struct lru *lru, struct trace *trace, uint32_t key, uint32_t size)
{
	uint32_t slot = key == NONE ? NONE : lru->slot_of_key[key];

	if (slot == NONE) {
		lru_insert(lru, trace, key, size);
		return;
	}
	lru_unlink(lru, slot);
	lru_link(lru, slot);
}

/* Look up until the trace is full. */
static void
trace_fill(struct trace *trace, struct lru *lru,
    const struct distribution *distribution, const uint32_t *end)
{
	uint64_t random = 1;

	for (uint32_t i = 0; i < LOOK_UPS && trace->n < OPS; i++) {
		uint32_t key = distribution_key(distribution, end, &random);

		lru_look_up(lru, trace, key,
		    key_size(distribution, key == NONE ? ~i : key));
	}
}

static void
trace_make(struct trace *trace, const struct distribution *distribution)
{
	uint32_t *end = distribution_keys(
	    distribution, (double)KEYS_LEN / distribution_mean(distribution));
	uint32_t keys = end[distribution->buckets.n - 1];
	struct lru lru = { .oldest = NONE, .newest = NONE, .empty = NONE };

	lru.slot_of_key = malloc(keys * sizeof(uint32_t));
	/* A value has a byte at least. */
	lru.value = malloc(CACHE_LEN * sizeof(struct value));
	if (lru.slot_of_key == NULL || lru.value == NULL)
		abort();
	memset(lru.slot_of_key, 0xff, keys * sizeof(uint32_t));
	trace->n = 0;
	trace_fill(trace, &lru, distribution, end);
	trace->slots = lru.slots;
	free(lru.slot_of_key);
	free(lru.value);
	free(end);
}

static const char *
trace_prepare(struct trace *trace)
{
	struct distribution distribution;
	const char *why =
	    distribution_read(bench_folder, trace->name, &distribution);

	if (why != NULL)
		return why;
	trace_make(trace, &distribution);
	distribution_free(&distribution);
	return trace->n == OPS ? NULL : "it does not fill a cache of 4 MiB";
}

/* ---- Replaying it -------------------------------------------------------- */

struct slot {
	uint64_t ref;
	uint32_t size; /* 0: nothing is there */
	uint8_t mark;
};

struct cache {
	uint32_t at; /* the next op */
	struct slot *slot;
};

struct caches {
	unsigned n, turn;
	struct cache cache[CACHES];
	struct slot slot[];
};

static uint64_t
slot_empty(struct bench_worker *worker, struct slot *slot)
{
	if (slot->size == 0)
		return 0;
	bench_free_marked(&worker->ops, slot->ref, slot->size, slot->mark);
	worker->live_bytes -= slot->size;
	slot->size = 0;
	return 1;
}

/* What the op frees; from the trace's end it goes on at its start. */
static uint64_t
cache_step(
    struct bench_worker *worker, const struct trace *trace, struct cache *cache)
{
	const struct op *op = &trace->op[cache->at];
	struct slot *slot = &cache->slot[op->slot];
	uint64_t freed = slot_empty(worker, slot);

	cache->at = cache->at + 1 == trace->n ? 0 : cache->at + 1;
	if (op->size == 0)
		return freed;
	slot->size = op->size;
	slot->mark = (uint8_t)cache->at;
	slot->ref = bench_alloc_marked(&worker->ops, slot->size, slot->mark);
	for (uint32_t i = PAGE; i < slot->size; i += PAGE)
		worker->ops.base[slot->ref + i] = (char)slot->mark;
	worker->live_bytes += slot->size;
	return freed;
}

static uint64_t
caches_round(struct bench_worker *worker, const struct trace *trace)
{
	struct caches *caches = worker->state;
	uint64_t freed = 0;

	for (unsigned i = 0; i < ROUND; i++) {
		freed +=
		    cache_step(worker, trace, &caches->cache[caches->turn]);
		caches->turn = (caches->turn + 1) % caches->n;
	}
	return freed;
}

/* Each cache starts elsewhere in the trace, and fills. */
static void
caches_begin(struct bench_worker *worker, const struct trace *trace)
{
	unsigned n = worker->workers < CACHES ? CACHES / worker->workers : 1;
	struct caches *caches =
	    bench_map(sizeof(*caches) + n * trace->slots * sizeof(struct slot));

	worker->state = caches;
	caches->n = n;
	for (unsigned i = 0; i < n; i++) {
		caches->cache[i].at =
		    (worker->number * n + i) % CACHES * (trace->n / CACHES);
		caches->cache[i].slot = caches->slot + i * trace->slots;
	}
	/* Once around, or it would not have seen all that comes. */
	for (unsigned i = 0; i < trace->n * n / ROUND; i++)
		caches_round(worker, trace);
}

static void
caches_end(struct bench_worker *worker, const struct trace *trace)
{
	struct caches *caches = worker->state;

	for (uint64_t i = 0; i < (uint64_t)caches->n * trace->slots; i++)
		slot_empty(worker, &caches->slot[i]);
}

/* The workload of the folder NAME. */
#define PRODUCTION(name_)                                                      \
	static struct trace name_##_trace = { .name = #name_ };                \
                                                                               \
	static const char *name_##_prepare(void)                               \
	{                                                                      \
		return trace_prepare(&name_##_trace);                          \
	}                                                                      \
                                                                               \
	static void name_##_begin(struct bench_worker *worker)                 \
	{                                                                      \
		caches_begin(worker, &name_##_trace);                          \
	}                                                                      \
                                                                               \
	static uint64_t name_##_round(struct bench_worker *worker)             \
	{                                                                      \
		return caches_round(worker, &name_##_trace);                   \
	}                                                                      \
                                                                               \
	static void name_##_end(struct bench_worker *worker)                   \
	{                                                                      \
		caches_end(worker, &name_##_trace);                            \
	}                                                                      \
                                                                               \
	const struct bench_workload work_##name_ = {                           \
		.name = #name_,                                                \
		.workers_least = 1,                                            \
		.measures_memory = true,                                       \
		.prepare = name_##_prepare,                                    \
		.begin = name_##_begin,                                        \
		.round = name_##_round,                                        \
		.end = name_##_end,                                            \
	}

PRODUCTION(kvcache_reg);
PRODUCTION(graph_cache_follower_assocs);
