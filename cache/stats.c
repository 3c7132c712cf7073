/*
 * Counters, their names, and errors as text.
 */
#include <string.h>

#include "cache/internal.h"

/* Counters are in stripes, so that processes seldom write the same lines: a
 * thread's is by the address of something of its own. */
static struct cache_stripe *
stripe_own(const struct shmalloc_cache *cache)
{
	static _Thread_local char own;
	uint64_t n = (uint64_t)(uintptr_t)&own >> 4;

	n *= UINT64_C(0x9e3779b97f4a7c15);
	return &cache->head->stripe[n >> 32 & (CACHE_STRIPES - 1)];
}

void
cache_count(
    struct shmalloc_cache *cache, enum shmalloc_cache_count which, uint64_t n)
{
	if (cache->is_read_only)
		return;
	(void)atomic_fetch_add_explicit(
	    &stripe_own(cache)->count[which], n, memory_order_relaxed);
}

static void
stats_sum(
    const struct shmalloc_cache *cache, struct shmalloc_cache_stats *ret_stats)
{
	for (unsigned i = 0; i < CACHE_STRIPES; i++)
		for (unsigned k = 0; k < SHMALLOC_CACHE_COUNTS; k++)
			ret_stats->count[k] += atomic_load_explicit(
			    &cache->head->stripe[i].count[k],
			    memory_order_relaxed);
}

int
shmalloc_cache_stats(
    struct shmalloc_cache *cache, struct shmalloc_cache_stats *ret_stats)
{
	struct cache_tables tables;
	int error = cache_enter(cache);

	if (error != 0)
		return error;
	memset(ret_stats, 0, sizeof(*ret_stats));
	stats_sum(cache, ret_stats);
	ret_stats->entries = cache_items(cache);
	ret_stats->bytes = cache_bytes(cache);
	ret_stats->limit = atomic_load(&cache->head->limit);
	cache_tables_of(cache, &tables);
	ret_stats->tables = tables.n;
	for (unsigned i = 0; i < tables.n; i++) {
		ret_stats->table_bytes += tables.at[i]->len;
		ret_stats->places = cache_places(tables.at[i]);
	}
	cache_exit(cache);
	return 0;
}

const char *
shmalloc_cache_count_name(enum shmalloc_cache_count count)
{
	static const char *const names[SHMALLOC_CACHE_COUNTS] = {
		[SHMALLOC_CACHE_HITS] = "hits",
		[SHMALLOC_CACHE_MISSES] = "misses",
		[SHMALLOC_CACHE_STORES] = "stores",
		[SHMALLOC_CACHE_DELETES] = "deletes",
		[SHMALLOC_CACHE_EXPIRED] = "expired",
		[SHMALLOC_CACHE_EVICTED_LIMIT] = "evicted_limit",
		[SHMALLOC_CACHE_EVICTED_MEMORY] = "evicted_memory",
		[SHMALLOC_CACHE_EVICTED_PLACE] = "evicted_place",
		[SHMALLOC_CACHE_EVICTED_AGE_MS] = "evicted_age_ms",
		[SHMALLOC_CACHE_MOVED] = "moved",
		[SHMALLOC_CACHE_LEASES] = "leases",
		[SHMALLOC_CACHE_LEASES_BROKEN] = "leases_broken",
		[SHMALLOC_CACHE_WAITS] = "waits",
		[SHMALLOC_CACHE_STALE] = "stale",
		[SHMALLOC_CACHE_FAILED] = "failed",
	};

	return (unsigned)count < SHMALLOC_CACHE_COUNTS ? names[count] : NULL;
}

const char *
shmalloc_cache_strerror(int error)
{
	switch (error) {
	case SHMALLOC_CACHE_EMISS:
		return "the key isn't there";
	case SHMALLOC_CACHE_ELEASE:
		return "the lease isn't the caller's any more";
	case SHMALLOC_CACHE_ENUMBER:
		return "the value is no number";
	case SHMALLOC_CACHE_EFORMAT:
		return "the root holds no cache of this version";
	default:
		return shmalloc_strerror(error);
	}
}
