/*
 * Ghosts: whom a cache has evicted lately, and who is kept at once if it comes
 * back.  A word for each place: 16 bits of the hash, 16 of when.  A wrong word
 * costs at most a wrong guess.
 */
#include "cache/internal.h"

static _Atomic uint32_t *
ghost_of(struct cache_table *table, uint64_t hash)
{
	void *ghosts = &table->bucket[table->n_buckets];

	/* As many as entries, nearly: a power of two. */
	return (_Atomic uint32_t *)ghosts + (hash & (table->n_buckets * 8 - 1));
}

/* Time in 1/64 of the places. */
static uint32_t
ghost_time(const struct shmalloc_cache *cache, const struct cache_table *table)
{
	uint32_t step = (uint32_t)(table->n_buckets / 8);

	return cache_peek(&cache->head->births) / (step ? step : 1) & 0xffff;
}

void
cache_ghost_set(
    struct shmalloc_cache *cache, struct cache_table *table, uint64_t hash)
{
	atomic_store_explicit(ghost_of(table, hash),
	    (uint32_t)(hash >> 32) << 16 | ghost_time(cache, table),
	    memory_order_relaxed);
}

bool
cache_ghost_is(
    struct shmalloc_cache *cache, struct cache_table *table, uint64_t hash)
{
	uint32_t ghost = cache_peek(ghost_of(table, hash));
	uint32_t age = (ghost_time(cache, table) - ghost) & 0xffff;

	return ghost != 0 && ghost >> 16 == ((uint32_t)(hash >> 32) & 0xffff) &&
	    age <= 56;
}
