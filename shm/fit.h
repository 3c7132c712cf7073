/*
 * Would it fit?  How many objects of a size could be allocated now, where, and
 * what stands in the way of more; without allocating any.
 *
 * The answer is of this moment, and counts what thread caches hold as used:
 * they give it back when an allocation fails.
 */
#ifndef SHM_FIT_H
#define SHM_FIT_H

#include "shm/seg.h"

/* Free pieces of an arena, as a request sees them. */
struct shm_fit_arena {
	uint64_t pieces;  /* large enough */
	uint64_t objects; /* that they can hold, if pages can be had */
	uint64_t free;    /* bytes, in pieces of any size */
	uint64_t largest; /* bytes */
};

struct shm_fit {
	uint64_t len; /* bytes that an object takes: its head, rounding */
	bool is_extent;
	uint64_t objects; /* that could be allocated now; the sum of both: */
	uint64_t in_free; /* in pieces that are free */
	uint64_t in_new;  /* in regions that nobody has */
	uint64_t free, largest;
	/* Bytes that may be committed, below limit.hard and as far as the
	 * system has memory; what could be given back elsewhere included. */
	uint64_t room;
	enum shm_failure reason; /* why not one more */
	uint32_t n_arenas;
	struct shm_fit_arena *arenas; /* owned: free() */
};

/*
 * Find out for objects of SIZE bytes, walking the heap as the daemon.  As
 * shm_walk(): SHM_ERETRY, SHM_EBUSY, SHM_EREADONLY, SHM_ENOMEM, SHM_ECORRUPT.
 */
int shm_fit(
    struct shm_seg *seg, uint64_t size, struct shm_fit *ret_fit) SHM_MUSTCHECK;

#endif
