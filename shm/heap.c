/*
 * See shm/heap.h.
 */
#include "shm/heap.h"

#include "shm/commit.h"

#define ROUNDS    64  /* before an allocation gives up on locks */
#define TRIES     4   /* of arenas, for an aligned chunk */
#define PATIENCE  8   /* rounds before arena.max is exceeded */
#define HEAD_ROOM 48u /* bytes that a free chunk's head and links take */
#define SPINS     256 /* looks at a lock, before another arena is tried */
#define STRIKE    16u /* locks got that make up for one that was not */
#define SPARE     (256u << 10) /* free bytes that another arena may give of */

/* ---- Arenas -------------------------------------------------------------- */

static uint32_t
arenas_wanted(const struct shm_self *self)
{
	uint64_t most = self->param[SHM_PARAM_arena_max];

	return most == 0 || most > self->seg->max_arenas ? self->seg->max_arenas
							 : (uint32_t)most;
}

static uint32_t
arenas_now(const struct shm_self *self)
{
	uint32_t n = shm_get(&self->seg->super->n_arenas);

	n = n < self->seg->max_arenas ? n : self->seg->max_arenas;
	return n ? n : 1;
}

static bool
arena_try(struct shm_self *self, uint32_t index)
{
	struct shm_arena *arena = &self->seg->arenas[index];

	if (shm_load(&arena->state) != SHM_ARENA_ACTIVE ||
	    !shm_arena_trylock(arena, self))
		return false;
	if (shm_load(&arena->remote) != 0 &&
	    shm_remote_drain_locked(self, arena) != 0) {
		shm_arena_quarantine(arena);
		shm_arena_unlock(arena);
		return false;
	}
	return true;
}

/* Make one more arena below MOST; its number goes into *RET. */
static bool
arena_make(struct shm_self *self, uint32_t most, uint32_t *ret)
{
	struct shm_seg *seg = self->seg;
	uint32_t n = arenas_now(self);
	enum shm_failure failure = self->failure;

	if (n >= most ||
	    shm_commit(self, shm_offset_of(seg, &seg->arenas[n]),
		sizeof(struct shm_arena)) != 0) {
		self->failure = failure;
		return false;
	}
	shm_put(&seg->arenas[n].state, SHM_ARENA_ACTIVE);
	*ret = n;
	(void)shm_cas(&seg->super->n_arenas, &n, n + 1);
	return true;
}

/* Lock an arena that is worth a little patience: a lock is held for a
 * microsecond or two. */
static bool
arena_try_long(struct shm_self *self, uint32_t index)
{
	const struct shm_arena *arena = &self->seg->arenas[index];

	if (arena_try(self, index))
		return true;
	for (int i = 0; i < SPINS && shm_load(&arena->lock) != 0; i++)
		shm_relax();
	return shm_load(&arena->lock) == 0 && arena_try(self, index);
}

/*
 * Lock one of the first N arenas, the thread's own if possible.  Another one
 * becomes its own if that was not possible for the second time of late: what it
 * has freed is where it was, and would be left unused for new regions if each
 * visit of the daemon made it move.
 */
static struct shm_arena *
arena_try_all(struct shm_self *self, uint32_t n)
{
	if (self->arena >= n)
		self->arena %= n;
	if (arena_try_long(self, self->arena)) {
		self->strikes -= self->strikes > 0;
		return &self->seg->arenas[self->arena];
	}
	self->strikes += STRIKE;
	for (uint32_t i = 1; i < n; i++) {
		uint32_t index = (self->arena + i) % n;

		if (!arena_try(self, index))
			continue;
		if (self->strikes > STRIKE) {
			shm_add(&self->client->moves, 1);
			self->arena = index;
			self->strikes = 0;
		}
		return &self->seg->arenas[index];
	}
	return NULL;
}

/*
 * Go to the arena that arena.assign gives this thread, by its record's number
 * or its client's, so that it stays the same.  It is made if it isn't there.
 */
static void
arena_settle(struct shm_self *self)
{
	uint64_t by = self->param[SHM_PARAM_arena_assign];
	uint32_t home, last;

	if (SHM_LIKELY(by == SHM_ASSIGN_CONTENTION))
		return;
	home = (by == SHM_ASSIGN_THREAD ? self->thread : self->slot) %
	    arenas_wanted(self);
	for (uint32_t i = 0; i <= home && arenas_now(self) <= home; i++)
		if (!arena_make(self, home + 1, &last))
			break;
	self->arena = home % arenas_now(self);
}

