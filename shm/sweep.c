/*
 * See sweep.h.
 */
#include "shm/sweep.h"

#include "shm/commit.h"
#include "shm/heap.h"

#define MAX_LOOK 8192 /* free pieces looked at under one lock */
#define CLEAN    UINT32_MAX
#define SPINS    256 /* looks at a lock before it counts as taken */

/* Has a huge page filled holes somewhere in the LEN bytes at OFF? */
static bool
is_filled(const struct shm_sweep *sweep, uint64_t off, uint64_t len)
{
	const struct shm_seg *seg = sweep->self->seg;
	uint32_t last = shm_region_of(seg, off + len - 1);

	if (!sweep->is_tick || !seg->filled)
		return false;
	if (last >= seg->n_regions)
		last = seg->n_regions - 1;
	for (uint32_t i = shm_region_of(seg, off); i <= last; i++)
		if (seg->filled[i] == SHM_FILLED)
			return true;
	return false;
}

static bool
is_aged(struct shm_sweep *sweep, uint32_t stamp)
{
	struct shm_pass *pass = sweep->pass;
	int32_t age_then = (int32_t)(pass->begin_ms - stamp);

	if (stamp == CLEAN)
		return sweep->is_filled;
	if (sweep->age_ms == 0 ||
	    shm_load(&sweep->self->seg->super->clock_ms) - stamp >=
		sweep->age_ms)
		return true;
	if (age_then > (int32_t)pass->oldest_ms)
		pass->oldest_ms = (uint32_t)age_then;
	return false;
}

/* Has the top pages to give back?  Asked without the lock, so it is a hint. */
static bool
top_is_due(const struct shm_sweep *sweep)
{
	struct shm_self *self = sweep->self;
	struct shm_seg *seg = self->seg;
	uint64_t top = shm_load(&sweep->arena->top), have;
	uint64_t pad = self->param[SHM_PARAM_top_pad];
	uint32_t age;

	if (top == 0 || !shm_chunk_is_sane(seg, top) ||
	    shm_committed_prefix(seg, top, SHM_FREE_HEAD_END) <
		SHM_FREE_HEAD_END)
		return false;
	have = SHM_PAGE *
	    shm_committed_pages(seg, top, shm_region_end(seg, top) - top);
	if (have > self->param[SHM_PARAM_trim_threshold] && have > pad)
		return true;
	age = shm_load(&seg->super->clock_ms) -
	    shm_load(&shm_chunk(seg, top)->stamp_ms);
	return sweep->is_idle && have &&
	    shm_load(&shm_chunk(seg, top)->stamp_ms) != CLEAN &&
	    age >= sweep->age_ms;
}

/*
 * May something be old enough now?  A look at every free piece takes the lock
 * for as long as their heads take to come from memory, so it isn't taken before
 * the oldest of the last pass can have aged: what is freed later is younger.
 */
static bool
is_due(const struct shm_sweep *sweep)
{
	const struct shm_arena *arena = sweep->arena;
	uint32_t now = shm_load(&sweep->self->seg->super->clock_ms);

	return sweep->age_ms == 0 || sweep->pass->is_under_way ||
	    now - shm_load(&arena->free_since_ms) >= sweep->age_ms ||
	    shm_load(&arena->remote) != 0 || top_is_due(sweep);
}

static bool
is_full(const struct shm_sweep *sweep)
{
	return sweep->n == SHM_SWEEP_BATCH || sweep->looked_at == MAX_LOOK;
}

/* A piece has a page at least; twice, for bins that begin again. */
static void
pass_begin(struct shm_sweep *sweep)
{
	const struct shm_seg *seg = sweep->self->seg;
	struct shm_pass *pass = sweep->pass;

	pass->is_under_way = true;
	pass->is_at_top = false;
	pass->begin_ms = shm_load(&seg->super->clock_ms);
	pass->oldest_ms = 0;
	pass->looks_left =
	    UINT64_C(2) * shm_regions_used(seg) * SHM_REGION_PAGES;
	shm_place_begin(&pass->place);
}

