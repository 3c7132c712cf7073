/*
 * Thread records: claimed by threads of clients without the daemon's help, by
 * one compare-and-swap on the pin of the same number.
 *
 * The pin's owner is written first and cleared last, so whoever finds a dead
 * client's pins finds its thread records too.  But pins can be written by
 * clients that may not write the segment: whose a record is, it says itself,
 * and the pin's word only keeps two threads from claiming it at once.
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

/* Where the thread in record THREAD, which is the caller's, pins. */
struct shm_pin *shm_thread_pin(const struct shm_seg *seg, uint32_t thread);

/* Who has the record, as by shm_pin_owner(), and the epoch that it reads in, 0
 * outside; owner 0: nobody. */
uint64_t shm_thread_reader(
    const struct shm_seg *seg, uint32_t thread, uint64_t *ret_owner);

/*
 * Put right what says whose pins are: give back those of nobody who is there.
 * The daemon does so at each tick.
 */
void shm_pins_tidy(struct shm_seg *seg);

/* The pin of record THREAD names a client who has ended: free it, or say again
 * whose record it is. */
void shm_pin_restore(struct shm_seg *seg, uint32_t thread);

/* One more than the highest record that was ever claimed, or could have been:
 * what has memory counts, too. */
uint32_t shm_threads_used(const struct shm_seg *seg);

/* The record's owner; 0 if its page was never committed. */
uint64_t shm_thread_owner(const struct shm_seg *seg, uint32_t thread);

#endif
