/*
 * What the daemon does to a segment: open and close client slots, repair the
 * arenas of dead lock holders, reclaim what the dead held, decay, trim, grow
 * ahead.  Only one process at a time, the daemon, calls these, in one thread,
 * except that a killed daemon is followed by the next, which starts each of
 * them over: all are idempotent.
 *
 * The segment is input: every word that is read is copied and checked.  A
 * damaged arena is marked SHM_ARENA_SICK and left alone.
 */
#ifndef SHM_DAEMON_H
#define SHM_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/self.h"

/* The daemon as an actor: its slot, its thread record. */
void shm_daemon_self(struct shm_seg *seg, struct shm_self *ret_self);

/*
 * Take the segment over: the daemon's own slot with a new generation, then
 * whatever an earlier daemon left half done.  Slots that are LIVE stay so: the
 * caller finds out whether their processes are.  SHM_ECORRUPT.
 */
int shm_daemon_start(struct shm_seg *seg) SHM_MUSTCHECK;

/* A clean stop: says so in the superblock.  Nothing is undone. */
void shm_daemon_stop(struct shm_seg *seg);

struct shm_identity {
	uint32_t pid, uid, gid;
	uint32_t flags;      /* enum shm_client_flag */
	const char *label;   /* may be NULL; cut to 31 bytes */
	const char *command; /* may be NULL; cut to 31 bytes */
	/* Whether the caller still uses a slot, whatever the segment says of
	 * it, which clients can write.  NULL: the segment is believed. */
	bool (*is_taken)(const void *arg, uint32_t slot);
	const void *arg;
};

/*
 * Make a free slot LIVE for a new client: the one that has been free longest,
 * with a new generation.  SHM_EBUSY: none is free.  SHM_ENOMEM.
 */
int shm_client_open(struct shm_seg *seg, const struct shm_identity *who,
    uint32_t *ret_slot, uint32_t *ret_generation) SHM_MUSTCHECK;

/*
 * Take SLOT back from a client whose process does not have the segment mapped,
 * for it may be about to.  True: it has not, and asks for another slot when it
 * does; false: it had it mapped.
 */
bool shm_client_take_back(struct shm_seg *seg, uint32_t slot);

/* Has a reader that may not write the segment a record of SLOT's? */
bool shm_client_has_pins(const struct shm_seg *seg, uint32_t slot);

/* The client in SLOT is dead or has detached: mark it, with the epoch. */
void shm_client_death(struct shm_seg *seg, uint32_t slot);

/*
 * One bounded slice of giving back what the dead client in SLOT held: settle
 * its publishes, repair the arenas it had locked, then walk the regions it
 * used, for it and for all others whose turn came before.  What has come back
 * of it until now, by whichever turn, is in *RET_SUM.  1: done and the slot is
 * free again; 0: call again at once; SHM_ERETRY: call again later (a live
 * client holds a lock, or readers hold what was unlinked); SHM_ENOMEM: the
 * same.  MAX_CHUNKS bounds the chunks looked at.
 */
int shm_reclaim_step(struct shm_seg *seg, uint32_t slot, uint32_t max_chunks,
    struct shm_reclaimed *ret_sum) SHM_MUSTCHECK;

/* Forget which reclaims have begun: what they left is in the segment. */
void shm_reclaim_end(struct shm_seg *seg);

/*
 * One such slice of giving back what daemons before this one had taken out of
 * circulation.  1: done; 0: call again; SHM_ERETRY: some arena was locked.
 * shm_tick() goes on with it.
 */
int shm_reclaim_leftovers(
    struct shm_seg *seg, uint32_t max_chunks) SHM_MUSTCHECK;

/* How many arenas' locks the client in SLOT holds. */
uint32_t shm_client_locks(const struct shm_seg *seg, uint32_t slot);

/*
 * One bounded slice of repairing the arenas whose locks are held by the dead:
 * at most MAX_REGIONS regions of one, which stays locked between two slices.
 * 1: call again at once; 0: nothing is left to repair.
 */
int shm_repair_step(struct shm_seg *seg, uint32_t max_regions) SHM_MUSTCHECK;

/* All slices of that at once, for no more arenas than there are; how many were
 * repaired. */
uint32_t shm_repair_dead_locks(struct shm_seg *seg);

/*
 * Timer work, to be called every 100 ms or so; bounded.  Advances the
 * segment's clock and gives back pages that have been free for decay_ms and
 * tops beyond trim_threshold, and commits ahead of busy tops.  The bytes given
 * back.
 */
uint64_t shm_tick(struct shm_seg *seg);

/* Has the last slice of some arena had its fill (32 pieces)? */
bool shm_tick_has_more(const struct shm_seg *seg);

/* Between two ticks: one slice more, for one of those arenas; bounded.  The
 * bytes given back. */
uint64_t shm_tick_more(struct shm_seg *seg);

/*
 * Tell the segment how many pages the system has left, as just measured: all
 * clients together take what they commit off that number, so an old one would
 * give them the same pages again.  SHM_MEMORY_UNKNOWN.
 */
void shm_system_set(struct shm_seg *seg, uint64_t pages);

/*
 * Give all free pages of ARENA (-1: of all) back now, whatever their age; with
 * IS_DRY only say how many bytes that would be.  Less if it is cancelled.
 */
uint64_t shm_trim(struct shm_seg *seg, int32_t arena, bool is_dry);

/* Set one tunable without a transaction's checks; see shm_tunables_set. */
struct shm_tunable_change {
	uint32_t param; /* enum shm_param */
	uint64_t value;
};

/*
 * Change N tunables, all or none, visible to clients together.  SHM_ERANGE,
 * with the index of the first offender in *RET_BAD.
 */
int shm_tunables_set(struct shm_seg *seg, uint32_t n,
    const struct shm_tunable_change *change, uint32_t *ret_bad) SHM_MUSTCHECK;

/* mmap_threshold may grow by itself (until somebody sets it). */
void shm_tunables_dynamic(struct shm_seg *seg, bool is_dynamic);

#endif
