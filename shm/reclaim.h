/*
 * The walk over regions in which the dead were, which gives back what they held
 * there: step 3 of reclaim.c.
 *
 * Who die together have used the same regions.  So the walk of a region for one
 * of them gives back what any of them has there whose step 1 is done: thousands
 * of dead take not much longer than a few.
 */
#ifndef SHM_RECLAIM_H
#define SHM_RECLAIM_H

#include "shm/self.h"

/* Those whose step 1 is done.  The daemon's own memory, which no client can
 * write. */
struct shm_dying {
	uint32_t n;
	uint32_t visit; /* the latest visit's number */
	uint16_t slot[SHM_CLIENTS];
	struct shm_reclaimed of[SHM_CLIENTS]; /* by slot */
};

/* Whose turn it is. */
struct shm_victim {
	struct shm_self *self; /* the daemon */
	struct shm_dying *dying;
	uint32_t slot;
	uint32_t generation;
	bool is_daemon; /* every generation but `generation` */
	struct shm_reclaimed *sum;
	uint64_t oldest;         /* epoch of a reader, of all */
	uint64_t looked_at, max; /* chunks, of this slice */
	uint64_t chunks, bytes;  /* given back in this slice, of all */
	bool is_left;            /* something must wait for readers */
	bool is_ours;            /* the daemon of now has something out here */
	bool is_part;            /* the slice ends inside a run */
	uint32_t first, end;     /* regions that the visit was to */
};

/*
 * Visit the regions that the victim's bitmap names, until victim->max chunks
 * have been looked at; the next call goes on there, so that what must be left
 * does not keep a pass from its end.  0: there are more; 1: all were visited;
 * SHM_ERETRY: all, but some could not be locked or must wait.
 */
int shm_reclaim_regions(struct shm_victim *victim) SHM_MUSTCHECK;

#endif
