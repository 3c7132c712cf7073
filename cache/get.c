/*
 * Looking up: no lock, and nothing is written but two counters.
 */
#include <string.h>

#include "cache/internal.h"

/* Note that an item was found; a lost note is no harm. */
static void
item_use(const struct shmalloc_cache *cache, struct cache_item *item)
{
	uint32_t mark = cache_peek(&item->mark);

	if (cache->is_read_only || (mark & CACHE_USES) == CACHE_USES)
		return;
	(void)atomic_compare_exchange_weak_explicit(&item->mark, &mark,
	    mark + 1, memory_order_relaxed, memory_order_relaxed);
}

void
cache_view(const struct shmalloc_cache *cache, const struct cache_item *item,
    struct shmalloc_cache_view *ret_view)
{
	uint32_t ends = cache_peek(&item->ends), now = cache_tick(cache);
	int64_t left = ends ? (int32_t)(ends - now) : 0;

	*ret_view = (struct shmalloc_cache_view){ .value = item->bytes,
		.len = item->value_len,
		.version = cache_item_version(item),
		.flags = item->flags,
		.is_stale = ends != 0 && left <= 0,
		.ttl_ms = ends ? cache_ticks_ms(left) : -1 };
}

/* Find it, inside. */
static int
view_find(struct shmalloc_cache *cache, struct shmalloc_bytes bytes,
    struct shmalloc_cache_view *ret_view)
{
	struct cache_place place;
	struct cache_key key;
	int error = cache_key_of(cache, bytes, &key);

	if (error != 0)
		return error;
	if (!cache_find(cache, &key, &place) ||
	    !cache_item_is_live(cache, place.item)) {
		cache_count(cache, SHMALLOC_CACHE_MISSES, 1);
		return SHMALLOC_CACHE_EMISS;
	}
	cache_count(cache, SHMALLOC_CACHE_HITS, 1);
	item_use(cache, place.item);
	cache_view(cache, place.item, ret_view);
	return 0;
}

int
shmalloc_cache_pin(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct shmalloc_cache_view *ret_view)
{
	uint64_t since = cache_time(cache, CACHE_LATENCY_GET);
	int error = cache_enter(cache);

	if (error != 0)
		return error;
	error = view_find(cache, key, ret_view);
	cache_timed(cache, CACHE_LATENCY_GET, since);
	if (error != 0)
		cache_exit(cache);
	return error;
}

void
shmalloc_cache_release(
    struct shmalloc_cache *cache, struct shmalloc_cache_view *view)
{
	if (!view->value)
		return;
	view->value = NULL;
	cache_exit(cache);
}

int
shmalloc_cache_get(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    void *buffer, size_t size, struct shmalloc_cache_view *ret_view)
{
	struct shmalloc_cache_view view;
	int error = shmalloc_cache_pin(cache, key, &view);

	if (error != 0)
		return error;
	if (size != 0 && view.len != 0)
		memcpy(buffer, view.value, view.len < size ? view.len : size);
	cache_exit(cache);
	view.value = buffer;
	if (ret_view)
		*ret_view = view;
	return 0;
}

int
shmalloc_cache_pin_many(struct shmalloc_cache *cache, size_t n,
    const struct shmalloc_bytes key[], struct shmalloc_cache_view ret_view[])
{
	int found = 0;

	for (size_t i = 0; i < n; i++) {
		int error = shmalloc_cache_pin(cache, key[i], &ret_view[i]);

		if (error == 0) {
			found++;
			continue;
		}
		ret_view[i].value = NULL;
		if (error == SHMALLOC_CACHE_EMISS)
			continue;
		while (i-- > 0)
			shmalloc_cache_release(cache, &ret_view[i]);
		return error;
	}
	return found;
}
