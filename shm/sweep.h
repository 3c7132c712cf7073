/*
 * A pass over the free pieces of an arena, which gives their pages back.
 *
 * A free chunk or extent whose pages have been free for long enough is taken
 * out of circulation as any allocation would take it (so that nobody touches
 * its pages meanwhile, and a killed daemon's is found by its tag), its whole
 * pages are punched without a lock, and it is put back, marked as having holes.
 * A region or run that is all free goes back as a whole.
 *
 * An arena has more free pieces than may be looked at under its lock at once,
 * so a pass over them is cut into slices, each of which goes on where the one
 * before stopped (shm/place.h).  What a pass has put back is behind it.
 */
#ifndef SHM_SWEEP_H
#define SHM_SWEEP_H

#include "shm/arena.h"
#include "shm/place.h"

#define SHM_SWEEP_BATCH   32  /* pieces taken out under one lock */
#define SHM_FREE_HEAD_END 48u /* a free chunk's head and links stay */

/* How far one pass over all free pieces of an arena has come. */
struct shm_pass {
	bool is_under_way;
	bool is_at_top; /* all bins are done */
	bool is_full;   /* the last slice ended because it had a batch */
	struct shm_place place;
	uint32_t begin_ms;
	uint32_t oldest_ms;  /* age of the oldest that was too young, then */
	uint64_t looks_left; /* so that lists in a circle end, too */
};

/* How long an arena's lock is waited for. */
enum shm_patience {
	SHM_PATIENCE_NONE,   /* the next tick will do */
	SHM_PATIENCE_SPIN,   /* its holder is about to go, or stopped */
	SHM_PATIENCE_INSIST, /* some milliseconds */
};

/* One slice of a pass. */
struct shm_sweep {
	struct shm_self *self;
	struct shm_arena *arena;
	struct shm_pass *pass;
	enum shm_patience patience;
	uint32_t age_ms; /* free for at least so long; 0: all */
	bool is_dry;
	bool is_idle;   /* nobody has locked the arena since the last tick */
	bool is_missed; /* the arena was locked */
	bool is_tick;   /* in the daemon's own thread */
	bool is_filled; /* the piece may have memory without bits, if CLEAN */
	uint64_t bytes; /* given back, or that would be */
	uint32_t looked_at, n;
	struct shm_piece {
		uint64_t off;        /* chunk, or payload of an extent */
		uint64_t first, len; /* what to punch */
		uint32_t regions;    /* > 0: return these, CLAIMED by us */
		bool is_extent;
	} piece[SHM_SWEEP_BATCH];
};

/*
 * One slice of SWEEP's pass; true if the pass isn't through and can go on.  The
 * lock is taken and left in here, and no system call is made under it.
 */
bool shm_arena_sweep(struct shm_sweep *sweep) SHM_MUSTCHECK;

#endif
