/*
 * A place in the bins of an arena at which a walk over its free pieces goes on
 * after the lock was released.
 *
 * It is private to whoever walks, and only remembers: others take pieces, put
 * them back and merge them meanwhile, so the first few pieces that were to come
 * are kept, and the walk goes on at the first of them that still is what it
 * was.  What was freed or put back meanwhile is at the front of its bin, behind
 * the walk.  If none is left the bin begins again.
 *
 * Nothing here is believed: the segment is input, and where a free chunk was
 * there may be a hole of the file now, or somebody's bytes.
 */
#ifndef SHM_PLACE_H
#define SHM_PLACE_H

#include "shm/arena.h"

#define SHM_PLACE_NEXT 8

struct shm_place {
	bool is_chunks; /* in the bins of chunks, which come after extents' */
	uint32_t bin;
	uint32_t n; /* pieces remembered; 0: the bin's beginning */
	struct shm_place_next {
		uint64_t at; /* chunk, or extent's page plus one */
		uint32_t stamp_ms;
	} next[SHM_PLACE_NEXT];
};

/* The beginning: the extents' last bin.  The largest pieces come first. */
void shm_place_begin(struct shm_place *place);

/* Go to the beginning of the next bin that may have pieces of a page or more;
 * false: that was the last. */
bool shm_place_advance(struct shm_place *place) SHM_MUSTCHECK;

/*
 * Where the walk goes on in PLACE's bin: a chunk, or an extent's page plus one;
 * 0: the bin has no more.  ARENA's lock is held.
 */
uint64_t shm_place_resume(const struct shm_seg *seg,
    const struct shm_arena *arena, const struct shm_place *place);

/* Remember that the walk stops before AT, a piece that is linked in PLACE's
 * bin; ARENA's lock is held still. */
void shm_place_keep(const struct shm_seg *seg, const struct shm_arena *arena,
    struct shm_place *place, uint64_t at);

/* May a free piece of ARENA's be at AT, in a bin of PLACE's kind?  What is true
 * of it can be read, at least. */
bool shm_place_is_sane(const struct shm_seg *seg, const struct shm_arena *arena,
    const struct shm_place *place, uint64_t at);

/* The piece that follows AT, which is sane, in its bin. */
uint64_t shm_place_next(
    const struct shm_seg *seg, const struct shm_place *place, uint64_t at);

/* When the free extent at PAGE was freed.  Of one page there is no room for
 * that. */
static inline uint32_t
shm_extent_stamp(const struct shm_seg *seg, uint32_t page)
{
	return shm_pages(&seg->pages[page]) > 1
	    ? shm_load(&seg->pages[page + 1].next)
	    : 0;
}

#endif