/* Everything was looked at: remember the age of the oldest piece. */
static void
pass_end(const struct shm_sweep *sweep)
{
	struct shm_pass *pass = sweep->pass;

	pass->is_under_way = false;
	if (sweep->age_ms)
		shm_store(&sweep->arena->free_since_ms,
		    pass->begin_ms - pass->oldest_ms);
}

static struct shm_piece *
piece_add(struct shm_sweep *sweep, uint64_t off, uint64_t first, uint64_t len)
{
	struct shm_piece *piece = &sweep->piece[sweep->n++];

	*piece = (struct shm_piece){ off, first, len, 0, false };
	return piece;
}

/* ---- Chunks; lock held --------------------------------------------------- */

/* Take the free chunk at C, of SIZE bytes, out; its bytes from FIRST on go. */
static int
chunk_take(struct shm_sweep *sweep, uint64_t c, uint32_t size, uint64_t first)
{
	struct shm_self *self = sweep->self;
	struct shm_seg *seg = self->seg;
	struct shm_chunk *chunk = shm_chunk(seg, c);
	uint64_t off = c + SHM_CHUNK_HEAD;
	uint32_t region = shm_region_of(seg, c);
	struct shm_piece *piece;

	/* Unlinking checks the size; it must be the one that we go by. */
	if (shm_bin_unlink_locked(self, sweep->arena, c) != 0 ||
	    shm_size(chunk) != size)
		return SHM_ECORRUPT;
	piece = piece_add(sweep, c, first, c + size - first);
	shm_self_visit(self, region);
	shm_put(&chunk->head.tag, self->cached | shm_tag_check(seg->key, off));
	if (size == SHM_CHUNK_MAX && first == c + SHM_FREE_HEAD_END) {
		shm_put(&seg->regions[region],
		    shm_region_entry(
			SHM_REGION_CLAIMED, 0, self->slot, self->generation));
		shm_bump(&sweep->arena->n_regions, UINT64_MAX);
		piece->regions = 1;
	} else {
		shm_store(
		    &chunk->head.size, shm_load(&chunk->head.size) | SHM_HOLES);
	}
	return 0;
}

/*
 * Look at the free chunk at C, keeping the first KEEP_LEN bytes.  Without bits
 * it may still have memory, if it has holes: who was killed between bits and
 * punch left it so, or a huge page has filled them.  It is punched once more,
 * and CLEAN then.
 */
static int
chunk_consider(struct shm_sweep *sweep, uint64_t c, uint64_t keep_len)
{
	struct shm_seg *seg = sweep->self->seg;
	struct shm_chunk *chunk = shm_chunk(seg, c);
	uint32_t size = shm_size(chunk);
	uint64_t first = c + keep_len, pages;
	bool is_all = size == SHM_CHUNK_MAX && keep_len == SHM_FREE_HEAD_END;

	if (size <= keep_len)
		return 0;
	pages = shm_committed_pages(seg, first, c + size - first);
	if (pages == 0 && !is_all) {
		bool has_holes = shm_load(&chunk->head.size) & SHM_HOLES;

		if (keep_len != SHM_FREE_HEAD_END || sweep->is_dry ||
		    (shm_load(&chunk->stamp_ms) == CLEAN && !sweep->is_filled))
			return 0;
		if (!has_holes) {
			shm_store(&chunk->stamp_ms, CLEAN);
			return 0;
		}
	}
	sweep->bytes += sweep->is_dry ? pages * SHM_PAGE : 0;
	return sweep->is_dry ? 0 : chunk_take(sweep, c, size, first);
}

/* The top: what is beyond trim_threshold goes at once, the rest by age, when
 * nobody uses the arena. */
static int
top_sweep(struct shm_sweep *sweep)
{
	struct shm_self *self = sweep->self;
	struct shm_seg *seg = self->seg;
	uint64_t top = shm_load(&sweep->arena->top), have;
	uint64_t pad = self->param[SHM_PARAM_top_pad];

	if (top == 0 || sweep->n == SHM_SWEEP_BATCH)
		return 0;
	if (!shm_chunk_is_sane(seg, top))
		return SHM_ECORRUPT;
	sweep->is_filled = is_filled(sweep, top, 1);
	if (sweep->age_ms == 0 ||
	    (sweep->is_idle &&
		is_aged(sweep, shm_load(&shm_chunk(seg, top)->stamp_ms))))
		return chunk_consider(sweep, top, SHM_FREE_HEAD_END);
	have = shm_committed_pages(seg, top, shm_size(shm_chunk(seg, top))) *
	    SHM_PAGE;
	if (have > self->param[SHM_PARAM_trim_threshold] && have > pad) {
		shm_bump(&sweep->arena->counters.trims, 1);
		return chunk_consider(sweep, top, SHM_FREE_HEAD_END + pad);
	}
	return 0;
}

