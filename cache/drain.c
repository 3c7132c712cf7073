/*
 * Emptying the smaller tables.
 *
 * An item can't hang from two slots, nor go from one to another, so a copy is
 * made for the larger table.  In this order:
 *
 *   1. an entry of the larger table is bound to the key;
 *   2. the item is taken out of the smaller table;
 *   3. its slot there is shut, so that the key's place is the larger table's;
 *   4. the copy is hung there.
 *
 * Between 2 and 4 the key isn't there, which a look-up may see; a kill leaves
 * it so.  If somebody stores it in between, 3 or 4 fails, and the copy goes.
 * If somebody deletes it, he makes the binding of step 1 void (he finds it
 * because it comes first), so the copy is nobody's; in a table that isn't the
 * largest any more he shuts the slot.  Large items are left where
 * they are until they are replaced or go.
 */
#include <string.h>

#include "cache/internal.h"

#define SMALL (64u << 10) /* bytes that are copied */

/* A copy for another place, the caller's; 0: no memory. */
static shmalloc_off
item_copy(struct shmalloc_cache *cache, const struct cache_item *item,
    const struct cache_place *place)
{
	size_t len = sizeof(*item) + item->value_len + cache_item_key_len(item);
	shmalloc_off off = shmalloc_alloc(cache->heap, len);
	struct cache_item *copy = cache_at(cache, off);
	uint64_t round;

	if (!copy)
		return 0;
	memcpy(copy, item, len);
	copy->generation = (uint32_t)place->tag;
	round = atomic_load(&place->table->hand) / place->table->n_buckets;
	cache_mark(copy, CACHE_COLOR, round & 1 ? CACHE_COLOR : 0);
	return off;
}

/* Steps 2 to 4. */
static bool
item_move(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_entry *entry, shmalloc_off off,
    const struct cache_place *place)
{
	struct cache_item *item = cache_at(cache, off);
	shmalloc_off copy = item_copy(cache, item, place);

	if (copy == 0)
		return false;
	if (!cache_drop(cache, table, entry, off, SHMALLOC_CACHE_MOVED)) {
		shmalloc_free(cache->heap, copy);
		return false;
	}
	if (!cache_shut(&entry->slot)) {
		shmalloc_free(cache->heap, copy);
		return false;
	}
	/* What was touched since it was copied. */
	atomic_store(&((struct cache_item *)cache_at(cache, copy))->ends,
	    atomic_load(&item->ends));
	if (shmalloc_publish(
		cache->heap, &place->entry->slot, place->off, copy) != 0) {
		shmalloc_free(cache->heap, copy);
		return true;
	}
	cache_sum(place->table, cache_at(cache, copy), 1);
	if (place->off != 0)
		cache_retire(cache, place->table, place->off);
	return true;
}

/* Make this entry's slot shut, if that can be. */
static bool
entry_drain(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_entry *entry, bool may_drop)
{
	struct cache_place place;
	struct cache_key key;
	struct cache_item *item;
	shmalloc_off off;

	if (cache_shut(&entry->slot))
		return true;
	item = cache_entry_item(cache, table, entry, &off);
	if (!item)
		return cache_shut(&entry->slot);
	if (may_drop)
		return cache_drop(
			   cache, table, entry, off, SHMALLOC_CACHE_DELETES) &&
		    cache_shut(&entry->slot);
	if (cache_item_len(item) > SMALL)
		return false;
	key = cache_item_hash(cache, item);
	if (cache_locate_last(cache, &key, &place) != 0 ||
	    place.table == table || place.item)
		return false;
	return item_move(cache, table, entry, off, &place);
}

static bool
bucket_drain(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_bucket *bucket, bool may_drop)
{
	bool is_shut = true;

	for (unsigned i = 0; i < CACHE_ENTRIES; i++)
		is_shut &=
		    entry_drain(cache, table, &bucket->entry[i], may_drop);
	return is_shut;
}

/* The last bucket of a chain goes when all of it is shut, so that nobody can
 * hang anything from it. */
bool
cache_drain(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_bucket *bucket, bool may_drop)
{
	struct cache_bucket *next = cache_bucket_next(cache, bucket);
	shmalloc_off off = shmalloc_offset(cache->heap, next);
	bool is_shut = bucket_drain(cache, table, bucket, may_drop);

	if (next && cache_drain(cache, table, next, may_drop) &&
	    shmalloc_publish(cache->heap, &bucket->more, off, 0) == 0)
		(void)shmalloc_retire(cache->heap, off);
	return cache_shut(&bucket->more) && is_shut;
}
