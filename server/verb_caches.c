/*
 * The caches of libshmalloc-cache, a part of the statistics: each root whose
 * object is one, by name.
 *
 * What they say is read by cache/inspect.h, where pages are committed; a root's
 * name is a client's word, too, so of two that look alike one is told.
 */
#include <stdlib.h>
#include <string.h>

#include "cache/inspect.h"
#include "server/control.h"
#include "server/server.h"
#include "shm/access.h"
#include "shm/commit.h"
#include "shm/latency.h"

/* Buckets that are looked at for ages, of all caches together; one has at
 * most CACHE_SAMPLE_MAX of them. */
#define BUCKETS_MOST  1024u
#define BUCKETS_LEAST 4u
/* Caches whose latencies are told: each may fill 6 KiB of the answer, which
 * would be too long with those of all roots. */
#define TIMED_MOST    256u

static const void *
memory_at(const void *arg, uint64_t off, uint64_t len)
{
	const struct shm_seg *seg = arg;
	const void *at = shm_at(seg, off, len);
	if (at == NULL || shm_committed_prefix(seg, off, len) < len)
		return NULL;
	return at;
}

static Proto__Evictions *
evictions_put(struct call *call, const uint64_t count[SHMALLOC_CACHE_COUNTS])
{
	Proto__Evictions *to = pool_alloc(call->pool, sizeof *to);
	proto__evictions__init(to);
	CALL_PUT(to, limit, count[SHMALLOC_CACHE_EVICTED_LIMIT]);
	CALL_PUT(to, memory, count[SHMALLOC_CACHE_EVICTED_MEMORY]);
	CALL_PUT(to, place, count[SHMALLOC_CACHE_EVICTED_PLACE]);
	return to;
}

static void
counts_put(struct call *call, const uint64_t count[SHMALLOC_CACHE_COUNTS],
    Proto__CacheStats *to)
{
	double hits = (double)count[SHMALLOC_CACHE_HITS];
	double all = hits + (double)count[SHMALLOC_CACHE_MISSES];
	CALL_PUT(to, hits, count[SHMALLOC_CACHE_HITS]);
	CALL_PUT(to, misses, count[SHMALLOC_CACHE_MISSES]);
	if (all > 0)
		CALL_PUT(to, hit_ratio, hits / all);
	CALL_PUT(to, stores, count[SHMALLOC_CACHE_STORES]);
	CALL_PUT(to, failed, count[SHMALLOC_CACHE_FAILED]);
	CALL_PUT(to, deletes, count[SHMALLOC_CACHE_DELETES]);
	CALL_PUT(to, expired, count[SHMALLOC_CACHE_EXPIRED]);
	to->evicted = evictions_put(call, count);
	CALL_PUT(to, evicted_age_seconds,
	    (double)count[SHMALLOC_CACHE_EVICTED_AGE_MS] / 1e3);
	CALL_PUT(to, moved, count[SHMALLOC_CACHE_MOVED]);
	CALL_PUT(to, leases, count[SHMALLOC_CACHE_LEASES]);
	CALL_PUT(to, leases_broken, count[SHMALLOC_CACHE_LEASES_BROKEN]);
	CALL_PUT(to, waits, count[SHMALLOC_CACHE_WAITS]);
	CALL_PUT(to, stale, count[SHMALLOC_CACHE_STALE]);
}

static void
sizes_put(const struct cache_inspection *from, Proto__CacheStats *to)
{
	const struct shmalloc_cache_stats *stats = &from->stats;
	CALL_PUT(to, entries, stats->entries);
	CALL_PUT(to, used_bytes, stats->bytes);
	CALL_PUT(to, limit_bytes, stats->limit);
	CALL_PUT(to, table_bytes, stats->table_bytes);
	CALL_PUT(to, tables, (uint32_t)stats->tables);
	CALL_PUT(to, places, stats->places);
	CALL_PUT(to, created, (double)from->created_ms / 1e3);
	CALL_PUT(to, aged_entries, from->n_ages);
	if (from->n_ages == 0)
		return;
	CALL_PUT(to, age_median_seconds, (double)from->age_median_ms / 1e3);
	CALL_PUT(to, age_oldest_seconds, (double)from->age_oldest_ms / 1e3);
}

