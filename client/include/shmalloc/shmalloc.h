/*
 * shmalloc: allocate in shared memory from many processes.
 *
 * A daemon, shmallocd, owns named *segments* of shared memory.  A process
 * attaches to a segment and from then on allocates, frees and reads objects in
 * it directly: no system call and no message on the fast path.
 *
 * OFFSETS.  A segment lies at a different address in each process, so an object
 * is named by its offset from the segment's start (shmalloc_off), which means
 * the same in every process.  shmalloc_ptr() turns it into an address that is
 * good in this process only; never store such an address in the segment.
 *
 * OWNERSHIP.  What a process allocates is its own until it publishes or shares
 * it.  If the process ends first, in whatever way, the memory comes back.
 * Published and shared objects belong to the segment: they outlive every
 * process, and only shmalloc_retire() or shmalloc_free() end them.
 *
 * CRASHES.  A process may be killed at any instruction of any function here.
 * Nobody else waits for it, nothing is corrupted, and each function says below
 * what is left.
 *
 * THREADS.  Every function may be called by any thread.  A small cache of free
 * chunks belongs to each thread; it goes back when the thread ends.
 *
 * FORK.  A child of fork() may go on using its parent's attachment.  At its
 * first call it becomes a client of its own; what the parent had allocated
 * stays the parent's.
 *
 * SIGNALS.  A signal handler that interrupts a call of this library gets
 * EDEADLK (errno, or SHMALLOC_EDEADLK) and nothing happens.  It may use
 * shmalloc_ptr(), shmalloc_slot_load() and shmalloc_strerror() at any time.
 *
 * ERRORS.  A function that returns int gives 0 or one of the negative
 * SHMALLOC_E* below.  A function that returns an offset gives 0 and sets errno.
 */
#ifndef SHMALLOC_SHMALLOC_H
#define SHMALLOC_SHMALLOC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#include <atomic>
#else
#include <stdatomic.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The library hides what its headers do not declare. */
#pragma GCC visibility push(default)

/* An object's place in its segment, in bytes from the start; 0 is none. */
typedef uint64_t shmalloc_off;

/*
 * A place in the segment that publishes an object: a root, or a word inside a
 * published object.  Write it with shmalloc_publish() only; read it with an
 * acquire load, or shmalloc_slot_load().
 */
#ifdef __cplusplus
typedef std::atomic<uint64_t> shmalloc_slot;
#else
typedef _Atomic(shmalloc_off) shmalloc_slot;
#endif

/* What went wrong.  The values are part of the interface. */
enum shmalloc_error {
	SHMALLOC_EINVAL = -1,       /* an argument makes no sense */
	SHMALLOC_ENOMEM = -2,       /* no memory; see shmalloc_last_failure */
	SHMALLOC_ECHANGED = -3,     /* the slot held something else */
	SHMALLOC_ENOTOWNER = -4,    /* the object isn't the caller's */
	SHMALLOC_EDEADLK = -5,      /* called from a handler inside a call */
	SHMALLOC_EUNREACHABLE = -6, /* no daemon answers */
	SHMALLOC_EPERM = -7,        /* not allowed */
	SHMALLOC_EVERSION = -8,     /* daemon or segment of another version */
	SHMALLOC_ENOSEGMENT = -9,   /* there is no segment of that name */
	SHMALLOC_EPROTO = -10,      /* the daemon's answer makes no sense */
	SHMALLOC_ETIMEDOUT = -11,   /* the daemon did not answer in time */
	SHMALLOC_EREADONLY = -12,   /* the attachment is read-only */
	SHMALLOC_ECORRUPT = -13,    /* the segment's structure is damaged */
	SHMALLOC_EBUSY = -14,       /* a table of the segment is full */
	SHMALLOC_EGONE = -15,       /* the segment's daemon was replaced */
	SHMALLOC_ESYSTEM = -16,     /* a system call failed: see errno */
	SHMALLOC_ERANGE = -17,      /* a value is outside of its range */
	SHMALLOC_EUNKNOWN = -18,    /* no parameter, verb or root so named */
	SHMALLOC_EEXIST = -19,      /* there is one of that name already */
};

/* What an error means, in English; a constant string, never NULL. */
const char *shmalloc_strerror(int error);

/* ---- Attaching ------------------------------------------------------- */

/*
 * This process's attachment to a segment.  Opaque but for its first member,
 * the address at which the segment lies here, which shmalloc_ptr() reads.
 */
struct shmalloc;

enum shmalloc_flags {
	/* Read only: shmalloc_ptr, roots that exist, enter and exit. */
	SHMALLOC_READ_ONLY = 1u << 0,
	/*
	 * Start a private daemon if none answers; it ends when its last client
	 * has left.  The environment variable SHMALLOC_AUTOSTART=1 does the
	 * same.
	 */
	SHMALLOC_AUTOSTART = 1u << 1,
};

