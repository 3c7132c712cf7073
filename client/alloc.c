/*
 * Allocating and freeing: the fast paths, and the way to the slow ones.
 *
 * A hit touches the thread's private cache and one line of the object.
 */
#include <errno.h>

#include "client/cache.h"
#include "shm/region.h"

#define NOINLINE __attribute__((noinline))

/* The class of a request of SIZE bytes, below 1 KiB with the chunk's head. */
static inline size_t
class_of(size_t size)
{
	return ((size < 9 ? 9 : size) + SHM_CHUNK_OVER + SHM_GRANULE - 1) /
	    SHM_GRANULE -
	    2;
}

static NOINLINE shmalloc_off
alloc_slow(struct shmalloc *heap, size_t size)
{
	struct cache *cache = cache_enter(heap);
	shmalloc_off off;
	uint64_t since;

	if (!cache)
		return 0;
	if (heap->seg.is_read_only) {
		cache_leave(cache);
		return errno = EROFS, 0;
	}
	since = cache_time(cache);
	off = cache_alloc(cache, size);
	if (off)
		cache_fill_new(cache, off, 0);
	cache_timed(cache, SHM_LATENCY_ALLOCATE, since);
	cache_leave(cache);
	return off;
}

/* OFF is new, and to be sampled. */
static NOINLINE shmalloc_off
alloc_sampled(struct shmalloc *heap, shmalloc_off off, size_t size)
{
	struct cache *cache = cache_enter(heap);

	if (!cache)
		return off;
	off = cache_sample(cache, off, size, shm_class(shm_cached_size(size)));
	cache_leave(cache);
	return off;
}

/* Count an allocation of SIZE bytes, for which K gave OFF; the call ends. */
static inline shmalloc_off
hit_end(struct shmalloc *heap, struct cache *cache, struct cache_class *k,
    uint64_t off, size_t size)
{
	k->requested += size;
	/* Two plain additions, not one of vectors. */
	atomic_signal_fence(memory_order_seq_cst);
	if (SHM_UNLIKELY(--k->left < 0)) {
		cache_unmark(cache, heap);
		return alloc_sampled(heap, off, size);
	}
	cache_unmark(cache, heap);
	return off;
}

/* Hand out OFF, the latest of the N chunks of K, unless its entry is stale. */
static inline shmalloc_off
latest_take(struct shmalloc *heap, struct cache *cache, struct cache_class *k,
    uint32_t n, uint64_t off, size_t size)
{
	_Atomic uint32_t *tag =
	    (_Atomic uint32_t *)(void *)(cache->base + off - 4);
	/* What is left are the check bits. */
	uint32_t word = shm_load(tag) ^ cache->cached;

	if (SHM_UNLIKELY(word > 255)) {
		cache_unmark(cache, heap);
		return alloc_slow(heap, size);
	}
	shm_put(tag, word | cache->owned);
	k->n = n - 1;
	return hit_end(heap, cache, k, off, size);
}

/* The latest chunk of a class of several sizes is too small. */
static NOINLINE shmalloc_off
alloc_search(struct shmalloc *heap, size_t size)
{
	struct cache *cache = cache_current;
	uint32_t class = shm_cached_class_large(size);
	uint64_t off;

	cache_mark(cache);
	off = cache_pop(cache, class, shm_chunk_size(size));
	if (SHM_UNLIKELY(off == 0)) {
		cache_unmark(cache, heap);
		return alloc_slow(heap, size);
	}
	return hit_end(heap, cache, &cache->class[class], off, size);
}

/* From a class of several sizes. */
static NOINLINE shmalloc_off
alloc_range(struct shmalloc *heap, size_t size)
{
	struct cache *cache = cache_current;
	struct cache_class *k;
	uint64_t entry;
	uint32_t n;

	if (size > cache->range_max)
		return alloc_slow(heap, size);
	k = &cache->class[shm_cached_class_large(size)];
	cache_mark(cache);
	n = k->n;
	if (SHM_UNLIKELY(n == 0)) {
		cache_unmark(cache, heap);
		return alloc_slow(heap, size);
	}
	entry = k->slot[n - 1];
	if (SHM_UNLIKELY(cache_entry_size(entry) < size + SHM_CHUNK_OVER)) {
		cache_unmark(cache, heap);
		return alloc_search(heap, size);
	}
	return latest_take(heap, cache, k, n, entry & CACHE_OFF_MASK, size);
}