static_assert(CACHE_LATENCY_BUCKETS == SHM_LATENCY_BUCKETS, "the same buckets");

static void
latencies_put(struct call *call, const struct cache_inspection *from,
    Proto__CacheStats *to)
{
	static const char *const names[CACHE_LATENCIES] = {
		[CACHE_LATENCY_GET] = "get",
		[CACHE_LATENCY_STORE] = "store",
	};
	to->latency =
	    pool_array(call->pool, CACHE_LATENCIES, sizeof(*to->latency));
	for (size_t i = 0; i < CACHE_LATENCIES; i++) {
		struct shm_latency_stats stats = {
			.sum_ns = from->latency_ns[i],
		};
		for (size_t k = 0; k < SHM_LATENCY_BUCKETS; k++) {
			stats.n[k] = from->latency[i][k];
			stats.count += stats.n[k];
		}
		to->latency[to->n_latency++] = verb_latency_put(
		    call, names[i], &stats, CACHE_LATENCY_SAMPLE);
	}
}

/* The cache that hangs from ROOT, or NULL; with its latencies if IS_TIMED. */
static Proto__CacheStats *
cache_put(
    struct call *call, struct shm_root *root, unsigned n_buckets, bool is_timed)
{
	struct cache_memory memory = { memory_at, &call->segment->seg };
	struct cache_inspection inspection;
	if (!cache_inspect(&memory, shm_get(&root->slot),
		(uint64_t)(server_time() * 1e3), n_buckets, &inspection))
		return NULL;
	Proto__CacheStats *to = pool_alloc(call->pool, sizeof *to);
	proto__cache_stats__init(to);
	to->cache = verb_text(call, root->name, sizeof root->name);
	sizes_put(&inspection, to);
	counts_put(call, inspection.stats.count, to);
	if (is_timed)
		latencies_put(call, &inspection, to);
	return to;
}

static uint32_t
roots_count(const struct shm_seg *seg)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < SHM_ROOTS; i++) {
		struct shm_root *root = verb_root_at(seg, i);
		n += root != NULL && shm_load(&root->slot) != 0;
	}
	return n;
}

static int
name_compare(const void *a, const void *b)
{
	return strcmp((*(Proto__CacheStats *const *)a)->cache,
	    (*(Proto__CacheStats *const *)b)->cache);
}

/* Sort by name, and leave out those that look like the one before. */
static size_t
caches_sort(Proto__CacheStats *caches[], size_t n)
{
	size_t kept = 0;
	qsort(caches, n, sizeof(*caches), name_compare);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 ||
		    strcmp(caches[kept - 1]->cache, caches[i]->cache) != 0)
			caches[kept++] = caches[i];
	return kept;
}

void
verb_caches_put(struct call *call, Proto__Stats *to)
{
	const struct shm_seg *seg = &call->segment->seg;
	uint32_t n_roots = roots_count(seg);
	if (n_roots == 0)
		return;
	unsigned n_buckets = BUCKETS_MOST / n_roots;
	if (n_buckets < BUCKETS_LEAST)
		n_buckets = BUCKETS_LEAST;
	to->caches = pool_array(call->pool, n_roots, sizeof(*to->caches));
	for (uint32_t i = 0; i < SHM_ROOTS && to->n_caches < n_roots; i++) {
		struct shm_root *root = verb_root_at(seg, i);
		Proto__CacheStats *cache = root != NULL
		    ? cache_put(
			  call, root, n_buckets, to->n_caches < TIMED_MOST)
		    : NULL;
		if (cache != NULL)
			to->caches[to->n_caches++] = cache;
	}
	to->n_caches = caches_sort(to->caches, to->n_caches);
}
