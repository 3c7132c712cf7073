/*
 * Rebuilding an arena's index from the truth: heads, page table, region table.
 *
 * Idempotent: a rebuild that is killed is followed by another, which starts
 * over. The only stores to the truth are merges of neighbours that are both
 * FREE, and flags, which are an index that happens to share the size's word.
 */
#include "shm/arena.h"
#include "shm/commit.h"
#include "shm/head.h"

static void
index_clear(struct shm_arena *arena)
{
	for (uint32_t i = 0; i < SHM_BIN_WORDS; i++)
		shm_store(&arena->binmap[i], 0);
	for (uint32_t i = 0; i < SHM_EXTENT_WORDS; i++)
		shm_store(&arena->extent_map[i], 0);
	for (uint32_t i = 0; i < SHM_FASTBINS; i++)
		shm_store(&arena->fast[i], 0);
	for (uint32_t i = 0; i < SHM_BINS; i++)
		shm_store(&arena->bin[i], 0);
	for (uint32_t i = 0; i < SHM_EXTENT_BINS; i++)
		shm_store(&arena->extent_bin[i], 0);
	shm_store(&arena->top, 0);
	shm_store(&arena->top_bytes, 0);
	shm_store(&arena->n_regions, 0);
	shm_store(&arena->n_extent_regions, 0);
	shm_store(&arena->binned_bytes, 0);
	shm_store(&arena->binned_chunks, 0);
	shm_store(&arena->fast_bytes, 0);
	shm_store(&arena->fast_chunks, 0);
	shm_store(&arena->extent_free_pages, 0);
	shm_store(&arena->extent_free_n, 0);
}

/* ---- Chunks -------------------------------------------------------------- */

static void
fast_relink(
    struct shm_seg *seg, struct shm_arena *arena, uint64_t c, uint64_t len)
{
	uint64_t i = (len - SHM_CHUNK_MIN) / SHM_GRANULE;

	shm_store(&shm_chunk(seg, c)->next, shm_load(&arena->fast[i]));
	shm_store(&arena->fast[i], c);
	shm_bump(&arena->fast_bytes, len);
	shm_bump(&arena->fast_chunks, 1);
}

/* Link the free run of LEN bytes at C, all of whose heads said FREE. */
static void
run_link(struct shm_self *self, struct shm_arena *arena, uint64_t c,
    uint64_t len, uint32_t flags)
{
	struct shm_seg *seg = self->seg;
	uint32_t word = (uint32_t)len | SHM_PREV_INUSE | (flags & SHM_TOP);

	if (shm_committed_prefix(seg, c, len + SHM_CHUNK_OVER) <
	    len + SHM_CHUNK_OVER)
		word |= SHM_HOLES;
	shm_put(&shm_chunk(seg, c)->head.size, word);
	shm_bin_link_locked(self, arena, c);
}

/* As before anything is linked: the neighbour below counts as in use.  That of
 * a free chunk which another one's size is about to cover, too: a place in the
 * bins that a sweep has remembered may be inside then, and must not look as if
 * it were linked. */
static void
flags_reset(struct shm_seg *seg, uint64_t c, const struct shm_head_copy *head)
{
	shm_store(&shm_chunk(seg, c)->head.size,
	    (uint32_t)head->len | SHM_PREV_INUSE |
		(head->flags & (SHM_TOP | SHM_HOLES)));
}

static int
chunks_rebuild(struct shm_self *self, struct shm_arena *arena, uint32_t region)
{
	struct shm_seg *seg = self->seg;
	uint64_t c = shm_region_off(seg, region), end = c + SHM_CHUNK_MAX;
	uint64_t run = 0, run_len = 0;
	uint32_t run_flags = 0;
	struct shm_head_copy head;

	for (; c < end; c += head.len) {
		if (shm_chunk_read(seg, c, end, &head) != 0)
			return SHM_ECORRUPT;
		flags_reset(seg, c, &head);
		if (head.state == SHM_FREE) {
			run_flags = run ? run_flags | head.flags : head.flags;
			run = run ? run : c;
			run_len += head.len;
			continue;
		}
		if (run)
			run_link(self, arena, run, run_len, run_flags);
		run = run_len = 0;
		if (head.state == SHM_FAST &&
		    head.len < SHM_CHUNK_MIN + SHM_FASTBINS * SHM_GRANULE)
			fast_relink(seg, arena, c, head.len);
		else if (head.state == SHM_FAST)
			return SHM_ECORRUPT;
	}
	if (run)
		run_link(self, arena, run, run_len, run_flags);
	shm_bump(&arena->n_regions, 1);
	return 0;
}

