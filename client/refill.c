/*
 * Between the thread caches and the arenas: refill and flush in batches.
 */
#include <string.h>

#include "client/cache.h"
#include "shm/sample.h"

#define POP_DEPTH 16u /* chunks of a class of several sizes looked at */

static _Atomic uint32_t *
tag_of(const struct cache *cache, uint64_t off)
{
	return (_Atomic uint32_t *)(void *)(cache->base + off - 4);
}

static void
own(const struct cache *cache, uint64_t off)
{
	shm_put(
	    tag_of(cache, off), cache->owned | shm_tag_check(cache->key, off));
}

/* ---- Flushing ------------------------------------------------------------ */

/*
 * Move the N oldest offsets of a class into OFF.  A call may be left by a jump
 * at any instruction: what is about to go must not be in the array any more,
 * for its tag may be ours again when another thread has carved a smaller chunk
 * there.  So the array is empty while it moves; what a jump then loses comes
 * back with the process's end.
 */
static void
class_cut(struct cache_class *k, uint32_t n, uint64_t off[])
{
	uint32_t left = k->n - n;

	for (uint32_t i = 0; i < n; i++)
		off[i] = k->slot[i] & CACHE_OFF_MASK;
	k->n = 0;
	atomic_signal_fence(memory_order_seq_cst);
	memmove(k->slot, k->slot + n, left * sizeof(*k->slot));
	atomic_signal_fence(memory_order_seq_cst);
	k->n = left;
	k->taken -= n;
	atomic_signal_fence(memory_order_seq_cst);
}

void
cache_flush(struct cache *cache, uint32_t class, uint32_t n)
{
	struct cache_class *k = &cache->class[class];
	uint64_t off[CACHE_BATCH];

	n = n < k->n ? n : k->n;
	while (n > 0) {
		uint32_t m = n < CACHE_BATCH ? n : CACHE_BATCH;

		class_cut(k, m, off);
		shm_heap_put(&cache->self, m, off);
		n -= m;
	}
	shm_add(&cache->self.client->flushes, 1);
	cache_count(cache, class);
}

void
cache_flush_all(struct cache *cache)
{
	for (uint32_t i = 0; i < SHM_CLASSES; i++)
		if (cache->class[i].n)
			cache_flush(cache, i, UINT32_MAX);
}

/* ---- Allocating ---------------------------------------------------------- */

/* The index of the latest chunk of at least SIZE bytes among a few. */
static uint32_t
class_find(const struct cache_class *k, uint32_t size)
{
	uint32_t end = k->n > POP_DEPTH ? k->n - POP_DEPTH : 0;

	for (uint32_t i = k->n; i-- > end;)
		if (cache_entry_size(k->slot[i]) >= size)
			return i;
	return UINT32_MAX;
}

uint64_t
cache_pop(struct cache *cache, uint32_t class, uint32_t size)
{
	struct cache_class *k = &cache->class[class];
	uint32_t i;

	while ((i = class_find(k, size)) != UINT32_MAX) {
		uint64_t off = k->slot[i] & CACHE_OFF_MASK;
		uint32_t check = shm_tag_check(cache->key, off);

		/* No entry twice, wherever a jump leaves. */
		k->n--;
		atomic_signal_fence(memory_order_seq_cst);
		k->slot[i] = k->slot[k->n];
		if (shm_load(tag_of(cache, off)) == (cache->cached | check)) {
			shm_put(tag_of(cache, off), cache->owned | check);
			return off;
		}
		/* Freed by two threads at once, and gone already. */
		shm_add(&cache->self.client->misuses, 1);
		k->taken--;
	}
	return 0;
}

/* How many chunks to take at once. */
static uint32_t
batch_size(const struct cache_class *k, uint32_t size)
{
	uint32_t n = k->cap / 2 + 1;

	if (n > CACHE_BATCH)
		n = CACHE_BATCH;
	if (n > CACHE_CLASS_BYTES / 2 / size)
		n = CACHE_CLASS_BYTES / 2 / size;
	return n ? n : 1;
}

static uint32_t
heap_take(struct cache *cache, uint32_t size, uint32_t n, uint64_t off[])
{
	uint32_t got = shm_heap_take(&cache->self, size, n, off);

	/* Near the limit what this cache holds goes first. */
	if (got == 0 && cache->cap_bytes) {
		cache_flush_all(cache);
		got = shm_heap_take(&cache->self, size, 1, off);
	}
	return got;
}

/*
 * The last chunk of those that were carved has the rest, if that was too small
 * for one: OFF, taken for CLASS, goes where its size belongs.
 */
static void
last_put(struct cache *cache, uint32_t class, uint64_t off)
{
	uint32_t size =
	    shm_size(shm_chunk(cache->self.seg, off - SHM_CHUNK_HEAD));
	uint32_t own = shm_class(size);
	struct cache_class *k = &cache->class[own];

	cache->class[class].taken--;
	if (own < SHM_CLASSES && k->n < k->cap) {
		k->taken++;
		cache_push(cache, own, off, size);
	} else {
		shm_heap_put(&cache->self, 1, &off);
	}
}

/* Take chunks of SIZE bytes for CLASS, all but the first of them into caches.
 */