/*
 * Lock an arena to allocate from: the thread's own, else any other, else a new
 * one, else wait a little for its own.  If their holders stay away, because
 * they are stopped or dead, go beyond arena.max.  NULL if all stay locked.
 */
static struct shm_arena *
arena_lock(struct shm_self *self)
{
	arena_settle(self);
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t now = arenas_now(self), most = arenas_wanted(self);
		struct shm_arena *arena;

		if (round >= PATIENCE)
			most = self->seg->max_arenas;
		arena = arena_try_all(self, now < most ? now : most);
		if (arena)
			return arena;
		if (!arena_make(self, most, &self->arena))
			shm_arena_wait(&self->seg->arenas[self->arena], self);
	}
	self->failure = SHM_FAIL_SYSTEM;
	return NULL;
}

/* ---- Chunks -------------------------------------------------------------- */

/* Commit WANT bytes from OFF, or if that is too much now, NEED. */
static int
commit_some(struct shm_self *self, uint64_t off, uint64_t want, uint64_t need)
{
	int error = shm_commit(self, off, want > need ? want : need);

	return error && want > need ? shm_commit(self, off, need) : error;
}

/* Commit the beginning of the chunk at C, ours because it lacked pages, and
 * carve it. */
static int
holes_fill(struct shm_self *self, struct shm_arena *arena, uint64_t c,
    uint32_t size, uint32_t n, uint64_t ret[])
{
	uint64_t all = shm_size(shm_chunk(self->seg, c)) + SHM_CHUNK_OVER;
	uint64_t need = size + HEAD_ROOM, want = self->param[SHM_PARAM_top_pad];
	uint64_t off = c + SHM_CHUNK_HEAD;
	int error, got;

	need = need < all ? need : all;
	want = want < all ? want : all;
	error = commit_some(self, c, want, need);
	if (!shm_arena_insist(self, arena)) {
		(void)shm_remote_push(self, arena, 1, &off);
		return error ? error : SHM_ERETRY;
	}
	got = error ? shm_arena_put_locked(self, arena, c)
		    : shm_arena_carve_locked(self, arena, c, size, n, ret);
	shm_arena_release(arena, got);
	return error ? error : got;
}

/* Take from ARENA, whose lock is held and released here.  How many; 0: nothing
 * fits; or an error. */
static int
arena_serve(struct shm_self *self, struct shm_arena *arena, uint32_t size,
    uint32_t n, uint64_t ret[])
{
	uint64_t holes;
	int got = shm_arena_take_locked(self, arena, size, n, ret, &holes);

	shm_arena_release(arena, got);
	if (got == 0 && holes)
		got = holes_fill(self, arena, holes, size, n, ret);
	return got;
}

/* Add a region to an arena, with enough committed for a chunk of SIZE bytes. */
static int
region_add(struct shm_self *self, uint32_t size)
{
	struct shm_seg *seg = self->seg;
	uint64_t need = (uint64_t)size + HEAD_ROOM;
	struct shm_arena *arena;
	uint32_t region;
	int error = shm_region_claim(self, 1, false, &region);

	if (error)
		return error;
	if (need > SHM_REGION)
		need = SHM_REGION;
	error = commit_some(self, shm_region_off(seg, region),
	    self->param[SHM_PARAM_top_pad], need);
	arena = error ? NULL : arena_lock(self);
	if (!arena) {
		shm_region_return(self, region, 1);
		return SHM_ENOMEM;
	}
	shm_arena_add_region_locked(self, arena, region);
	shm_arena_unlock(arena);
	return 0;
}

/*
 * The thread's arena has nothing that fits.  What is free in others, left there
 * when their threads moved or ended, goes before a new region: each arena would
 * keep what was its most, else.
 */
static int
spare_take(struct shm_self *self, uint32_t size, uint32_t n, uint64_t ret[])
{
	uint32_t arenas = arenas_now(self);

	for (uint32_t i = 1; i < arenas; i++) {
		uint32_t index = (self->arena + i) % arenas;
		struct shm_arena *arena = &self->seg->arenas[index];
		int got;

		if (shm_load(&arena->binned_bytes) < SPARE + size ||
		    !arena_try_long(self, index))
			continue;
		got = arena_serve(self, arena, size, n, ret);
		if (got > 0)
			return got;
	}
	return 0;
}

