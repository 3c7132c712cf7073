/*
 * Chunks and extents: arithmetic on sizes, bins and classes, and the way from
 * an offset to a head.
 */
#ifndef SHM_CHUNK_H
#define SHM_CHUNK_H

#include "shm/tag.h"

static inline uint32_t
shm_log2(uint64_t v)
{
	return 63 ^ (uint32_t)__builtin_clzll(v);
}

/* The chunk size for a request of SIZE bytes (at most SHM_CHUNK_MAX - 8). */
static inline uint32_t
shm_chunk_size(uint64_t size)
{
	uint64_t need = (size + SHM_CHUNK_OVER + 15) & ~(uint64_t)15;

	return need < SHM_CHUNK_MIN ? SHM_CHUNK_MIN : (uint32_t)need;
}

/* The bin of chunks of SIZE bytes: exact below 1 KiB (dlmalloc's small bins),
 * then 16 a doubling. */
static inline uint32_t
shm_bin(uint32_t size)
{
	uint32_t log;

	if (size < SHM_LARGE_MIN)
		return size >> 4;
	log = shm_log2(size);
	return 64 + (log - 10) * 16 + (size >> (log - 4) & 15);
}

/* The smallest chunk of BIN. */
static inline uint32_t
shm_bin_size(uint32_t bin)
{
	if (bin < 64)
		return bin << 4;
	return (16 + (bin & 15)) << ((bin - 64) / 16 + 6);
}

/* The thread caches' class of chunks of SIZE bytes: exact below 1 KiB, then 8 a
 * doubling.  _large: of at least SHM_LARGE_MIN. */
static inline uint32_t
shm_class_large(uint32_t size)
{
	uint32_t log = shm_log2(size);

	/* The shifted size is 8 to 15, and log 10 at least. */
	return log * 8 + (size >> (log - 3)) - (10 * 8 + 8 - 62);
}

static inline uint32_t
shm_class(uint32_t size)
{
	return SHM_LIKELY(size < SHM_LARGE_MIN) ? (size >> 4) - 2
						: shm_class_large(size);
}

/* The smallest chunk of CLASS. */
static inline uint32_t
shm_class_size(uint32_t class)
{
	if (class < 62)
		return (class + 2) << 4;
	return (8 + (class - 62) % 8) << ((class - 62) / 8 + 7);
}

/*
 * What is counted by size is counted by class: the caches' classes, which go on
 * up to the largest chunk, and behind them the extents', one a doubling.
 */
#define SHM_CLASS_EXTENTS 152u

static inline uint32_t
shm_class_of_pages(uint64_t pages)
{
	uint32_t log = shm_log2(pages | 1);

	return SHM_CLASS_EXTENTS + (log < 15 ? log : 15);
}

#define SHM_ROUND 8192u /* cached chunks from here on have a class's size */

/*
 * The chunk size for a request of SIZE bytes that goes through a thread cache:
 * exact below SHM_ROUND, where most objects are, so that none wastes more than
 * 15 bytes.  From there on all chunks of a class serve all its requests, for a
 * sixteenth of their bytes on average: an eighth at most (as in tcmalloc).
 */
static inline uint32_t
shm_cached_size(uint64_t size)
{
	uint32_t chunk = shm_chunk_size(size);

	return chunk <= SHM_ROUND
	    ? chunk
	    : shm_class_size(shm_class(chunk - SHM_GRANULE) + 1);
}

/* The class of that chunk, which has SHM_LARGE_MIN bytes at least. */
static inline uint32_t
shm_cached_class_large(uint64_t size)
{
	uint32_t chunk = shm_chunk_size(size);
	uint32_t is_round = chunk > SHM_ROUND;

	return shm_class_large(chunk - is_round * SHM_GRANULE) + is_round;
}

/* The bin of free extents of PAGES pages: exact below 64, then 8 a doubling. */
static inline uint32_t
shm_extent_bin(uint64_t pages)
{
	uint32_t log, bin;

	if (pages < 64)
		return (uint32_t)pages;
	log = shm_log2(pages);
	bin = 64 + (log - 6) * 8 + (uint32_t)(pages >> (log - 3) & 7);
	return bin < SHM_EXTENT_BINS ? bin : SHM_EXTENT_BINS - 1;
}

/* ---- Offsets ----------------------------------------------------------- */

/* May a chunk's first 48 bytes lie at OFF? */
static inline bool
shm_chunk_is_sane(const struct shm_seg *seg, uint64_t off)
{
	return (off & 15) == 0 && off >= seg->heap &&
	    off - seg->heap < (uint64_t)seg->n_regions * SHM_REGION - 48;
}

/* The chunk at OFF, which is sane. */
static inline struct shm_chunk *
shm_chunk(const struct shm_seg *seg, uint64_t off)
{
	return (struct shm_chunk *)(void *)(seg->base + off);
}

static inline uint32_t
shm_size(const struct shm_chunk *chunk)
{
	return shm_load(&chunk->head.size) & ~SHM_FLAGS;
}

static inline uint32_t
shm_flags(const struct shm_chunk *chunk)
{
	return shm_load(&chunk->head.size) & SHM_FLAGS;
}

/* ---- Stores to a chunk's head: each of them publishes ---------------------
 */

static inline void
shm_chunk_size_put(const struct shm_seg *seg, uint64_t c, uint32_t word)
{
	shm_put(&shm_chunk(seg, c)->head.size, word);
}

static inline void
shm_chunk_tag_put(const struct shm_seg *seg, uint64_t c, uint32_t base)
{
	shm_put(&shm_chunk(seg, c)->head.tag,
	    base | shm_tag_check(seg->key, c + SHM_CHUNK_HEAD));
}

/* The whole head of a chunk that nobody can see yet. */
static inline void
shm_chunk_head_put(
    const struct shm_seg *seg, uint64_t c, uint32_t word, uint32_t base)
{
	shm_chunk_size_put(seg, c, word);
	shm_chunk_tag_put(seg, c, base);
}

/* ---- Regions and pages --------------------------------------------------- */

/* The region, by index, that OFF (at or above the heap) lies in. */
static inline uint32_t
shm_region_of(const struct shm_seg *seg, uint64_t off)
{
	return (uint32_t)((off - seg->heap) / SHM_REGION);
}

static inline uint64_t
shm_region_off(const struct shm_seg *seg, uint32_t region)
{
	return seg->heap + (uint64_t)region * SHM_REGION;
}

/* Where the chunks of the region around OFF end. */
static inline uint64_t
shm_region_end(const struct shm_seg *seg, uint64_t off)
{
	return shm_region_off(seg, shm_region_of(seg, off)) + SHM_CHUNK_MAX;
}

/* Pages of an extent at most: what fits into a head, in whole regions. */
#define SHM_EXTENT_MAX ((UINT32_MAX >> 4) / SHM_REGION_PAGES * SHM_REGION_PAGES)

/* Page numbers count from the heap's first page. */
static inline uint32_t
shm_page_of(const struct shm_seg *seg, uint64_t off)
{
	return (uint32_t)((off - seg->heap) / SHM_PAGE);
}

static inline uint64_t
shm_page_off(const struct shm_seg *seg, uint32_t page)
{
	return seg->heap + (uint64_t)page * SHM_PAGE;
}

static inline uint32_t
shm_pages(const struct shm_page *page)
{
	return shm_load(&page->head.size) >> 4;
}

#endif
