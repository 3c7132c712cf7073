/*
 * Items: making them, hanging them in their place, and counting their bytes.
 */
#include <errno.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache/internal.h"

#define CHUNK_HEAD 8  /* of libshmalloc's, before each object */
#define GRANULE    16 /* what its chunks' sizes are multiples of */
#define LARGE      (128u << 10)
#define PAGE       4096
#define ATTEMPTS   16 /* allocations, with an eviction between two */

uint64_t
cache_len_of(uint64_t key_len, uint64_t value_len)
{
	uint64_t len =
	    sizeof(struct cache_item) + key_len + value_len + CHUNK_HEAD;
	uint64_t unit = len < LARGE ? GRANULE : PAGE;

	return (len + unit - 1) / unit * unit;
}

uint64_t
cache_item_len(const struct cache_item *item)
{
	return cache_len_of(cache_item_key_len(item), item->value_len);
}

int
cache_key_of(const struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct cache_key *ret_key)
{
	uint64_t hash;

	if (!key.data || key.len == 0 || key.len > CACHE_KEY_MAX)
		return SHMALLOC_EINVAL;
	hash = XXH3_64bits_withSeed(key.data, key.len, cache->head->seed);
	*ret_key = (struct cache_key){ key.data, (uint32_t)key.len,
		(uint32_t)(hash >> 32), hash };
	return 0;
}

struct cache_key
cache_item_hash(const struct shmalloc_cache *cache, struct cache_item *item)
{
	struct shmalloc_bytes bytes = { cache_item_key(item),
		cache_item_key_len(item) };
	struct cache_key key = { 0 };

	/* An item's key was checked when it was made. */
	(void)!cache_key_of(cache, bytes, &key);
	return key;
}

bool
cache_item_has_key(const struct cache_item *item, const struct cache_key *key)
{
	return cache_item_key_len(item) == key->len &&
	    memcmp(item->bytes + item->value_len, key->data, key->len) == 0;
}

bool
cache_item_has_ended(
    const struct shmalloc_cache *cache, const struct cache_item *item)
{
	uint32_t ends = cache_peek(&item->ends);

	return ends != 0 && cache_tick_past(cache_tick(cache), ends);
}

bool
cache_item_is_live(
    const struct shmalloc_cache *cache, const struct cache_item *item)
{
	return !cache_item_is_lease(item) && !cache_item_has_ended(cache, item);
}

/* ---- Making -------------------------------------------------------------- */

void
cache_item_init(struct shmalloc_cache *cache, struct cache_item *item,
    const struct cache_key *key, uint64_t value_len)
{
	memset(item, 0, sizeof(*item));
	item->value_len = value_len;
	item->key_len = key->len;
	item->created = cache_tick(cache);
	memcpy(cache_item_key(item), key->data, key->len);
}

int
cache_errno(void)
{
	switch (errno) {
	case EDEADLK:
		return SHMALLOC_EDEADLK;
	case EROFS:
		return SHMALLOC_EREADONLY;
	case ESTALE:
		return SHMALLOC_EGONE;
	case EIO:
		return SHMALLOC_ECORRUPT;
	case ENOTCONN:
		return SHMALLOC_EUNREACHABLE;
	default:
		return SHMALLOC_ENOMEM;
	}
}

/* Can the cache ever have LEN bytes more than its tables? */
static bool
len_is_possible(struct shmalloc_cache *cache, uint64_t len)
{
	uint64_t limit = atomic_load(&cache->head->limit);
	struct cache_tables tables;
	bool is_possible = true;

	if (limit == 0)
		return true;
	if (cache_enter(cache) != 0)
		return true;
	cache_tables_of(cache, &tables);
	for (unsigned i = 0; i < tables.n; i++)
		len += tables.at[i]->len;
	is_possible = len <= limit;
	cache_exit(cache);
	return is_possible;
}

static shmalloc_off
memory_take(struct shmalloc_cache *cache, size_t len)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		shmalloc_off off = shmalloc_alloc(cache->heap, len);

		if (off != 0 || errno != ENOMEM)
			return off;
		/* Ever more, for what was evicted may lie scattered. */
		if (cache_evict_memory(cache, (uint64_t)len << (i / 2)) == 0)
			break;
	}
	errno = ENOMEM;
	return 0;
}

int
cache_item_make(struct shmalloc_cache *cache, const struct cache_key *key,
    size_t value_len, const struct shmalloc_cache_terms *terms,
    shmalloc_off *ret_off)
{
	size_t head = sizeof(struct cache_item) + key->len;
	struct cache_item *item;
	shmalloc_off off;

	if (value_len > PTRDIFF_MAX - head ||
	    !len_is_possible(cache, cache_len_of(key->len, value_len)))
		return SHMALLOC_ERANGE;
	off = memory_take(cache, head + value_len);
	item = cache_at(cache, off);
	if (!item) {
		if (errno == ENOMEM)
			cache_count(cache, SHMALLOC_CACHE_FAILED, 1);
		return cache_errno();
	}
	cache_item_init(cache, item, key, value_len);
	if (terms) {
		item->flags = terms->flags;
		if (terms->ttl_ms)
			atomic_init(&item->ends,
			    cache_tick_after(cache, terms->ttl_ms));
	}
	*ret_off = off;
	return 0;
}

