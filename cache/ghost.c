/*
 * Ghosts: whom a cache has evicted lately, and who is kept at once if it comes
 * back.  Each bucket has eight, of a word each: 16 bits of the hash, 16 of
 * when; a new one takes the place of the oldest.  A wrong word costs at most a
 * wrong guess.
 */
#include "cache/internal.h"

#define SET   8  /* ghosts of a bucket */
#define STEPS 64 /* of time while as many are born as there are ghosts */
#define LIFE  21 /* births in a ghost's life, for 16 items that there are */

/* The ghosts of the bucket that HASH belongs to. */
static _Atomic uint32_t *
ghosts_of(struct cache_table *table, uint64_t hash)
{
	void *ghosts = &table->bucket[table->n_buckets];
	struct cache_bucket *bucket = cache_bucket_of(table, hash);

	return (_Atomic uint32_t *)ghosts + (bucket - table->bucket) * SET;
}

static uint32_t
ghost_step(const struct cache_table *table)
{
	uint64_t step = table->n_buckets * SET / STEPS;

	return step ? (uint32_t)step : 1;
}

static uint32_t
ghost_now(const struct shmalloc_cache *cache, const struct cache_table *table)
{
	return cache_peek(&cache->head->births) / ghost_step(table) & 0xffff;
}

static uint32_t
ghost_age(uint32_t ghost, uint32_t now)
{
	return (now - ghost) & 0xffff;
}

void
cache_ghost_set(
    struct shmalloc_cache *cache, struct cache_table *table, uint64_t hash)
{
	_Atomic uint32_t *ghosts = ghosts_of(table, hash), *oldest = ghosts;
	uint32_t now = ghost_now(cache, table), most = 0;

	for (unsigned i = 0; i < SET; i++) {
		uint32_t ghost = cache_peek(&ghosts[i]);
		uint32_t age = ghost ? ghost_age(ghost, now) : UINT32_MAX;

		if (age >= most) {
			most = age;
			oldest = &ghosts[i];
		}
	}
	atomic_store_explicit(
	    oldest, (uint32_t)(hash >> 32) << 16 | now, memory_order_relaxed);
}

bool
cache_ghost_is(
    struct shmalloc_cache *cache, struct cache_table *table, uint64_t hash)
{
	_Atomic uint32_t *ghosts = ghosts_of(table, hash);
	uint32_t now = ghost_now(cache, table);
	uint32_t part = (uint32_t)(hash >> 32) & 0xffff;
	uint64_t life = cache_items(cache) * LIFE / 16;

	for (unsigned i = 0; i < SET; i++) {
		uint32_t ghost = cache_peek(&ghosts[i]);

		if (ghost != 0 && ghost >> 16 == part &&
		    (uint64_t)ghost_age(ghost, now) * ghost_step(table) <= life)
			return true;
	}
	return false;
}
