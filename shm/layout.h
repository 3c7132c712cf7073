/*
 * What lies in a segment, byte by byte.
 *
 *	+---------------------------------------------------------------+
 *	| superblock   sizes, key, watermark, commit word, epoch         |
 *	| tunables     generation and values; written by the daemon      |
 *	| arenas       lock, remote list, bins, counters                 |
 *	| roots        named slots                                       |
 *	| clients      slot: state, generation, identity, counters       |
 *	| client bits  which regions may hold tags of that client        |
 *	| threads      record: owner, in-call mark, intent               |
 *	| committed    one bit a page of the whole segment               |
 *	| region table one word a region                                 |
 *	| samples      of the heap profile; modules: what they ran       |
 *	| page table   one entry a page of extent regions                |
 *	+---------------------------------------------------------------+  heap
 *	| regions      2 MiB each; of chunks, or of extents              |
 *	+---------------------------------------------------------------+
 *
 * Everything is sparse: a page is committed (fallocate, then its bit in
 * `committed`) before its first use, metadata included.  A reader of a table
 * asks for the bit first.
 *
 * THE TRUTH is the heads of chunks, the page table, the region table and the
 * committed bits.  The rest of an arena (bins, bitmaps, top, fastbins, the
 * PREV_INUSE flag, prev_size, counters) is an index over them that
 * shm_arena_rebuild() makes again.  See shm/README.md for the order of stores.
 *
 * Every field that another process may write while we look is _Atomic, and the
 * accesses are relaxed unless they publish: a killed process leaves a prefix of
 * its stores in program order, so order within a process is all that recovery
 * needs; release and acquire are for live neighbours.
 */
#ifndef SHM_LAYOUT_H
#define SHM_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_MAGIC         UINT64_C(0x636f6c6c616d6873) /* "shmalloc" */
#define SHM_LAYOUT        1u
#define SHM_GRANULE       16u
#define SHM_PAGE          4096u
#define SHM_REGION        (2u << 20)
#define SHM_REGION_PAGES  (SHM_REGION / SHM_PAGE)
#define SHM_NAME_LEN      64u
#define SHM_CLIENTS       4096u  /* slot 0 is nobody, slot 1 the daemon */
#define SHM_THREADS       16384u /* record 0 is nobody, record 1 the daemon */
#define SHM_ROOTS         1024u
#define SHM_ARENAS        1024u /* at most; a segment has 8 x cores */
#define SHM_BINS          256u
#define SHM_BIN_WORDS     (SHM_BINS / 64)
#define SHM_EXTENT_BINS   192u
#define SHM_EXTENT_WORDS  (SHM_EXTENT_BINS / 64)
#define SHM_FASTBINS      32u
#define SHM_CLASSES       128u
#define SHM_COUNTED       168u /* classes of the statistics: see shm/chunk.h */
#define SHM_SAMPLES       16384u /* of the heap profile */
#define SHM_FRAMES        54u    /* of a sample's stack */
#define SHM_MODULES       1024u
#define SHM_PEAKS         32u
#define SHM_DAEMON_SLOT   1u
#define SHM_DAEMON_THREAD 1u
#define SHM_CACHELINE     128u /* two lines: the prefetcher fetches pairs */

/* ---- Heads ------------------------------------------------------------ */

/*
 * The head of a chunk, and of an extent (in the page table).  Its halves have
 * different writers, so neither store can lose the other's.
 */
struct shm_head {
	/* Units << 4 | flags.  The unit is SHM_GRANULE (chunks) or SHM_PAGE
	 * (extents).  Guarded by the arena's lock. */
	_Atomic uint32_t size;
	/* Owner, generation, state, check.  Atomic: written by whoever owns
	 * the chunk; anything else is a compare-and-swap. */
	_Atomic uint32_t tag;
};

