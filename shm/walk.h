/*
 * Copying heads: those of a region, or of a run of regions, at a time, under
 * their arena's lock, into memory of our own.  Everybody who walks the heap
 * looks at the copy, after the lock was released, for as long as it takes.
 *
 * The copies tile the heap: whatever changes between two of them, each region
 * below the watermark is in exactly one.
 */
#ifndef SHM_WALK_H
#define SHM_WALK_H

#include <stddef.h>

#include "shm/self.h"

/* A copied and checked head. */
struct shm_walk_head {
	uint64_t off; /* of the chunk, or of the extent's first page */
	uint64_t len;
	uint32_t flags, tag;
	uint64_t requested; /* of extents: bytes asked for, if it is in use */
};

struct shm_walk {
	struct shm_self self; /* the daemon */
	uint32_t regions;     /* where the walk ends */
	/* The last copy: which regions, whose, and the heads that tile them. */
	uint32_t first, n_regions, arena;
	enum shm_region_kind kind; /* CHUNKS, EXTENTS, else nobody's */
	struct shm_walk_head *head;
	size_t n, room;
};

/* Begin a walk of SEG, as the daemon.  End it with shm_walk_end().
 * SHM_EREADONLY, SHM_ENOMEM. */
int shm_walk_begin(struct shm_walk *walk, struct shm_seg *seg) SHM_MUSTCHECK;

void shm_walk_end(struct shm_walk *walk);

/*
 * Copy the heads of REGION, or of the run that begins there; the remote list of
 * its arena is drained first.  SHM_ERETRY: the lock could not be had;
 * SHM_ENOMEM; SHM_ECORRUPT: the arena is SICK from now on.
 */
int shm_walk_copy(struct shm_walk *walk, uint32_t region) SHM_MUSTCHECK;

/* Lock ARENA, which may take a few attempts: false if its holder is slow,
 * stopped or dead. */
bool shm_walk_lock(
    struct shm_self *self, struct shm_arena *arena) SHM_MUSTCHECK;

/* How many arenas there are whose tables can be read. */
uint32_t shm_walk_arenas(const struct shm_seg *seg);

/* How many regions lie below the watermark and have entries. */
uint32_t shm_walk_regions(const struct shm_seg *seg);

#endif
