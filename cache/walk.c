/*
 * Going over all of it: showing, clearing.
 */
#include "cache/internal.h"

#define SLICE 64 /* buckets between enter and exit */

/* The smallest table from NUMBER on. */
static struct cache_table *
table_from(const struct shmalloc_cache *cache, uint32_t number)
{
	struct cache_tables tables;

	cache_tables_of(cache, &tables);
	for (unsigned i = 0; i < tables.n; i++)
		if (tables.at[i]->number >= number)
			return tables.at[i];
	return NULL;
}

/* A slice of the table that *NUMBER names, from *AT on; moves both.  1: that
 * was all. */
static int
slice_show(struct shmalloc_cache *cache, uint32_t *number, uint64_t *at,
    cache_bucket_fn *fn, void *arg, int *ret_result)
{
	struct cache_table *table = table_from(cache, *number);
	int result = 0;

	if (!table)
		return 1;
	if (table->number != *number)
		*at = 0;
	*number = table->number;
	for (int i = 0; i < SLICE && *at < table->n_buckets && !result; i++)
		result = fn(cache, table, &table->bucket[(*at)++], arg);
	if (*at >= table->n_buckets) {
		(*number)++;
		*at = 0;
	}
	*ret_result = result;
	return result != 0;
}

int
cache_each_bucket(struct shmalloc_cache *cache, cache_bucket_fn *fn, void *arg)
{
	uint32_t number = 0;
	uint64_t at = 0;
	int result = 0, error, is_done = 0;

	while (!is_done) {
		error = cache_enter(cache);
		if (error != 0)
			return error;
		is_done = slice_show(cache, &number, &at, fn, arg, &result);
		cache_exit(cache);
	}
	return result;
}

/* ---- Showing ------------------------------------------------------------- */

struct showing {
	shmalloc_cache_visit *visit;
	void *arg;
};

static int
item_show(struct shmalloc_cache *cache, struct cache_item *item,
    const struct showing *showing)
{
	struct shmalloc_cache_entry entry = {
		.key = { cache_item_key(item), cache_item_key_len(item) },
		.age_ms =
		    (uint64_t)cache_ticks_ms(cache_tick(cache) - item->created),
	};

	cache_view(cache, item, &entry.view);
	return showing->visit(showing->arg, &entry);
}

static int
bucket_show(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_bucket *bucket, void *arg)
{
	int result = 0;

	(void)table;
	for (; bucket; bucket = cache_bucket_next(cache, bucket))
		for (unsigned i = 0; i < CACHE_ENTRIES && !result; i++) {
			struct cache_entry *entry = &bucket->entry[i];
			uint64_t tag = atomic_load(&entry->tag);
			struct cache_item *item =
			    cache_at(cache, cache_load(&entry->slot));

			if (item && item->generation == (uint32_t)tag &&
			    cache_item_is_live(cache, item))
				result = item_show(cache, item, arg);
		}
	return result;
}

int
shmalloc_cache_walk(
    struct shmalloc_cache *cache, shmalloc_cache_visit *visit, void *arg)
{
	struct showing showing = { visit, arg };

	return cache_each_bucket(cache, bucket_show, &showing);
}

/* ---- Clearing ------------------------------------------------------------ */

/* An empty place that is bound may get a copy from a smaller table (drain.c),
 * which is no longer wanted. */
static void
entry_clear(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_bucket *first, struct cache_entry *entry)
{
	shmalloc_off off = cache_load(&entry->slot);
	uint64_t tag = atomic_load(&entry->tag);

	if (off > CACHE_SHUT)
		(void)cache_drop(
		    cache, table, entry, off, SHMALLOC_CACHE_DELETES);
	else if (tag != 0 &&
	    !cache_bucket_renew(cache, first, (uint32_t)(tag >> 32)))
		(void)cache_shut(&entry->slot);
}

static int
bucket_clear(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_bucket *bucket, void *arg)
{
	struct cache_bucket *first = bucket;

	(void)arg;
	for (; bucket; bucket = cache_bucket_next(cache, bucket))
		for (unsigned i = 0; i < CACHE_ENTRIES; i++)
			entry_clear(cache, table, first, &bucket->entry[i]);
	return 0;
}

int
shmalloc_cache_clear(struct shmalloc_cache *cache)
{
	if (cache->is_read_only)
		return SHMALLOC_EREADONLY;
	return cache_each_bucket(cache, bucket_clear, NULL);
}