enum shm_flag {
	SHM_PREV_INUSE = 1u << 0, /* the neighbour below isn't in a bin */
	SHM_TOP = 1u << 1,        /* the arena's top */
	SHM_HOLES = 1u << 2,      /* some of its pages may not be committed */
	SHM_LINKED = 1u << 3,     /* in a bin, or the top */
};

#define SHM_FLAGS 15u

/*
 * A tag: owner (16) | generation (4) | state (4) | check (8).  The owner is a
 * client slot, or a thread record in the states of a publish; the check bits
 * hash the payload's offset and the segment's key.
 */
enum shm_state {
	SHM_NONE,       /* no tag */
	SHM_FREE,       /* the arena's: in a bin, the top, or about to be */
	SHM_FAST,       /* the arena's: in a fastbin, not coalesced */
	SHM_CACHED,     /* (client) in a thread cache, or on its way */
	SHM_REMOTE,     /* (client, the pusher) on a remote list */
	SHM_OWNED,      /* (client) allocated, not published */
	SHM_PUBLISHING, /* (thread) desired of a publish under way */
	SHM_TAKING,     /* (thread) expected of a publish: claimed */
	SHM_SHARED,     /* the segment's */
	SHM_UNLINKED, /* (client) taken out of its slot; readers may be on it */
	SHM_RETIRED,  /* (client) waits for readers */
	SHM_STATES,
};

#define SHM_TAG_GENERATIONS 16u

/*
 * A chunk.  prev_size lies in the payload of the chunk below and is valid only
 * while that one is in a bin.  The payload begins at `next` and reaches 8 bytes
 * into the following chunk.
 */
struct shm_chunk {
	_Atomic uint64_t prev_size; /* bytes */
	struct shm_head head;
	/* Of free chunks only.  Offsets of chunks. */
	_Atomic uint64_t next; /* in a bin, fastbin or remote list */
	_Atomic uint64_t prev; /* in a bin */
	/* Of free chunks of at least SHM_LARGE_MIN bytes: when it was freed, in
	 * ms of the daemon's clock; UINT32_MAX: none of its pages is
	 * committed beyond the first. */
	_Atomic uint32_t stamp_ms;
};

#define SHM_CHUNK_HEAD  16u /* from a chunk to its payload */
#define SHM_CHUNK_OVER  8u  /* bytes of a chunk that its payload can't use */
#define SHM_CHUNK_MIN   32u
#define SHM_REGION_TAIL 16u /* at a region's end: the last chunk's payload */
#define SHM_CHUNK_MAX   (SHM_REGION - SHM_REGION_TAIL)
#define SHM_LARGE_MIN   1024u /* large bins begin here */

/* A page's entry; meaningful at the first page of an extent. */
struct shm_page {
	struct shm_head head;
	/* In use: bytes asked for, 32 bits in `next` and 16 in `prev`, whose
	 * upper half is the sample that it has in the heap profile, plus one, 0
	 * none.  Free: neighbours in the bin, as page numbers, 0 is none. */
	_Atomic uint32_t next;
	_Atomic uint32_t prev;
};

/* A region's entry: kind (8) | arena (16) | slot (16) | generation (8). */
enum shm_region_kind {
	SHM_REGION_FREE,
	SHM_REGION_CLAIMED, /* by a client, on its way in or out */
	SHM_REGION_CHUNKS,  /* tiled by chunks of an arena */
	SHM_REGION_EXTENTS, /* begins a run of regions tiled by extents */
	SHM_REGION_MORE,    /* goes on with the run of the region before */
	SHM_REGION_KINDS,
};

/* ---- Superblock -------------------------------------------------------- */

/* Where a table begins and how many entries it has.  Constant. */
struct shm_table {
	uint64_t off;
	uint64_t n;
};

enum shm_failure {
	SHM_FAIL_NONE,
	SHM_FAIL_FULL,
	SHM_FAIL_FRAGMENTED,
	SHM_FAIL_QUOTA,
	SHM_FAIL_TOO_LARGE,
	SHM_FAIL_READER,
	SHM_FAIL_SYSTEM,
	SHM_FAILURES,
};