/*
 * How to attach.  Initialise with SHMALLOC_OPTIONS_INIT, which stays valid when
 * later versions add members at the end.
 */
struct shmalloc_options {
	uint32_t size;              /* sizeof(struct shmalloc_options) */
	uint32_t flags;             /* of enum shmalloc_flags */
	uint32_t attach_timeout_ms; /* 0: the default, 5 seconds */
	uint32_t reserved;          /* 0 */
	const char *label; /* shown by `shmallocctl clients`, or NULL */
};

#define SHMALLOC_OPTIONS_INIT                                                  \
	{                                                                      \
		(uint32_t)sizeof(struct shmalloc_options), 0, 0, 0, NULL       \
	}

/*
 * Attach to the SEGMENT of that name (NULL: "default") of the daemon whose
 * sockets are in $SHMALLOC_SOCKET (a directory), else in
 * $XDG_RUNTIME_DIR/shmalloc if there is one, else in /run/shmalloc.  OPTIONS
 * may be NULL.  On success *RET_HEAP is the attachment, which the caller gives
 * back with shmalloc_detach().
 *
 * Waits up to attach_timeout_ms for a daemon that is restarting (its socket is
 * there, but nobody answers).
 * SHMALLOC_EUNREACHABLE, SHMALLOC_ENOSEGMENT, SHMALLOC_EPERM,
 * SHMALLOC_EVERSION, SHMALLOC_ETIMEDOUT, SHMALLOC_EPROTO, SHMALLOC_EBUSY (all
 * client slots are taken), SHMALLOC_EINVAL, SHMALLOC_ESYSTEM.
 *
 * A process killed in here leaves nothing.
 */
int shmalloc_attach(const char *segment, const struct shmalloc_options *options,
    struct shmalloc **ret_heap);

/*
 * End the attachment.  What this process had allocated and not published goes
 * back to the segment, as if the process had ended.  No other thread may be
 * using HEAP; addresses in it are invalid afterwards.  NULL is fine.
 */
void shmalloc_detach(struct shmalloc *heap);

/* ---- Allocating ------------------------------------------------------ */

/*
 * Allocate SIZE bytes, aligned to 16, contents undefined.  The object is the
 * caller's.  SIZE 0 gives an object of the smallest size.  On failure 0, errno
 * ENOMEM (shmalloc_last_failure says why), EDEADLK, EROFS, EIO (corrupt),
 * ENOTCONN (a forked child that the daemon did not take) or ESTALE (reason
 * "gone": the daemon and its keeper were killed, and the next daemon has
 * another segment; this one stays readable: attach again).
 */
shmalloc_off shmalloc_alloc(struct shmalloc *heap, size_t size);

/* Allocate N x SIZE bytes of zeros; ENOMEM also if the product overflows. */
shmalloc_off shmalloc_zalloc(struct shmalloc *heap, size_t n, size_t size);

/*
 * Allocate SIZE bytes at an offset, and so at an address, that is a multiple of
 * ALIGN: a power of two up to 4096; else 0 and EINVAL.
 */
shmalloc_off shmalloc_aligned_alloc(
    struct shmalloc *heap, size_t align, size_t size);

/*
 * Make the caller's object OFF SIZE bytes large, in place if possible, and
 * return where it is now; its contents up to the smaller size stay.  OFF 0
 * allocates.  SIZE 0 gives an object of the smallest size.  On failure 0 and
 * OFF is as it was: ENOMEM; EPERM (it is published or another process's:
 * readers may hold it); EINVAL (no object).  A kill leaves the old or the new
 * object, and both are the caller's, so they go back.
 */
shmalloc_off shmalloc_realloc(
    struct shmalloc *heap, shmalloc_off off, size_t size);

/*
 * Free OFF, whichever attached process allocated it; 0 is fine.  For a
 * published object use shmalloc_retire() if readers may hold it; freeing one
 * that a publish took out of its slot is a retire.
 *
 * A double or invalid free changes nothing, is counted and reported, and goes
 * on unless the tunable `misuse` says otherwise.  errno is kept.
 *
 * A kill leaves the object as it was, or free.
 */
void shmalloc_free(struct shmalloc *heap, shmalloc_off off);

/*
 * How many bytes OFF can hold: at least what was asked for, and all of them may
 * be used by its owner.  0 if OFF is no object.
 */
size_t shmalloc_usable_size(struct shmalloc *heap, shmalloc_off off);

/*
 * Allocate N objects of SIZE bytes into RET_OFF; the number that was allocated,
 * less than N only if memory ran out (errno as shmalloc_alloc).
 */
size_t shmalloc_alloc_batch(
    struct shmalloc *heap, size_t size, size_t n, shmalloc_off ret_off[]);

/* Free N objects, as shmalloc_free. */
void shmalloc_free_batch(
    struct shmalloc *heap, size_t n, const shmalloc_off off[]);

