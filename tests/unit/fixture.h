/*
 * A segment in this process, for the tests of shm/: the daemon and two clients,
 * `self` and `other`, as actors.  Its end proves that the heap is whole.
 */
#ifndef TESTS_UNIT_FIXTURE_H
#define TESTS_UNIT_FIXTURE_H

#include "shm/heap.h"
#include "shm/stats.h"

struct fixture {
	struct shm_seg seg;
	struct shm_self daemon, self, other;
	struct shm_arena *arena; /* number 0 */
	bool is_damaged;         /* on purpose: the end checks nothing */
};

#define FIXTURE_LIMIT (UINT64_C(64) << 20)

/* Make a segment of LIMIT bytes with ARENAS arenas at most (0: 8 a core). */
void fixture_begin(struct fixture *fixture, uint64_t limit, uint32_t arenas);

/* Check the invariants and the byte identity, unless it is damaged; unmap. */
void fixture_end(struct fixture *fixture);

/* Set one tunable, for the daemon and both clients. */
void fixture_tune(
    struct fixture *fixture, enum shm_param param, uint64_t value);

/* Lock and unlock arena 0 as `self`. */
void fixture_lock(struct fixture *fixture);
void fixture_unlock(struct fixture *fixture);

/* Take one chunk of SIZE bytes as WHO; fails the test if there is none. */
uint64_t fixture_take(struct shm_self *who, uint32_t size);

/* Change the tag of the object at OFF to STATE, of WHO (NULL: nobody). */
void fixture_tag(struct shm_seg *seg, uint64_t off, const struct shm_self *who,
    enum shm_state state);

enum shm_state fixture_state(struct shm_seg *seg, uint64_t off);

/* How many findings the check has, and the number of the first one's invariant
 * (0: none). */
int fixture_check(struct fixture *fixture, uint32_t *ret_first);

/* The sum that the byte identity says is the size. */
uint64_t fixture_sum(const struct shm_bytes *bytes);

/* A small generator, so that a seed says everything. */
uint32_t fixture_random(uint64_t *state);

/* The seed to use: SHMALLOC_SEED, or one from the clock; printed. */
uint64_t fixture_seed(void);

#endif