/* What is timed: see shm/latency.h. */
enum shm_latency {
	SHM_LATENCY_ALLOCATE,  /* allocations that miss the cache, one in */
	SHM_LATENCY_FREE,      /* SHM_LATENCY_SAMPLE; such frees */
	SHM_LATENCY_REFILL,    /* of those, refilling a class */
	SHM_LATENCY_EXTEND,    /* getting pages from the system */
	SHM_LATENCY_LOCK_WAIT, /* sleeping on an arena's lock */
	SHM_LATENCY_CONTROL,   /* an operator's request */
	SHM_LATENCIES,
};

#define SHM_LATENCY_BUCKETS 128u
#define SHM_LATENCY_SAMPLE  16u

struct shm_super {
	/* Constant after creation. */
	uint64_t magic;
	uint32_t layout;
	uint32_t abi;      /* a hash of the sizes below: see shm_abi() */
	uint64_t reserved; /* bytes: the file's size */
	uint64_t heap;     /* offset of region 0 */
	uint64_t n_regions;
	uint64_t key;     /* of the check bits; odd */
	uint64_t id[2];   /* random: which segment this is */
	uint64_t created; /* seconds since the epoch */
	char name[SHM_NAME_LEN];
	struct shm_table tunables, arenas, roots, clients, client_bits;
	struct shm_table threads, committed, regions, pages;
	struct shm_table samples, modules;

	/* Atomic: bytes of the heap that regions have ever covered. */
	_Alignas(SHM_CACHELINE) _Atomic uint64_t watermark;
	/* Atomic: change count (24) | committed pages (40). */
	_Atomic uint64_t commit;
	_Atomic uint32_t n_arenas; /* Atomic: arenas 0..n-1 exist */
	/* Atomic: bytes; mmap_threshold's dynamic value, 0 none yet. */
	_Atomic uint32_t mmap_dynamic;
	/* Daemon only: its coarse clock, ms. */
	_Atomic uint32_t clock_ms;
	/* Atomic: when an allocation last found no memory, or limit.soft
	 * was exceeded, in tenths of a second; caches compare it at each refill
	 * and flush, and give back what they hold when it changed. */
	_Atomic uint32_t pressure;
	/* Atomic: pages that the system can still give, as the daemon saw it,
	 * less what was committed since; ~0 unknown. */
	_Atomic uint64_t system_pages;
	/* Daemon only: "the daemon is up", its pid; 0 after a clean stop. */
	_Atomic uint64_t daemon_pid;

	/* Atomic: the readers' epoch; see shm/epoch.h. */
	_Alignas(SHM_CACHELINE) _Atomic uint64_t epoch;
	/* Atomic: bytes that wait for readers; for a moment less than none,
	 * when the daemon sums up between a client's two subtractions. */
	_Alignas(SHM_CACHELINE) _Atomic int64_t retired_bytes;

	/* Counters of dead clients (Daemon only) and of recoveries. */
	_Alignas(SHM_CACHELINE) _Atomic uint64_t failures[SHM_FAILURES];
	_Atomic uint64_t allocs, frees, requested, misuses;
	_Atomic uint64_t cache_misses, refills, flushes, remote_pushed;
	_Atomic uint64_t class_allocs[SHM_COUNTED];
	_Atomic uint64_t class_requested[SHM_COUNTED];
	_Atomic uint64_t class_frees[SHM_COUNTED];
	_Atomic uint64_t class_misses[SHM_COUNTED];
	_Atomic uint64_t recovered_locks, recovered_clients;
	_Atomic uint64_t recovered_chunks, recovered_bytes;
	/* Daemon only: which counter of which dead client is being added to
	 * one of these, 0 none; and what that will be. */
	_Atomic uint64_t fold, fold_sum;
	_Atomic uint64_t starts;  /* daemons that have had this segment */
	_Atomic uint64_t punched; /* bytes given back to the system */
	/* Daemon only: the most that any reading of the statistics saw, of
	 * each number in struct shm_bytes; and what was committed when the
	 * live bytes had their peak. */
	_Atomic uint64_t peak[SHM_PEAKS];
	_Atomic uint64_t peak_live, peak_footprint;
	_Atomic uint64_t crashes; /* daemons that did not stop, but ended */

