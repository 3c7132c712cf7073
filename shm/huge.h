/*
 * Huge pages behind regions that are in use from end to end.
 *
 * A memfd gets small pages, and every process takes a fault for each of them,
 * and misses its TLB for most objects of a large heap.  MADV_COLLAPSE (Linux
 * 6.1) copies a region's 512 pages into one huge page under the eyes of those
 * who use it: contents, committed bits and what is resident stay the same, a
 * process that maps the region anew takes one fault.  It costs some
 * milliseconds, so the daemon does it, in its thread.
 *
 * Whatever of a region is punched at that very moment is filled again, by pages
 * that nobody has committed.  So it is looked at just before and once more
 * after.  What was filled then isn't punched here, for it is somebody's; the
 * region is said to be filled, and until it no longer is, ticks punch what is
 * free in it though it was punched before (shm/sweep.c).  A daemon that begins
 * suspects all regions: what it follows may have been killed in between.
 *
 * Nothing in the segment says which regions have one.  A page of one that is
 * punched makes the kernel split it; when the region is whole again, and has
 * been for a while, it gets another.
 */
#ifndef SHM_HUGE_H
#define SHM_HUGE_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/seg.h"

/* What the daemon remembers of a segment's regions.  Zeros to begin with. */
struct shm_huge {
	uint8_t *state;   /* of each region; malloc'd */
	uint32_t next;    /* region that is looked at next */
	uint32_t settled; /* the same, of shm_huge_settle() */
	uint32_t n;       /* regions with a huge page, as of the last look */
	bool
	    is_denied; /* the kernel has none to give, or knows no such thing */
};

/*
 * Look at every region; true if some that has been whole since the look before
 * has no huge page yet.  Touches the committed bits only.  SHM_ENOMEM is false.
 */
bool shm_huge_look(const struct shm_seg *seg, struct shm_huge *huge);

/*
 * Look at some of the regions that may have memory behind pages that aren't
 * committed, whether they do; ticks see to those, and free ones are emptied at
 * once.  By the daemon's own thread, while no shm_huge_collapse() is at work.
 */
void shm_huge_settle(struct shm_seg *seg, struct shm_huge *huge);

/* Give huge pages to at most MOST regions that shm_huge_look() found. */
void shm_huge_collapse(
    const struct shm_seg *seg, struct shm_huge *huge, uint32_t most);

/* Free what HUGE holds. */
void shm_huge_forget(struct shm_huge *huge);

#endif
