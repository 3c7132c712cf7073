/*
 * The segment's heap as an allocating thread sees it: which arena to go to,
 * when to add a region or an arena, and what to do when one is locked.  Nobody
 * waits for a lock while another arena can serve.
 */
#ifndef SHM_HEAP_H
#define SHM_HEAP_H

#include "shm/arena.h"

/*
 * Take N chunks of SIZE bytes (heads included); at least one, unless it fails.
 * Payload offsets go into RET, tagged CACHED for SELF.  How many; 0 with
 * self->failure.
 */
uint32_t shm_heap_take(
    struct shm_self *self, uint32_t size, uint32_t n, uint64_t ret[]);

/*
 * Take one chunk of at least SIZE bytes whose payload is a multiple of ALIGN
 * (a power of two, 32 to SHM_PAGE).  0 with self->failure.
 */
uint64_t shm_heap_take_aligned(
    struct shm_self *self, uint32_t size, uint32_t align);

/*
 * Take an extent of PAGES pages, committed, tagged CACHED; its offset, or 0
 * with self->failure.
 */
uint64_t shm_heap_take_extent(struct shm_self *self, uint64_t pages);

/* The same for somebody who can do without: 0 is no failure, and nobody gives
 * back anything for it. */
uint64_t shm_heap_try_extent(struct shm_self *self, uint64_t pages);

/*
 * Put back N objects that are tagged CACHED for SELF, whichever arenas they are
 * of; what isn't so any more is left alone and counted as a misuse.  OFF is
 * scrambled.
 */
void shm_heap_put(struct shm_self *self, size_t n, uint64_t off[]);

/* Make the caller's object at OFF hold SIZE bytes without moving it. */
bool shm_heap_resize(struct shm_self *self, uint64_t off, uint64_t size);

/*
 * Does a chunk or extent really begin with its payload at OFF?  Walks its
 * region under the arena's lock; true if the lock could not be had.
 */
bool shm_heap_has_head(struct shm_self *self, uint64_t off);

/* The bytes of the object at OFF with its head, 0 if there is none. */
uint64_t shm_heap_size(struct shm_seg *seg, uint64_t off);

/* The bytes of it that can be used. */
uint64_t shm_heap_usable(struct shm_seg *seg, uint64_t off);

/*
 * Give free pages of all arenas back until WANT bytes have gone: at the limit,
 * where what is free in one arena may be what another lacks.  How many went.
 */
uint64_t shm_heap_relieve(struct shm_self *self, uint64_t want);

/* Pages that an object of SIZE bytes, which may be any number, takes as an
 * extent. */
static inline uint64_t
shm_pages_for(uint64_t size)
{
	return size / SHM_PAGE + (size % SHM_PAGE != 0);
}

/* From which request size on SELF uses extents. */
uint64_t shm_heap_threshold(const struct shm_self *self);

/* Free bytes of the segment, and its largest free piece, by the index. */
void shm_heap_free_space(
    struct shm_seg *seg, uint64_t *ret_free, uint64_t *ret_largest);

#endif