static uint64_t
class_refill(struct cache *cache, uint32_t class, uint32_t size)
{
	struct cache_class *k = &cache->class[class];
	uint64_t off[CACHE_BATCH];
	uint64_t since = cache->is_timed ? shm_clock_ns() : 0;
	uint32_t got;

	/* Where they are taken one by one, a class grows only as it runs full.
	 */
	if (k->cap == 0 || batch_size(k, size) > 1)
		cache_grow(cache, class);
	got = heap_take(cache, size, batch_size(k, size), off);
	if (got == 0)
		return 0;
	k->taken += got;
	if (got > 1)
		last_put(cache, class, off[--got]);
	while (got > 1 && k->n < k->cap) {
		got--;
		cache_push(cache, class, off[got], size);
	}
	if (got > 1) {
		shm_heap_put(&cache->self, got - 1, off + 1);
		k->taken -= got - 1;
	}
	shm_add(&cache->self.client->refills, 1);
	own(cache, off[0]);
	if (since)
		shm_latency_add(cache->self.seg->super, SHM_LATENCY_REFILL,
		    shm_clock_ns() - since);
	return off[0];
}

/* Take one chunk of SIZE bytes for an object from an arena, and others with it;
 * *CLASS becomes its own, if it is larger. */
static uint64_t
class_miss(struct cache *cache, uint32_t *class, uint32_t size)
{
	struct shm_client *client = cache->self.client;
	uint64_t off = class_refill(cache, *class, size);
	uint32_t own;

	if (off == 0)
		return 0;
	own = shm_class(
	    shm_size(shm_chunk(cache->self.seg, off - SHM_CHUNK_HEAD)));
	if (own != *class && own < SHM_CLASSES) {
		cache->class[*class].taken--;
		cache_count(cache, *class);
		cache->class[own].taken++;
		*class = own;
	}
	shm_add(&client->cache_misses, 1);
	shm_add(&client->class_misses[*class], 1);
	return off;
}

static shmalloc_off
class_alloc(struct cache *cache, size_t size)
{
	uint32_t chunk = shm_cached_size(size), class = shm_class(chunk);
	uint64_t off = cache_pop(cache, class, class < CACHE_EXACT ? 0 : chunk);

	if (off == 0 && (off = class_miss(cache, &class, chunk)) == 0)
		return cache_fail(cache, cache->self.failure, size), 0;
	cache->class[class].requested += size;
	if (--cache->class[class].left < 0)
		off = cache_sample(cache, off, size, class);
	cache_count(cache, class);
	return off;
}

void
cache_own_large(struct cache *cache, uint64_t off, size_t size)
{
	shm_put(shm_tag_at(cache->self.seg, off),
	    cache->owned | shm_tag_check(cache->key, off));
	cache_count_large(cache, off, size);
}

static shmalloc_off
large_alloc(struct cache *cache, size_t size, bool is_extent)
{
	bool is_sampled = cache_sample_is_due(cache, size);
	uint64_t off;

	off = is_sampled ? cache_alloc_sampled(cache, size, size) : 0;
	if (off)
		return off;
	if (is_extent) {
		off = shm_heap_take_extent(&cache->self, shm_pages_for(size));
		if (off == 0 && cache->cap_bytes) {
			cache_flush_all(cache);
			off = shm_heap_take_extent(
			    &cache->self, shm_pages_for(size));
		}
	} else if (heap_take(cache, shm_chunk_size(size), 1, &off) == 0) {
		off = 0;
	}
	if (off == 0)
		return cache_fail(cache, cache->self.failure, size), 0;
	if (is_extent)
		shm_extent_note(cache->self.seg, off, size);
	cache_own_large(cache, off, size);
	return off;
}

bool
cache_begin(struct cache *cache, size_t size, size_t more)
{
	uint64_t most = (uint64_t)cache->self.seg->n_regions * SHM_REGION;

	if (SHM_UNLIKELY(heap_is_gone(cache->heap)))
		return cache_gone(cache, size), false;
	cache_refresh(cache);
	if (cache->n_retired != cache->n_gone ||
	    shm_load(&cache->heap->guard->n_orphans))
		cache_reap(cache);
	if (size > most)
		return cache_fail(cache, SHM_FAIL_TOO_LARGE, size), false;
	return cache_quota(cache, size, more);
}

shmalloc_off
cache_alloc_pages(struct cache *cache, size_t size)
{
	return cache_begin(cache, size, size) ? large_alloc(cache, size, true)
					      : 0;
}

shmalloc_off
cache_alloc(struct cache *cache, size_t size)
{
	if (!cache_begin(cache, size, size))
		return 0;
	if (size <= cache->max)
		return class_alloc(cache, size);
	return large_alloc(
	    cache, size, size >= shm_heap_threshold(&cache->self));
}

/* ---- Freeing ------------------------------------------------------------- */

void
cache_put(struct cache *cache, uint64_t off)
{
	struct shm_seg *seg = cache->self.seg;
	uint64_t size = shm_heap_size(seg, off);
	bool is_extent = false;
	struct cache_class *k;
	uint32_t class;

	(void)shm_arena_of(seg, off, &is_extent);
	cache_refresh(cache);
	class = is_extent || size > SHM_CHUNK_MAX ? SHM_CLASSES
						  : shm_class((uint32_t)size);
	if (class >= SHM_CLASSES || cache_cap_most(cache, class) == 0) {
		cache_count_free(cache, off, size);
		shm_heap_put(&cache->self, 1, &off);
		return;
	}
	k = &cache->class[class];
	if (k->n >= k->cap)
		cache_grow(cache, class);
	if (k->n >= k->cap)
		cache_flush(cache, class, k->n / 2 + 1);
	if (k->n >= k->cap) {
		shm_heap_put(&cache->self, 1, &off);
		k->taken--;
	} else {
		cache_push(cache, class, off, (uint32_t)size);
	}
	cache_count(cache, class);
}

void
cache_put_freed(struct cache *cache, uint64_t off)
{
	cache_fill_freed(cache, off);
	cache_put(cache, off);
}