	/* Atomic: how many operations took how long, and all of them, ns. */
	_Alignas(SHM_CACHELINE) _Atomic uint64_t
	    latency[SHM_LATENCIES][SHM_LATENCY_BUCKETS];
	_Atomic uint64_t latency_ns[SHM_LATENCIES];
	/* Daemon only: they begin there, in seconds since the epoch; 0: with
	 * the segment. */
	_Atomic uint64_t latency_since;

	/* Atomic: samples of the heap profile that were taken, and that were
	 * not for want of a record; where to look for one next. */
	_Alignas(SHM_CACHELINE) _Atomic uint64_t sampled, samples_lost;
	_Atomic uint32_t sample_next;
};

/* Written by the daemon only; copied by clients when `generation` changed. */
struct shm_tunables {
	/* Atomic: odd while values change; release. */
	_Atomic uint64_t generation;
	_Atomic uint64_t is_dynamic; /* mmap_threshold may grow by itself */
	_Atomic uint64_t value[31];  /* indexed by enum shm_param */
	/* Daemon only: what `value` becomes while `generation` is odd, so that
	 * a daemon that is killed then is followed by one that goes on. */
	_Atomic uint64_t next[31];
	/* Daemon only, of values that were set for a time: when that is over,
	 * ms since the epoch (0: never), and what is then. */
	_Atomic uint64_t until[31], then[31];
	uint64_t spare[2];
};

/* ---- Arenas ------------------------------------------------------------ */

enum shm_arena_state {
	SHM_ARENA_ABSENT,
	SHM_ARENA_ACTIVE,
	SHM_ARENA_SICK, /* its heads are damaged: nobody allocates there */
};

/* The lock word: thread record (16) | its generation (8) | flags. */
#define SHM_LOCK_WAITERS (1u << 31)

struct shm_arena_counters {
	_Atomic uint64_t allocs, frees; /* chunks out of and into the arena */
	_Atomic uint64_t splits, coalesced_forward, coalesced_back;
	_Atomic uint64_t drained, consolidations, extends, trims, punched;
};

struct shm_arena {
	/* Atomic: 0, or who holds the lock. */
	_Atomic uint32_t lock;
	_Atomic uint32_t state; /* enum shm_arena_state */
	/* Atomic: times the lock was taken, was found taken, was slept on. */
	_Atomic uint64_t locked, busy, slept;
	_Atomic uint64_t slept_on_dead; /* must stay 0 */
	_Atomic uint64_t owner_deaths, repairs;
	/* Atomic: how long was slept in all, and at most at once. */
	_Atomic uint64_t slept_us, slept_longest_us;
	_Atomic uint64_t
	    tick_locked; /* Daemon only: `locked` at its last tick */
	/* Guarded by the lock: the daemon's clock at its taking, ms. */
	_Atomic uint32_t since_ms;
	/* Daemon only: no free piece whose pages may go has been free since
	 * before that, ms. */
	_Atomic uint32_t free_since_ms;

	/* Atomic: chunks and extents (as payload offsets) that others freed. */
	_Alignas(SHM_CACHELINE) _Atomic uint64_t remote;
	_Atomic uint64_t remote_pushed;
	/* Atomic: allocations of threads that use this arena and failed. */
	_Atomic uint64_t fails;
	/* Daemon only: the most bytes in use that any reading saw. */
	_Atomic uint64_t peak_used;

