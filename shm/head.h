/*
 * Reading heads that may be anything: copied once, then checked.  The walks of
 * the daemon stand on these two.
 */
#ifndef SHM_HEAD_H
#define SHM_HEAD_H

#include "shm/region.h"

struct shm_head_copy {
	uint64_t len; /* bytes */
	uint32_t flags;
	uint32_t tag;
	enum shm_state state;
};

/* Copy and check the head of the chunk at C, in a region whose chunks end at
 * END.  SHM_ECORRUPT. */
int shm_chunk_read(const struct shm_seg *seg, uint64_t c, uint64_t end,
    struct shm_head_copy *ret_head) SHM_MUSTCHECK;

/* The same of the extent at PAGE, in a run that ends before page END. */
int shm_extent_read(const struct shm_seg *seg, uint32_t page, uint32_t end,
    struct shm_head_copy *ret_head) SHM_MUSTCHECK;

#endif
