/*
 * Thread records: claimed by threads of clients without the daemon's help, by
 * one compare-and-swap on the pin of the same number.
 *
 * The pin's owner is written first and cleared last, so whoever finds a dead
 * client's pins finds its thread records too.
 */
#ifndef SHM_THREAD_H
#define SHM_THREAD_H

#include "shm/self.h"

/* A pin's owner. */
static inline uint64_t
shm_pin_owner(uint32_t slot, uint32_t generation)
{
	return slot | (uint64_t)(generation & 0xffff) << 16;
}

/* A thread record's owner: that, and the record's own generation. */
static inline uint32_t
shm_owner_slot(uint64_t owner)
{
	return (uint32_t)(owner & 0xffff);
}

static inline uint32_t
shm_owner_generation(uint64_t owner)
{
	return (uint32_t)(owner >> 32);
}

/*
 * Claim a record for a thread of SELF's client, and fill self->thread and what
 * follows from it.  On a read-only segment just the pin.  SHM_EBUSY: all are
 * taken; SHM_ENOMEM.
 */
int shm_thread_claim(struct shm_self *self) SHM_MUSTCHECK;

/* Give the record back: the thread ends, or its client is dead and its intent
 * is settled. */
void shm_thread_release(struct shm_seg *seg, uint32_t thread);

/* One more than the highest record that was ever claimed. */
uint32_t shm_threads_used(const struct shm_seg *seg);

/* The record's owner; 0 if its page was never committed. */
uint64_t shm_thread_owner(const struct shm_seg *seg, uint32_t thread);

#endif