/* The limit is reached: look into every other arena, as it is. */
static uint32_t
others_take(struct shm_self *self, uint32_t size, uint32_t n, uint64_t ret[])
{
	uint32_t arenas = arenas_now(self);

	for (uint32_t i = 0; i < arenas; i++) {
		struct shm_arena *arena = &self->seg->arenas[i];
		uint64_t holes;
		int got;

		if (!arena_try(self, i))
			continue;
		got = shm_arena_take_locked(self, arena, size, n, ret, &holes);
		if (got == 0 && holes)
			got = shm_arena_put_locked(self, arena, holes);
		shm_arena_release(arena, got);
		if (got > 0)
			return (uint32_t)got;
	}
	return 0;
}

/* Count a failure.  Full, or is there enough but in pieces too small?  The
 * crumbs of a full heap are not called fragmentation. */
static void
failure_classify(struct shm_self *self, uint64_t size)
{
	uint64_t crumbs = shm_committed_total(self->seg) * SHM_PAGE / 32;
	uint64_t all, largest;

	shm_add(&self->seg->arenas[self->arena % arenas_now(self)].fails, 1);
	if (self->failure != SHM_FAIL_FULL)
		return;
	shm_heap_free_space(self->seg, &all, &largest);
	if (all >= size && all >= crumbs && largest < size)
		self->failure = SHM_FAIL_FRAGMENTED;
}

/* At the limit: give back what other arenas have free, so that SIZE bytes more
 * may be committed. */
static bool
full_relieve(struct shm_self *self, uint64_t size)
{
	return self->failure == SHM_FAIL_FULL &&
	    shm_heap_relieve(self, size + self->param[SHM_PARAM_top_pad]) >=
	    SHM_PAGE;
}

uint32_t
shm_heap_take(struct shm_self *self, uint32_t size, uint32_t n, uint64_t ret[])
{
	bool is_relieved = false;

	self->failure = SHM_FAIL_NONE;
	for (int round = 0; round < ROUNDS; round++) {
		struct shm_arena *arena = arena_lock(self);
		int got;

		if (!arena)
			return 0;
		got = arena_serve(self, arena, size, n, ret);
		if (got == 0)
			got = spare_take(self, size, n, ret);
		if (got > 0)
			return (uint32_t)got;
		if (got == SHM_ECORRUPT || got == SHM_ERETRY)
			continue;
		if (got == 0 && region_add(self, size) == 0)
			continue;
		got = (int)others_take(self, size, n, ret);
		if (got == 0 && !is_relieved && full_relieve(self, size)) {
			is_relieved = true;
			continue;
		}
		if (got == 0)
			failure_classify(self, size);
		return (uint32_t)got;
	}
	self->failure = SHM_FAIL_SYSTEM;
	return 0;
}

/* Cut the chunk of at least SIZE bytes at AT, a multiple of the alignment, out
 * of the larger one at OFF, both ours.  False if its arena stays locked. */
static bool
aligned_cut(struct shm_self *self, uint64_t off, uint64_t at, uint32_t size)
{
	uint64_t c = at - SHM_CHUNK_HEAD;
	bool is_extent;
	struct shm_arena *arena = shm_arena_of(self->seg, off, &is_extent);
	int error = 0;

	if (!arena || !shm_arena_insist(self, arena))
		return false;
	if (at != off) {
		shm_chunk_split_locked(self, off - SHM_CHUNK_HEAD, c);
		error = shm_arena_put_locked(self, arena, off - SHM_CHUNK_HEAD);
	}
	if (error == 0)
		error = shm_arena_shrink_locked(self, arena, c, size);
	shm_arena_release(arena, error);
	return true;
}

uint64_t
shm_heap_take_aligned(struct shm_self *self, uint32_t size, uint32_t align)
{
	for (int round = 0; round < TRIES; round++) {
		uint64_t off, at;

		if (shm_heap_take(
			self, size + align + SHM_CHUNK_MIN, 1, &off) == 0)
			return 0;
		at = (off + align - 1) & ~(uint64_t)(align - 1);
		if (at != off && at - off < SHM_CHUNK_MIN)
			at += align;
		if (aligned_cut(self, off, at, size))
			return at;
		shm_heap_put(self, 1, &off);
		self->arena++;
	}
	self->failure = SHM_FAIL_SYSTEM;
	return 0;
}

/* ---- Extents ------------------------------------------------------------- */