shmalloc_off
shmalloc_alloc(struct shmalloc *heap, size_t size)
{
	struct cache *cache = cache_current;
	struct cache_class *k;
	uint32_t n;

	if (!cache_is_open(cache, heap))
		return alloc_slow(heap, size);
	if (SHM_UNLIKELY(size > cache->fast_max))
		return alloc_range(heap, size);
	cache_mark(cache);
	k = &cache->class[class_of(size)];
	/* Once, not for each of its fields. */
	__asm__("" : "+r"(k));
	n = k->n;
	if (SHM_UNLIKELY(n == 0)) {
		cache_unmark(cache, heap);
		return alloc_slow(heap, size);
	}
	return latest_take(heap, cache, k, n, k->slot[n - 1], size);
}

/* ---- Freeing ------------------------------------------------------------- */

/* A chunk whose tag is not ours to store over: another client's, the segment's,
 * or none at all. */
static void
free_foreign(
    struct cache *cache, uint64_t off, _Atomic uint32_t *place, uint32_t tag)
{
	struct shm_self *self = &cache->self;
	struct shm_seg *seg = self->seg;
	enum shm_state state = shm_tag_state(tag);
	uint32_t to = cache->cached, owner = shm_tag_owner(tag);
	uint64_t size = shm_heap_size(seg, off);

	if (state == SHM_UNLINKED)
		to = shm_tag_base(self->slot, self->generation, SHM_RETIRED);
	else if (state != SHM_OWNED && state != SHM_SHARED) {
		cache_misuse(cache, off, shm_state_is_thread(state) ? 4 : 2);
		return;
	}
	/* Without room on the list it stays UNLINKED until we have ended. */
	if (state == SHM_UNLINKED && cache_retire_room(cache) != 0)
		return;
	shm_self_visit(self, shm_region_of(seg, off));
	if (!shm_cas(place, &tag, to | shm_tag_check(cache->key, off))) {
		cache_misuse(cache, off, 2);
		return;
	}
	if (state != SHM_SHARED && owner != self->slot && owner < SHM_CLIENTS)
		cache_count_held(cache, owner, size, -1);
	if (state == SHM_SHARED || owner != self->slot)
		cache_count_held(cache, self->slot, size, 1);
	if (state == SHM_UNLINKED)
		cache_retire(cache, off);
	else
		cache_put_freed(cache, off);
}

static void
free_checked(struct cache *cache, uint64_t off)
{
	struct shm_seg *seg = cache->self.seg;
	_Atomic uint32_t *place = shm_tag_at(seg, off);
	uint32_t tag;

	if (!place) {
		cache_misuse(cache, off, 1);
		return;
	}
	tag = shm_load(place);
	if (!shm_tag_is_valid(seg, off, tag)) {
		cache_misuse(cache, off, tag ? 3 : 1);
		return;
	}
	if (!cache_head_is_there(cache, off)) {
		cache_misuse(cache, off, 1);
		return;
	}
	if ((tag & ~UINT32_C(255)) != cache->owned ||
	    cache->self.param[SHM_PARAM_check_level]) {
		free_foreign(cache, off, place, tag);
		return;
	}
	shm_put(place, cache->cached | (tag & 255));
	cache_put_freed(cache, off);
}

/* mmap_threshold grows when an object that had pages of its own is freed, so
 * that the next one of its size comes from an arena (glibc). */
static void
threshold_adapt(struct cache *cache, uint64_t off)
{
	struct shm_seg *seg = cache->self.seg;
	uint64_t size;
	bool is_extent;

	if (off % SHM_PAGE || !shm_load(&seg->tunables->is_dynamic) ||
	    !shm_arena_of(seg, off, &is_extent) || !is_extent)
		return;
	size = shm_heap_usable(seg, off);
	if (size > shm_params[SHM_PARAM_mmap_threshold].max ||
	    size < shm_heap_threshold(&cache->self))
		return;
	shm_store(&seg->super->mmap_dynamic, (uint32_t)size + 1);
}

static NOINLINE void
free_slow(struct shmalloc *heap, shmalloc_off off)
{
	int saved = errno;
	struct cache *cache;
	uint64_t since;

	if (off == 0)
		return;
	cache = cache_enter(heap);
	if (cache && !heap->seg.is_read_only) {
		since = cache_time(cache);
		threshold_adapt(cache, off);
		free_checked(cache, off);
		cache_timed(cache, SHM_LATENCY_FREE, since);
	}
	if (cache)
		cache_leave(cache);
	errno = saved;
}

/* The granule of the heap at OFF, from 0; a number beyond all of them if OFF is
 * misaligned or below the heap: those have bits at the top. */
static inline uint64_t
granule_of(const struct cache *cache, uint64_t off)
{
	uint64_t rel = off - cache->heap_off;

	return rel >> 4 | rel << 60;
}

/* Is there a chunk at GRANULE, the first of a page?  It may be an extent. */
static inline bool
is_of_chunks(const struct cache *cache, uint64_t granule)
{
	uint64_t region = granule / (SHM_REGION / SHM_GRANULE);

	return shm_entry_kind(shm_get(&cache->regions[region])) ==
	    SHM_REGION_CHUNKS;
}

