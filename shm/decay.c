/*
 * Giving free pages back to the system, and committing ahead.
 *
 * A free chunk or extent whose pages have been free for decay_ms is taken out
 * of circulation as any allocation would take it (so that nobody touches its
 * pages meanwhile, and a killed daemon's is found by its tag), its whole pages
 * are punched without a lock, and it is put back, marked as having holes.  A
 * region or run that is all free goes back as a whole.
 *
 * An arena has more free pieces than may be looked at under its lock at once,
 * so a pass over them is cut into slices, each of which goes on where the one
 * before stopped (shm/place.h).  What a pass has put back is behind it.
 *
 * The daemon does so by its timer; a client only at the limit, before it would
 * fail.  Committing ahead is done by an owner too: of the top's tail, cut off
 * where its pages end, while its front stays in use.
 */
#include <sched.h>
#include <stdlib.h>

#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/epoch.h"
#include "shm/heap.h"
#include "shm/place.h"
#include "shm/thread.h"

#define BATCH     32   /* pieces taken out under one lock */
#define MAX_LOOK  8192 /* free pieces looked at under one lock */
#define CLEAN     UINT32_MAX
#define LEFTOVERS 4096 /* chunks looked at in a tick */
#define HEAD_END  48u  /* a free chunk's head and links stay */
#define SPINS     256  /* looks at a lock before it counts as taken */
#define ROUNDS    2    /* through the arenas, for those that were locked */

/* How far one pass over all free pieces of an arena has come. */
struct shm_pass {
	bool is_under_way;
	bool is_at_top; /* all bins are done */
	struct shm_place place;
	uint32_t begin_ms;
	uint32_t oldest_ms;  /* age of the oldest that was too young, then */
	uint64_t looks_left; /* so that lists in a circle end, too */
};

/* How long an arena's lock is waited for. */
enum patience {
	PATIENCE_NONE,   /* the next tick will do */
	PATIENCE_SPIN,   /* its holder is about to go, or stopped */
	PATIENCE_INSIST, /* some milliseconds */
};

/* One slice of a pass. */
struct sweep {
	struct shm_self *self;
	struct shm_arena *arena;
	struct shm_pass *pass;
	enum patience patience;
	uint32_t age_ms; /* free for at least so long; 0: all */
	bool is_dry;
	bool is_idle;   /* nobody has locked the arena since the last tick */
	bool is_missed; /* the arena was locked */
	bool is_tick;   /* in the daemon's own thread */
	bool is_filled; /* the piece may have memory without bits, if CLEAN */
	uint64_t bytes; /* given back, or that would be */
	uint32_t looked_at, n;
	struct piece {
		uint64_t off;        /* chunk, or payload of an extent */
		uint64_t first, len; /* what to punch */
		uint32_t regions;    /* > 0: return these, CLAIMED by us */
		bool is_extent;
	} piece[BATCH];
};

