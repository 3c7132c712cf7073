/*
 * The check's parts share this.  The invariants are numbered in shm/README.md.
 *
 * An arena is checked under its lock, with memory that was allocated before:
 * findings are kept, and reported when the lock is released.
 */
#ifndef SHM_CHECK_H
#define SHM_CHECK_H

#include <stddef.h>

#include "shm/arena.h"
#include "shm/stats.h"

enum shm_invariant {
	SHM_I_TILES = 1,
	SHM_I_TAG,
	SHM_I_PREV,
	SHM_I_COALESCED,
	SHM_I_LINKED,
	SHM_I_BIN,
	SHM_I_MAP,
	SHM_I_FAST,
	SHM_I_TOP,
	SHM_I_COUNTERS,
	SHM_I_PAGES,
	SHM_I_OWNER,
	SHM_I_BITS,
	SHM_I_REMOTE,
	SHM_I_REGION,
	SHM_I_UNUSED,
	SHM_I_COMMIT,
	SHM_I_SERVICE,
};

#define SHM_CHECK_KEPT 256 /* findings of one arena that are reported */

/* What an arena's counters should say. */
struct shm_check_sum {
	uint64_t regions, extent_regions;
	uint64_t binned_bytes, binned_chunks, fast_bytes, fast_chunks;
	uint64_t top, top_bytes, extent_free_pages, extent_free_n;
};

struct shm_check {
	struct shm_self self; /* the daemon */
	struct shm_arena *arena;
	uint32_t index; /* of the arena */
	struct shm_check_sum sum;
	/* Offsets of everything that must be on one list of the arena, in
	 * order of address; bit 0: it was found there.  What has no room is
	 * only counted. */
	uint64_t *free;
	size_t n_free, room;
	bool is_damaged; /* a head could not be read */
	uint32_t n_found;
	struct shm_finding found[SHM_CHECK_KEPT];
};

void shm_check_note(struct shm_check *check, enum shm_invariant invariant,
    uint64_t off, const char *text);

/* Heads, region by region; fills sum and free.  Lock held. */
void shm_check_heads(struct shm_check *check);

/* Who has the object at OFF, whose tag at PLACE said TAG: I12, I13. */
void shm_check_owner(struct shm_check *check, uint64_t off,
    const _Atomic uint32_t *place, uint32_t tag);

/*
 * Let go what names a client or a thread that isn't there: what a client's
 * death left in an arena that was out of service, for one.  A client's objects
 * become FREE (a rebuild links them), a thread's SHARED, since they may hang in
 * a slot.  What a client has without a bit for its region gets the bit.  Lock
 * held, and a rebuild follows.
 */
void shm_check_disown(struct shm_check *check);

/* Lists, maps, top and counters against sum and free.  Lock held. */
void shm_check_index(struct shm_check *check);

/* What belongs to no arena.  No lock.  With REPAIR regions that nobody has go
 * back, and committed pages are counted again. */
void shm_check_tables(struct shm_check *check, bool repair);

#endif