/* ---- Hanging ------------------------------------------------------------- */

void
cache_sum(struct cache_table *table, const struct cache_item *item, int sign)
{
	unsigned color = (cache_peek(&item->mark) & CACHE_COLOR) != 0;

	(void)atomic_fetch_add_explicit(&table->bytes[color],
	    sign * (int64_t)cache_item_len(item), memory_order_relaxed);
	(void)atomic_fetch_add_explicit(
	    &table->items[color], sign, memory_order_relaxed);
}

static uint32_t
table_color(const struct cache_table *table)
{
	uint64_t hand =
	    atomic_load_explicit(&table->hand, memory_order_relaxed);

	return hand / table->n_buckets & 1 ? CACHE_COLOR : 0;
}

/* What eviction knows of an item goes over to what replaces it; a new one
 * begins, or is one that came back. */
static void
item_mark(struct shmalloc_cache *cache, const struct cache_place *place,
    struct cache_item *item)
{
	struct cache_head *head = cache->head;
	uint32_t mark = table_color(place->table), stamp;

	if (place->item) {
		stamp = cache_peek(&place->item->stamp);
		mark |=
		    cache_peek(&place->item->mark) & (CACHE_USES | CACHE_MAIN);
	} else {
		struct cache_key key = cache_item_hash(cache, item);

		stamp = atomic_fetch_add_explicit(
		    &head->births, 1, memory_order_relaxed);
		if (cache_ghost_is(cache, place->table, key.hash))
			mark |= CACHE_MAIN;
	}
	atomic_store_explicit(&item->stamp, stamp, memory_order_relaxed);
	atomic_store_explicit(&item->mark, mark, memory_order_relaxed);
}

/* If it can't be noted, it goes when this process ends. */
void
cache_retire(
    struct shmalloc_cache *cache, struct cache_table *table, shmalloc_off off)
{
	cache_sum(table, cache_at(cache, off), -1);
	(void)shmalloc_retire(cache->heap, off);
}

int
cache_hang(struct shmalloc_cache *cache, const struct cache_place *place,
    shmalloc_off off)
{
	struct cache_item *item = cache_at(cache, off);
	int error;

	item->generation = (uint32_t)place->tag;
	item->version = atomic_fetch_add_explicit(
	    &cache->head->versions, 1, memory_order_relaxed);
	item_mark(cache, place, item);
	error =
	    shmalloc_publish(cache->heap, &place->entry->slot, place->off, off);
	if (error != 0)
		return error;
	cache_sum(place->table, item, 1);
	if (place->off == 0)
		return 0;
	if (!place->item)
		cache_count(cache, SHMALLOC_CACHE_EVICTED_PLACE, 1);
	cache_retire(cache, place->table, place->off);
	return 0;
}

static void
drop_count(struct shmalloc_cache *cache, const struct cache_item *item,
    enum shmalloc_cache_count why)
{
	uint32_t age = cache_tick(cache) - item->created;

	cache_count(cache, why, 1);
	if (why >= SHMALLOC_CACHE_EVICTED_LIMIT &&
	    why <= SHMALLOC_CACHE_EVICTED_PLACE)
		cache_count(cache, SHMALLOC_CACHE_EVICTED_AGE_MS,
		    (uint64_t)cache_ticks_ms(age));
}

bool
cache_drop(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_entry *entry, shmalloc_off off, enum shmalloc_cache_count why)
{
	if (shmalloc_publish(cache->heap, &entry->slot, off, 0) != 0)
		return false;
	drop_count(cache, cache_at(cache, off), why);
	cache_retire(cache, table, off);
	return true;
}

/* ---- Sums ---------------------------------------------------------------- */

static uint64_t
sum_of(const _Atomic int64_t part[2])
{
	int64_t sum = atomic_load_explicit(&part[0], memory_order_relaxed) +
	    atomic_load_explicit(&part[1], memory_order_relaxed);

	return sum > 0 ? (uint64_t)sum : 0;
}

uint64_t
cache_bytes(const struct shmalloc_cache *cache)
{
	struct cache_tables tables;
	uint64_t sum = sizeof(struct cache_head);

	cache_tables_of(cache, &tables);
	for (unsigned i = 0; i < tables.n; i++)
		sum += tables.at[i]->len + sum_of(tables.at[i]->bytes);
	return sum;
}

uint64_t
cache_items(const struct shmalloc_cache *cache)
{
	struct cache_tables tables;
	uint64_t sum = 0;

	cache_tables_of(cache, &tables);
	for (unsigned i = 0; i < tables.n; i++)
		sum += sum_of(tables.at[i]->items);
	return sum;
}
