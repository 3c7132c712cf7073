/*
 * The hand: goes over each table's buckets again and again, a bucket at a time,
 * moved by whoever stores.  It finds what nobody else would: entries that have
 * ended, items that were published where they are nobody's, and bytes that are
 * counted wrongly because somebody was killed before he counted.
 *
 * Counting: an item's bytes are in one of two sums, as its color says.  Each
 * round paints all items in the other color; what is left in the old color's
 * sum at the end belongs to no item.
 */
#include "cache/internal.h"

#define PACE 4 /* stores for a bucket */

void
cache_mark(struct cache_item *item, uint32_t clear, uint32_t set)
{
	uint32_t mark = cache_peek(&item->mark);

	while (!atomic_compare_exchange_weak_explicit(&item->mark, &mark,
	    (mark & ~clear) | set, memory_order_relaxed, memory_order_relaxed))
		;
}

/* Paint an item; whoever does it moves its bytes. */
static void
item_paint(struct cache_table *table, struct cache_item *item, uint32_t color)
{
	uint32_t mark = cache_peek(&item->mark);
	int64_t len = (int64_t)cache_item_len(item);
	unsigned to = color != 0;

	while ((mark & CACHE_COLOR) != color)
		if (atomic_compare_exchange_weak_explicit(&item->mark, &mark,
			mark ^ CACHE_COLOR, memory_order_relaxed,
			memory_order_relaxed)) {
			(void)atomic_fetch_add(&table->bytes[to], len);
			(void)atomic_fetch_sub(&table->bytes[!to], len);
			(void)atomic_fetch_add(&table->items[to], 1);
			(void)atomic_fetch_sub(&table->items[!to], 1);
			return;
		}
}

struct cache_item *
cache_entry_item(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_entry *entry, shmalloc_off *ret_off)
{
	uint64_t tag = atomic_load(&entry->tag);
	struct cache_item *item;

	*ret_off = cache_load(&entry->slot);
	item = cache_at(cache, *ret_off);
	if (!item || item->generation == (uint32_t)tag)
		return item;
	/* Bound anew before the tag was read: the item is nobody's.  After it:
	 * the tag has changed, and this may be the new key's. */
	if (atomic_load(&entry->tag) == tag)
		(void)cache_drop(cache, table, entry, *ret_off,
		    SHMALLOC_CACHE_EVICTED_PLACE);
	return NULL;
}

/* Has it ended so long ago that nobody wants it stale? */
static bool
item_is_over(const struct shmalloc_cache *cache, const struct cache_item *item)
{
	uint32_t ends = cache_peek(&item->ends);

	return ends != 0 &&
	    cache_tick_past(cache_tick(cache), ends + cache->head->stale_ticks);
}

static void
bucket_look_over(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_bucket *bucket, uint32_t color)
{
	shmalloc_off off;

	for (; bucket; bucket = cache_bucket_next(cache, bucket))
		for (unsigned i = 0; i < CACHE_ENTRIES; i++) {
			struct cache_entry *entry = &bucket->entry[i];
			struct cache_item *item =
			    cache_entry_item(cache, table, entry, &off);

			if (!item)
				continue;
			item_paint(table, item, color);
			if (item_is_over(cache, item))
				(void)cache_drop(cache, table, entry, off,
				    SHMALLOC_CACHE_EXPIRED);
		}
}

struct cache_bucket *
cache_hand_step(struct shmalloc_cache *cache, struct cache_table *table)
{
	uint64_t at = atomic_fetch_add(&table->hand, 1);
	uint64_t n = table->n_buckets, round = at / n;
	struct cache_bucket *bucket = &table->bucket[at % n];
	unsigned old = !(round & 1);

	bucket_look_over(cache, table, bucket, round & 1 ? CACHE_COLOR : 0);
	if (at % n == n - 1) {
		(void)atomic_exchange(&table->bytes[old], 0);
		(void)atomic_exchange(&table->items[old], 0);
	}
	return bucket;
}

/* A step in a smaller table empties the bucket; a round ends the table. */
static void
old_step(struct shmalloc_cache *cache, struct cache_table *table,
    shmalloc_slot *slot)
{
	struct cache_bucket *bucket = cache_hand_step(cache, table);

	cache_bucket_close(cache, bucket);
	(void)cache_drain(cache, table, bucket, false);
	if (bucket == &table->bucket[table->n_buckets - 1])
		cache_table_end(cache, table, slot);
}

void
cache_hand_move(struct shmalloc_cache *cache)
{
	struct cache_tables tables;
	uint32_t turn = atomic_fetch_add_explicit(
	    &cache->head->turn, 1, memory_order_relaxed);

	cache_tables_of(cache, &tables);
	if (tables.n == 0)
		return;
	for (unsigned i = 0; i + 1 < tables.n; i++)
		old_step(cache, tables.at[i], tables.slot[i]);
	if (turn % PACE == 0)
		(void)cache_hand_step(cache, tables.at[tables.n - 1]);
}

/* One round over each table as it is now. */
static void
tables_sweep(struct shmalloc_cache *cache)
{
	struct cache_tables tables;

	cache_tables_of(cache, &tables);
	for (unsigned i = 0; i < tables.n; i++)
		for (uint64_t k = 0; k < tables.at[i]->n_buckets; k++) {
			if (i + 1 < tables.n)
				old_step(cache, tables.at[i], tables.slot[i]);
			else
				(void)cache_hand_step(cache, tables.at[i]);
		}
}

/* Evict all that is too much.  Outside after each batch: while this thread is
 * inside, none of what went could be freed. */
static int
excess_evict(struct shmalloc_cache *cache)
{
	uint64_t left = UINT64_MAX;
	bool is_more = true;

	while (is_more && left > 0) {
		int error = cache_enter(cache);

		if (error)
			return error;
		/* Others may store all the time: not for ever. */
		left = left == UINT64_MAX ? cache_items(cache) : left - 1;
		is_more = cache_trim(cache);
		cache_exit(cache);
	}
	cache_retired_flush(cache);
	return 0;
}

int
shmalloc_cache_sweep(struct shmalloc_cache *cache)
{
	int error =
	    cache->is_read_only ? SHMALLOC_EREADONLY : cache_enter(cache);

	if (error)
		return error;
	/* Three: up to the end of a round that has begun, one in which all is
	 * painted, and one that ends in peace. */
	for (int i = 0; i < 3; i++)
		tables_sweep(cache);
	cache_exit(cache);
	return excess_evict(cache);
}
