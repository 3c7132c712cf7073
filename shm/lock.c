/*
 * See shm/lock.h.
 */
#include "shm/lock.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shm/commit.h"
#include "shm/latency.h"
#include "shm/thread.h"

#define INSIST         4 /* waits for one certain lock */
#define DAEMON_WAIT_MS 1 /* at most, whatever lock.wait_ms says */

#ifdef SHM_DEBUG
/* The arena that this thread holds. */
static _Thread_local const struct shm_arena *lock_held;

static void
held_set(const struct shm_arena *arena)
{
	assert(lock_held == NULL);
	lock_held = arena;
}

static void
held_clear(const struct shm_arena *arena)
{
	assert(lock_held == arena);
	lock_held = NULL;
}
#else
#define held_set(arena)   ((void)(arena))
#define held_clear(arena) ((void)(arena))
#endif

bool
shm_arena_trylock(struct shm_arena *arena, struct shm_self *self)
{
	uint32_t word = shm_load(&arena->lock);

	if (word != 0 || !shm_cas(&arena->lock, &word, self->lock_word)) {
		shm_add(&arena->busy, 1);
		return false;
	}
	held_set(arena);
	shm_bump(&arena->locked, 1);
	shm_store(&arena->since_ms, shm_load(&self->seg->super->clock_ms));
	return true;
}

void
shm_arena_unlock(struct shm_arena *arena)
{
	uint32_t word;

	held_clear(arena);
	word = atomic_exchange_explicit(&arena->lock, 0, memory_order_release);
	if (SHM_UNLIKELY(word & SHM_LOCK_WAITERS))
		(void)syscall(SYS_futex, &arena->lock, FUTEX_WAKE, INT32_MAX,
		    NULL, NULL, 0);
}

void
shm_arena_leave(const struct shm_arena *arena)
{
	held_clear(arena);
}

void
shm_arena_return(const struct shm_arena *arena)
{
	held_set(arena);
}

bool
shm_arena_steal(struct shm_arena *arena, struct shm_self *self, uint32_t word)
{
	if (!shm_cas(&arena->lock, &word,
		self->lock_word | (word & SHM_LOCK_WAITERS)))
		return false;
	held_set(arena);
	return true;
}

/* Is the client whose thread holds WORD known to have died before EPOCH? */
static bool
holder_is_dead(const struct shm_seg *seg, uint32_t word, uint64_t epoch)
{
	uint32_t thread = shm_lock_thread(word), slot;

	if (thread >= SHM_THREADS)
		return false;
	slot = shm_owner_slot(shm_thread_owner(seg, thread));
	return shm_client_is_there(seg, slot) &&
	    shm_get(&seg->clients[slot].state) == SHM_CLIENT_DEAD &&
	    shm_load(&seg->clients[slot].death) < epoch;
}

static void
sleep_count(struct shm_arena *arena, uint64_t us)
{
	uint64_t longest = shm_load(&arena->slept_longest_us);

	shm_add(&arena->slept_us, us);
	while (longest < us && !shm_cas(&arena->slept_longest_us, &longest, us))
		;
}

/* The daemon has other segments to look after, and clients can write what the
 * tunable says. */
static uint64_t
wait_ms(const struct shm_self *self)
{
	uint64_t ms = self->param[SHM_PARAM_lock_wait_ms];

	return self->slot == SHM_DAEMON_SLOT && ms > DAEMON_WAIT_MS
	    ? DAEMON_WAIT_MS
	    : ms;
}

void
shm_arena_wait(struct shm_arena *arena, struct shm_self *self)
{
	uint64_t ms = wait_ms(self);
	struct timespec timeout = { (time_t)(ms / 1000),
		(long)(ms % 1000) * 1000000 };
	uint32_t word = shm_load(&arena->lock);
	uint64_t before, since, ns;

	if (word == 0)
		return;
	if (!(word & SHM_LOCK_WAITERS) &&
	    !shm_cas(&arena->lock, &word, word | SHM_LOCK_WAITERS))
		return;
	word |= SHM_LOCK_WAITERS;
	/* Nobody would wake us: the daemon is about to repair the arena, and
	 * the caller looks elsewhere meanwhile. */
	if (holder_is_dead(self->seg, word, UINT64_MAX)) {
		(void)sched_yield();
		return;
	}
	before = shm_load(&self->seg->super->epoch);
	shm_add(&arena->slept, 1);
	shm_add(&self->client->sleeps, 1);
	since = shm_clock_ns();
	(void)syscall(
	    SYS_futex, &arena->lock, FUTEX_WAIT, word, &timeout, NULL, 0);
	ns = shm_clock_ns() - since;
	sleep_count(arena, ns / 1000);
	shm_latency_add(self->seg->super, SHM_LATENCY_LOCK_WAIT, ns);
	if (shm_load(&arena->lock) == word &&
	    holder_is_dead(self->seg, word, before))
		shm_add(&arena->slept_on_dead, 1);
}

bool
shm_arena_insist(struct shm_self *self, struct shm_arena *arena)
{
	for (int round = 0; round < INSIST; round++) {
		if (shm_load(&arena->state) != SHM_ARENA_ACTIVE)
			return false;
		if (shm_arena_trylock(arena, self))
			return true;
		shm_arena_wait(arena, self);
	}
	return false;
}

void
shm_arena_quarantine(struct shm_arena *arena)
{
	shm_store(&arena->state, SHM_ARENA_SICK);
}

void
shm_arena_release(struct shm_arena *arena, int error)
{
	if (error == SHM_ECORRUPT)
		shm_arena_quarantine(arena);
	shm_arena_unlock(arena);
}
