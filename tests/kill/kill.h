/*
 * Killing a client at every instruction of an operation.
 *
 * A traced child, linked with the shared library, attaches to a real daemon,
 * prepares a heap state, stops, and then runs one operation one machine
 * instruction at a time.  Whenever an instruction has changed the segment, the
 * segment is copied; in the copy the child is dead.  The copy is recovered as
 * the daemon would, and judged:
 *
 *   - the check finds nothing;
 *   - no tag names the dead client or its thread;
 *   - what is left (published objects, roots) is what recovery leaves of the
 *     state before the operation, or of the state after it;
 *   - another client allocates and frees at once.
 *
 * A copy for each distinct state makes the work linear in the instructions.
 */
#ifndef TESTS_KILL_H
#define TESTS_KILL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <shmalloc/shmalloc.h>

#include "shm/self.h"

/* What an operation works on; the child's. */
struct kill_scene {
	struct shmalloc *heap;
	shmalloc_slot *slot; /* of the root "kill" */
	shmalloc_off off[64];
	size_t n;
};

/* One operation: prepare() runs freely, run() is stepped. */
struct kill_op {
	const char *name;
	bool (*prepare)(struct kill_scene *scene);
	bool (*run)(struct kill_scene *scene);
	bool is_contended; /* the arena is locked by somebody else */
};

extern const struct kill_op kill_ops[];
extern const size_t kill_n_ops;

/* What recovery leaves: compared between states. */
struct kill_summary {
	uint64_t n_shared, shared_bytes, slot;
};

bool kill_summary_same(
    const struct kill_summary *a, const struct kill_summary *b);

/* The daemon and the segment under test. */
struct kill_rig {
	char dir[64];
	pid_t daemon;
	struct shm_seg live; /* the daemon's segment, mapped by the tracer */
};

bool rig_start(struct kill_rig *rig, const char *daemon_path);
void rig_stop(struct kill_rig *rig);

/* Map the segment that process PID has attached to. */
bool rig_map(struct kill_rig *rig, pid_t pid);

/* A copy of a segment, refreshed page by page. */
struct kill_copy {
	struct shm_seg seg;
	char *shadow;    /* the live segment's committed pages, as last seen */
	uint64_t *pages; /* their numbers */
	size_t n_pages;
};

bool copy_open(struct kill_copy *copy, const struct shm_seg *live);
void copy_close(struct kill_copy *copy);

/* Has the live segment changed since the last call?  Then the shadow has its
 * present contents. */
bool copy_notice(struct kill_copy *copy, const struct shm_seg *live);

/* Make the copy's segment equal to the shadow. */
bool copy_restore(struct kill_copy *copy, const struct shm_seg *live);

/* Recover the copy after the death of the client in SLOT and judge it; *RET is
 * what is left.  On false the reason has been printed. */
bool judge(struct kill_copy *copy, uint32_t slot, struct kill_summary *ret);

#endif
