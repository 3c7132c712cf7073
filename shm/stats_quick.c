/*
 * The quick statistics: counters of arenas and clients, no lock, no store.
 *
 * What is free, an arena's counters say exactly.  What isn't free they do not
 * divide; the clients' counters say how much of it is cached or pending, as of
 * each thread's last refill, and the rest is in use.  Retired bytes count as
 * chunks as long as there are so many, then as extents.
 *
 * Free pieces are looked at from the largest down, as far as a budget goes, in
 * lists that may change meanwhile; what could not be seen is said to be
 * unknown.
 */
#include "shm/chunk.h"
#include "shm/commit.h"
#include "shm/region.h"
#include "shm/tally.h"

#define BUDGET    1024 /* free pieces looked at, an arena */
#define HEAD_ROOM 48u

/* At most WANT of what is LEFT. */
static uint64_t
share_take(uint64_t *left, uint64_t want)
{
	uint64_t share = want < *left ? want : *left;

	*left -= share;
	return share;
}

/* ---- Free pieces --------------------------------------------------------- */

static void
bin_look(const struct shm_seg *seg, struct shm_tally *tally, uint32_t bin,
    uint64_t c, uint32_t *budget)
{
	for (; c && *budget; (*budget)--) {
		uint32_t size;

		if (!shm_chunk_is_sane(seg, c) ||
		    shm_committed_prefix(seg, c, HEAD_ROOM) < HEAD_ROOM)
			return;
		size = shm_size(shm_chunk(seg, c));
		if (size < SHM_CHUNK_MIN || size > SHM_CHUNK_MAX ||
		    shm_bin(size) != bin)
			return;
		shm_tally_add(tally, size, size - SHM_CHUNK_OVER);
		c = shm_load(&shm_chunk(seg, c)->next);
	}
}

static void
chunks_look(const struct shm_seg *seg, struct shm_arena *arena,
    struct shm_tally *tally, uint64_t binned, uint32_t *budget)
{
	uint64_t before = tally->bytes, seen;
	uint32_t bin = SHM_BINS;

	while (bin-- > 0 && *budget) {
		uint64_t map = shm_load(&arena->binmap[bin / 64]);

		if (map >> bin % 64 & 1)
			bin_look(seg, tally, bin, shm_load(&arena->bin[bin]),
			    budget);
	}
	seen = tally->bytes - before;
	if (seen < binned) {
		tally->unknown += binned - seen;
		tally->limit = shm_bin_size(bin + 2 < SHM_BINS ? bin + 2 : bin);
	}
}

static bool
extent_is_there(const struct shm_seg *seg, uint64_t page)
{
	uint64_t off =
	    shm_offset_of(seg, seg->pages) + page * sizeof(struct shm_page);

	return page < (uint64_t)shm_regions_used(seg) * SHM_REGION_PAGES &&
	    shm_committed_prefix(seg, off, sizeof(struct shm_page)) ==
	    sizeof(struct shm_page);
}

static void
extents_look(const struct shm_seg *seg, struct shm_arena *arena,
    struct shm_tally *tally, uint64_t bytes, uint32_t *budget)
{
	uint64_t before = tally->bytes, seen;

	for (uint32_t bin = SHM_EXTENT_BINS; bin-- > 0 && *budget;) {
		uint64_t head = shm_load(&arena->extent_bin[bin]);

		for (; head && *budget; (*budget)--) {
			uint64_t page = head - 1, len;

			if (!extent_is_there(seg, page))
				break;
			len = (uint64_t)shm_pages(&seg->pages[page]) * SHM_PAGE;
			if (len == 0 || len > bytes)
				break;
			shm_tally_add(tally, len, len);
			head = shm_load(&seg->pages[page].next);
		}
	}
	seen = tally->bytes - before;
	if (seen < bytes) {
		tally->unknown += bytes - seen;
		tally->limit = bytes;
	}
}

/* ---- One arena ----------------------------------------------------------- */

