/*
 * Repairing the arenas that the dead had locked: the lock is taken over, and
 * the index rebuilt from the heads, a slice at a time.
 *
 * A word that no live thread can have put there is a dead holder's, whatever it
 * names.  The daemon's own record counts up at each start, so what a daemon
 * before this one had locked is told from what this one has.
 */
#include "shm/arena.h"
#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/thread.h"

/* Is the holder that WORD names dead?  A record is given to another thread only
 * after its locks were repaired, so a word that doesn't fit it is too. */
static bool
holder_is_dead(const struct shm_self *self, uint32_t word)
{
	const struct shm_seg *seg = self->seg;
	uint32_t thread = shm_lock_thread(word), slot;
	uint64_t owner;

	if (thread == SHM_DAEMON_THREAD)
		return (word & ~SHM_LOCK_WAITERS) != self->lock_word;
	if (thread >= SHM_THREADS)
		return true;
	owner = shm_thread_owner(seg, thread);
	slot = shm_owner_slot(owner);
	return slot <= SHM_DAEMON_SLOT || !shm_client_is_there(seg, slot) ||
	    (shm_owner_generation(owner) & 255) != (word >> 16 & 255) ||
	    shm_get(&seg->clients[slot].state) != SHM_CLIENT_LIVE;
}

uint32_t
shm_client_locks(const struct shm_seg *seg, uint32_t slot)
{
	uint32_t arenas = shm_get(&seg->super->n_arenas), n = 0;

	for (uint32_t i = 0; i < arenas && i < seg->max_arenas; i++) {
		uint32_t word = shm_get(&seg->arenas[i].lock);
		uint32_t thread = shm_lock_thread(word);

		n += word != 0 && thread < SHM_THREADS &&
		    shm_owner_slot(shm_thread_owner(seg, thread)) == slot;
	}
	return n;
}

/* The arena that is being repaired: the one from before, or the next whose lock
 * a dead holder has, taken over.  NULL: there is none. */
static struct shm_arena *
repair_begin(struct shm_self *self)
{
	struct shm_seg *seg = self->seg;
	uint32_t n = shm_get(&seg->super->n_arenas);

	if (seg->repair_arena_plus_one) {
		shm_arena_return(&seg->arenas[seg->repair_arena_plus_one - 1]);
		return &seg->arenas[seg->repair_arena_plus_one - 1];
	}
	for (uint32_t i = 0; i < n && i < seg->max_arenas; i++) {
		struct shm_arena *arena = &seg->arenas[i];
		uint32_t word = shm_get(&arena->lock);

		if (word == 0 || !holder_is_dead(self, word) ||
		    !shm_arena_steal(arena, self, word))
			continue;
		shm_bump(&arena->owner_deaths, 1);
		seg->repair_arena_plus_one = i + 1;
		/* A sick one stays as it is: just its lock goes. */
		seg->repair_next = UINT32_MAX;
		if (shm_load(&arena->state) != SHM_ARENA_SICK &&
		    shm_arena_rebuild_begin_locked(self, arena) == 0)
			seg->repair_next = 0;
		return arena;
	}
	return NULL;
}

int
shm_repair_step(struct shm_seg *seg, uint32_t max_regions)
{
	struct shm_self self;
	struct shm_arena *arena;
	int result = SHM_ECORRUPT;

	shm_daemon_self(seg, &self);
	arena = repair_begin(&self);
	if (!arena)
		return 0;
	if (seg->repair_next != UINT32_MAX)
		result = shm_arena_rebuild_step_locked(
		    &self, arena, &seg->repair_next, max_regions);
	if (result == 1) {
		shm_arena_leave(arena);
		return 1;
	}
	if (result == 0)
		shm_bump(&seg->super->recovered_locks, 1);
	shm_bump(&arena->repairs, 1);
	seg->repair_arena_plus_one = 0;
	shm_arena_unlock(arena);
	return 1;
}

uint32_t
shm_repair_dead_locks(struct shm_seg *seg)
{
	uint64_t before = shm_load(&seg->super->recovered_locks);

	/* Each once: who breaks them as fast must not keep us. */
	for (uint32_t i = 0;
	     i <= seg->max_arenas && shm_repair_step(seg, UINT32_MAX) != 0; i++)
		;
	return (uint32_t)(shm_load(&seg->super->recovered_locks) - before);
}
