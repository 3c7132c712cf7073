/*
 * Readers' epochs.
 *
 * A reader that enters copies the segment's epoch into its pin.  Retiring an
 * object takes the epoch as the object's stamp and moves the epoch on; the
 * object is free when no pin holds an epoch up to the stamp.  Readers that
 * enter later hold later epochs, so they do not delay it, however much they
 * overlap.
 *
 * Pins are in a memfd of their own, so that clients whose view of the segment
 * is read-only can write them.
 */
#ifndef SHM_EPOCH_H
#define SHM_EPOCH_H

#include "shm/access.h"
#include "shm/seg.h"

/* A full barrier stands between the pin and the reader's first load: whoever
 * unlinks and then looks at the pins either sees the pin, or unlinked before
 * the reader could see the object. */
static inline void
shm_epoch_enter(const struct shm_seg *seg, struct shm_pin *pin)
{
	atomic_exchange_explicit(&pin->epoch,
	    atomic_load_explicit(&seg->super->epoch, memory_order_seq_cst),
	    memory_order_seq_cst);
}

static inline void
shm_epoch_exit(struct shm_pin *pin)
{
	shm_put(&pin->epoch, 0);
}

/* A stamp for what was unlinked before this call. */
static inline uint64_t
shm_epoch_stamp(struct shm_seg *seg)
{
	return atomic_fetch_add_explicit(
	    &seg->super->epoch, 1, memory_order_seq_cst);
}

/* The oldest epoch that any reader holds; UINT64_MAX if nobody is inside.  What
 * has a smaller stamp is free. */
uint64_t shm_epoch_oldest(const struct shm_seg *seg);

#endif
