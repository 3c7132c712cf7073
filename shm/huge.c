/*
 * See shm/huge.h.
 */
#include "shm/huge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shm/commit.h"
#include "shm/region.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; the C library's headers are older */
#endif

enum state {
	REGION_PARTIAL, /* some of its pages are not committed */
	REGION_WHOLE,   /* all of them are, since the last look */
	REGION_WAITS,   /* and since the one before: it is wanted */
	REGION_HUGE,    /* it has a huge page, or was refused one */
};

static enum state
state_next(enum state state, bool is_whole)
{
	if (!is_whole)
		return REGION_PARTIAL;
	return state < REGION_WAITS ? state + 1 : state;
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
		bool is_whole = shm_committed_pages(seg, shm_region_off(seg, i),
				    SHM_REGION) == SHM_REGION_PAGES;

		huge->state[i] =
		    (uint8_t)state_next((enum state)huge->state[i], is_whole);
		is_wanted |= huge->state[i] == REGION_WAITS;
		huge->n += huge->state[i] == REGION_HUGE;
	}
	return is_wanted && !huge->is_denied;
}

/* 0: it has a huge page; 1: not now; -1: never on this machine. */
static int
region_collapse(const struct shm_seg *seg, uint32_t region)
{
	if (madvise(seg->base + shm_region_off(seg, region), SHM_REGION,
		MADV_COLLAPSE) == 0)
		return 0;
	/* EINVAL also says that somebody has punched it meanwhile. */
	return errno == ENOMEM || errno == EAGAIN || errno == EBUSY ||
		shm_committed_pages(seg, shm_region_off(seg, region),
		    SHM_REGION) < SHM_REGION_PAGES
	    ? 1
	    : -1;
}

void
shm_huge_collapse(
    const struct shm_seg *seg, struct shm_huge *huge, uint32_t most)
{
	uint32_t used = shm_regions_used(seg);

	for (uint32_t i = 0; i < used && most > 0; i++) {
		uint32_t region = huge->next++ % used;
		int result;

		if (huge->state[region] != REGION_WAITS)
			continue;
		if (shm_load(&seg->is_cancelled))
			break;
		result = region_collapse(seg, region);
		huge->is_denied = result < 0;
		if (result < 0)
			break;
		/* Refused now: wait for two more looks. */
		huge->state[region] =
		    result == 0 ? REGION_HUGE : REGION_PARTIAL;
		most--;
	}
}

void
shm_huge_forget(struct shm_huge *huge)
{
	free(huge->state);
	memset(huge, 0, sizeof(*huge));
}
