/*
 * See shm/walk.h, and shm_walk() in shm/stats.h.
 */
#include "shm/walk.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "shm/arena.h"
#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/head.h"
#include "shm/stats.h"

#define LOCK_ATTEMPTS 64
#define LOCK_SPINS    32 /* of them without a sleep */
#define LOCK_NAP_NS   100000
#define ROOM          4096 /* heads, to begin with */

/* Why a copy has to be made again. */
enum { HAS_CHANGED = 1, NEEDS_ROOM };

uint32_t
shm_walk_arenas(const struct shm_seg *seg)
{
	uint64_t n = shm_get(&seg->super->n_arenas), have;

	n = n < seg->max_arenas ? n : seg->max_arenas;
	have = shm_committed_prefix(
	    seg, shm_offset_of(seg, seg->arenas), n * sizeof(struct shm_arena));
	return (uint32_t)(have / sizeof(struct shm_arena));
}

uint32_t
shm_walk_regions(const struct shm_seg *seg)
{
	uint64_t n = shm_regions_used(seg);

	return (uint32_t)(shm_committed_prefix(
			      seg, shm_offset_of(seg, seg->regions), n * 8) /
	    8);
}

bool
shm_walk_lock(struct shm_self *self, struct shm_arena *arena)
{
	const struct timespec nap = { 0, LOCK_NAP_NS };

	for (int i = 0; i < LOCK_ATTEMPTS; i++) {
		if (shm_arena_trylock(arena, self))
			return true;
		if (i < LOCK_SPINS)
			(void)sched_yield();
		else
			(void)nanosleep(&nap, NULL);
	}
	return false;
}

int
shm_walk_begin(struct shm_walk *walk, struct shm_seg *seg)
{
	*walk = (struct shm_walk){ .room = ROOM };
	if (seg->is_read_only)
		return SHM_EREADONLY;
	walk->head = malloc(walk->room * sizeof(*walk->head));
	if (!walk->head)
		return SHM_ENOMEM;
	shm_daemon_self(seg, &walk->self);
	walk->regions = shm_walk_regions(seg);
	return 0;
}

void
shm_walk_end(struct shm_walk *walk)
{
	free(walk->head);
	walk->head = NULL;
}

/* ---- One copy; lock held ------------------------------------------------- */

static int
chunks_copy(struct shm_walk *walk)
{
	struct shm_seg *seg = walk->self.seg;
	uint64_t c = shm_region_off(seg, walk->first), end = c + SHM_CHUNK_MAX;
	struct shm_head_copy head;

	for (; c < end; c += head.len) {
		if (shm_chunk_read(seg, c, end, &head) != 0)
			return SHM_ECORRUPT;
		if (walk->n == walk->room)
			return NEEDS_ROOM;
		walk->head[walk->n++] = (struct shm_walk_head){ c, head.len,
			head.flags, head.tag, 0 };
	}
	return 0;
}

static uint64_t
extent_requested(const struct shm_page *entry, const struct shm_head_copy *head)
{
	uint64_t asked = shm_load(&entry->next) |
	    (uint64_t)(shm_load(&entry->prev) & UINT16_MAX) << 32;

	if (head->state == SHM_FREE)
		return 0;
	return asked < head->len ? asked : head->len;
}

static int
extents_copy(struct shm_walk *walk)
{
	struct shm_seg *seg = walk->self.seg;
	uint32_t page = walk->first * SHM_REGION_PAGES;
	uint32_t end = page + walk->n_regions * SHM_REGION_PAGES;
	struct shm_head_copy head;

	for (; page < end; page += (uint32_t)(head.len / SHM_PAGE)) {
		if (shm_extent_read(seg, page, end, &head) != 0)
			return SHM_ECORRUPT;
		if (walk->n == walk->room)
			return NEEDS_ROOM;
		walk->head[walk->n++] =
		    (struct shm_walk_head){ shm_page_off(seg, page), head.len,
			    head.flags, head.tag,
			    extent_requested(&seg->pages[page], &head) };
	}
	return 0;
}

/* Note whose REGION is, and how long its run; all may change until its arena's
 * lock is held. */
static void
region_look(struct shm_walk *walk, uint32_t region)
{
	struct shm_seg *seg = walk->self.seg;
	uint64_t entry = shm_get(&seg->regions[region]);
	uint32_t first, n;

	walk->first = region;
	walk->n_regions = 1;
	walk->n = 0;
	walk->arena = shm_entry_arena(entry);
	walk->kind = shm_entry_kind(entry);
	if (walk->kind == SHM_REGION_EXTENTS &&
	    shm_region_run(seg, region, &first, &n))
		walk->n_regions = n;
}

/* By what is really there: most regions have few chunks, and how long a run of
 * extents could be is for anybody to write. */
