/*
 * The arenas' locks.
 *
 * Our own word, not a pthread robust mutex: its list pointers would lie in
 * memory that clients can write, and the kernel knows its holder by a thread id
 * that repeats across pid namespaces.  The word names the holder's thread
 * record; whether the holder is dead is for the daemon to say, never for the
 * word.
 *
 * Lock order.  There is no lock but the arenas', and two of them are never held
 * together (an assertion, with SHM_DEBUG).  Between lock and unlock there is no
 * system call, no allocation and no logging.
 */
#ifndef SHM_LOCK_H
#define SHM_LOCK_H

#include "shm/self.h"

/*
 * Take ARENA's lock if nobody holds it.  Never waits: a holder may be stopped
 * or dead.  On false the caller goes to another arena, or pushes onto ARENA's
 * remote list.
 */
bool shm_arena_trylock(
    struct shm_arena *arena, struct shm_self *self) SHM_MUSTCHECK;

void shm_arena_unlock(struct shm_arena *arena);

/*
 * Hold ARENA's lock on beyond the present call, and be back: between the two
 * the thread may try others.  Only for the daemon's repairs in slices.
 */
void shm_arena_leave(const struct shm_arena *arena);
void shm_arena_return(const struct shm_arena *arena);

/*
 * The last resort, when every arena is locked: sleep until ARENA's lock is
 * released, or lock.wait_ms have passed.  Counted; and a sleep on a lock whose
 * holder was dead all along is counted apart, because it must never happen.
 */
void shm_arena_wait(struct shm_arena *arena, struct shm_self *self);

/*
 * Lock just ARENA, waiting a few times; false if its holder stays away or it is
 * SICK.  For what cannot be done in another arena and has a way out.
 */
bool shm_arena_insist(
    struct shm_self *self, struct shm_arena *arena) SHM_MUSTCHECK;

/* Mark ARENA as damaged: nobody allocates there any more. */
void shm_arena_quarantine(struct shm_arena *arena);

/* Unlock ARENA after work that ended with ERROR; SHM_ECORRUPT quarantines it.
 */
void shm_arena_release(struct shm_arena *arena, int error);

/* The thread record in a lock word. */
static inline uint32_t
shm_lock_thread(uint32_t word)
{
	return word & 0xffff;
}

/*
 * Take over the lock from the dead holder whose word is WORD.  The caller
 * rebuilds the arena, then unlocks.  False: it isn't WORD's any more.
 */
bool shm_arena_steal(struct shm_arena *arena, struct shm_self *self,
    uint32_t word) SHM_MUSTCHECK;

#endif