/* ---- Extents; lock held -------------------------------------------------- */

static void
extent_clean(const struct shm_seg *seg, uint32_t page)
{
	if (shm_pages(&seg->pages[page]) > 1)
		shm_store(&seg->pages[page + 1].next, CLEAN);
}

/* May the free extent at PAGE, of N pages, be all of its run?  Looks at its
 * ends, whatever the length of the run. */
static bool
may_be_run(const struct shm_seg *seg, uint32_t page, uint32_t n)
{
	uint64_t entry = shm_region_get(seg, page / SHM_REGION_PAGES), next;

	if (page % SHM_REGION_PAGES || n % SHM_REGION_PAGES ||
	    shm_entry_kind(entry) != SHM_REGION_EXTENTS)
		return false;
	next = shm_region_get(seg, (page + n) / SHM_REGION_PAGES);
	return shm_entry_kind(next) != SHM_REGION_MORE ||
	    shm_entry_arena(next) != shm_entry_arena(entry);
}

/* Is there nothing to be had of the free extent at PAGE, of N pages and DIRTY
 * of them committed?  As with chunks, it may have memory without bits. */
static bool
extent_is_clean(
    const struct shm_sweep *sweep, uint32_t page, uint32_t n, uint64_t dirty)
{
	const struct shm_seg *seg = sweep->self->seg;

	if (dirty || may_be_run(seg, page, n))
		return false;
	if ((shm_load(&seg->pages[page].head.size) & SHM_HOLES) &&
	    (sweep->is_filled ||
		(n > 1 && shm_extent_stamp(seg, page) != CLEAN)))
		return sweep->is_dry;
	if (!sweep->is_dry)
		extent_clean(seg, page);
	return true;
}

/* Take a run that is all free away from the arena.  The tail first changes its
 * claimant, so that it is ours whenever the front no longer covers it. */
static void
run_take(struct shm_sweep *sweep, struct shm_piece *piece, uint32_t first,
    uint32_t n)
{
	struct shm_self *self = sweep->self;
	struct shm_seg *seg = self->seg;
	uint64_t claimed = shm_region_entry(
	    SHM_REGION_CLAIMED, 0, self->slot, self->generation);

	for (uint32_t i = 0; i < n; i++)
		shm_self_visit(self, first + i);
	for (uint32_t i = 1; i < n; i++)
		shm_put(&seg->regions[first + i],
		    shm_region_entry(SHM_REGION_MORE,
			shm_arena_index(seg, sweep->arena), self->slot,
			self->generation));
	shm_put(&seg->regions[first], claimed);
	for (uint32_t i = 1; i < n; i++)
		shm_put(&seg->regions[first + i], claimed);
	shm_bump(&sweep->arena->n_extent_regions, -(uint64_t)n);
	piece->regions = n;
}

static int
extent_consider(struct shm_sweep *sweep, uint32_t page)
{
	struct shm_self *self = sweep->self;
	struct shm_seg *seg = self->seg;
	struct shm_page *entry = &seg->pages[page];
	uint64_t off = shm_page_off(seg, page);
	uint32_t first, n, pages = shm_pages(entry);
	uint64_t len = (uint64_t)pages * SHM_PAGE;
	uint64_t dirty = shm_committed_pages(seg, off, len);
	struct shm_piece *piece;

	if (extent_is_clean(sweep, page, pages, dirty))
		return 0;
	if (!shm_region_run(seg, page / SHM_REGION_PAGES, &first, &n) ||
	    pages > (first + n) * SHM_REGION_PAGES - page)
		return SHM_ECORRUPT;
	if (sweep->is_dry) {
		sweep->bytes += dirty * SHM_PAGE;
		return 0;
	}
	if (shm_extent_unlink_locked(self, sweep->arena, page) != 0)
		return SHM_ECORRUPT;
	piece = piece_add(sweep, off, off, len);
	piece->is_extent = true;
	shm_self_visit(self, page / SHM_REGION_PAGES);
	shm_put(&entry->head.tag, self->cached | shm_tag_check(seg->key, off));
	if (pages == n * SHM_REGION_PAGES)
		run_take(sweep, piece, first, n);
	else
		shm_store(
		    &entry->head.size, shm_load(&entry->head.size) | SHM_HOLES);
	return 0;
}