/* Free the chunk at OFF, which is ours and has SIZE bytes, to a class of
 * several sizes. */
static NOINLINE void
free_range(struct shmalloc *heap, uint64_t off, uint32_t size)
{
	struct cache *cache = cache_current;
	struct shm_head *head =
	    (struct shm_head *)(void *)(cache->base + off - 8);
	uint32_t class = SHM_CLASSES;

	if (SHM_LIKELY(size >= SHM_LARGE_MIN && size <= SHM_CHUNK_MAX))
		class = shm_class_large(size);
	if (SHM_UNLIKELY(class >= SHM_CLASSES ||
		cache->class[class].n >= cache->class[class].cap)) {
		free_slow(heap, off);
		return;
	}
	cache_mark(cache);
	shm_put(&head->tag, cache->cached | shm_tag_check(cache->key, off));
	cache_push(cache, class, off, size);
	cache_unmark(cache, heap);
}

/* The class of the chunk at OFF, of SIZE bytes and with TAG, if it is some
 * client's object, or the segment's, and the class has room for it; else
 * SHM_CLASSES. */
static inline uint32_t
other_class(
    const struct cache *cache, uint64_t off, uint32_t size, uint32_t tag)
{
	enum shm_state state = shm_tag_state(tag);
	uint32_t class;

	if (!shm_tag_is_valid(cache->self.seg, off, tag) ||
	    (state != SHM_OWNED && state != SHM_SHARED) ||
	    size < SHM_CHUNK_MIN || size > SHM_CHUNK_MAX)
		return SHM_CLASSES;
	class = shm_class(size);
	return class < SHM_CLASSES &&
		cache->class[class].n < cache->class[class].cap
	    ? class
	    : SHM_CLASSES;
}

/*
 * Free the chunk at OFF, which is another client's or the segment's, to its
 * class: one swap, so that of two who free it one is found out.  The mark comes
 * before the tag is read, so that its slot stays whose it was until the swap;
 * the region's bit is set before that, too.
 */
static NOINLINE void
free_other(struct shmalloc *heap, uint64_t off)
{
	struct cache *cache = cache_current;
	struct shm_seg *seg = cache->self.seg;
	struct shm_head *head = &shm_chunk(seg, off - SHM_CHUNK_HEAD)->head;
	uint32_t size = shm_load(&head->size) & ~SHM_FLAGS, tag, class;
	bool is_done = false;

	cache_mark(cache);
	cache_epoch_mark(cache);
	tag = shm_get(&head->tag);
	class = other_class(cache, off, size, tag);
	if (class < SHM_CLASSES) {
		shm_self_visit(&cache->self, shm_region_of(seg, off));
		is_done =
		    shm_cas(&head->tag, &tag, cache->cached | (tag & 255));
	}
	if (is_done) {
		cache->class[class].foreign++;
		cache_push(cache, class, off, size);
		cache_owe(cache, tag, class);
	}
	cache_epoch_clear(cache);
	cache_unmark(cache, heap);
	if (!is_done)
		free_slow(heap, off);
}

void
shmalloc_free(struct shmalloc *heap, shmalloc_off off)
{
	struct cache *cache = cache_current;
	uint64_t granule = granule_of(cache, off);
	struct shm_head *head;
	struct cache_class *k;
	uint32_t size, check, n;

	if (!cache_is_open(cache, heap) ||
	    SHM_UNLIKELY(granule >= cache->granules ||
		(granule % (SHM_PAGE / SHM_GRANULE) == 0 &&
		    !is_of_chunks(cache, granule))))
		goto slow;
	head = (struct shm_head *)(void *)(cache->base + off - 8);
	check = shm_tag_check(cache->key, off);
	size = shm_load(&head->size) & ~SHM_FLAGS;
	if (SHM_UNLIKELY(shm_load(&head->tag) != (cache->owned | check))) {
		free_other(heap, off);
		return;
	}
	if (SHM_UNLIKELY(
		size - SHM_CHUNK_MIN >= SHM_LARGE_MIN - SHM_CHUNK_MIN)) {
		free_range(heap, off, size);
		return;
	}
	cache_mark(cache);
	k = &cache->class[(size - SHM_CHUNK_MIN) / SHM_GRANULE];
	n = k->n;
	if (SHM_UNLIKELY(n >= k->cap))
		goto full;
	shm_put(&head->tag, cache->cached | check);
	k->slot[n] = off;
	atomic_signal_fence(memory_order_seq_cst);
	k->n = n + 1;
	cache_unmark(cache, heap);
	return;
full:
	cache_unmark(cache, heap);
slow:
	free_slow(heap, off);
}