/* Has a huge page filled holes somewhere in the LEN bytes at OFF? */
static bool
is_filled(const struct sweep *sweep, uint64_t off, uint64_t len)
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
is_aged(struct sweep *sweep, uint32_t stamp)
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
top_is_due(const struct sweep *sweep)
{
	struct shm_self *self = sweep->self;
	struct shm_seg *seg = self->seg;
	uint64_t top = shm_load(&sweep->arena->top), have;
	uint64_t pad = self->param[SHM_PARAM_top_pad];
	uint32_t age;

	if (top == 0 || !shm_chunk_is_sane(seg, top) ||
	    shm_committed_prefix(seg, top, HEAD_END) < HEAD_END)
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
is_due(const struct sweep *sweep)
{
	const struct shm_arena *arena = sweep->arena;
	uint32_t now = shm_load(&sweep->self->seg->super->clock_ms);

	return sweep->age_ms == 0 || sweep->pass->is_under_way ||
	    now - shm_load(&arena->free_since_ms) >= sweep->age_ms ||
	    shm_load(&arena->remote) != 0 || top_is_due(sweep);
}

static bool
is_full(const struct sweep *sweep)
{
	return sweep->n == BATCH || sweep->looked_at == MAX_LOOK;
}

/* A piece has a page at least; twice, for bins that begin again. */
static void
pass_begin(struct sweep *sweep)
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
pass_end(const struct sweep *sweep)
{
	struct shm_pass *pass = sweep->pass;

	pass->is_under_way = false;
	if (sweep->age_ms)
		shm_store(&sweep->arena->free_since_ms,
		    pass->begin_ms - pass->oldest_ms);
}

static struct piece *
piece_add(struct sweep *sweep, uint64_t off, uint64_t first, uint64_t len)
{
	struct piece *piece = &sweep->piece[sweep->n++];

	*piece = (struct piece){ off, first, len, 0, false };
	return piece;
}

/* ---- Chunks; lock held --------------------------------------------------- */

/* Take the free chunk at C, of SIZE bytes, out; its bytes from FIRST on go. */
static int
chunk_take(struct sweep *sweep, uint64_t c, uint32_t size, uint64_t first)
{
	struct shm_self *self = sweep->self;
	struct shm_seg *seg = self->seg;
	struct shm_chunk *chunk = shm_chunk(seg, c);
	uint64_t off = c + SHM_CHUNK_HEAD;
	uint32_t region = shm_region_of(seg, c);
	struct piece *piece;

	/* Unlinking checks the size; it must be the one that we go by. */
	if (shm_bin_unlink_locked(self, sweep->arena, c) != 0 ||
	    shm_size(chunk) != size)
		return SHM_ECORRUPT;
	piece = piece_add(sweep, c, first, c + size - first);
	shm_self_visit(self, region);
	shm_put(&chunk->head.tag, self->cached | shm_tag_check(seg->key, off));
	if (size == SHM_CHUNK_MAX && first == c + HEAD_END) {
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
chunk_consider(struct sweep *sweep, uint64_t c, uint64_t keep_len)
{
	struct shm_seg *seg = sweep->self->seg;
	struct shm_chunk *chunk = shm_chunk(seg, c);
	uint32_t size = shm_size(chunk);
	uint64_t first = c + keep_len, pages;
	bool is_all = size == SHM_CHUNK_MAX && keep_len == HEAD_END;

	if (size <= keep_len)
		return 0;
	pages = shm_committed_pages(seg, first, c + size - first);
	if (pages == 0 && !is_all) {
		bool has_holes = shm_load(&chunk->head.size) & SHM_HOLES;

		if (keep_len != HEAD_END || sweep->is_dry ||
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
top_sweep(struct sweep *sweep)
{
	struct shm_self *self = sweep->self;
	struct shm_seg *seg = self->seg;
	uint64_t top = shm_load(&sweep->arena->top), have;
	uint64_t pad = self->param[SHM_PARAM_top_pad];

	if (top == 0 || sweep->n == BATCH)
		return 0;
	if (!shm_chunk_is_sane(seg, top))
		return SHM_ECORRUPT;
	sweep->is_filled = is_filled(sweep, top, 1);
	if (sweep->age_ms == 0 ||
	    (sweep->is_idle &&
		is_aged(sweep, shm_load(&shm_chunk(seg, top)->stamp_ms))))
		return chunk_consider(sweep, top, HEAD_END);
	have = shm_committed_pages(seg, top, shm_size(shm_chunk(seg, top))) *
	    SHM_PAGE;
	if (have > self->param[SHM_PARAM_trim_threshold] && have > pad) {
		shm_bump(&sweep->arena->counters.trims, 1);
		return chunk_consider(sweep, top, HEAD_END + pad);
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
    const struct sweep *sweep, uint32_t page, uint32_t n, uint64_t dirty)
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
run_take(struct sweep *sweep, struct piece *piece, uint32_t first, uint32_t n)
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
extent_consider(struct sweep *sweep, uint32_t page)
{
	struct shm_self *self = sweep->self;
	struct shm_seg *seg = self->seg;
	struct shm_page *entry = &seg->pages[page];
	uint64_t off = shm_page_off(seg, page);
	uint32_t first, n, pages = shm_pages(entry);
	uint64_t len = (uint64_t)pages * SHM_PAGE;
	uint64_t dirty = shm_committed_pages(seg, off, len);
	struct piece *piece;

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
piece_look(struct sweep *sweep, uint64_t at)
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
	return is_chunk ? chunk_consider(sweep, at, HEAD_END)
			: extent_consider(sweep, page);
}

/* Go on in the bin that the pass is in, until it ends or the slice is full. */
static int
bin_sweep(struct sweep *sweep)
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
arena_sweep_locked(struct sweep *sweep)
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
	else if (pass->is_at_top && sweep->n < BATCH)
		pass_end(sweep);
	return error;
}

/* Put a punched piece back; the lock is held. */
static int
piece_put_locked(struct sweep *sweep, const struct piece *piece)
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
		    piece->first == piece->off + HEAD_END)
			shm_store(&chunk->stamp_ms, CLEAN);
	}
	return 0;
}

/* The arena stays locked: the remote list takes the pieces, whose first page
 * must be there for the link.  What can't even have that waits for the next
 * daemon. */
static void
pieces_push(struct sweep *sweep)
{
	struct shm_self *self = sweep->self;

	for (uint32_t i = 0; i < sweep->n; i++) {
		const struct piece *piece = &sweep->piece[i];
		uint64_t off =
		    piece->is_extent ? piece->off : piece->off + SHM_CHUNK_HEAD;

		if (piece->regions == 0 &&
		    shm_commit(self, off, sizeof(uint64_t)) == 0)
			(void)shm_remote_push(self, sweep->arena, 1, &off);
	}
}

/* The bytes that went: nobody else changes the pages of what is ours. */
static uint64_t
piece_punch(struct shm_self *self, const struct piece *piece)
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
pieces_punch(struct sweep *sweep)
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
arena_lock(struct sweep *sweep)
{
	struct shm_arena *arena = sweep->arena;

	if (sweep->patience == PATIENCE_INSIST)
		return shm_arena_insist(sweep->self, arena);
	if (sweep->patience == PATIENCE_SPIN)
		for (int i = 0; i < SPINS && shm_load(&arena->lock) != 0; i++)
			shm_relax();
	return shm_arena_trylock(arena, sweep->self);
}

/* One slice; true if the pass isn't through and can go on. */
static bool
arena_sweep(struct sweep *sweep)
{
	struct shm_arena *arena = sweep->arena;
	int error;

	sweep->n = sweep->looked_at = 0;
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
	return error == 0 && sweep->pass->is_under_way;
}

/*
 * Cut the tail off ARENA's top where its pages end, tagged as ours; what is
 * left of the top goes into a bin.  0: there is nothing to commit ahead.
 */
static uint64_t
tail_take_locked(struct shm_self *self, struct shm_arena *arena)
{
	struct shm_seg *seg = self->seg;
	uint64_t top = shm_load(&arena->top), have, size;

	if (top == 0 || !shm_chunk_is_sane(seg, top))
		return 0;
	size = shm_size(shm_chunk(seg, top));
	if (size > shm_region_end(seg, top) - top)
		return 0;
	have = shm_committed_prefix(seg, top, size);
	if (have == size || have < 2 * HEAD_END + SHM_GRANULE ||
	    have >= self->param[SHM_PARAM_top_pad] / 2 ||
	    shm_bin_unlink_locked(self, arena, top) != 0)
		return 0;
	have = (have - HEAD_END) & ~(uint64_t)(SHM_GRANULE - 1);
	shm_chunk_split_locked(self, top, top + have);
	shm_bin_link_locked(self, arena, top);
	return top + have;
}

/* Commit ahead of the top of a busy arena. */
static void
grow_ahead(struct shm_self *self, struct shm_arena *arena)
{
	struct shm_seg *seg = self->seg;
	uint64_t pad = self->param[SHM_PARAM_top_pad], tail, size, off;
	int error;

	if (shm_load(&arena->state) != SHM_ARENA_ACTIVE ||
	    !shm_arena_trylock(arena, self))
		return;
	tail = tail_take_locked(self, arena);
	shm_arena_unlock(arena);
	if (tail == 0)
		return;
	off = tail + SHM_CHUNK_HEAD;
	size = shm_size(shm_chunk(seg, tail));
	/* At the limit the allocation itself will say so. */
	if (shm_commit(self, tail, size < pad ? size : pad) != 0)
		self->failure = SHM_FAIL_NONE;
	if (!shm_arena_insist(self, arena)) {
		(void)shm_remote_push(self, arena, 1, &off);
		return;
	}
	error = shm_arena_put_locked(self, arena, tail);
	shm_arena_release(arena, error);
}

/* What waits for readers, all clients together; a killed one may have been
 * between its own sum and this one. */
static void
retired_recount(struct shm_seg *seg)
{
	int64_t sum = 0;

	for (uint32_t i = SHM_DAEMON_SLOT + 1; shm_client_is_there(seg, i);
	     i++) {
		const struct shm_client *client = &seg->clients[i];

		if (shm_load(&client->state) != SHM_CLIENT_FREE)
			sum += shm_load(&client->retired_bytes);
	}
	shm_store(&seg->super->retired_bytes, sum > 0 ? sum : 0);
}

/* Where the ticks' pass over arena I has come; NULL: there is no memory. */
static struct shm_pass *
tick_pass(struct shm_seg *seg, uint32_t i)
{
	if (!seg->passes)
		seg->passes = calloc(seg->max_arenas, sizeof(*seg->passes));
	return seg->passes ? &seg->passes[i] : NULL;
}

/* One slice of a pass over arena I. */
static uint64_t
arena_tick(struct shm_self *self, uint32_t i)
{
	struct shm_arena *arena = &self->seg->arenas[i];
	struct shm_pass *pass = tick_pass(self->seg, i), alone = { 0 };
	struct sweep sweep = { .self = self,
		.arena = arena,
		.pass = pass ? pass : &alone,
		.age_ms = (uint32_t)self->param[SHM_PARAM_decay_ms],
		.is_tick = true,
		.is_idle =
		    shm_load(&arena->locked) == shm_load(&arena->tick_locked) };

	if (!sweep.is_idle)
		grow_ahead(self, arena);
	(void)arena_sweep(&sweep);
	shm_store(&arena->tick_locked, shm_load(&arena->locked));
	return sweep.bytes;
}

uint64_t
shm_tick(struct shm_seg *seg)
{
	uint32_t n = shm_get(&seg->super->n_arenas);
	uint64_t bytes = 0;
	struct shm_self self;

	shm_store(&seg->super->clock_ms, shm_clock_ms());
	shm_daemon_self(seg, &self);
	retired_recount(seg);
	shm_pins_tidy(seg);
	/* Whoever reads now and stays is behind from here on. */
	if (shm_load(&seg->super->retired_bytes) > 0)
		(void)shm_epoch_stamp(seg);
	if (seg->has_leftovers)
		seg->has_leftovers = shm_reclaim_leftovers(seg, LEFTOVERS) != 1;
	if (seg->has_miscount)
		seg->has_miscount = !shm_commit_recount(seg);
	for (uint32_t i = 0; i < n && i < seg->max_arenas; i++)
		bytes += arena_tick(&self, i);
	return bytes;
}

/* Go through all of ARENA, or until WANT bytes have gone.  False: its lock was
 * taken. */
static bool
arena_relieve(struct shm_self *self, struct shm_arena *arena, uint64_t want,
    uint64_t *bytes)
{
	struct shm_pass pass = { 0 };
	struct sweep sweep = { .self = self,
		.arena = arena,
		.pass = &pass,
		.patience = PATIENCE_SPIN };

	while (sweep.bytes < want && arena_sweep(&sweep))
		;
	*bytes += sweep.bytes;
	return !sweep.is_missed;
}

uint64_t
shm_heap_relieve(struct shm_self *self, uint64_t want)
{
	uint32_t n = shm_get(&self->seg->super->n_arenas);
	uint64_t bytes = 0;

	n = n < self->seg->max_arenas ? n : self->seg->max_arenas;
	for (int round = 0; round < ROUNDS && bytes < want; round++) {
		bool is_missed = false;

		for (uint32_t i = 0; i < n && bytes < want; i++)
			is_missed |= !arena_relieve(
			    self, &self->seg->arenas[i], want - bytes, &bytes);
		if (!is_missed)
			break;
		/* Whoever holds a lock may need this processor. */
		(void)sched_yield();
	}
	return bytes;
}

uint64_t
shm_trim(struct shm_seg *seg, int32_t arena, bool is_dry)
{
	uint32_t n = shm_get(&seg->super->n_arenas);
	uint64_t bytes = 0;
	struct shm_self self;

	shm_daemon_self(seg, &self);
	for (uint32_t i = 0; i < n && i < seg->max_arenas; i++) {
		struct shm_pass pass = { 0 };
		struct sweep sweep = { .self = &self,
			.arena = &seg->arenas[i],
			.pass = &pass,
			.patience = PATIENCE_INSIST,
			.is_dry = is_dry };

		if (arena >= 0 && (uint32_t)arena != i)
			continue;
		while (!atomic_load(&seg->is_cancelled) && arena_sweep(&sweep))
			;
		bytes += sweep.bytes;
	}
	return bytes;
}