/* ---- Sweeps -------------------------------------------------------------- */

static int
piece_look(struct shm_sweep *sweep, uint64_t at)
{
	const struct shm_seg *seg = sweep->self->seg;
	bool is_chunk = sweep->pass->place.is_chunks;
	uint32_t page = (uint32_t)at - 1;

	sweep->is_filled = is_chunk
	    ? is_filled(sweep, at, 1)
	    : is_filled(sweep, shm_page_off(seg, page),
		  (uint64_t)shm_pages(&seg->pages[page]) * SHM_PAGE);
	if (!is_aged(sweep,
		is_chunk ? shm_load(&shm_chunk(seg, at)->stamp_ms)
			 : shm_extent_stamp(seg, page)))
		return 0;
	return is_chunk ? chunk_consider(sweep, at, SHM_FREE_HEAD_END)
			: extent_consider(sweep, page);
}

/* Go on in the bin that the pass is in, until it ends or the slice is full. */
static int
bin_sweep(struct shm_sweep *sweep)
{
	const struct shm_seg *seg = sweep->self->seg;
	struct shm_pass *pass = sweep->pass;
	uint64_t at = shm_place_resume(seg, sweep->arena, &pass->place);
	int error = 0;

	while (at && error == 0) {
		uint64_t next;

		if (!shm_place_is_sane(seg, sweep->arena, &pass->place, at))
			return SHM_ECORRUPT;
		if (is_full(sweep) || pass->looks_left == 0) {
			shm_place_keep(seg, sweep->arena, &pass->place, at);
			return 0;
		}
		next = shm_place_next(seg, &pass->place, at);
		sweep->looked_at++;
		pass->looks_left--;
		error = piece_look(sweep, at);
		at = next;
	}
	pass->is_at_top = !shm_place_advance(&pass->place);
	return error;
}

/* One slice.  The largest pieces come first: a look is worth most there. */
static int
arena_sweep_locked(struct shm_sweep *sweep)
{
	struct shm_pass *pass = sweep->pass;
	int error = 0;

	if (!pass->is_under_way)
		pass_begin(sweep);
	while (error == 0 && !pass->is_at_top && !is_full(sweep)) {
		error = bin_sweep(sweep);
		pass->is_at_top |= pass->looks_left == 0;
	}
	/* The top may be too large at any time. */
	if (error == 0 && (pass->is_at_top || sweep->age_ms))
		error = top_sweep(sweep);
	if (error)
		pass->is_under_way = false;
	else if (pass->is_at_top && sweep->n < SHM_SWEEP_BATCH)
		pass_end(sweep);
	return error;
}

/* Put a punched piece back; the lock is held. */
static int
piece_put_locked(struct shm_sweep *sweep, const struct shm_piece *piece)
{
	struct shm_self *self = sweep->self;
	struct shm_seg *seg = self->seg;
	uint32_t base = shm_tag_base(0, 0, SHM_FREE);

	if (piece->is_extent) {
		uint32_t page = shm_page_of(seg, piece->off);
		uint32_t n = shm_pages(&seg->pages[page]), merged;

		shm_put(&seg->pages[page].head.tag,
		    base | shm_tag_check(seg->key, piece->off));
		if (shm_extent_coalesce_locked(
			self, sweep->arena, page, &merged) != 0)
			return SHM_ECORRUPT;
		if (merged == page && shm_pages(&seg->pages[page]) == n)
			extent_clean(seg, page);
	} else {
		struct shm_chunk *chunk = shm_chunk(seg, piece->off);
		uint32_t size = shm_size(chunk);
		uint64_t merged;

		shm_put(&chunk->head.tag,
		    base |
			shm_tag_check(seg->key, piece->off + SHM_CHUNK_HEAD));
		if (shm_arena_coalesce_locked(
			self, sweep->arena, piece->off, &merged) != 0)
			return SHM_ECORRUPT;
		if (merged == piece->off && shm_size(chunk) == size &&
		    piece->first == piece->off + SHM_FREE_HEAD_END)
			shm_store(&chunk->stamp_ms, CLEAN);
	}
	return 0;
}