/* ---- Extents ------------------------------------------------------------- */

static void
extent_run_link(
    struct shm_self *self, struct shm_arena *arena, uint32_t page, uint32_t n)
{
	struct shm_seg *seg = self->seg;
	uint32_t word = n << 4 | SHM_PREV_INUSE;

	if (shm_committed_pages(
		seg, shm_page_off(seg, page), (uint64_t)n * SHM_PAGE) < n)
		word |= SHM_HOLES;
	shm_put(&seg->pages[page].head.size, word);
	shm_extent_link_locked(self, arena, page);
}

/*
 * Of the run up to the page END: link what is free from *PAGE on, until BUDGET
 * pages have been done and no free run is open; there the next slice goes on,
 * for the lock is kept.
 */
static int
extents_rebuild(struct shm_self *self, struct shm_arena *arena, uint32_t end,
    uint64_t budget, uint32_t *page)
{
	struct shm_seg *seg = self->seg;
	uint32_t from = *page, run = 0, len = 0;
	struct shm_head_copy head;

	for (; *page < end && (len || *page - from < budget);
	     *page += (uint32_t)(head.len / SHM_PAGE)) {
		if (shm_extent_read(seg, *page, end, &head) != 0)
			return SHM_ECORRUPT;
		/* As with chunks. */
		shm_store(&seg->pages[*page].head.size,
		    (uint32_t)(head.len / SHM_PAGE) << 4 | SHM_PREV_INUSE |
			(head.flags & SHM_HOLES));
		if (head.state == SHM_FREE) {
			run = len ? run : *page;
			len += (uint32_t)(head.len / SHM_PAGE);
			continue;
		}
		if (len)
			extent_run_link(self, arena, run, len);
		len = 0;
	}
	if (len)
		extent_run_link(self, arena, run, len);
	return 0;
}

/* The run of N regions from FIRST on. */
static int
run_rebuild(struct shm_self *self, struct shm_arena *arena, uint32_t first,
    uint32_t n, uint64_t budget, uint32_t *page)
{
	uint32_t end = (first + n) * SHM_REGION_PAGES;
	int error;

	if (n > SHM_EXTENT_MAX / SHM_REGION_PAGES)
		return SHM_ECORRUPT;
	error = extents_rebuild(self, arena, end, budget, page);
	if (error == 0 && *page == end)
		shm_bump(&arena->n_extent_regions, n);
	return error;
}

/* What is ARENA's of the region that *PAGE is in; then it is behind that. */
static int
place_rebuild(struct shm_self *self, struct shm_arena *arena, uint64_t *budget,
    uint32_t *page)
{
	struct shm_seg *seg = self->seg;
	uint32_t from = *page, region = from / SHM_REGION_PAGES, first, n;
	uint64_t entry = shm_get(&seg->regions[region]);
	int error = 0;

	*page = (region + 1) * SHM_REGION_PAGES;
	if (shm_entry_arena(entry) != shm_arena_index(seg, arena))
		return 0;
	if (shm_entry_kind(entry) == SHM_REGION_CHUNKS) {
		error = chunks_rebuild(self, arena, region);
	} else if (shm_region_run(seg, region, &first, &n)) {
		*page = from;
		error = run_rebuild(self, arena, first, n, *budget, page);
	}
	*budget -= *page - from < *budget ? *page - from : *budget;
	return error;
}

int
shm_arena_rebuild_begin_locked(struct shm_self *self, struct shm_arena *arena)
{
	uint64_t cut;
	int error = shm_remote_cut_locked(self, arena, true, &cut);

	index_clear(arena);
	if (error)
		shm_arena_quarantine(arena);
	return error;
}

int
shm_arena_rebuild_step_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t *next, uint32_t max)
{
	struct shm_seg *seg = self->seg;
	uint64_t budget = (uint64_t)max * SHM_REGION_PAGES;
	int error = 0;

	while (error == 0 && *next / SHM_REGION_PAGES < shm_regions_used(seg)) {
		if (budget == 0)
			return 1;
		error = place_rebuild(self, arena, &budget, next);
	}
	if (error)
		shm_arena_quarantine(arena);
	else
		shm_store(&arena->state, SHM_ARENA_ACTIVE);
	return error;
}

int
shm_arena_rebuild_locked(struct shm_self *self, struct shm_arena *arena)
{
	uint32_t next = 0;
	int error = shm_arena_rebuild_begin_locked(self, arena);

	return error
	    ? error
	    : shm_arena_rebuild_step_locked(self, arena, &next, UINT32_MAX);
}
