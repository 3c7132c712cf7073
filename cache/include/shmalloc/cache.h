/*
 * shmalloc-cache: one cache for many processes, in a segment of shmalloc.
 *
 * Every process that attaches to a segment may open the caches in it by name,
 * and from then on looks entries up and stores them in shared memory directly:
 * no system call, no message, no lock.  A key is 1 to 65536 bytes, a value 0
 * to as many as the segment can hold; both are any bytes.
 *
 * A CACHE FORGETS.  An entry may go at any time: when the cache is larger than
 * it may be, when the segment is full, or, once in 2^32 or so, when another
 * key takes its place.  What a cache never does is to return what was deleted
 * or replaced before the call began, or what belongs to another key.
 *
 * CRASHES.  A process may be killed, or stopped, at any instruction of any
 * function here.  Nobody waits for it.  The entry that it was changing is as it
 * was or as it would have been, and what it held comes back.  An entry that
 * it was moving into a larger table may be lost.
 *
 * MEMORY.  When an allocation fails, entries are evicted, and it is tried
 * again: a store fails with SHMALLOC_ENOMEM only if that doesn't help.
 *
 * THREADS, FORK, SIGNALS.  As with <shmalloc/shmalloc.h>: any thread may use a
 * cache, a child of fork() may go on using its parent's, a signal handler that
 * interrupts a call gets SHMALLOC_EDEADLK.
 *
 * TIME is the system's clock (CLOCK_REALTIME), in steps of 1/16 second: an
 * entry lives at least as long as it was given, and up to 1/16 second longer.
 *
 * ERRORS.  0, a negative SHMALLOC_E*, or a negative SHMALLOC_CACHE_E*.
 */
#ifndef SHMALLOC_CACHE_H
#define SHMALLOC_CACHE_H

#include <shmalloc/shmalloc.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* What went wrong, besides enum shmalloc_error. */
enum shmalloc_cache_error {
	SHMALLOC_CACHE_EMISS = -64,  /* the key isn't there */
	SHMALLOC_CACHE_ELEASE = -65, /* the lease isn't the caller's any more */
	SHMALLOC_CACHE_ENUMBER = -66, /* the value is no number */
	SHMALLOC_CACHE_EFORMAT = -67, /* what the root holds is no such cache */
};

/* What an error of this library or of libshmalloc means; never NULL. */
const char *shmalloc_cache_strerror(int error);

/* A cache as this process sees it; opaque. */
struct shmalloc_cache;

/* A key, or a value: LEN bytes at DATA. */
struct shmalloc_bytes {
	const void *data;
	size_t len;
};

/* ---- Opening --------------------------------------------------------- */

/* How to make a cache; what exists keeps what it was made with. */
struct shmalloc_cache_options {
	uint32_t size;     /* sizeof(struct shmalloc_cache_options) */
	uint32_t stale_ms; /* how long after its end a value may be served */
	uint64_t bytes;    /* memory for all of it; 0: what the segment has */
	uint64_t entries;  /* room for so many at first; 0: by `bytes` */
};

#define SHMALLOC_CACHE_OPTIONS_INIT                                            \
	{                                                                      \
		(uint32_t)sizeof(struct shmalloc_cache_options), 0, 0, 0       \
	}

/*
 * Open the cache NAME (a root: 1 to 63 bytes) of the segment that HEAP is
 * attached to, and make it if it is absent.  OPTIONS may be NULL.  HEAP must
 * stay attached until shmalloc_cache_close().
 *
 * SHMALLOC_EINVAL, SHMALLOC_EBUSY (no root is left), SHMALLOC_ENOMEM,
 * SHMALLOC_EREADONLY (absent, or the attachment is read-only),
 * SHMALLOC_CACHE_EFORMAT.  A kill leaves the cache, empty, or none; perhaps a
 * root that holds nothing.
 */
int shmalloc_cache_open(struct shmalloc *heap, const char *name,
    const struct shmalloc_cache_options *options,
    struct shmalloc_cache **ret_cache);

/* Forget CACHE in this process; the cache stays.  NULL is fine. */
void shmalloc_cache_close(struct shmalloc_cache *cache);

/*
 * Remove the cache from the segment, entries and all.  Other processes' calls
 * give SHMALLOC_EGONE from then on.  CACHE must still be closed.
 * SHMALLOC_EBUSY: others went on storing all the time; try again.
 */
int shmalloc_cache_destroy(struct shmalloc_cache *cache);

/* ---- Looking up ------------------------------------------------------ */

/* A value where it lies, and what is known of it. */
struct shmalloc_cache_view {
	const void *value; /* aligned to 8; NULL: nothing is held */
	size_t len;
	uint64_t version;  /* changes with each store of the key */
	uint32_t flags;    /* as they were stored */
	uint32_t is_stale; /* its time is over */
	int64_t ttl_ms;    /* what is left of its time; -1: no end */
};

