/*
 * See shm/region.h.
 */
#include "shm/region.h"

#include "shm/commit.h"

/* The first of N regions in a row that look free, from START on; n_regions if
 * there are none. */
static uint32_t
free_run_find(const struct shm_seg *seg, uint32_t start, uint32_t n)
{
	uint32_t used = shm_regions_used(seg), run = 0, i = start;

	for (; i < used; i++) {
		/* The whole word: only that can be claimed. */
		bool is_free = shm_get(&seg->regions[i]) == 0;

		run = is_free ? run + 1 : 0;
		if (run == n)
			return i + 1 - n;
	}
	/* All beyond the watermark is free. */
	i -= run;
	return n <= seg->n_regions - i ? i : seg->n_regions;
}

static void
watermark_raise(struct shm_seg *seg, uint32_t regions)
{
	uint64_t want = (uint64_t)regions * SHM_REGION;
	uint64_t old = shm_load(&seg->super->watermark);

	while (old < want && !shm_cas(&seg->super->watermark, &old, want))
		;
}

/* Commit the tables that describe the regions. */
static int
tables_commit(
    struct shm_self *self, uint32_t first, uint32_t n, bool with_pages)
{
	struct shm_seg *seg = self->seg;
	int error = shm_commit(self, shm_offset_of(seg, &seg->regions[first]),
	    (uint64_t)n * sizeof(*seg->regions));

	if (error == 0 && with_pages)
		error = shm_commit(self,
		    shm_offset_of(
			seg, &seg->pages[(uint64_t)first * SHM_REGION_PAGES]),
		    (uint64_t)n * SHM_REGION_PAGES * sizeof(*seg->pages));
	return error;
}

/* Claim exactly these regions; false and none if one was taken meanwhile. */
static bool
regions_take(struct shm_self *self, uint32_t first, uint32_t n)
{
	struct shm_seg *seg = self->seg;
	uint64_t mine = shm_region_entry(
	    SHM_REGION_CLAIMED, 0, self->slot, self->generation);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t is_free = 0;

		shm_self_visit(self, first + i);
		if (shm_cas(&seg->regions[first + i], &is_free, mine))
			continue;
		while (i > 0)
			shm_put(&seg->regions[first + --i], 0);
		return false;
	}
	return true;
}

int
shm_region_claim(
    struct shm_self *self, uint32_t n, bool with_pages, uint32_t *ret_first)
{
	struct shm_seg *seg = self->seg;
	uint32_t first = 0;

	for (;;) {
		int error;

		first = free_run_find(seg, first, n);
		if (first >= seg->n_regions) {
			self->failure = SHM_FAIL_FULL;
			return SHM_ENOMEM;
		}
		error = tables_commit(self, first, n, with_pages);
		if (error)
			return error;
		watermark_raise(seg, first + n);
		if (regions_take(self, first, n)) {
			*ret_first = first;
			return 0;
		}
	}
}

void
shm_region_return(struct shm_self *self, uint32_t first, uint32_t n)
{
	struct shm_seg *seg = self->seg;

	(void)shm_uncommit(
	    self, shm_region_off(seg, first), (uint64_t)n * SHM_REGION);
	for (uint32_t i = 0; i < n; i++)
		shm_put(&seg->regions[first + i], 0);
}

bool
shm_region_run(const struct shm_seg *seg, uint32_t region, uint32_t *ret_first,
    uint32_t *ret_n)
{
	uint64_t entry = shm_region_get(seg, region);
	uint32_t arena = shm_entry_arena(entry), first = region, end;

	while (shm_entry_kind(entry) == SHM_REGION_MORE && first > 0 &&
	    shm_entry_arena(entry) == arena)
		entry = shm_region_get(seg, --first);
	*ret_first = first;
	if (shm_entry_kind(entry) != SHM_REGION_EXTENTS ||
	    shm_entry_arena(entry) != arena)
		return false;
	for (end = region + 1; end < seg->n_regions; end++) {
		entry = shm_region_get(seg, end);
		if (shm_entry_kind(entry) != SHM_REGION_MORE ||
		    shm_entry_arena(entry) != arena)
			break;
	}
	*ret_n = end - first;
	return true;
}