/* An extent in regions of its own. */
static uint64_t
run_add(struct shm_self *self, uint32_t pages)
{
	struct shm_seg *seg = self->seg;
	uint32_t n = (pages + SHM_REGION_PAGES - 1) / SHM_REGION_PAGES, first;
	struct shm_arena *arena;
	uint64_t off;

	if (shm_region_claim(self, n, true, &first) != 0)
		return 0;
	off = shm_region_off(seg, first);
	if (shm_commit(self, off, (uint64_t)pages * SHM_PAGE) != 0 ||
	    (arena = arena_lock(self)) == NULL) {
		shm_region_return(self, first, n);
		return 0;
	}
	shm_extent_add_run_locked(self, arena, first, n, pages);
	shm_arena_unlock(arena);
	return off;
}

/* Commit what the extent at PAGE lacks, or put it back. */
static uint64_t
extent_fill(struct shm_self *self, uint32_t page)
{
	struct shm_seg *seg = self->seg;
	uint64_t off = shm_page_off(seg, page), gone = off;
	uint64_t len = (uint64_t)shm_pages(&seg->pages[page]) * SHM_PAGE;

	if (shm_commit(self, off, len) == 0)
		return off;
	/* Its first page must be there if it goes onto a remote list. */
	if (shm_committed_prefix(seg, off, SHM_PAGE) == SHM_PAGE ||
	    shm_commit(self, off, SHM_PAGE) == 0)
		shm_heap_put(self, 1, &gone);
	return 0;
}

static uint64_t
extent_take(struct shm_self *self, uint64_t pages)
{
	struct shm_seg *seg = self->seg;
	uint32_t page = 0, arenas;

	self->failure = SHM_FAIL_NONE;
	if (pages > SHM_EXTENT_MAX ||
	    pages > (uint64_t)seg->n_regions * SHM_REGION_PAGES) {
		self->failure = SHM_FAIL_TOO_LARGE;
		return 0;
	}
	arena_settle(self);
	arenas = arenas_now(self);
	for (uint32_t i = 0; i <= arenas; i++) {
		/* Its own first, then every other. */
		uint32_t index = i == 0 ? self->arena % arenas : i - 1;
		int got;

		if (!arena_try(self, index))
			continue;
		got = shm_extent_take_locked(
		    self, &seg->arenas[index], (uint32_t)pages, &page);
		shm_arena_release(&seg->arenas[index], got);
		if (got != 1)
			continue;
		return extent_fill(self, page);
	}
	return run_add(self, (uint32_t)pages);
}

uint64_t
shm_heap_take_extent(struct shm_self *self, uint64_t pages)
{
	uint64_t off = extent_take(self, pages);

	if (off == 0 && full_relieve(self, pages * SHM_PAGE))
		off = extent_take(self, pages);
	if (off == 0)
		failure_classify(self, pages * SHM_PAGE);
	return off;
}

uint64_t
shm_heap_try_extent(struct shm_self *self, uint64_t pages)
{
	enum shm_failure before = self->failure;
	uint64_t off = extent_take(self, pages);

	self->failure = before;
	return off;
}

/* ---- Limits -------------------------------------------------------------- */

uint64_t
shm_heap_threshold(const struct shm_self *self)
{
	const struct shm_seg *seg = self->seg;
	uint64_t threshold = self->param[SHM_PARAM_mmap_threshold];
	uint64_t dynamic;

	if (!shm_load(&seg->tunables->is_dynamic))
		return threshold;
	dynamic = shm_load(&seg->super->mmap_dynamic);
	if (dynamic > shm_params[SHM_PARAM_mmap_threshold].max)
		dynamic = shm_params[SHM_PARAM_mmap_threshold].max;
	return dynamic > threshold ? dynamic : threshold;
}

void
shm_heap_free_space(
    struct shm_seg *seg, uint64_t *ret_free, uint64_t *ret_largest)
{
	uint32_t n = shm_get(&seg->super->n_arenas);
	uint64_t all = 0, largest = 0;

	for (uint32_t i = 0; i < n && i < seg->max_arenas; i++) {
		struct shm_arena *arena = &seg->arenas[i];

		all += shm_load(&arena->binned_bytes) +
		    shm_load(&arena->fast_bytes);
		for (uint32_t w = SHM_BIN_WORDS; w-- > 0;) {
			uint64_t map = shm_load(&arena->binmap[w]), size;

			if (map == 0)
				continue;
			size = shm_bin_size(w * 64 + shm_log2(map));
			largest = size > largest ? size : largest;
			break;
		}
	}
	*ret_free = all;
	*ret_largest = largest;
}