static bool
room_double(struct shm_walk *walk)
{
	size_t room = walk->room * 2;
	struct shm_walk_head *more = realloc(walk->head, room * sizeof(*more));

	if (!more)
		return false;
	walk->head = more;
	walk->room = room;
	return true;
}

/* What region_look() saw, with the lock of its arena.  HAS_CHANGED and
 * NEEDS_ROOM: to be done again. */
static int
region_copy(struct shm_walk *walk, struct shm_arena *arena)
{
	struct shm_walk before = *walk;
	int error = shm_remote_drain_locked(&walk->self, arena);

	if (error)
		return error;
	region_look(walk, before.first);
	if (walk->kind != before.kind || walk->arena != before.arena ||
	    walk->n_regions != before.n_regions)
		return HAS_CHANGED;
	return walk->kind == SHM_REGION_CHUNKS ? chunks_copy(walk)
					       : extents_copy(walk);
}

int
shm_walk_copy(struct shm_walk *walk, uint32_t region)
{
	struct shm_seg *seg = walk->self.seg;

	for (int i = 0; i < LOCK_ATTEMPTS; i++) {
		struct shm_arena *arena;
		int result;

		region_look(walk, region);
		if (walk->kind != SHM_REGION_CHUNKS &&
		    walk->kind != SHM_REGION_EXTENTS)
			return 0;
		if (walk->arena >= shm_walk_arenas(seg))
			return SHM_ECORRUPT;
		arena = &seg->arenas[walk->arena];
		if (!shm_walk_lock(&walk->self, arena))
			return SHM_ERETRY;
		result = region_copy(walk, arena);
		if (result == SHM_ECORRUPT)
			shm_arena_quarantine(arena);
		shm_arena_unlock(arena);
		if (result <= 0)
			return result;
		if (result == NEEDS_ROOM && !room_double(walk))
			return SHM_ENOMEM;
	}
	return SHM_ERETRY;
}

/* ---- Pieces -------------------------------------------------------------- */

static void
head_report(const struct shm_walk *walk, const struct shm_walk_head *head,
    shm_piece_fn fn, void *arg)
{
	bool is_chunk = walk->kind == SHM_REGION_CHUNKS;
	struct shm_piece piece = {
		.kind = is_chunk ? SHM_PIECE_CHUNK : SHM_PIECE_EXTENT,
		.state = shm_tag_state(head->tag),
		.off = head->off,
		.len = head->len,
		.arena = walk->arena,
		.owner = shm_tag_owner(head->tag),
		.generation = shm_tag_generation(head->tag),
		.requested = head->requested,
	};

	piece.is_top = is_chunk && piece.state == SHM_FREE &&
	    (head->flags & (SHM_TOP | SHM_LINKED)) == (SHM_TOP | SHM_LINKED);
	fn(arg, &piece);
}

static void
copy_report(const struct shm_walk *walk, shm_piece_fn fn, void *arg)
{
	uint64_t off = shm_region_off(walk->self.seg, walk->first);
	struct shm_piece piece = { .off = off, .arena = walk->arena };

	for (size_t i = 0; i < walk->n; i++)
		head_report(walk, &walk->head[i], fn, arg);
	if (walk->kind == SHM_REGION_EXTENTS)
		return;
	piece.kind = SHM_PIECE_UNUSED;
	piece.len = SHM_REGION;
	if (walk->kind == SHM_REGION_CHUNKS) {
		piece.kind = SHM_PIECE_TAIL;
		piece.off += SHM_CHUNK_MAX;
		piece.len = SHM_REGION_TAIL;
	}
	fn(arg, &piece);
}

/* Does a walk of ARENA, -1 for all, have to look at REGION? */
static bool
is_wanted(const struct shm_seg *seg, uint32_t region, int32_t arena)
{
	uint64_t entry = shm_get(&seg->regions[region]);
	enum shm_region_kind kind = shm_entry_kind(entry);

	return arena < 0 ||
	    ((kind == SHM_REGION_CHUNKS || kind == SHM_REGION_EXTENTS) &&
		shm_entry_arena(entry) == (uint32_t)arena);
}

int
shm_walk(struct shm_seg *seg, int32_t arena, shm_piece_fn fn, void *arg)
{
	struct shm_walk walk;
	int error = shm_walk_begin(&walk, seg);

	if (error)
		return error;
	for (uint32_t i = 0; i < walk.regions && error == 0;) {
		walk.n_regions = 1;
		if (atomic_load(&seg->is_cancelled)) {
			error = SHM_EBUSY;
		} else if (is_wanted(seg, i, arena)) {
			error = shm_walk_copy(&walk, i);
			if (error == 0 &&
			    (arena < 0 || walk.arena == (uint32_t)arena))
				copy_report(&walk, fn, arg);
		}
		i += walk.n_regions;
		/* A run that began below the watermark of then, not above. */
		if (i > walk.regions)
			walk.regions = i;
	}
	shm_walk_end(&walk);
	return error;
}
