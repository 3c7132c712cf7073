/*
 * Who acts: one thread of one client (or the daemon), in one segment.  Process
 * memory.  Everything below the API takes one of these.
 */
#ifndef SHM_SELF_H
#define SHM_SELF_H

#include "shm/chunk.h"
#include "shm/param.h"

struct shm_self {
	struct shm_seg *seg;
	struct shm_client *client; /* this client's slot */
	uint32_t slot, generation; /* of the client */
	uint32_t thread, thread_generation;
	uint32_t owned; /* tag base of OWNED, CACHED, for this client */
	uint32_t cached;
	uint32_t lock_word; /* what this thread writes into a lock */
	uint32_t arena;     /* the arena it allocates from */
	uint32_t strikes;   /* how often that was locked, of late */
	uint64_t tunables_generation;
	uint64_t param[SHM_PARAMS]; /* this thread's copy of the tunables */
	enum shm_failure failure;   /* of the last commit or allocation */
};

/* Fill SELF for the thread record THREAD of the client in SLOT. */
void shm_self_init(struct shm_self *self, struct shm_seg *seg, uint32_t slot,
    uint32_t generation, uint32_t thread, uint32_t thread_generation);

/* Copy the tunables if they have changed; true if they had. */
bool shm_self_refresh(struct shm_self *self);

/*
 * Note that SELF's client is about to write tags into REGION: before the first
 * of them, so that whoever reclaims finds every one.  Costs a load when the bit
 * is set already.
 */
static inline void
shm_self_visit(struct shm_self *self, uint32_t region)
{
	_Atomic uint64_t *word = self->seg->client_bits +
	    (uint64_t)self->slot * self->seg->n_bit_words + region / 64;
	uint64_t bit = UINT64_C(1) << region % 64;

	if (SHM_UNLIKELY(!(shm_load(word) & bit)))
		atomic_fetch_or_explicit(word, bit, memory_order_acq_rel);
}

#endif
