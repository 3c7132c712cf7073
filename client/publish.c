/*
 * The public face of publishing, sharing, reading and retiring; the protocol is
 * in shm/publish.c.
 */
#include <errno.h>

#include "client/cache.h"
#include "shm/epoch.h"
#include "shm/publish.h"

/* Begin a call that changes the segment.  0 or a negative SHMALLOC_E*. */
static int
call_begin(struct shmalloc *heap, struct cache **ret_cache)
{
	struct cache *cache = cache_enter(heap);

	if (!cache)
		return cache_error();
	*ret_cache = cache;
	if (!heap->seg.is_read_only)
		return 0;
	cache_leave(cache);
	return SHMALLOC_EREADONLY;
}

static void
pin_set(struct cache *cache)
{
	if (cache->depth++ == 0)
		shm_epoch_enter(cache->self.seg, cache->pin);
}

static void
pin_clear(struct cache *cache)
{
	if (--cache->depth == 0)
		shm_epoch_exit(cache->pin);
}

int
shmalloc_publish(struct shmalloc *heap, shmalloc_slot *slot,
    shmalloc_off expected, shmalloc_off desired)
{
	shmalloc_off at = shmalloc_offset(heap, slot);
	struct cache *cache = NULL;
	uint64_t old, new;
	int error;

	if (at == 0 || at % sizeof(*slot) || (expected | desired) == 0 ||
	    !shm_at(&heap->seg, at, sizeof(*slot)))
		return SHMALLOC_EINVAL;
	error = call_begin(heap, &cache);
	if (error)
		return error;
	/* Its size while it is ours, or in the slot. */
	new = desired ? shm_heap_size(&heap->seg, desired) : 0;
	pin_set(cache);
	error = shm_publish(&cache->self, slot, expected, desired);
	if (error == 0 && new)
		cache_count_held(cache, cache->self.slot, new, -1);
	if (error == 0 && expected) {
		old = shm_heap_size(&heap->seg, expected);
		cache_count_held(cache, cache->self.slot, old, 1);
	}
	pin_clear(cache);
	cache_leave(cache);
	return error;
}

/* Let CHANGE give OFF away (HELD -1) or take it (1). */
static int
owner_change(struct shmalloc *heap, shmalloc_off off,
    int (*change)(struct shm_self *self, uint64_t off), int64_t held)
{
	struct cache *cache = NULL;
	uint64_t size;
	int error = call_begin(heap, &cache);

	if (error)
		return error;
	size = shm_heap_size(&heap->seg, off);
	error = size ? change(&cache->self, off) : SHMALLOC_EINVAL;
	if (error == 0)
		cache_count_held(cache, cache->self.slot, size, held);
	cache_leave(cache);
	return error;
}

int
shmalloc_share(struct shmalloc *heap, shmalloc_off off)
{
	return owner_change(heap, off, shm_share, -1);
}

int
shmalloc_adopt(struct shmalloc *heap, shmalloc_off off)
{
	return owner_change(heap, off, shm_adopt, 1);
}

int
shmalloc_retire(struct shmalloc *heap, shmalloc_off off)
{
	struct cache *cache = NULL;
	struct shm_self *self;
	_Atomic uint32_t *place;
	uint32_t tag, unlinked, retired;
	int error = call_begin(heap, &cache);

	if (error)
		return error;
	self = &cache->self;
	unlinked = shm_tag_base(self->slot, self->generation, SHM_UNLINKED);
	retired = shm_tag_base(self->slot, self->generation, SHM_RETIRED);
	place = shm_tag_at(self->seg, off);
	tag = place ? shm_load(place) : 0;
	if (!shm_tag_is_valid(self->seg, off, tag))
		error = SHMALLOC_EINVAL;
	else if ((tag & ~UINT32_C(255)) != unlinked &&
	    (tag & ~UINT32_C(255)) != cache->owned)
		error = SHMALLOC_ENOTOWNER;
	else if (cache_retire_room(cache) != 0)
		error = SHMALLOC_ENOMEM;
	else if (!shm_cas(place, &tag, retired | (tag & 255)))
		error = SHMALLOC_ENOTOWNER;
	else
		cache_retire(cache, off);
	cache_leave(cache);
	return error;
}

/* ---- Reading ------------------------------------------------------------- */

/* This thread's cache, for enter and exit; what a jump left is settled.  NULL
 * and errno. */
static struct cache *
reader_find(struct shmalloc *heap)
{
	struct cache *cache = cache_current;

	if (cache_is_open(cache, heap))
		return cache;
	cache = cache_enter(heap);
	if (cache)
		cache_leave(cache);
	return cache;
}

/*
 * `depth_before` is what `depth` goes back to if a jump leaves the call: it
 * says "inside" only after the pin is set, and "outside" before it is cleared.
 */
int
shmalloc_enter(struct shmalloc *heap)
{
	struct cache *cache = reader_find(heap);

	if (SHM_UNLIKELY(!cache))
		return cache_error();
	cache_mark(cache);
	pin_set(cache);
	cache->depth_before = cache->depth;
	cache_unmark(cache, heap);
	return 0;
}

int
shmalloc_exit(struct shmalloc *heap)
{
	struct cache *cache = reader_find(heap);

	if (SHM_UNLIKELY(!cache))
		return cache_error();
	if (SHM_UNLIKELY(cache->depth == 0))
		return SHMALLOC_EINVAL;
	cache_mark(cache);
	cache->depth_before = cache->depth - 1;
	atomic_signal_fence(memory_order_seq_cst);
	pin_clear(cache);
	cache_unmark(cache, heap);
	return 0;
}

shmalloc_off
shmalloc_slot_load(const shmalloc_slot *slot)
{
	return atomic_load_explicit(slot, memory_order_acquire);
}

void
shmalloc_slot_store(shmalloc_slot *slot, shmalloc_off off)
{
	atomic_store_explicit(slot, off, memory_order_release);
}
