/*
 * Committed pages: which pages of the segment have memory behind them.
 *
 * A page is committed before its first use: its memory is allocated, then its
 * bit is set.  It is given back in the other order: the bit goes first, then
 * the page.  So a set bit always means that the page is there and that no
 * access to it can fail.  Nobody commits or punches a page of the heap that
 * isn't his: it lies in a chunk, extent or region that he has taken out of
 * circulation.
 *
 * The superblock's commit word counts committed pages, so that limit.hard holds
 * for all processes together.  It is never below the bits: committing, the word
 * goes up first, and giving back, it goes down last; in between
 * `commit_pending` of the client says how far the two may be apart.  So what a
 * killed process left in the word is known to be there, and
 * shm_commit_recount() takes it out. Signals are held meanwhile, for a handler
 * may leave by a jump.
 */
#ifndef SHM_COMMIT_H
#define SHM_COMMIT_H

#include "shm/self.h"

/*
 * Commit the pages around the LEN bytes at OFF.  On failure SHM_ENOMEM and
 * self->failure says FULL (limit.hard) or SYSTEM; nothing has changed.  A
 * system call: never under a lock.
 */
int shm_commit(struct shm_self *self, uint64_t off, uint64_t len) SHM_MUSTCHECK;

/* The same for the record of a client or thread, which counts, but is not
 * refused by limit.hard: whoever comes to a full segment must be able to free
 * something, and reads what is there. */
int shm_commit_record(
    struct shm_self *self, uint64_t off, uint64_t len) SHM_MUSTCHECK;

/*
 * Give back the pages that lie wholly inside the LEN bytes at OFF; the bytes
 * that were committed.  A system call: never under a lock.
 */
uint64_t shm_uncommit(struct shm_self *self, uint64_t off, uint64_t len);

/* How many of the bytes from OFF on, LEN at most, lie on committed pages
 * without a gap. */
uint64_t shm_committed_prefix(
    const struct shm_seg *seg, uint64_t off, uint64_t len);

/* How many of the LEN bytes at OFF lie below the end of the last committed page
 * among them; 0: none is. */
uint64_t shm_committed_reach(
    const struct shm_seg *seg, uint64_t off, uint64_t len);

/* How many pages of those wholly inside the LEN bytes at OFF are committed. */
uint64_t shm_committed_pages(
    const struct shm_seg *seg, uint64_t off, uint64_t len);

/* Is there a record of a client in SLOT, which may be any number?  Slots get
 * their pages in order: none is behind the first that has none. */
bool shm_client_is_there(const struct shm_seg *seg, uint32_t slot);

/* Tell all caches of the segment to give back what they hold, at their next
 * slow path; ten times a second at most. */
void shm_pressure_raise(struct shm_seg *seg);

/* Committed pages, all of the segment, by the commit word. */
uint64_t shm_committed_total(const struct shm_seg *seg);

/*
 * Make the commit word agree with the bits.  False: a live client is between
 * the two, or came between; the daemon tries again at its next tick.
 */
bool shm_commit_recount(struct shm_seg *seg) SHM_MUSTCHECK;

#endif
