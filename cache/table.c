/*
 * Tables, and how a key's place is found while there are several.
 *
 * A cache grows by one more table, twice as large as the largest.  What is in
 * the smaller ones stays where it is until it is replaced, evicted or moved
 * (drain.c).  A key has one place: the entry that is bound to it in the
 * smallest table; if that one's slot is shut, it is the next table's turn.
 */
#include <errno.h>
#include <string.h>

#include "cache/internal.h"

#define LINE     128
#define FULL_NUM 85 /* percent of a table's places */

/* Behind the buckets 8 ghosts for each, of 4 bytes. */
#define GHOSTS_LEN 32

static uint64_t
buckets_for(uint64_t entries)
{
	uint64_t n = 1;

	while (n * CACHE_ENTRIES * FULL_NUM / 100 < entries && n < 1u << 31)
		n *= 2;
	return n;
}

/* LEN bytes of zeros, aligned to a pair of cache lines. */
static struct cache_table *
table_memory(struct shmalloc_cache *cache, size_t len, shmalloc_off *ret_off)
{
	*ret_off = shmalloc_aligned_alloc(cache->heap, LINE, len);
	return *ret_off ? memset(cache_at(cache, *ret_off), 0, len) : NULL;
}

shmalloc_off
cache_table_make(struct shmalloc_cache *cache, uint32_t number, uint64_t n)
{
	uint64_t buckets = buckets_for(n);
	size_t len = sizeof(struct cache_table) +
	    buckets * (sizeof(struct cache_bucket) + GHOSTS_LEN);
	shmalloc_off off;
	struct cache_table *table = table_memory(cache, len, &off);

	if (!table)
		return 0;
	table->n_buckets = buckets;
	table->len = len;
	table->number = number;
	return off;
}

/* Put a table in its place by number. */
static void
tables_insert(
    struct cache_tables *tables, struct cache_table *table, shmalloc_slot *slot)
{
	unsigned i = tables->n++;

	for (; i > 0 && tables->at[i - 1]->number > table->number; i--) {
		tables->at[i] = tables->at[i - 1];
		tables->slot[i] = tables->slot[i - 1];
	}
	tables->at[i] = table;
	tables->slot[i] = slot;
}

void
cache_tables_of(
    const struct shmalloc_cache *cache, struct cache_tables *ret_tables)
{
	ret_tables->n = 0;
	for (unsigned i = 0; i < CACHE_TABLES; i++) {
		shmalloc_slot *slot = &cache->head->table[i];
		struct cache_table *table = cache_at(cache, cache_load(slot));

		if (table)
			tables_insert(ret_tables, table, slot);
	}
}

/* ---- Finding ------------------------------------------------------------- */

/* What hangs from ENTRY, bound as TAG says. */
static void
place_look(const struct shmalloc_cache *cache, const struct cache_key *key,
    struct cache_place *place)
{
	struct cache_item *item;

	place->off = cache_load(&place->entry->slot);
	item = cache_at(cache, place->off);
	place->item = item && item->generation == (uint32_t)place->tag &&
		cache_item_has_key(item, key)
	    ? item
	    : NULL;
}

/* The entry in TABLE that is bound to KEY. */
static bool
place_find(const struct shmalloc_cache *cache, struct cache_table *table,
    const struct cache_key *key, struct cache_place *place)
{
	place->table = table;
	place->bucket = cache_bucket_of(table, key->hash);
	place->entry =
	    cache_bucket_find(cache, place->bucket, key->part, &place->tag);
	place->off = 0;
	place->item = NULL;
	if (place->entry)
		place_look(cache, key, place);
	return place->entry != NULL;
}

/* Look into the tables that were there a moment ago. */
static bool
tables_find(const struct shmalloc_cache *cache,
    const struct cache_tables *tables, const struct cache_key *key,
    struct cache_place *ret_place)
{
	/* It hangs in one of them at most: begin where most are. */
	for (unsigned i = tables->n; i-- > 0;)
		if (place_find(cache, tables->at[i], key, ret_place) &&
		    ret_place->item)
			return true;
	return false;
}

bool
cache_find(const struct shmalloc_cache *cache, const struct cache_key *key,
    struct cache_place *ret_place)
{
	struct cache_tables tables;
	struct cache_table *last;

	do {
		cache_tables_of(cache, &tables);
		if (tables_find(cache, &tables, key, ret_place))
			return true;
		if (tables.n == 0 || atomic_load(&cache->head->is_ending))
			return false;
		/* Closed: a larger one has come since, and it may be there. */
		last = tables.at[tables.n - 1];
	} while (cache_bucket_is_closed(cache_bucket_of(last, key->hash)));
	return false;
}

