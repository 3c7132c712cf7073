/*
 * Whom to evict.
 *
 * The rules are S3-FIFO's (Yang et al., SOSP 2023): a new item is on probation
 * while a tenth of the cache is stored after it; if it wasn't found twice by
 * then it goes, else it stays until it is the oldest and wasn't found since it
 * was looked over last; one that comes back soon after it went stays at once.
 * There are no queues, which a kill could tear: an item carries the count of
 * births at which it was stored or looked over, and of those in some buckets at
 * the hand the best to evict goes.  docs/adr/0006 has what that costs.
 */
#include <errno.h>

#include "cache/internal.h"

#define WINDOW    40 /* items, at least, of whom the best goes */
#define BUCKETS   16 /* that are looked at for them, at most */
#define ROUNDS    16 /* windows, until one item goes */
#define TRIM      64 /* items, at most, for one store */
#define PROBATION 10 /* a tenth of the items */
#define BATCH     32 /* what libshmalloc collects before it frees */

struct victim {
	struct cache_entry *entry;
	struct cache_item *item;
	shmalloc_off off;
	uint64_t score;
};

#define SCORE_MAIN      (UINT64_C(1) << 40)
#define SCORE_PROBATION (UINT64_C(2) << 40)

static uint64_t
item_score(
    const struct shmalloc_cache *cache, struct cache_item *item, uint64_t items)
{
	uint32_t births = cache_peek(&cache->head->births);
	uint32_t mark = cache_peek(&item->mark);
	uint32_t age = births - cache_peek(&item->stamp);

	if (mark & CACHE_MAIN)
		return SCORE_MAIN + age;
	if (age < items / PROBATION)
		return age;
	if ((mark & CACHE_USES) < 2)
		return SCORE_PROBATION + age;
	cache_mark(item, CACHE_USES, CACHE_MAIN);
	atomic_store_explicit(&item->stamp, births, memory_order_relaxed);
	return SCORE_MAIN;
}

/* Judge the items of a bucket; how many there are. */
static int
bucket_judge(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_bucket *bucket, uint64_t items, struct victim *best)
{
	int n = 0;

	for (; bucket; bucket = cache_bucket_next(cache, bucket))
		for (unsigned i = 0; i < CACHE_ENTRIES; i++) {
			struct victim it = { .entry = &bucket->entry[i] };

			it.item =
			    cache_entry_item(cache, table, it.entry, &it.off);
			if (!it.item)
				continue;
			n++;
			it.score = item_score(cache, it.item, items);
			if (!best->item || it.score > best->score)
				*best = it;
		}
	return n;
}

/* Does it stay because it was found since?  Then it begins anew. */
static bool
victim_stays(const struct shmalloc_cache *cache, struct cache_item *item)
{
	uint32_t mark = cache_peek(&item->mark);

	if (!(mark & CACHE_MAIN) || (mark & CACHE_USES) == 0)
		return false;
	cache_mark(item, CACHE_USES, (mark & CACHE_USES) - 1);
	atomic_store_explicit(&item->stamp, cache_peek(&cache->head->births),
	    memory_order_relaxed);
	return true;
}

/* The bytes that evicting VICTIM gives; 0: it was gone. */
static uint64_t
victim_evict(struct shmalloc_cache *cache, struct cache_table *table,
    const struct victim *victim, enum shmalloc_cache_count why)
{
	struct cache_item *item = victim->item;
	uint64_t len = cache_item_len(item);

	if (!(cache_peek(&item->mark) & CACHE_MAIN) &&
	    !cache_item_is_lease(item))
		cache_ghost_set(
		    cache, table, cache_item_hash(cache, item).hash);
	return cache_drop(cache, table, victim->entry, victim->off, why) ? len
									 : 0;
}

/* The table that has most. */
static struct cache_table *
table_fullest(const struct shmalloc_cache *cache)
{
	struct cache_table *best = NULL;
	struct cache_tables tables;
	int64_t most = -1;

	cache_tables_of(cache, &tables);
	for (unsigned i = 0; i < tables.n; i++) {
		int64_t n = cache_peek64(&tables.at[i]->items[0]) +
		    cache_peek64(&tables.at[i]->items[1]);

		if (n >= most) {
			most = n;
			best = tables.at[i];
		}
	}
	return best;
}

uint64_t
cache_evict(struct shmalloc_cache *cache, enum shmalloc_cache_count why)
{
	struct cache_table *table = table_fullest(cache);
	uint64_t items = cache_items(cache), len = 0;

	for (int round = 0; table && round < ROUNDS && len == 0; round++) {
		struct victim best = { .item = NULL };
		int n = 0;

		for (int i = 0; i < BUCKETS && n < WINDOW; i++)
			n += bucket_judge(cache, table,
			    cache_hand_step(cache, table), items, &best);
		if (best.item && !victim_stays(cache, best.item))
			len = victim_evict(cache, table, &best, why);
	}
	return len;
}

bool
cache_trim(struct shmalloc_cache *cache)
{
	uint64_t limit =
	    atomic_load_explicit(&cache->head->limit, memory_order_relaxed);
	uint64_t sum = 0;

	for (int i = 0; i < TRIM; i++) {
		if (limit == 0 || cache_bytes(cache) <= limit)
			return false;
		sum += cache_evict(cache, SHMALLOC_CACHE_EVICTED_LIMIT);
	}
	return sum != 0;
}

/* libshmalloc looks at the readers for 32 retired objects at a time, and has no
 * call for it: so retire some more. */
void
cache_retired_flush(struct shmalloc_cache *cache)
{
	shmalloc_off off[BATCH];
	size_t n = shmalloc_alloc_batch(cache->heap, 1, BATCH, off);

	while (n > 0)
		if (shmalloc_retire(cache->heap, off[--n]) != 0)
			shmalloc_free(cache->heap, off[n]);
}

uint64_t
cache_evict_memory(struct shmalloc_cache *cache, uint64_t len)
{
	uint64_t sum = 0, n = cache_items(cache), one;
	int empty = 0;

	if (cache_enter(cache) != 0)
		return 0;
	/* So many as may be freed together, if there are. */
	for (uint64_t i = 0; i < n && (sum < len || i < BATCH) && empty < 64;
	     i++) {
		one = cache_evict(cache, SHMALLOC_CACHE_EVICTED_MEMORY);
		sum += one;
		empty += one == 0;
	}
	cache_exit(cache);
	cache_retired_flush(cache);
	return sum;
}
