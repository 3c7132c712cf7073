/*
 * Arenas: taking chunks out, putting them back, and the index between.
 *
 * The order of stores.  A chunk's size and flags change under the lock, its tag
 * by whoever owns it.  After each store the chunks still tile their region and
 * each tag says whose the chunk is:
 *   take     unlink (index), tag CACHED or OWNED: the one store that counts
 *   split    heads of the inner pieces, complete; then the front's size
 *   put      tag FREE; then merge; then link (index)
 *   merge    the front's size; the heads inside say FREE
 * A chunk whose tag says FREE but that isn't LINKED is in the hands of the
 * lock's holder: merges leave it alone, and a rebuild finds it.
 */
#ifndef SHM_ARENA_H
#define SHM_ARENA_H

#include "shm/lock.h"
#include "shm/region.h"

/* ---- Bins; all: lock held ------------------------------------------------ */

/* Link the FREE chunk at C (an offset, PREV_INUSE of its follower still set)
 * into its bin, or make it the top if it is flagged so and there is none. */
void shm_bin_link_locked(
    struct shm_self *self, struct shm_arena *arena, uint64_t c);

/* Take the LINKED chunk at C out of its bin, or off the top.  SHM_ECORRUPT if
 * its neighbours in the list do not agree. */
int shm_bin_unlink_locked(
    struct shm_self *self, struct shm_arena *arena, uint64_t c) SHM_MUSTCHECK;

/* A chunk of at least SIZE bytes, still linked: best of a few in its own bin,
 * else from the next bin that has one.  0: none (the top isn't considered). */
uint64_t shm_bin_find_locked(
    struct shm_self *self, struct shm_arena *arena, uint32_t size);

/* ---- Chunks; all: lock held ---------------------------------------------- */

/*
 * Take up to N chunks of SIZE bytes each; their payloads' offsets go into RET,
 * tagged CACHED for SELF.  First chunks of exactly that size, one by one; if
 * there are none, one run is carved from the best larger chunk, or the top.
 *
 * If the only chunk that would do lacks pages, it is taken as it is, and
 * *RET_HOLES is its offset: the caller unlocks, commits, locks and carves.
 *
 * The number taken; 0: nothing fits.  SHM_ECORRUPT.
 */
int shm_arena_take_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t size, uint32_t n, uint64_t ret[],
    uint64_t *ret_holes) SHM_MUSTCHECK;

/*
 * Carve up to N chunks of SIZE bytes from the caller's CACHED chunk at C, and
 * put the rest back.  How many; 0: it lacks pages, and all of it was put back.
 * SHM_ECORRUPT.
 */
int shm_arena_carve_locked(struct shm_self *self, struct shm_arena *arena,
    uint64_t c, uint32_t size, uint32_t n, uint64_t ret[]) SHM_MUSTCHECK;

/*
 * Put the chunk at C, tagged as the caller's, back: FREE and coalesced, or FAST
 * if it is small enough for a fastbin.  SHM_ECORRUPT.
 */
int shm_arena_put_locked(
    struct shm_self *self, struct shm_arena *arena, uint64_t c) SHM_MUSTCHECK;

/*
 * As put, for a chunk whose tag says FREE already, bypassing the fastbins.  The
 * offset of the chunk that it became part of goes into *RET_C (may be NULL).
 */
int shm_arena_coalesce_locked(struct shm_self *self, struct shm_arena *arena,
    uint64_t c, uint64_t *ret_c) SHM_MUSTCHECK;

/*
 * The same of one chunk of a batch.  A free piece of the batch stays open at
 * *OPEN (0: none), FREE and not linked, to grow by the neighbours that come
 * next: close it before the lock goes, whatever the result.  _join: of a chunk
 * whose tag says FREE already, as coalesce.  SHM_ECORRUPT.
 */
int shm_arena_put_next_locked(struct shm_self *self, struct shm_arena *arena,
    uint64_t c, uint64_t *open) SHM_MUSTCHECK;
