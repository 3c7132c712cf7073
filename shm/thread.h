/*
 * Thread records: claimed by threads of clients without the daemon's help, by
 * one compare-and-swap on the record's owner.
 *
 * A client that may not write the segment has no records; its threads claim
 * pins in the second memfd instead, which all such clients can write.  Nothing
 * that is said there is about anybody who may write: record i and pin i have
 * nothing to do with each other.
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

/*
 * Everybody who may read: READER is a record's number, or SHM_THREADS and a
 * pin's.  The next one after READER, 0 to begin with; 0: there are no more.
 */
#define SHM_READERS (2u * SHM_THREADS)
uint32_t shm_reader_next(const struct shm_seg *seg, uint32_t reader);

/* The epoch that READER reads in, 0 outside; and who it is, as by
 * shm_pin_owner(), 0 nobody. */
uint64_t shm_reader_epoch(
    const struct shm_seg *seg, uint32_t reader, uint64_t *ret_owner);

/* Give pin PIN back: its client has ended. */
void shm_pin_release(struct shm_seg *seg, uint32_t pin);

/* Give back the pins of nobody who is there.  The daemon does so at each tick.
 */
void shm_pins_tidy(struct shm_seg *seg);

/* One more than the highest record that has memory, and than the highest pin
 * that was ever claimed. */
uint32_t shm_threads_used(const struct shm_seg *seg);
uint32_t shm_pins_used(const struct shm_seg *seg);

/* The record's owner; 0 if its page was never committed. */
uint64_t shm_thread_owner(const struct shm_seg *seg, uint32_t thread);

/*
 * Say that the client in SLOT has the segment mapped.  False: the daemon has
 * taken its slot back meanwhile, and it must ask for another.
 */
bool shm_client_confirm(struct shm_seg *seg, uint32_t slot) SHM_MUSTCHECK;

#endif