/*
 * Find KEY.  On success *RET_VIEW is the value in place, and the calling thread
 * is inside shmalloc_enter() until it gives the view to
 * shmalloc_cache_release(): the value stays as it is until then, even if it is
 * replaced, evicted or deleted.  Don't hold it for long.
 * SHMALLOC_CACHE_EMISS, SHMALLOC_EINVAL, SHMALLOC_EGONE, SHMALLOC_EDEADLK.
 */
int shmalloc_cache_pin(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct shmalloc_cache_view *ret_view);

/* End it, in the same thread; a view that holds nothing is fine. */
void shmalloc_cache_release(
    struct shmalloc_cache *cache, struct shmalloc_cache_view *view);

/*
 * Copy KEY's value, at most SIZE bytes of it, to BUFFER.  *RET_VIEW (may be
 * NULL) tells its whole length in `len`; its `value` is BUFFER.
 * Errors as shmalloc_cache_pin().
 */
int shmalloc_cache_get(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    void *buffer, size_t size, struct shmalloc_cache_view *ret_view);

/*
 * Pin N keys at once: RET_VIEW[i].value is NULL for those that aren't there.
 * The number of those found, or an error.  Release all N.
 */
int shmalloc_cache_pin_many(struct shmalloc_cache *cache, size_t n,
    const struct shmalloc_bytes key[], struct shmalloc_cache_view ret_view[]);

/* ---- Storing --------------------------------------------------------- */

/* What goes with a value; NULL: flags 0, and no end. */
struct shmalloc_cache_terms {
	uint32_t flags;  /* any */
	uint32_t ttl_ms; /* how long it lives; 0: until it is evicted */
};

/*
 * Store VALUE for KEY: in any case (set), if the key is absent (add:
 * SHMALLOC_EEXIST), if it is there (replace: SHMALLOC_CACHE_EMISS), or if it is
 * there in that VERSION (cas: SHMALLOC_ECHANGED, SHMALLOC_CACHE_EMISS).
 *
 * SHMALLOC_EINVAL: the key's length; SHMALLOC_ERANGE: larger than the cache may
 * be; SHMALLOC_ENOMEM; SHMALLOC_EREADONLY; SHMALLOC_EGONE; SHMALLOC_EDEADLK.
 */
int shmalloc_cache_set(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct shmalloc_bytes value, const struct shmalloc_cache_terms *terms);
int shmalloc_cache_add(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct shmalloc_bytes value, const struct shmalloc_cache_terms *terms);
int shmalloc_cache_replace(struct shmalloc_cache *cache,
    struct shmalloc_bytes key, struct shmalloc_bytes value,
    const struct shmalloc_cache_terms *terms);
int shmalloc_cache_cas(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    uint64_t version, struct shmalloc_bytes value,
    const struct shmalloc_cache_terms *terms);

/* Put DATA behind KEY's value, which keeps its flags and its end. */
int shmalloc_cache_append(struct shmalloc_cache *cache,
    struct shmalloc_bytes key, struct shmalloc_bytes data);

/*
 * Add DELTA to KEY's value, an int64_t; if the key is absent, store INITIAL
 * with TERMS instead.  *RET_VALUE (may be NULL) is what is stored now.
 * SHMALLOC_CACHE_ENUMBER: not 8 bytes; SHMALLOC_ERANGE: it would overflow.
 */
int shmalloc_cache_increment(struct shmalloc_cache *cache,
    struct shmalloc_bytes key, int64_t delta, int64_t initial,
    const struct shmalloc_cache_terms *terms, int64_t *ret_value);

/* Give KEY a new end, TTL_MS from now (0: none).  Lost if KEY is appended to or
 * incremented at the same time.  SHMALLOC_CACHE_EMISS. */
int shmalloc_cache_touch(
    struct shmalloc_cache *cache, struct shmalloc_bytes key, uint32_t ttl_ms);

/* Remove KEY: in any case (delete), or if it is there in that VERSION
 * (SHMALLOC_ECHANGED).  SHMALLOC_CACHE_EMISS. */
int shmalloc_cache_delete(
    struct shmalloc_cache *cache, struct shmalloc_bytes key);
int shmalloc_cache_delete_version(
    struct shmalloc_cache *cache, struct shmalloc_bytes key, uint64_t version);

/* Remove what is there when the call begins; what others store meanwhile may
 * stay. */
int shmalloc_cache_clear(struct shmalloc_cache *cache);

/* ---- Computing what is missing --------------------------------------- */

/*
 * A lease: the right to compute a missing value while others wait for it, or
 * take the stale one.  Opaque.
 */
struct shmalloc_cache_lease {
	uint64_t version, reserved;
};

struct shmalloc_cache_patience {
	uint32_t lease_ms; /* a lease is void after that; 0: 10 s */
	uint32_t wait_ms;  /* how long to wait for another's; 0: as long */
};