/* Is the key's place in this smaller table?  If it is empty there, it is shut,
 * so that nothing comes into it behind the caller's back. */
static bool
old_place_find(const struct shmalloc_cache *cache, struct cache_table *table,
    const struct cache_key *key, struct cache_place *place)
{
	struct cache_bucket *bucket = cache_bucket_of(table, key->hash);

	cache_bucket_close(cache, bucket);
	place->is_last = false;
	if (!place_find(cache, table, key, place))
		return false;
	if (place->off == 0 && !cache_shut(&place->entry->slot))
		place_look(cache, key, place);
	return place->off > CACHE_SHUT;
}

/* Try to bind an entry of the largest table.  If it isn't that any more, the
 * caller looks again; at the end of the cache nothing comes after it. */
static int
last_bind(struct shmalloc_cache *cache, struct cache_table *last,
    struct cache_bucket *bucket, const struct cache_key *key)
{
	int error = cache_bucket_bind(cache, last, bucket, key->part);

	if (error == SHMALLOC_ECHANGED)
		return atomic_load(&cache->head->is_ending) ? SHMALLOC_EGONE
							    : 0;
	return error < 0 ? error : 0;
}

int
cache_locate(struct shmalloc_cache *cache, const struct cache_key *key,
    bool for_store, struct cache_place *ret_place)
{
	struct cache_tables tables;
	struct cache_table *last;
	int error;

	for (;;) {
		cache_tables_of(cache, &tables);
		if (tables.n == 0)
			return SHMALLOC_EGONE;
		for (unsigned i = 0; i + 1 < tables.n; i++)
			if (old_place_find(cache, tables.at[i], key, ret_place))
				return 0;
		last = tables.at[tables.n - 1];
		ret_place->is_last = true;
		if ((place_find(cache, last, key, ret_place) || !for_store) &&
		    ret_place->off != CACHE_SHUT)
			return 0;
		error = last_bind(cache, last, ret_place->bucket, key);
		if (error != 0)
			return error;
	}
}

int
cache_locate_last(struct shmalloc_cache *cache, const struct cache_key *key,
    struct cache_place *ret_place)
{
	struct cache_tables tables;
	struct cache_table *last;
	int error = 0;

	while (error == 0) {
		cache_tables_of(cache, &tables);
		if (tables.n == 0)
			return SHMALLOC_EGONE;
		last = tables.at[tables.n - 1];
		if (place_find(cache, last, key, ret_place) &&
		    ret_place->off != CACHE_SHUT)
			return 0;
		error = last_bind(cache, last, ret_place->bucket, key);
	}
	return error;
}

/* ---- Growing ------------------------------------------------------------- */

void
cache_grow(struct shmalloc_cache *cache, struct cache_table *table)
{
	uint64_t limit = atomic_load(&cache->head->limit);
	uint32_t number = table->number + 1;
	shmalloc_slot *slot = &cache->head->table[number % CACHE_TABLES];
	struct cache_tables tables;
	shmalloc_off off;

	cache_tables_of(cache, &tables);
	if (tables.n == 0 || tables.at[tables.n - 1] != table ||
	    cache_load(slot) != 0 ||
	    cache_items(cache) < cache_places(table) * FULL_NUM / 100 ||
	    (limit != 0 && table->len > limit / 6))
		return;
	off = cache_table_make(cache, number,
	    table->n_buckets * 2 * CACHE_ENTRIES * FULL_NUM / 100);
	if (off != 0 && shmalloc_publish(cache->heap, slot, 0, off) != 0)
		shmalloc_free(cache->heap, off);
}

/* Is all of the chain that BUCKET begins shut? */
static bool
bucket_is_shut(struct cache_bucket *bucket)
{
	if (cache_load(&bucket->more) != CACHE_SHUT)
		return false;
	for (unsigned i = 0; i < CACHE_ENTRIES; i++)
		if (cache_load(&bucket->entry[i].slot) != CACHE_SHUT)
			return false;
	return true;
}

void
cache_table_end(struct shmalloc_cache *cache, struct cache_table *table,
    shmalloc_slot *slot)
{
	shmalloc_off off = shmalloc_offset(cache->heap, table);

	for (uint64_t i = 0; i < table->n_buckets; i++)
		if (!bucket_is_shut(&table->bucket[i]))
			return;
	if (shmalloc_publish(cache->heap, slot, off, 0) == 0)
		(void)shmalloc_retire(cache->heap, off);
}
