/*
 * Regions: 2 MiB pieces of the heap, claimed and returned by one CAS on their
 * entries, without a lock.
 *
 *	FREE --CAS--> CLAIMED(client) --store--> CHUNKS(arena)
 *	                 |         \--store--> MORE(arena).. EXTENTS(arena)
 *	FREE <--store----/  and back the same way
 *
 * A region is claimed by somebody first, so that a dead claimant's is found
 * (its bit in the claimant's region bitmap is set before the claim).  A run of
 * regions for extents becomes MORE first and EXTENTS, at its front, last: what
 * is MORE without a run that covers it belongs to the claimant whom the entry
 * still names.
 */
#ifndef SHM_REGION_H
#define SHM_REGION_H

#include "shm/self.h"

static inline uint64_t
shm_region_entry(enum shm_region_kind kind, uint32_t arena, uint32_t slot,
    uint32_t generation)
{
	return (uint64_t)kind | (uint64_t)(arena & 0xffff) << 8 |
	    (uint64_t)(slot & 0xffff) << 24 |
	    (uint64_t)(generation & 0xffff) << 40;
}

static inline enum shm_region_kind
shm_entry_kind(uint64_t entry)
{
	return (enum shm_region_kind)(entry & 255);
}

static inline uint32_t
shm_entry_arena(uint64_t entry)
{
	return (uint32_t)(entry >> 8 & 0xffff);
}

static inline uint32_t
shm_entry_slot(uint64_t entry)
{
	return (uint32_t)(entry >> 24 & 0xffff);
}

static inline uint32_t
shm_entry_generation(uint64_t entry)
{
	return (uint32_t)(entry >> 40 & 0xffff);
}

/* Is ENTRY a region of ARENA's extents? */
static inline bool
shm_entry_has_extents(uint64_t entry, uint32_t arena)
{
	enum shm_region_kind kind = shm_entry_kind(entry);

	return (kind == SHM_REGION_EXTENTS || kind == SHM_REGION_MORE) &&
	    shm_entry_arena(entry) == arena;
}

/* How many regions lie below the watermark. */
static inline uint32_t
shm_regions_used(const struct shm_seg *seg)
{
	uint64_t n = shm_get(&seg->super->watermark) / SHM_REGION;

	return n < seg->n_regions ? (uint32_t)n : seg->n_regions;
}

/* The entry of REGION, which may be any number: FREE beyond the watermark. */
static inline uint64_t
shm_region_get(const struct shm_seg *seg, uint32_t region)
{
	return region < shm_regions_used(seg) ? shm_get(&seg->regions[region])
					      : 0;
}

/*
 * Claim N contiguous free regions for SELF's client; the first is *RET_FIRST.
 * Their entries' table is committed, and with WITH_PAGES their part of the page
 * table.  SHM_ENOMEM, with self->failure.  System calls.
 */
int shm_region_claim(struct shm_self *self, uint32_t n, bool with_pages,
    uint32_t *ret_first) SHM_MUSTCHECK;

/* Punch the N regions from FIRST, CLAIMED by the caller, and free them. */
void shm_region_return(struct shm_self *self, uint32_t first, uint32_t n);

/*
 * Where the run of extents around REGION begins, and *RET_N its length in
 * regions; false if REGION isn't in one, and *RET_FIRST is how far down that
 * was looked for.
 */
bool shm_region_run(const struct shm_seg *seg, uint32_t region,
    uint32_t *ret_first, uint32_t *ret_n);

#endif
