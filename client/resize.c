/*
 * What is built on the fast paths: zeroed, aligned and resized objects,
 * batches; and looking at one.
 */
#include <errno.h>
#include <string.h>

#include "client/cache.h"
#include "shm/sample.h"

shmalloc_off
shmalloc_zalloc(struct shmalloc *heap, size_t n, size_t size)
{
	size_t all;
	shmalloc_off off;

	if (__builtin_mul_overflow(n, size, &all))
		all = SIZE_MAX;
	off = shmalloc_alloc(heap, all);
	if (off)
		memset(shmalloc_ptr(heap, off), 0, all);
	return off;
}

static shmalloc_off
aligned_slow(struct cache *cache, size_t align, size_t size)
{
	struct shm_self *self = &cache->self;
	shmalloc_off off;

	cache_refresh(cache);
	if (size >= shm_heap_threshold(self) ||
	    size > SHM_CHUNK_MAX - SHM_REGION_TAIL - 2 * align)
		return cache_alloc_pages(cache, size);
	if (!cache_begin(cache, size, size))
		return 0;
	if (cache_sample_is_due(cache, size) &&
	    (off = cache_alloc_sampled(cache, size, size)) != 0)
		return off;
	off =
	    shm_heap_take_aligned(self, shm_chunk_size(size), (uint32_t)align);
	if (off == 0)
		return cache_fail(cache, self->failure, size), 0;
	cache_own_large(cache, off, size);
	return off;
}

shmalloc_off
shmalloc_aligned_alloc(struct shmalloc *heap, size_t align, size_t size)
{
	struct cache *cache;
	shmalloc_off off = 0;

	if (align == 0 || (align & (align - 1)) || align > SHM_PAGE)
		return errno = EINVAL, 0;
	if (align <= SHM_GRANULE)
		return shmalloc_alloc(heap, size);
	cache = cache_enter(heap);
	if (!cache)
		return 0;
	if (heap->seg.is_read_only)
		errno = EROFS;
	else
		off = aligned_slow(cache, align, size);
	if (off)
		cache_fill_new(cache, off, 0);
	cache_leave(cache);
	return off;
}

size_t
shmalloc_usable_size(struct shmalloc *heap, shmalloc_off off)
{
	struct shm_seg *seg = &heap->seg;
	_Atomic uint32_t *place = heap->is_lost ? NULL : shm_tag_at(seg, off);
	uint32_t tag = place ? shm_load(place) : 0;
	enum shm_state state = shm_tag_state(tag);

	if (!shm_tag_is_valid(seg, off, tag) || state < SHM_OWNED)
		return 0;
	return shm_heap_usable(seg, off);
}

/* May OFF be resized by the caller?  0 or an errno. */
static int
resize_check(struct cache *cache, shmalloc_off off)
{
	struct shm_seg *seg = cache->self.seg;
	_Atomic uint32_t *place = shm_tag_at(seg, off);
	uint32_t tag = place ? shm_load(place) : 0;

	if (seg->is_read_only)
		return EROFS;
	if (!shm_tag_is_valid(seg, off, tag) ||
	    shm_tag_state(tag) < SHM_OWNED || !cache_head_is_there(cache, off))
		return EINVAL;
	return (tag & ~UINT32_C(255)) == cache->owned ? 0 : EPERM;
}

/* Resize in place if that wastes less than half. */
static bool
resize_here(struct cache *cache, shmalloc_off off, size_t size)
{
	struct shm_seg *seg = cache->self.seg;
	uint64_t before = shm_heap_size(seg, off), after;
	bool is_extent;

	if (!shm_heap_resize(&cache->self, off, size))
		return false;
	after = shm_heap_size(seg, off);
	if (shm_arena_of(seg, off, &is_extent) && is_extent)
		shm_extent_note_again(seg, off, size);
	if (after != before) {
		cache_count_held(cache, cache->self.slot, before, -1);
		cache_count_held(cache, cache->self.slot, after, 1);
	}
	shm_add(&cache->self.client->reallocs_in_place, 1);
	return true;
}

shmalloc_off
shmalloc_realloc(struct shmalloc *heap, shmalloc_off off, size_t size)
{
	struct cache *cache;
	size_t have;
	shmalloc_off new;
	int error;

	if (off == 0)
		return shmalloc_alloc(heap, size);
	cache = cache_enter(heap);
	if (!cache)
		return 0;
	error = resize_check(cache, off);
	if (error) {
		cache_leave(cache);
		return errno = error, 0;
	}
	cache_refresh(cache);
	have = shm_heap_usable(&heap->seg, off);
	if (size > have && !cache_begin(cache, size, size - have)) {
		cache_leave(cache);
		return 0;
	}
	if (resize_here(cache, off, size)) {
		cache_fill_new(cache, off, have);
		cache_leave(cache);
		return off;
	}
	new = cache_alloc(cache, size);
	if (new)
		cache_fill_new(cache, new, 0);
	cache_leave(cache);
	if (new == 0)
		return 0;
	memcpy(shmalloc_ptr(heap, new), shmalloc_ptr(heap, off),
	    have < size ? have : size);
	shmalloc_free(heap, off);
	return new;
}

size_t
shmalloc_alloc_batch(
    struct shmalloc *heap, size_t size, size_t n, shmalloc_off ret_off[])
{
	size_t got = 0;

	while (got < n) {
		shmalloc_off off = shmalloc_alloc(heap, size);

		if (off == 0)
			break;
		ret_off[got++] = off;
	}
	return got;
}

void
shmalloc_free_batch(struct shmalloc *heap, size_t n, const shmalloc_off off[])
{
	for (size_t i = 0; i < n; i++)
		shmalloc_free(heap, off[i]);
}

const struct shmalloc_failure *
shmalloc_last_failure(struct shmalloc *heap)
{
	static const struct shmalloc_failure none = { "none", 0, 0, 0 };
	struct cache *cache = cache_find(heap);

	return cache ? &cache->failure : &none;
}

shmalloc_off
shmalloc_offset(const struct shmalloc *heap, const void *ptr)
{
	const char *p = ptr;

	return p > heap->seg.base && p < heap->seg.base + heap->seg.len
	    ? (shmalloc_off)(p - heap->seg.base)
	    : 0;
}
