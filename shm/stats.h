/*
 * Statistics of a segment, read without stopping anybody.
 *
 * The quick form costs O(clients + arenas) and adds up counters, which lag by
 * what live thread caches did since their last refill.  The exact form walks
 * every head, an arena's region at a time, and is the authority.
 */
#ifndef SHM_STATS_H
#define SHM_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/seg.h"

/*
 * Bytes of a segment.  When nothing changes meanwhile, exactly:
 * size = in_use_chunks + cached + pending + free_binned + free_fast + free_top
 *      + extents_used + extents_free + metadata + unused.
 */
struct shm_bytes {
	/* Estimate: what users asked for and still hold; extents' exactly. */
	uint64_t requested;
	uint64_t allocated;     /* usable bytes of live objects */
	uint64_t in_use_chunks; /* live chunks, heads included */
	uint64_t cached;        /* chunks in thread caches */
	/* Remote lists, retired, unlinked, of the dead; extents included. */
	uint64_t pending;
	uint64_t free_binned, free_fast, free_top;
	uint64_t extents_used, extents_free;
	uint64_t metadata; /* committed pages below the heap; region tails */
	uint64_t active;   /* neither free nor unused; metadata included */
	uint64_t committed, resident;
	uint64_t retained; /* space that has no pages: size - committed */
	uint64_t unused;   /* regions below the watermark that nobody has */
	uint64_t size;     /* metadata + watermark */
	uint64_t limit, reserved;
	uint64_t largest_free;
};

#define SHM_FRAG_SIZES 4 /* 64, 1K, 64K, 1M */
extern const uint64_t shm_frag_sizes[SHM_FRAG_SIZES];
#define SHM_FREE_HISTOGRAM 32 /* by power of two of the free piece's size */

struct shm_arena_stats {
	uint32_t id, state;
	bool is_locked;
	/* Size: the regions of this arena.  Quick: cached and pending are 0,
	 * and in_use_chunks and extents_used have them. */
	struct shm_bytes bytes;
	uint64_t chunks; /* live; exact only, else 0 */
	uint64_t free_chunks;
	uint64_t unusable;  /* free bytes in pieces < reference size */
	uint64_t peak_used; /* the most that any reading saw */
	uint64_t fails;     /* allocations that began here and failed */
	uint64_t locked, busy, slept, slept_on_dead, owner_deaths, repairs;
	uint64_t remote_pushed;
	uint64_t allocs, frees, splits, coalesced_forward, coalesced_back;
	uint64_t drained, consolidations, extends, trims, punched;
	uint32_t lock_thread; /* the holder's record, 0 none */
	uint32_t lock_slot, lock_pid;
	uint32_t lock_ms; /* since it was taken, to the daemon's tick */
	uint64_t slept_us, slept_longest_us;
};

/* Of objects of a size: by the thread caches' classes, each of which is one or
 * two of the arenas' bins, and by powers of two for extents. */
struct shm_bin_stats {
	uint32_t id;
	uint64_t size; /* smallest chunk of the bin, bytes */
	uint64_t allocs, requested, frees;
	uint64_t cache_hits, cache_misses; /* of the allocations */
	uint64_t live;                     /* exact only: live chunks */
	uint64_t live_bytes;
	uint64_t free_chunks, free_bytes; /* exact only */
};

struct shm_stats {
	bool is_exact;
	uint64_t seconds; /* since the epoch */
	struct shm_bytes bytes;
	struct shm_bytes peak; /* of each: the most that any reading saw */
	double fragmentation_internal; /* 1 - requested / in use; < 0 unknown */
	/* Footprint / live - 1, of the reading with the most live bytes. */
	double fragmentation_realised;
	/* F(k); < 0: nothing is free, or (quick) there are too many pieces to
	 * look at them all. */
	double unusable[SHM_FRAG_SIZES];
	double unusable_reference;
	uint64_t free_histogram[SHM_FREE_HISTOGRAM]; /* pieces that were seen */
	uint64_t allocs, frees, misuses;
	/* Allocations that a thread's cache served, and the others. */
	uint64_t cache_hits, cache_misses;
	uint64_t refills, flushes, remote_pushed;
	uint64_t failures[SHM_FAILURES];
	uint32_t clients_live, clients_dead;
	uint64_t recovered_locks, recovered_clients;
	uint64_t recovered_chunks, recovered_bytes;
	uint64_t starts, punched, created;
	uint64_t objects; /* live; exact only */
	char name[SHM_NAME_LEN];
	uint32_t n_arenas;
	struct shm_arena_stats *arenas; /* n_arenas; owned by the struct */
	struct shm_bin_stats bins[SHM_COUNTED];
};

