/*
 * See shm/huge.h.
 */
#include "shm/huge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/region.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; the C library's headers are older */
#endif

#define SETTLE_MOST 64 /* regions in one call: a few microseconds each */

enum state {
	REGION_PARTIAL, /* some of its pages are not committed */
	REGION_WHOLE,   /* all of them are, since the last look */
	REGION_WAITS,   /* and since the one before: it is wanted */
	REGION_HUGE,    /* it has a huge page, or was refused one */
	REGION_PUNCHED, /* and was punched while it got that */
};

static enum state
state_next(enum state state, bool is_whole)
{
	if (!is_whole)
		return REGION_PARTIAL;
	return state < REGION_WAITS ? state + 1 : state;
}

static bool
region_is_whole(const struct shm_seg *seg, uint32_t region)
{
	return shm_committed_pages(seg, shm_region_off(seg, region),
		   SHM_REGION) == SHM_REGION_PAGES;
}

bool
shm_huge_look(const struct shm_seg *seg, struct shm_huge *huge)
{
	uint32_t used = shm_regions_used(seg);
	bool is_wanted = false;

	if (!huge->state)
		huge->state = calloc(seg->n_regions, sizeof(*huge->state));
	if (!huge->state)
		return false;
	huge->n = 0;
	for (uint32_t i = 0; i < used; i++) {
		if (huge->state[i] == REGION_PUNCHED)
			continue;
		huge->state[i] = (uint8_t)state_next(
		    (enum state)huge->state[i], region_is_whole(seg, i));
		is_wanted |= huge->state[i] == REGION_WAITS;
		huge->n += huge->state[i] == REGION_HUGE;
	}
	return is_wanted && !huge->is_denied;
}

/*
 * The region's next state; *RET_IS_DENIED: never on this machine.  Whoever
 * punches clears the bits first, so what was filled lacks its bit now, unless
 * it was committed anew.
 */
static enum state
region_collapse(const struct shm_seg *seg, uint32_t region, bool *ret_is_denied)
{
	int error = 0;

	if (madvise(seg->base + shm_region_off(seg, region), SHM_REGION,
		MADV_COLLAPSE) != 0)
		error = errno;
	/* EINVAL also says that somebody has punched it meanwhile. */
	if (!region_is_whole(seg, region))
		return REGION_PUNCHED;
	*ret_is_denied =
	    error != 0 && error != ENOMEM && error != EAGAIN && error != EBUSY;
	/* Refused now: wait for two more looks. */
	return error == 0 ? REGION_HUGE : REGION_PARTIAL;
}

void
shm_huge_collapse(
    const struct shm_seg *seg, struct shm_huge *huge, uint32_t most)
{
	uint32_t used = shm_regions_used(seg);

	for (uint32_t i = 0; i < used && most > 0; i++) {
		uint32_t region = huge->next++ % used;

		if (huge->state[region] != REGION_WAITS)
			continue;
		if (shm_load(&seg->is_cancelled))
			break;
		/* The look may be seconds old. */
		if (!region_is_whole(seg, region)) {
			huge->state[region] = REGION_PARTIAL;
			continue;
		}
		huge->state[region] =
		    (uint8_t)region_collapse(seg, region, &huge->is_denied);
		if (huge->is_denied)
			break;
		most--;
	}
}

/* ---- What was filled ----------------------------------------------------- */

/* Allocate FILLED; all that is there is suspected. */
static bool
filled_begin(struct shm_seg *seg)
{
	if (seg->filled)
		return true;
	seg->filled = calloc(seg->n_regions, sizeof(*seg->filled));
	if (!seg->filled)
		return false;
	memset(seg->filled, SHM_FILLED_PERHAPS, shm_regions_used(seg));
	return true;
}

/* Has REGION pages in memory that aren't committed?  Those that a huge page
 * brought have contents, which is what mincore() tells; what a client is just
 * committing looks the same. */
static enum shm_filled
region_filled(const struct shm_seg *seg, uint32_t region)
{
	uint64_t off = shm_region_off(seg, region);
	unsigned char there[SHM_REGION_PAGES];

	if (region_is_whole(seg, region))
		return SHM_FILLED_NOT;
	if (mincore(seg->base + off, SHM_REGION, there) != 0)
		return SHM_FILLED_PERHAPS; /* EAGAIN: the next look says */
	for (uint64_t i = 0; i < SHM_REGION_PAGES; i++)
		if ((there[i] & 1) &&
		    shm_committed_pages(seg, off + i * SHM_PAGE, SHM_PAGE) == 0)
			return SHM_FILLED;
	return SHM_FILLED_NOT;
}

/* Punch a region that nobody has, if nobody takes it before us. */
static void
region_empty(struct shm_seg *seg, uint32_t region)
{
	uint64_t is_free = 0;
	struct shm_self self;

	shm_daemon_self(seg, &self);
	shm_self_visit(&self, region);
	if (shm_cas(&seg->regions[region], &is_free,
		shm_region_entry(
		    SHM_REGION_CLAIMED, 0, self.slot, self.generation)))
		shm_region_return(&self, region, 1);
}

void
shm_huge_settle(struct shm_seg *seg, struct shm_huge *huge)
{
	uint32_t used = shm_regions_used(seg), most = SETTLE_MOST;

	if (!filled_begin(seg))
		return;
	for (uint32_t i = 0; i < used && most > 0; i++) {
		uint32_t region = huge->settled++ % used;

		if (huge->state && huge->state[region] == REGION_PUNCHED) {
			huge->state[region] = REGION_PARTIAL;
			seg->filled[region] = SHM_FILLED_PERHAPS;
		}
		if (seg->filled[region] == SHM_FILLED_NOT)
			continue;
		seg->filled[region] = (uint8_t)region_filled(seg, region);
		if (seg->filled[region] == SHM_FILLED &&
		    shm_region_get(seg, region) == 0)
			region_empty(seg, region);
		most--;
	}
}

void
shm_huge_forget(struct shm_huge *huge)
{
	free(huge->state);
	memset(huge, 0, sizeof(*huge));
}