static void
arena_read(struct shm_stats_job *job, struct shm_arena_stats *out)
{
	struct shm_seg *seg = job->seg;
	struct shm_arena *arena = &seg->arenas[out->id];
	struct shm_bytes *bytes = &out->bytes;
	uint64_t regions = shm_load(&arena->n_regions);
	uint64_t runs = shm_load(&arena->n_extent_regions);
	uint64_t most = seg->n_regions, space, pages;
	uint32_t budget = BUDGET;
	struct shm_tally tally;

	shm_tally_begin(&tally, seg);
	regions = share_take(&most, regions);
	runs = share_take(&most, runs);
	space = regions * SHM_CHUNK_MAX;
	pages = runs * SHM_REGION;
	bytes->size = (regions + runs) * SHM_REGION;
	bytes->metadata = regions * SHM_REGION_TAIL;
	bytes->free_top = share_take(&space, shm_load(&arena->top_bytes));
	bytes->free_binned = share_take(&space, shm_load(&arena->binned_bytes));
	bytes->free_fast = share_take(&space, shm_load(&arena->fast_bytes));
	bytes->extents_free =
	    share_take(&pages, shm_load(&arena->extent_free_pages) * SHM_PAGE);
	bytes->in_use_chunks = space;
	bytes->extents_used = pages;
	if (bytes->free_top)
		shm_tally_add(
		    &tally, bytes->free_top, bytes->free_top - SHM_CHUNK_OVER);
	extents_look(seg, arena, &tally, bytes->extents_free, &budget);
	chunks_look(seg, arena, &tally, bytes->free_binned, &budget);
	for (uint32_t i = 0; i < SHM_FASTBINS; i++)
		if (bytes->free_fast && shm_load(&arena->fast[i]))
			tally.limit =
			    SHM_CHUNK_MIN + (i + 1) * SHM_GRANULE > tally.limit
			    ? SHM_CHUNK_MIN + (i + 1) * SHM_GRANULE
			    : tally.limit;
	tally.unknown += bytes->free_fast;
	bytes->largest_free = tally.largest;
	out->free_chunks = shm_load(&arena->binned_chunks) +
	    shm_load(&arena->fast_chunks) + shm_load(&arena->extent_free_n) +
	    (bytes->free_top != 0);
	out->unusable =
	    tally.bytes + tally.unknown - tally.useful[SHM_FRAG_SIZES];
	shm_tally_merge(&job->tally, &tally);
}

/* ---- The segment --------------------------------------------------------- */

static void
arena_sum(struct shm_bytes *all, const struct shm_bytes *bytes)
{
	all->in_use_chunks += bytes->in_use_chunks;
	all->free_binned += bytes->free_binned;
	all->free_fast += bytes->free_fast;
	all->free_top += bytes->free_top;
	all->extents_used += bytes->extents_used;
	all->extents_free += bytes->extents_free;
	all->metadata += bytes->metadata;
	all->size += bytes->size;
}

/* Objects that are alive, by what clients allocated and freed. */
static uint64_t
chunks_guess(
    const struct shm_clients_sum *clients, const struct shm_bytes *bytes)
{
	uint64_t n = clients->allocs > clients->frees
	    ? clients->allocs - clients->frees
	    : 0;
	uint64_t most = bytes->in_use_chunks / SHM_CHUNK_MIN;

	return n < most ? n : most;
}

/* Which share of a chunk users have asked for, over all allocations. */
static double
requested_share(const struct shm_clients_sum *clients)
{
	double asked = 0, chunks = 0;

	for (uint32_t i = 0; i < SHM_CLASS_EXTENTS; i++) {
		asked += (double)clients->class_requested[i];
		chunks += (double)clients->class_allocs[i] *
		    (double)(shm_class_size(i) - SHM_CHUNK_OVER);
	}
	return asked < chunks ? asked / chunks : 1;
}

void
shm_stats_quick(struct shm_stats_job *job)
{
	struct shm_stats *stats = job->stats;
	struct shm_bytes *all = &stats->bytes;
	uint64_t watermark = (uint64_t)shm_regions_used(job->seg) * SHM_REGION;
	uint64_t pending = job->clients->pending, chunks;

	for (uint32_t i = 0; i < stats->n_arenas; i++) {
		arena_read(job, &stats->arenas[i]);
		arena_sum(all, &stats->arenas[i].bytes);
	}
	all->unused = watermark > all->size ? watermark - all->size : 0;
	all->metadata += job->below;
	all->cached = share_take(&all->in_use_chunks, job->clients->cached);
	all->pending = share_take(&all->in_use_chunks, pending);
	all->pending += share_take(&all->extents_used, pending - all->pending);
	chunks = all->in_use_chunks -
	    chunks_guess(job->clients, all) * SHM_CHUNK_OVER;
	all->allocated = chunks + all->extents_used;
	all->requested =
	    (uint64_t)((double)chunks * requested_share(job->clients)) +
	    all->extents_used;
}