/* Why this thread's last allocation in HEAP failed. */
struct shmalloc_failure {
	const char *reason;    /* "none", "full", "fragmented", "quota",
				  "too_large", "reader", "system" or "gone" */
	uint64_t asked;        /* bytes asked for */
	uint64_t free;         /* bytes free in the segment */
	uint64_t largest_free; /* bytes in the largest free piece */
};

/* The calling thread's own; valid until its next call.  Never NULL. */
const struct shmalloc_failure *shmalloc_last_failure(struct shmalloc *heap);

/* ---- Offsets and addresses ------------------------------------------- */

/* The address of OFF in this process; NULL for 0. */
static inline void *
shmalloc_ptr(const struct shmalloc *heap, shmalloc_off off)
{
	if (off == 0)
		return NULL;
	return *(char *const *)(const void *)heap + off;
}

/* The offset of PTR, an address inside the segment; 0 for any other. */
shmalloc_off shmalloc_offset(const struct shmalloc *heap, const void *ptr);

/* ---- Publishing ------------------------------------------------------ */

/*
 * If *SLOT, which lies in the segment, holds EXPECTED, make it hold DESIRED:
 * insert (EXPECTED 0), replace, or remove (DESIRED 0).  DESIRED, the caller's
 * until now, belongs to the segment; EXPECTED belongs to the caller, who
 * retires it.  An object hangs from one slot at a time.  Load EXPECTED inside
 * the same shmalloc_enter() if it must still be the object that was seen there:
 * outside, that one may have been freed, and its offset be another's.
 *
 * 0; SHMALLOC_ECHANGED: nothing changed and DESIRED is still the caller's;
 * SHMALLOC_ENOTOWNER: DESIRED is not an object of the caller's;
 * SHMALLOC_EINVAL: SLOT is not in the segment or misaligned, EXPECTED and
 * DESIRED are 0, or SLOT holds EXPECTED although nobody published it there;
 * SHMALLOC_EREADONLY; SHMALLOC_EDEADLK.
 *
 * A kill at any instruction leaves exactly the state before or the one after:
 * no leak, and no slot that holds what isn't there.
 */
int shmalloc_publish(struct shmalloc *heap, shmalloc_slot *slot,
    shmalloc_off expected, shmalloc_off desired);

/*
 * Give the caller's object OFF to the segment without a slot.  0,
 * SHMALLOC_ENOTOWNER or SHMALLOC_EINVAL.  A kill leaves it the caller's, so it
 * goes back, or shared.
 */
int shmalloc_share(struct shmalloc *heap, shmalloc_off off);

/*
 * Take the shared object OFF, which hangs from no slot, as the caller's own.
 * One caller wins: 0; the others get SHMALLOC_ENOTOWNER.
 */
int shmalloc_adopt(struct shmalloc *heap, shmalloc_off off);

/*
 * Begin and end reading.  What a slot showed inside stays readable until the
 * outermost exit, even when it is replaced and retired meanwhile.  Nestable;
 * per thread; a few nanoseconds.  Allowed on a read-only attachment.  Don't
 * stay inside for long: what others retire can't be freed until you leave, and
 * the operator may end a process that stays too long. 0, SHMALLOC_EDEADLK,
 * SHMALLOC_EBUSY (too many threads), SHMALLOC_EINVAL (exit without enter).
 */
int shmalloc_enter(struct shmalloc *heap);
int shmalloc_exit(struct shmalloc *heap);

/*
 * Free OFF, which the caller owns (a publish took it out of a slot, or it never
 * was published), when all readers who were inside have left.  A thread looks
 * after what it retired in batches of up to 32, in later calls of its own;
 * readers who enter after that look do not delay them.  0, SHMALLOC_ENOTOWNER,
 * SHMALLOC_EINVAL.  A kill leaves it the caller's, so it goes back after the
 * same wait.
 */
int shmalloc_retire(struct shmalloc *heap, shmalloc_off off);

/*
 * The root NAME (1 to 63 bytes): a slot that starts at 0 and lasts as long as
 * the segment; made if absent (at most 1024 a segment).  *RET_SLOT stays valid
 * while attached.  SHMALLOC_EBUSY: all are taken; SHMALLOC_EINVAL: the name;
 * SHMALLOC_EREADONLY: absent, and the attachment is read-only.
 */
int shmalloc_root(
    struct shmalloc *heap, const char *name, shmalloc_slot **ret_slot);

/*
 * Remove the root NAME.  SHMALLOC_EUNKNOWN: there is none; SHMALLOC_EBUSY: it
 * still holds an object (publish 0 into it first).
 */
int shmalloc_root_remove(struct shmalloc *heap, const char *name);

/* A slot's value, acquire; and a store for structures that aren't published
 * yet, release.  They exist as functions for other languages. */
shmalloc_off shmalloc_slot_load(const shmalloc_slot *slot);
void shmalloc_slot_store(shmalloc_slot *slot, shmalloc_off off);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