/* The arena stays locked: the remote list takes the pieces, whose first page
 * must be there for the link.  What can't even have that waits for the next
 * daemon. */
static void
pieces_push(struct shm_sweep *sweep)
{
	struct shm_self *self = sweep->self;

	for (uint32_t i = 0; i < sweep->n; i++) {
		const struct shm_piece *piece = &sweep->piece[i];
		uint64_t off =
		    piece->is_extent ? piece->off : piece->off + SHM_CHUNK_HEAD;

		if (piece->regions == 0 &&
		    shm_commit(self, off, sizeof(uint64_t)) == 0)
			(void)shm_remote_push(self, sweep->arena, 1, &off);
	}
}

/* The bytes that went: nobody else changes the pages of what is ours. */
static uint64_t
piece_punch(struct shm_self *self, const struct shm_piece *piece)
{
	struct shm_seg *seg = self->seg;
	uint64_t pages;

	if (piece->regions == 0)
		return shm_uncommit(self, piece->first, piece->len);
	pages = shm_committed_pages(
	    seg, piece->off, (uint64_t)piece->regions * SHM_REGION);
	shm_region_return(self, shm_region_of(seg, piece->off), piece->regions);
	return pages * SHM_PAGE;
}

/* Punch what was taken out, and put it back. */
static void
pieces_punch(struct shm_sweep *sweep)
{
	uint64_t bytes = 0;
	int error = 0;

	for (uint32_t i = 0; i < sweep->n; i++)
		bytes += piece_punch(sweep->self, &sweep->piece[i]);
	sweep->bytes += bytes;
	if (!shm_arena_insist(sweep->self, sweep->arena)) {
		pieces_push(sweep);
		return;
	}
	for (uint32_t i = 0; i < sweep->n && error == 0; i++)
		if (sweep->piece[i].regions == 0)
			error = piece_put_locked(sweep, &sweep->piece[i]);
	shm_bump(&sweep->arena->counters.punched, bytes);
	shm_arena_release(sweep->arena, error);
}

static bool
arena_lock(struct shm_sweep *sweep)
{
	struct shm_arena *arena = sweep->arena;

	if (sweep->patience == SHM_PATIENCE_INSIST)
		return shm_arena_insist(sweep->self, arena);
	if (sweep->patience == SHM_PATIENCE_SPIN)
		for (int i = 0; i < SPINS && shm_load(&arena->lock) != 0; i++)
			shm_relax();
	return shm_arena_trylock(arena, sweep->self);
}

bool
shm_arena_sweep(struct shm_sweep *sweep)
{
	struct shm_arena *arena = sweep->arena;
	int error;

	sweep->n = sweep->looked_at = 0;
	sweep->pass->is_full = false;
	if (shm_load(&arena->state) != SHM_ARENA_ACTIVE || !is_due(sweep))
		return false;
	sweep->is_missed = !arena_lock(sweep);
	if (sweep->is_missed)
		return false;
	error = shm_remote_drain_locked(sweep->self, arena);
	/* What is wanted now isn't kept uncoalesced for later. */
	if (error == 0 && sweep->age_ms == 0 && !sweep->is_dry &&
	    shm_load(&arena->fast_chunks))
		error = shm_arena_consolidate_locked(sweep->self, arena);
	if (error == 0)
		error = arena_sweep_locked(sweep);
	shm_arena_release(arena, error);
	/* Also what was taken before the damage was found. */
	if (sweep->n)
		pieces_punch(sweep);
	sweep->pass->is_full = error == 0 && sweep->pass->is_under_way &&
	    sweep->n == SHM_SWEEP_BATCH;
	return error == 0 && sweep->pass->is_under_way;
}