/*
 * Find KEY, or become the one who computes it:
 *  0: *RET_VIEW is pinned, as by shmalloc_cache_pin(); it may be stale
 *     (`is_stale`) while somebody else computes the new value;
 *  1: the caller holds *RET_LEASE, and ends it with shmalloc_cache_fill() or
 *     shmalloc_cache_waive();
 *  SHMALLOC_ETIMEDOUT: another has been computing for wait_ms.
 *
 * If the holder of a lease dies, the next one to ask gets it: at once if the
 * holder's process can be seen to be gone, else when the lease is void.  A
 * waiter sleeps between looks, from 50 microseconds to 5 milliseconds; nobody
 * has to wake it.  A signal doesn't end the wait.
 */
int shmalloc_cache_take(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    const struct shmalloc_cache_patience *patience,
    struct shmalloc_cache_view *ret_view,
    struct shmalloc_cache_lease *ret_lease);

/*
 * Store what was computed.  SHMALLOC_CACHE_ELEASE: nothing is stored, because
 * the key was stored, deleted or evicted meanwhile, or the lease was void and
 * another took it: the value is as good for the caller, but may be outdated.
 */
int shmalloc_cache_fill(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    const struct shmalloc_cache_lease *lease, struct shmalloc_bytes value,
    const struct shmalloc_cache_terms *terms);

/* Give a lease back without a value: the next one to ask gets it. */
int shmalloc_cache_waive(struct shmalloc_cache *cache,
    struct shmalloc_bytes key, const struct shmalloc_cache_lease *lease);

/* ---- All of it ------------------------------------------------------- */

/* An entry as a walk shows it; good until the function returns. */
struct shmalloc_cache_entry {
	struct shmalloc_bytes key;
	struct shmalloc_cache_view view;
	uint64_t age_ms; /* since it was stored */
};

/* Called inside shmalloc_enter(); anything but 0 ends the walk. */
typedef int shmalloc_cache_visit(
    void *arg, const struct shmalloc_cache_entry *entry);

/*
 * Show every entry that is there from the beginning to the end, in no order;
 * what others store, delete or move meanwhile may be shown, once or twice, or
 * not.  0, an error, or what VISIT gave.
 */
int shmalloc_cache_walk(
    struct shmalloc_cache *cache, shmalloc_cache_visit *visit, void *arg);

/*
 * Go over the whole cache once: drop what has ended, count the bytes again,
 * move what is in smaller tables, evict what is too much.  Stores do this by
 * themselves, bit by bit; a program may do it in idle time.  Evicted memory is
 * free when it returns, unless somebody reads.  0, or an error.
 */
int shmalloc_cache_sweep(struct shmalloc_cache *cache);

/* Change how many bytes the cache may have; 0: what the segment has. */
int shmalloc_cache_limit(struct shmalloc_cache *cache, uint64_t bytes);

/*
 * Figures of the cache.  Those of `enum shmalloc_cache_count` are counters
 * since it was made; each process adds to its own, and they are summed here.
 * The others are as of now.
 */
enum shmalloc_cache_count {
	SHMALLOC_CACHE_HITS,
	SHMALLOC_CACHE_MISSES,
	SHMALLOC_CACHE_STORES,
	SHMALLOC_CACHE_DELETES,
	SHMALLOC_CACHE_EXPIRED,        /* dropped after their end */
	SHMALLOC_CACHE_EVICTED_LIMIT,  /* for the sake of the cache's limit */
	SHMALLOC_CACHE_EVICTED_MEMORY, /* because the segment was full */
	SHMALLOC_CACHE_EVICTED_PLACE,  /* because another key took the place */
	SHMALLOC_CACHE_EVICTED_AGE_MS, /* sum of the ages of what was evicted */
	SHMALLOC_CACHE_MOVED,          /* copied into a larger table */
	SHMALLOC_CACHE_LEASES,         /* given */
	SHMALLOC_CACHE_LEASES_BROKEN,  /* taken from the dead, or void */
	SHMALLOC_CACHE_WAITS,          /* for another's lease */
	SHMALLOC_CACHE_STALE,          /* stale values given */
	SHMALLOC_CACHE_FAILED,         /* stores without memory */
	SHMALLOC_CACHE_COUNTS,
};

struct shmalloc_cache_stats {
	uint64_t count[SHMALLOC_CACHE_COUNTS];
	uint64_t entries;     /* about; exact after a sweep in peace */
	uint64_t bytes;       /* memory of entries and tables, likewise */
	uint64_t table_bytes; /* of the tables alone */
	uint64_t limit;       /* 0: the segment's */
	uint64_t tables;      /* 1, or more while the table grows */
	uint64_t places;      /* for entries, in the largest table */
};

int shmalloc_cache_stats(
    struct shmalloc_cache *cache, struct shmalloc_cache_stats *ret_stats);

/* A counter's name, as in "evicted_limit"; NULL: no such counter. */
const char *shmalloc_cache_count_name(enum shmalloc_cache_count count);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
