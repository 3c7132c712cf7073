/*
 * Publishing: change a slot and the owners of two objects so that a kill at any
 * instruction leaves the state before or the one after.
 *
 * The protocol, its proof and what each step is for: tests/model/publish.pml,
 * whose labels the code repeats, and docs/adr/0002-publish-protocol.md.
 */
#ifndef SHM_PUBLISH_H
#define SHM_PUBLISH_H

#include "shm/self.h"

/*
 * As shmalloc_publish().  The caller's pin is set (as by enter) from before the
 * call until after it, so that what a late helper may still compare is not
 * reused.  0, SHM_ECHANGED, SHM_ENOTOWNER; SHM_EINVAL: the slot holds something
 * that was not published.
 */
int shm_publish(struct shm_self *self, _Atomic uint64_t *slot,
    uint64_t expected, uint64_t desired) SHM_MUSTCHECK;

/* OWNED by SELF's client to SHARED.  0 or SHM_ENOTOWNER. */
int shm_share(struct shm_self *self, uint64_t off) SHM_MUSTCHECK;

/* SHARED to OWNED by SELF's client.  0 or SHM_ENOTOWNER. */
int shm_adopt(struct shm_self *self, uint64_t off) SHM_MUSTCHECK;

/*
 * Finish or undo what the thread in record THREAD was publishing when it died,
 * or when it left the call by a jump.  Idempotent.  Afterwards no tag names the
 * thread: its objects are the segment's or its client's.
 */
void shm_publish_settle(struct shm_seg *seg, uint32_t thread);

#endif