int shm_arena_join_locked(struct shm_self *self, struct shm_arena *arena,
    uint64_t c, uint64_t *open) SHM_MUSTCHECK;
int shm_arena_close_locked(struct shm_self *self, struct shm_arena *arena,
    uint64_t *open) SHM_MUSTCHECK;

/* Coalesce everything in the fastbins. */
int shm_arena_consolidate_locked(
    struct shm_self *self, struct shm_arena *arena) SHM_MUSTCHECK;

/*
 * Make the caller's chunk at C, with SIZE bytes, smaller: what is behind is put
 * back.  SHM_ECORRUPT.
 */
int shm_arena_shrink_locked(struct shm_self *self, struct shm_arena *arena,
    uint64_t c, uint32_t size) SHM_MUSTCHECK;

/*
 * Make the caller's chunk at C at least SIZE bytes large, with what is free and
 * committed behind it.  1: done; 0: it can't be done here.  SHM_ECORRUPT.
 */
int shm_arena_grow_locked(struct shm_self *self, struct shm_arena *arena,
    uint64_t c, uint32_t size) SHM_MUSTCHECK;

/*
 * Split the caller's chunk at C so that a chunk begins at M (inside it, at a
 * multiple of 16, leaving at least SHM_CHUNK_MIN on both sides), tagged CACHED;
 * the front stays as tagged.
 */
void shm_chunk_split_locked(struct shm_self *self, uint64_t c, uint64_t m);

/*
 * Format the region REGION, CLAIMED by SELF's client and with its first pages
 * committed, as one free chunk, publish it as ARENA's, and make it the top.
 */
void shm_arena_add_region_locked(
    struct shm_self *self, struct shm_arena *arena, uint32_t region);

/* ---- Extents; all: lock held --------------------------------------------- */

/*
 * Take a free extent of PAGES pages; its first page goes into *RET_PAGE, tagged
 * CACHED for SELF.  It may lack pages: commit before use.  1, or 0: nothing
 * fits.  SHM_ECORRUPT.
 */
int shm_extent_take_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t pages, uint32_t *ret_page) SHM_MUSTCHECK;

/* Put the extent at PAGE, the caller's, back. */
int shm_extent_put_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t page) SHM_MUSTCHECK;

/* As put, for an extent whose tag says FREE already.  _in: by who knows which
 * pages, START to END, its run has; asking takes time of the run's length. */
int shm_extent_coalesce_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t page, uint32_t *ret_page) SHM_MUSTCHECK;
int shm_extent_coalesce_in_locked(struct shm_self *self,
    struct shm_arena *arena, uint32_t page, uint32_t start, uint32_t end,
    uint32_t *ret_page) SHM_MUSTCHECK;

/* Make the caller's extent smaller; what is behind is put back. */
int shm_extent_shrink_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t page, uint32_t pages) SHM_MUSTCHECK;

/* Make the caller's extent PAGES pages long, if what follows is free: 1, else
 * 0.  The pages beyond may have to be committed. */
int shm_extent_grow_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t page, uint32_t pages) SHM_MUSTCHECK;

/*
 * Format the N regions from FIRST, CLAIMED by SELF's client, as an extent of
 * PAGES pages, tagged CACHED for SELF, and a free one behind, and publish them
 * as a run of ARENA's.
 */
void shm_extent_add_run_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t first, uint32_t n, uint32_t pages);

/* Link or unlink a FREE extent. */
void shm_extent_link_locked(
    struct shm_self *self, struct shm_arena *arena, uint32_t page);
int shm_extent_unlink_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t page) SHM_MUSTCHECK;

/* ---- Whole arenas -------------------------------------------------------- */

/*
 * The arena that the region around OFF belongs to, and whether it is one of
 * extents; NULL if it belongs to none.
 */
