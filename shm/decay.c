/*
 * Giving free pages back to the system (shm/sweep.h), and committing ahead.
 *
 * The daemon does so by its timer; a client only at the limit, before it would
 * fail.  Committing ahead is done by an owner: of the top's tail, cut off where
 * its pages end, while its front stays in use.
 */
#include <sched.h>
#include <stdlib.h>

#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/epoch.h"
#include "shm/heap.h"
#include "shm/sweep.h"
#include "shm/thread.h"

#define LEFTOVERS 4096 /* chunks looked at in a tick */
#define SOFT_MS   100  /* decay_ms above limit.soft */
#define PASS_PART 8    /* of decay_ms: the time that a pass may take */
#define ROUNDS    2    /* through the arenas, for those that were locked */

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
	if (have == size || have < 2 * SHM_FREE_HEAD_END + SHM_GRANULE ||
	    have >= self->param[SHM_PARAM_top_pad] / 2 ||
	    shm_bin_unlink_locked(self, arena, top) != 0)
		return 0;
	have = (have - SHM_FREE_HEAD_END) & ~(uint64_t)(SHM_GRANULE - 1);
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
	uint64_t sum = 0; /* of what may be any numbers */

	for (uint32_t i = SHM_DAEMON_SLOT + 1; shm_client_is_there(seg, i);
	     i++) {
		const struct shm_client *client = &seg->clients[i];

		if (shm_load(&client->state) != SHM_CLIENT_FREE)
			sum += (uint64_t)shm_load(&client->retired_bytes);
	}
	shm_store(
	    &seg->super->retired_bytes, sum <= INT64_MAX ? (int64_t)sum : 0);
}

/* Where the ticks' pass over arena I has come; NULL: there is no memory. */
static struct shm_pass *
tick_pass(struct shm_seg *seg, uint32_t i)
{
	if (!seg->passes)
		seg->passes = calloc(seg->max_arenas, sizeof(*seg->passes));
	return seg->passes ? &seg->passes[i] : NULL;
}

/* Since when a page must be free for a pass to take it, so that all of them
 * have gone after decay_ms. */
static uint32_t
age_ms(const struct shm_self *self)
{
	uint64_t ms = self->param[SHM_PARAM_decay_ms];

	return self->seg->is_above_soft && ms > SOFT_MS
	    ? SOFT_MS
	    : (uint32_t)(ms - ms / PASS_PART);
}

/* When the segment comes to be above limit.soft its caches are told. */
static void
soft_look(const struct shm_self *self)
{
	struct shm_seg *seg = self->seg;
	uint64_t soft = self->param[SHM_PARAM_limit_soft];
	bool is_above = soft && shm_committed_total(seg) > soft / SHM_PAGE;

	if (is_above && !seg->is_above_soft) {
		seg->n_above_soft++;
		shm_pressure_raise(seg);
	}
	seg->is_above_soft = is_above;
}

/* One slice of a pass over arena I. */
static uint64_t
arena_slice(struct shm_self *self, uint32_t i, bool is_idle)
{
	struct shm_arena *arena = &self->seg->arenas[i];
	struct shm_pass *pass = tick_pass(self->seg, i), alone = { 0 };
	struct shm_sweep sweep = { .self = self,
		.arena = arena,
		.pass = pass ? pass : &alone,
		.age_ms = age_ms(self),
		.is_tick = true,
		.is_idle = is_idle };

	(void)!shm_arena_sweep(&sweep);
	return sweep.bytes;
}

/* Nobody but the daemon has locked ARENA since the last tick. */
static bool
arena_is_idle(const struct shm_arena *arena)
{
	return shm_load(&arena->locked) == shm_load(&arena->tick_locked);
}

static void
arena_seen(struct shm_arena *arena)
{
	shm_store(&arena->tick_locked, shm_load(&arena->locked));
}

static uint64_t
arena_tick(struct shm_self *self, uint32_t i)
{
	struct shm_arena *arena = &self->seg->arenas[i];
	bool is_idle = arena_is_idle(arena);
	uint64_t bytes;

	if (!is_idle)
		grow_ahead(self, arena);
	bytes = arena_slice(self, i, is_idle);
	arena_seen(arena);
	return bytes;
}

/* The first arena that has more to give back; max_arenas: none. */
static uint32_t
arena_full(const struct shm_seg *seg)
{
	uint32_t n = shm_get(&seg->super->n_arenas);

	for (uint32_t i = 0; seg->passes && i < n && i < seg->max_arenas; i++)
		if (seg->passes[i].is_full)
			return i;
	return seg->max_arenas;
}

bool
shm_tick_has_more(const struct shm_seg *seg)
{
	return arena_full(seg) < seg->max_arenas;
}

uint64_t
shm_tick_more(struct shm_seg *seg)
{
	uint32_t i = arena_full(seg);
	bool is_idle;
	uint64_t bytes;
	struct shm_self self;

	if (i == seg->max_arenas)
		return 0;
	shm_daemon_self(seg, &self);
	is_idle = arena_is_idle(&seg->arenas[i]);
	bytes = arena_slice(&self, i, is_idle);
	if (is_idle)
		arena_seen(&seg->arenas[i]);
	return bytes;
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
	soft_look(&self);
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
	struct shm_sweep sweep = { .self = self,
		.arena = arena,
		.pass = &pass,
		.patience = SHM_PATIENCE_SPIN };

	while (sweep.bytes < want && shm_arena_sweep(&sweep))
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
		struct shm_sweep sweep = { .self = &self,
			.arena = &seg->arenas[i],
			.pass = &pass,
			.patience = SHM_PATIENCE_INSIST,
			.is_dry = is_dry };
		bool is_idle = arena_is_idle(sweep.arena);

		if (arena >= 0 && (uint32_t)arena != i)
			continue;
		while (
		    !atomic_load(&seg->is_cancelled) && shm_arena_sweep(&sweep))
			;
		bytes += sweep.bytes;
		/* Else the next tick took it for busy, and committed ahead. */
		if (is_idle)
			arena_seen(sweep.arena);
	}
	return bytes;
}