	/* All below: Guarded by the lock. */
	_Alignas(SHM_CACHELINE) _Atomic uint64_t top; /* chunk, 0 none */
	_Atomic uint64_t binmap[SHM_BIN_WORDS];
	_Atomic uint64_t extent_map[SHM_EXTENT_WORDS];
	_Atomic uint64_t n_regions, n_extent_regions;
	_Atomic uint64_t binned_bytes, binned_chunks;
	_Atomic uint64_t fast_bytes, fast_chunks;
	_Atomic uint64_t top_bytes;
	_Atomic uint64_t extent_free_pages, extent_free_n;
	struct shm_arena_counters counters;
	_Atomic uint64_t fast[SHM_FASTBINS]; /* chunks; bin i: 32 + 16 i */
	_Atomic uint64_t bin[SHM_BINS];      /* chunks */
	_Atomic uint32_t extent_bin[SHM_EXTENT_BINS]; /* page numbers */
};

/* ---- Clients and threads ----------------------------------------------- */

enum shm_client_state {
	SHM_CLIENT_FREE,
	SHM_CLIENT_LIVE,
	SHM_CLIENT_DEAD, /* its memory is being reclaimed */
};

enum shm_client_flag {
	SHM_CLIENT_READ_ONLY = 1u << 0,
};

/* Has a client that may write the segment mapped it, since it was given its
 * slot?  Until then what the daemon sees of its process says nothing. */
enum shm_client_mapped {
	SHM_MAPPED_NOT_YET,
	SHM_MAPPED,
	SHM_MAPPED_NEVER, /* the daemon has taken its slot back */
};

struct shm_client {
	/* Daemon only, except where the comment says otherwise. */
	_Atomic uint32_t state; /* enum shm_client_state */
	_Atomic uint32_t generation;
	_Atomic uint32_t pid, uid, gid, flags;
	_Atomic uint64_t since; /* seconds since the epoch */
	_Atomic uint64_t death; /* a stamp of its death, then of its end */
	/* A stamp of when what its threads were publishing was settled: what
	 * it had unlinked is free when nobody reads from before.  0: not yet.
	 */
	_Atomic uint64_t settled;
	char label[32], command[32];
	/* Atomic: enum shm_client_mapped; from NOT_YET once, by whichever of
	 * the two is first. */
	_Atomic uint32_t mapped;

	/* Below: the client's threads, by relaxed atomic additions, at refill,
	 * flush and on slow paths; so they lag by what a live cache did. */
	_Alignas(SHM_CACHELINE) _Atomic uint64_t allocs;
	_Atomic uint64_t frees, requested;
	_Atomic int64_t held_bytes, held_chunks;     /* OWNED + UNLINKED */
	_Atomic int64_t cached_bytes, cached_chunks; /* CACHED */
	_Atomic int64_t retired_bytes, retired_chunks;
	/* Allocations that the caller's cache had nothing for. */
	_Atomic uint64_t cache_misses;
	_Atomic uint64_t refills, flushes, remote_pushed;
	_Atomic uint64_t reallocs_in_place, misuses, moves, sleeps;
	_Atomic uint64_t failures[SHM_FAILURES];
	_Atomic uint64_t commit_pending; /* pages: in the word, without bits */
	/* By class of the chunk (see shm_class), extents included. */
	_Alignas(SHM_CACHELINE) _Atomic uint64_t class_allocs[SHM_COUNTED];
	_Atomic uint64_t class_requested[SHM_COUNTED];
	_Atomic uint64_t class_frees[SHM_COUNTED];
	_Atomic uint64_t class_misses[SHM_COUNTED]; /* of cache_misses */
};

/* What a thread is publishing: see shm/publish.c and tests/model/publish.pml.
 */
struct shm_intent {
	_Atomic uint64_t slot, expected, desired;
};

/*
 * A reader's pin.  That of a thread which may write the segment is in its
 * record; only those of read-only clients are in the second memfd, which such
 * clients can write, too: what they write over there are pins of their like.
 */
