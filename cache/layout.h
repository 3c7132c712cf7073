/*
 * What a cache looks like in the segment.
 *
 *   root slot -> head -> table -> bucket -> item
 *                          |        |
 *                          |        +-> more entries of the bucket
 *                          +-> up to 8 of them, each twice the one before
 *
 * A bucket has *entries*: a tag, which binds the entry to a part of a hash, and
 * a slot, from which the item hangs.  What a key's item is, is decided by one
 * slot; so each change of it is one shmalloc_publish().  Everything but slots
 * is a number: it leaks nothing, and docs/adr/0006 says why it may be at any
 * state when its writer is killed.
 *
 * Invariants, while nobody is inside:
 *  C1. In one bucket, at most one entry is bound to a part of a hash.
 *  C2. A bucket that a newer table has a part in is closed before anything of
 *      its keys is bound there; in a closed bucket nothing is ever bound.
 *  C3. An item is its key's only if its generation is its entry's.
 *  C4. A slot that was shut never holds an object again; a table all of whose
 *      slots are shut can be freed.
 */
#ifndef CACHE_LAYOUT_H
#define CACHE_LAYOUT_H

#include <assert.h>
#include <shmalloc/cache.h>
#include <stdatomic.h>
#include <stdint.h>

#include "cache/latency.h"

#define CACHE_MAGIC   UINT64_C(0x31656863616d6873) /* "shmache1" */
#define CACHE_TABLES  8
#define CACHE_ENTRIES 7           /* of a bucket, before it gets more */
#define CACHE_CHAIN   9           /* buckets of a chain: 63 entries */
#define CACHE_STRIPES 64          /* of counters */
#define CACHE_SHUT    UINT64_C(1) /* in a slot: nothing hangs here again */
#define CACHE_KEY_MAX 65536u
#define CACHE_TICKS   16                  /* a second */
#define CACHE_BACK_MS 1000                /* its epoch was before it was made */
#define CACHE_LEASE   (UINT32_C(1) << 31) /* in key_len */

/*
 * An item: a value, its key behind it, and what is known of them.  Constant
 * after it is published, but for what is atomic.
 */
struct cache_item {
	uint64_t value_len;  /* bytes */
	uint32_t key_len;    /* bytes; CACHE_LEASE: a claim, not a value */
	uint32_t generation; /* of the entry that it was made for */
	uint32_t version;
	uint32_t created;       /* tick */
	uint32_t flags;         /* the user's */
	_Atomic uint32_t ends;  /* tick; 0: never */
	_Atomic uint32_t stamp; /* births when it was stored, or looked over */
	_Atomic uint32_t mark;  /* see below */
	unsigned char bytes[];  /* the value, the key */
};
static_assert(sizeof(struct cache_item) == 40, "an item's header");

/* The parts of a mark. */
#define CACHE_USES  3u /* how often it was found, up to 3 */
#define CACHE_MAIN  4u /* it was found again, or came back */
#define CACHE_COLOR 8u /* in which of two sums its bytes are */
#define CACHE_CLAIM 4  /* shift: the tick until which it is renewed */

/* What a lease's item holds. */
struct cache_claim {
	uint64_t ends_ms, len_ms;
	uint64_t pid_namespace; /* in which the number means something */
	int64_t pid;
};

/* The fields of a control word: state, entry, count of bindings, hash part. */
enum cache_control {
	CACHE_IDLE,
	CACHE_BINDING, /* the entry is being bound to the part: help */
	CACHE_CLOSED,
};

struct cache_entry {
	_Atomic uint64_t tag; /* hash part << 32 | generation; 0: unbound */
	shmalloc_slot slot;
};

struct cache_bucket {
	_Atomic uint64_t control; /* of the first of a chain */
	shmalloc_slot more;       /* the next of the chain */
	struct cache_entry entry[CACHE_ENTRIES];
};
static_assert(sizeof(struct cache_bucket) == 128, "two cache lines");

/*
 * A table: its buckets lie behind it, and behind them a word for each place:
 * whom it has evicted lately.
 */
struct cache_table {
	uint64_t n_buckets; /* a power of two; constant */
	uint64_t len;       /* bytes of all of it; constant */
	uint32_t number;    /* 0, 1, ... as the cache grows; constant */
	uint32_t spare0;
	uint64_t spare1[13];
	/* A cache line pair: what stores write. */
	_Atomic uint64_t hand;              /* buckets that were looked over */
	_Atomic int64_t bytes[2], items[2]; /* by color */
	uint64_t spare2[11];
	struct cache_bucket bucket[];
};
static_assert(sizeof(struct cache_table) == 256, "buckets are aligned");

struct cache_stripe {
	_Atomic uint64_t count[SHMALLOC_CACHE_COUNTS];
	uint64_t spare;
};
static_assert(sizeof(struct cache_stripe) == 128, "two cache lines");

struct cache_head {
	uint64_t magic, seed, epoch_ms; /* constant */
	uint64_t entries;               /* of the first table; constant */
	uint32_t stale_ticks;           /* constant */
	_Atomic uint32_t is_ending;     /* whoever sees it removes the rest */
	_Atomic uint64_t limit;         /* bytes; 0: none */
	uint64_t spare1[10];
	shmalloc_slot table[CACHE_TABLES]; /* number i hangs from i % 8 */
	uint64_t spare2[8];
	/* What stores write. */
	_Atomic uint32_t versions, births;
	_Atomic uint32_t turn; /* stores, to see when to look over a bucket */
	uint32_t spare3;
	uint64_t spare4[14];
	struct cache_stripe stripe[CACHE_STRIPES];
	/* Of the calls that were timed: how many took how long, and in all. */
	_Atomic uint64_t latency[CACHE_LATENCIES][CACHE_LATENCY_BUCKETS];
	_Atomic uint64_t latency_ns[CACHE_LATENCIES];
};

/* The tick of MS since the epoch, from 1 on: 0 is no time. */
static inline uint32_t
cache_tick_at(const struct cache_head *head, uint64_t ms)
{
	return (uint32_t)((ms - head->epoch_ms) * CACHE_TICKS / 1000) + 1;
}

/* How long TICKS are, which may be less than none. */
static inline int64_t
cache_ticks_ms(int64_t ticks)
{
	return ticks * 1000 / CACHE_TICKS;
}

#endif
