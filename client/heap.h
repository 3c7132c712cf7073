/*
 * An attachment, inside the library.
 */
#ifndef CLIENT_HEAP_H
#define CLIENT_HEAP_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include <shmalloc/shmalloc.h>

#include "shm/seg.h"

struct cache;
struct cache_retired;

/*
 * What a fork must not copy, in a page that is wiped in the child: all zeros is
 * an unlocked mutex and "not attached".
 */
struct heap_guard {
	pthread_mutex_t lock;
	_Atomic bool is_attached; /* set under lock */
	struct cache *caches;     /* Guarded by lock: of all threads */
	/* What ended threads left waiting for readers; malloc'd.  Guarded by
	 * lock; the number is read without it. */
	struct cache_retired *orphans;
	_Atomic size_t n_orphans;
};

struct shmalloc {
	struct shm_seg seg; /* first: its first member is the base address */
	struct heap_guard *guard;
	uint32_t slot, generation; /* Guarded by guard->lock */
	int socket;                /* to the daemon; Guarded by guard->lock */
	char segment[SHM_NAME_LEN];
	char label[32];
	char path[108]; /* the socket by which this process attached */
	uint32_t flags, timeout_ms;
	/* The coarse clock when the daemon was last looked for. */
	_Atomic uint32_t looked_ms;
	_Atomic bool is_gone; /* another segment has taken this one's place */
	/* In a child whose fork interrupted a call: may not be touched. */
	bool is_lost;
};

/*
 * Hold this thread's signals, and let them come: around what a handler must not
 * leave by a jump because the next call could not settle it, which is a lock of
 * ours and whatever libc does under its own.
 */
static inline void
heap_signals_hold(sigset_t *ret_old)
{
	sigset_t all;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, ret_old);
}

static inline void
heap_signals_release(const sigset_t *old)
{
	(void)pthread_sigmask(SIG_SETMASK, old, NULL);
}

/*
 * Make sure that this process is a client of its own: attach again in a forked
 * child.  0 or a negative SHMALLOC_E*.
 */
int heap_attach_child(struct shmalloc *heap);

/*
 * Whether a daemon serves another segment in place of this one, so that nobody
 * looks after it any more.  Looks for itself once a second at most, and asks
 * only if the connection to the daemon has ended.
 */
bool heap_is_gone(struct shmalloc *heap);

/* Tell the daemon of a misuse; best effort, never waits. */
void heap_report_misuse(
    struct shmalloc *heap, int kind, uint64_t off, uint32_t tag);

/* errno for a negative SHMALLOC_E*. */
int heap_errno(int error);

/* The negative SHMALLOC_E* for the errno of a cache that could not be had. */
int cache_error(void);

/* Start a private daemon with its sockets in DIR.  0 or a negative
 * SHMALLOC_E*. */
int heap_autostart(char *dir);

/* The directory of a private daemon's sockets, made if need be, owner and mode
 * verified, into DIR of LEN bytes. */
int heap_private_dir(char *dir, size_t len);

#endif
