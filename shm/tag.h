/*
 * Tags: whose a chunk or an extent is.  See shm/layout.h for the states and
 * shm/README.md for who may change which.
 */
#ifndef SHM_TAG_H
#define SHM_TAG_H

#include "shm/access.h"
#include "shm/seg.h"

/* The check bits of the object whose payload is at OFF: they stop accidents,
 * not attackers (scudo's idea, without its cost). */
static inline uint32_t
shm_tag_check(uint64_t key, uint64_t off)
{
	return (uint32_t)((off * key) >> 56);
}

/* A tag but for its check bits. */
static inline uint32_t
shm_tag_base(uint32_t owner, uint32_t generation, enum shm_state state)
{
	return owner << 16 | (generation & (SHM_TAG_GENERATIONS - 1)) << 12 |
	    (uint32_t)state << 8;
}

static inline uint32_t
shm_tag_owner(uint32_t tag)
{
	return tag >> 16;
}

static inline uint32_t
shm_tag_generation(uint32_t tag)
{
	return tag >> 12 & (SHM_TAG_GENERATIONS - 1);
}

static inline enum shm_state
shm_tag_state(uint32_t tag)
{
	return (enum shm_state)(tag >> 8 & 15);
}

/* Is TAG one that an object at OFF may have? */
static inline bool
shm_tag_is_valid(const struct shm_seg *seg, uint64_t off, uint32_t tag)
{
	enum shm_state state = shm_tag_state(tag);

	return state > SHM_NONE && state < SHM_STATES &&
	    (tag & 255) == shm_tag_check(seg->key, off);
}

static inline bool
shm_state_is_client(enum shm_state state)
{
	return state == SHM_CACHED || state == SHM_REMOTE ||
	    state == SHM_OWNED || state == SHM_UNLINKED || state == SHM_RETIRED;
}

static inline bool
shm_state_is_thread(enum shm_state state)
{
	return state == SHM_PUBLISHING || state == SHM_TAKING;
}

#endif