static inline struct shm_arena *
shm_arena_of(struct shm_seg *seg, uint64_t off, bool *ret_is_extent)
{
	uint64_t entry;
	enum shm_region_kind kind;

	*ret_is_extent = false;
	if (off < seg->heap || off >= seg->len)
		return NULL;
	entry = shm_region_get(seg, shm_region_of(seg, off));
	kind = shm_entry_kind(entry);
	if ((kind != SHM_REGION_CHUNKS && kind != SHM_REGION_EXTENTS &&
		kind != SHM_REGION_MORE) ||
	    shm_entry_arena(entry) >= seg->max_arenas ||
	    shm_entry_arena(entry) >= shm_get(&seg->super->n_arenas))
		return NULL;
	*ret_is_extent = kind != SHM_REGION_CHUNKS;
	return &seg->arenas[shm_entry_arena(entry)];
}

static inline uint32_t
shm_arena_index(const struct shm_seg *seg, const struct shm_arena *arena)
{
	return (uint32_t)(arena - seg->arenas);
}

/* The tag of the object whose payload is at OFF, in a region that is
 * somebody's; NULL if there can be none there. */
static inline _Atomic uint32_t *
shm_tag_within(struct shm_seg *seg, uint64_t off, bool is_extent)
{
	uint64_t in = (off - seg->heap) % SHM_REGION;

	if (is_extent)
		return off % SHM_PAGE
		    ? NULL
		    : &seg->pages[shm_page_of(seg, off)].head.tag;
	return off % SHM_GRANULE || in == 0 ||
		in > SHM_CHUNK_MAX - SHM_CHUNK_HEAD
	    ? NULL
	    : &shm_chunk(seg, off - SHM_CHUNK_HEAD)->head.tag;
}

/* The same wherever OFF is: NULL outside, or in a region that nobody has. */
_Atomic uint32_t *shm_tag_at(struct shm_seg *seg, uint64_t off);

/* ---- Remote lists -------------------------------------------------------- */

/*
 * Push N objects, all of ARENA and CACHED for SELF, onto its remote list: tag
 * each REMOTE, link them, add them with one compare-and-swap.  Needs no lock.
 * How many; those that were not SELF's any more are left out.
 */
size_t shm_remote_push(struct shm_self *self, struct shm_arena *arena, size_t n,
    const uint64_t off[]);

/*
 * Take everything off ARENA's remote list and put it back.  Marks all of it
 * FREE, then cuts it off with one compare-and-swap, then links: a kill leaves
 * each object REMOTE (on the list, or its pusher is dead), or FREE.
 * SHM_ECORRUPT.
 */
int shm_remote_drain_locked(
    struct shm_self *self, struct shm_arena *arena) SHM_MUSTCHECK;

/*
 * The first two steps alone: what a rebuild does, for which everything marked
 * FREE is found by its walk.  With IS_REPAIR some may be marked already.  The
 * first object goes into *RET_HEAD, 0 if there was none.  SHM_ECORRUPT.
 */
int shm_remote_cut_locked(struct shm_self *self, struct shm_arena *arena,
    bool is_repair, uint64_t *ret_head) SHM_MUSTCHECK;

/* ---- Rebuild ------------------------------------------------------------- */

/*
 * Make ARENA's index again from heads, page table and region table alone;
 * idempotent, and the same routine after any kill.  With the lock held (stolen
 * or taken).  SHM_ECORRUPT: the heads are damaged, and the arena is SICK.
 */
int shm_arena_rebuild_locked(
    struct shm_self *self, struct shm_arena *arena) SHM_MUSTCHECK;

/*
 * The same in slices, the lock being held from the first to the last: begin,
 * then step from *NEXT = 0 on, a page number, while that gives 1.  MAX bounds a
 * slice, in regions of the arena's; a slice may end inside a run.
 */
int shm_arena_rebuild_begin_locked(
    struct shm_self *self, struct shm_arena *arena) SHM_MUSTCHECK;
int shm_arena_rebuild_step_locked(struct shm_self *self,
    struct shm_arena *arena, uint32_t *next, uint32_t max) SHM_MUSTCHECK;

#endif