struct shm_pin {
	/* Atomic: 0 free; else client slot (16) | generation (16).  In the
	 * second memfd only. */
	_Atomic uint64_t owner;
	/* Owner only: 0 outside; else the epoch that it entered in. */
	_Atomic uint64_t epoch;
	uint64_t spare[6];
};

struct shm_thread {
	/* Atomic: client slot (16) | its generation (16) | own generation. */
	_Atomic uint64_t owner;
	/* Owner only: the epoch in which its present slow call began, 0 none.
	 */
	_Atomic uint64_t call_epoch;
	_Atomic uint32_t tid; /* informative */
	uint32_t unused;
	struct shm_intent intent;
	uint64_t spare[2];
	struct shm_pin pin;
};

/* Of read-only clients' threads; not those of the records of that number. */
struct shm_pins {
	uint64_t magic;
	uint64_t id[2];
	/* Atomic: no pin above this was ever claimed. */
	_Atomic uint64_t high;
	uint64_t spare[12];
	struct shm_pin pin[SHM_THREADS];
};

/* ---- The heap profile: see shm/sample.h --------------------------------- */

/* A sampled allocation.  Written by the client that made it. */
struct shm_sample {
	/* Atomic: times it was claimed (31) | READY (1) | page (32). */
	_Atomic uint64_t link;
	_Atomic uint64_t rate; /* bytes: profile.sample_bytes then */
	_Atomic uint64_t unit; /* bytes that the draw was about */
	_Atomic uint32_t slot, generation, pid; /* of the client */
	_Atomic uint32_t n_frames;
	_Atomic uint64_t command[4]; /* its name then: 32 characters */
	/* Innermost first: module plus one (16), 0 none | address in it (48).
	 */
	_Atomic uint64_t frame[SHM_FRAMES];
	uint64_t spare;
};

#define SHM_SAMPLE_READY (UINT64_C(1) << 32)
#define SHM_FRAME_BITS   48

/* A file that clients run code of, for good; stacks name it after they have
 * gone. */
struct shm_module {
	/* Atomic: 0 free; 1 + the claimant's slot | generation (32) while it is
	 * written; SHM_MODULE_READY. */
	_Atomic uint64_t state;
	/* Of its code: the first address and the end, as in the file's program
	 * headers, and where that is in the file. */
	uint64_t start, end, file_off;
	uint32_t is_fixed; /* runs at those addresses and no other */
	uint32_t id_len;
	uint8_t id[32];
	char name[440];
};

#define SHM_MODULE_READY UINT64_MAX

struct shm_root {
	/* Atomic: 0 free; 1 + the claimant's slot while the name is written;
	 * SHM_ROOT_READY. */
	_Atomic uint64_t state;
	char name[SHM_NAME_LEN];
	_Atomic uint64_t slot;
	uint64_t spare[6];
};

#define SHM_ROOT_READY UINT64_MAX

static_assert(sizeof(struct shm_head) == 8, "layout");
static_assert(offsetof(struct shm_chunk, head) == 8, "layout");
static_assert(offsetof(struct shm_chunk, next) == SHM_CHUNK_HEAD, "layout");
static_assert(sizeof(struct shm_page) == 16, "layout");
static_assert(sizeof(struct shm_tunables) == 1024, "layout");
static_assert(sizeof(struct shm_thread) == 128, "layout");
static_assert(sizeof(struct shm_pin) == 64, "layout");
static_assert(sizeof(struct shm_root) == 128, "layout");
static_assert(sizeof(struct shm_sample) == 512, "layout");
static_assert(sizeof(struct shm_module) == 512, "layout");
static_assert(SHM_SAMPLES < UINT16_MAX && SHM_MODULES < UINT16_MAX, "layout");
static_assert(sizeof(struct shm_super) <= 4 * SHM_PAGE, "layout");
static_assert(sizeof(struct shm_arena) % SHM_CACHELINE == 0, "layout");
static_assert(sizeof(struct shm_client) % SHM_CACHELINE == 0, "layout");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics need no lock");

#endif