/*
 * Read the statistics; exact if IS_EXACT (then arenas are locked for a region's
 * walk at a time; SHM_ERETRY if one could not be had).  The quick form takes no
 * lock, and stores nothing but peaks, nothing at all on a read-only view.  Free
 * the result with shm_stats_release().  SHM_ENOMEM, SHM_ERETRY, SHM_EREADONLY,
 * SHM_ECORRUPT.
 */
int shm_stats_read(struct shm_seg *seg, bool is_exact,
    struct shm_stats *ret_stats) SHM_MUSTCHECK;

void shm_stats_release(struct shm_stats *stats);

/*
 * The locks and counters of arena INDEX alone; false if there is no such
 * arena.  Takes no lock, stores nothing.
 */
bool shm_arena_read(
    struct shm_seg *seg, uint32_t index, struct shm_arena_stats *ret_arena);

struct shm_client_stats {
	uint32_t slot, generation, state, flags;
	uint32_t pid, uid, gid;
	uint64_t since;
	char label[32], command[32];
	uint64_t allocs, frees, requested;
	uint64_t held_bytes, held_chunks, cached_bytes, cached_chunks;
	uint64_t retired_bytes, retired_chunks;
	uint64_t cache_hits, cache_misses;
	uint64_t refills, flushes, remote_pushed, moves, sleeps;
	uint64_t misuses;
	uint64_t failures[SHM_FAILURES];
	uint64_t reader_lag; /* epochs since its oldest reader entered, that
			      * one included; 0 outside */
	uint32_t threads;
};

/* The client in SLOT, all but `threads` and `reader_lag`, which are 0; false if
 * the slot is free. */
bool shm_client_read(
    struct shm_seg *seg, uint32_t slot, struct shm_client_stats *ret_client);

/* By slot; NULL: not asked for. */
struct shm_clients_read {
	struct shm_client_stats *slot[SHM_CLIENTS];
};

/* Add `threads` and `reader_lag` to those clients, by one pass over all that
 * may read, which there are many of: not one for each client. */
void shm_clients_readers(
    const struct shm_seg *seg, const struct shm_clients_read *clients);

/* ---- The walker ---------------------------------------------------------- */

/* What a piece of the heap is. */
enum shm_piece_kind {
	SHM_PIECE_CHUNK,
	SHM_PIECE_EXTENT,
	SHM_PIECE_TAIL,   /* a chunk region's last bytes */
	SHM_PIECE_UNUSED, /* a region that nobody has, or that is claimed */
};

struct shm_piece {
	enum shm_piece_kind kind;
	enum shm_state state;
	uint64_t off; /* of its first byte; the payload of an extent */
	uint64_t len;
	uint32_t arena, owner; /* slot, or thread record */
	uint32_t generation;   /* of the owner: its low bits in the tag */
	uint64_t requested;    /* of extents in use: bytes asked for */
	bool is_top;
};

typedef void (*shm_piece_fn)(void *arg, const struct shm_piece *piece);

/*
 * Call FN for every piece of the heap up to the watermark, in order of address;
 * the pieces tile it.  Arena -1: all, and the unused regions.  Heads are copied
 * a region at a time under the arena's lock; FN is called without.  Remote
 * lists are drained.  SHM_ERETRY: a lock could not be had; SHM_EBUSY: it was
 * cancelled (looked at once a region); SHM_EREADONLY; SHM_ENOMEM; SHM_ECORRUPT.
 */
int shm_walk(struct shm_seg *seg, int32_t arena, shm_piece_fn fn,
    void *arg) SHM_MUSTCHECK;

/* A finding of the check. */
struct shm_finding {
	uint32_t invariant; /* its number, see shm/README.md */
	int32_t arena;      /* -1: none in particular */
	uint64_t off;
	bool is_repaired;
	const char *text; /* constant */
};

typedef void (*shm_finding_fn)(void *arg, const struct shm_finding *finding);

/*
 * Prove the invariants I1..In of every arena, under its lock; REPAIR rebuilds
 * the index of an arena whose heads are sane.  The number of findings, or
 * SHM_ERETRY for a lock that could not be had, or SHM_EBUSY if it was cancelled
 * (looked at once an arena).
 */
int shm_check(struct shm_seg *seg, bool repair, shm_finding_fn fn,
    void *arg) SHM_MUSTCHECK;

#endif
