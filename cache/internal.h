/*
 * What the files of the library share.
 */
#ifndef CACHE_INTERNAL_H
#define CACHE_INTERNAL_H

#include <stdbool.h>

#include "cache/layout.h"

#define CACHE_MUSTCHECK __attribute__((warn_unused_result))

/* This process's view.  Constant after it was opened. */
struct shmalloc_cache {
	struct shmalloc *heap;
	shmalloc_slot *root;
	shmalloc_off off; /* what the root held */
	struct cache_head *head;
	uint64_t pid_namespace; /* 0: unknown */
	bool is_read_only;
	char name[64];
};

/* A key and what it hashes to. */
struct cache_key {
	const void *data;
	uint32_t len;
	uint32_t part; /* what tags say */
	uint64_t hash;
};

/* Where a key's item hangs, or would. */
struct cache_place {
	struct cache_table *table;
	struct cache_bucket *bucket;
	struct cache_entry *entry; /* NULL: the key is bound nowhere */
	bool is_last;              /* in the largest table, when it was found */
	uint64_t tag;
	shmalloc_off off;        /* what the slot held */
	struct cache_item *item; /* the key's own, or NULL */
};

/* The tables, from the smallest to the largest. */
struct cache_tables {
	unsigned n;
	struct cache_table *at[CACHE_TABLES];
	shmalloc_slot *slot[CACHE_TABLES];
};

static inline void *
cache_at(const struct shmalloc_cache *cache, shmalloc_off off)
{
	return off <= CACHE_SHUT ? NULL : shmalloc_ptr(cache->heap, off);
}

static inline shmalloc_off
cache_load(const shmalloc_slot *slot)
{
	return atomic_load_explicit(slot, memory_order_acquire);
}

static inline uint32_t
cache_peek(const _Atomic uint32_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static inline int64_t
cache_peek64(const _Atomic int64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

/* ---- cache.c ------------------------------------------------------------- */

/* Begin and end a call: shmalloc_enter(), and the cache is still there. */
int cache_enter(struct shmalloc_cache *cache) CACHE_MUSTCHECK;
void cache_exit(struct shmalloc_cache *cache);

/* Check KEY and hash it.  SHMALLOC_EINVAL. */
int cache_key_of(const struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct cache_key *ret_key) CACHE_MUSTCHECK;

/* errno of a failed allocation as an error. */
int cache_errno(void);

/* Milliseconds of the system's clock; the same in the cache's ticks of 1/16
 * second, never 0; the tick that comes MS later at the earliest. */
uint64_t cache_now_ms(void);
uint32_t cache_tick(const struct shmalloc_cache *cache);
uint32_t cache_tick_after(const struct shmalloc_cache *cache, uint64_t ms);

/* Is tick A at or after B? */
static inline bool
cache_tick_past(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) >= 0;
}

/* ---- get.c, store.c ------------------------------------------------------ */

void cache_view(const struct shmalloc_cache *cache,
    const struct cache_item *item, struct shmalloc_cache_view *ret_view);

/* Something was stored at PLACE: count it, and do what stores do for the
 * whole.  Inside. */
void cache_stored(
    struct shmalloc_cache *cache, const struct cache_place *place);

/* ---- walk.c -------------------------------------------------------------- */

/* Look at a bucket of TABLE, inside; anything but 0 ends it. */
typedef int cache_bucket_fn(struct shmalloc_cache *cache,
    struct cache_table *table, struct cache_bucket *bucket, void *arg);

/* Show all buckets, those of smaller tables first.  Outside. */
int cache_each_bucket(
    struct shmalloc_cache *cache, cache_bucket_fn *fn, void *arg);

/* ---- stats.c ------------------------------------------------------------- */

void cache_count(
    struct shmalloc_cache *cache, enum shmalloc_cache_count which, uint64_t n);

/* ---- latency.c ----------------------------------------------------------- */

/* This thread's calls of each kind.  Initial-exec: one load. */
extern _Thread_local uint32_t cache_calls[CACHE_LATENCIES]
    __attribute__((tls_model("initial-exec")));

/* CLOCK_MONOTONIC. */
uint64_t cache_clock_ns(void);

/* Begin a call: when it did, or 0 if it is none of those that are timed. */
static inline uint64_t
cache_time(const struct shmalloc_cache *cache, enum cache_latency what)
{
	if (++cache_calls[what] % CACHE_LATENCY_SAMPLE != 0 ||
	    cache->is_read_only)
		return 0;
	return cache_clock_ns();
}

void cache_latency_add(
    struct shmalloc_cache *cache, enum cache_latency what, uint64_t since);

/* It was a WHAT that began at SINCE, and has its outcome.  Inside. */
static inline void
cache_timed(
    struct shmalloc_cache *cache, enum cache_latency what, uint64_t since)
{
	if (since != 0)
		cache_latency_add(cache, what, since);
}

/* ---- bucket.c ------------------------------------------------------------ */

/* The bucket that follows in a chain, or NULL. */
struct cache_bucket *cache_bucket_next(
    const struct shmalloc_cache *cache, const struct cache_bucket *bucket);

/* The entry of the chain that is bound to PART, with its tag, or NULL. */
struct cache_entry *cache_bucket_find(const struct shmalloc_cache *cache,
    struct cache_bucket *bucket, uint32_t part, uint64_t *ret_tag);

/*
 * Bind an entry to PART, unless one is.  1: try again; 0; SHMALLOC_ECHANGED:
 * the bucket is closed; SHMALLOC_ENOMEM: the chain has no room for more.
 * Inside cache_enter(), may evict.
 */
int cache_bucket_bind(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_bucket *bucket, uint32_t part) CACHE_MUSTCHECK;

/* Make what was made for the entry that is bound to PART until now void, also
 * if it isn't published yet.  False: the bucket is closed. */
bool cache_bucket_renew(const struct shmalloc_cache *cache,
    struct cache_bucket *bucket, uint32_t part) CACHE_MUSTCHECK;

bool cache_bucket_is_closed(const struct cache_bucket *bucket);

/* Nothing is bound here any more when this returns. */
void cache_bucket_close(
    const struct shmalloc_cache *cache, struct cache_bucket *bucket);

/* Shut SLOT if it is empty.  False: something hangs there. */
bool cache_shut(shmalloc_slot *slot);

/* ---- table.c ------------------------------------------------------------- */

/* Make table NUMBER with room for N entries; the caller's.  0 and errno. */
shmalloc_off cache_table_make(
    struct shmalloc_cache *cache, uint32_t number, uint64_t n);

void cache_tables_of(
    const struct shmalloc_cache *cache, struct cache_tables *ret_tables);

static inline struct cache_bucket *
cache_bucket_of(struct cache_table *table, uint64_t hash)
{
	return &table->bucket[hash & (table->n_buckets - 1)];
}

static inline uint64_t
cache_places(const struct cache_table *table)
{
	return table->n_buckets * CACHE_ENTRIES;
}

/* Find KEY to read it: true, and where it is. */
bool cache_find(const struct shmalloc_cache *cache, const struct cache_key *key,
    struct cache_place *ret_place);

/*
 * Find KEY to change it; with FOR_STORE an entry is bound to it if none is.
 * 0, or an error.  Inside cache_enter().
 */
int cache_locate(struct shmalloc_cache *cache, const struct cache_key *key,
    bool for_store, struct cache_place *ret_place) CACHE_MUSTCHECK;

/* Find KEY in the largest table, and bind an entry to it there.  Inside. */
int cache_locate_last(struct shmalloc_cache *cache, const struct cache_key *key,
    struct cache_place *ret_place) CACHE_MUSTCHECK;

/* Make a larger table if the largest is nearly full. */
void cache_grow(struct shmalloc_cache *cache, struct cache_table *table);

/* Free TABLE, which hangs from SLOT, if all of it is shut. */
void cache_table_end(struct shmalloc_cache *cache, struct cache_table *table,
    shmalloc_slot *slot);

/* ---- item.c -------------------------------------------------------------- */

/*
 * Make an item of KEY with room for VALUE_LEN bytes; the caller's.  When memory
 * runs out, others are evicted.  0 or an error.  Outside of cache_enter().
 */
int cache_item_make(struct shmalloc_cache *cache, const struct cache_key *key,
    size_t value_len, const struct shmalloc_cache_terms *terms,
    shmalloc_off *ret_off) CACHE_MUSTCHECK;

/* Fill in a new item's header. */
void cache_item_init(struct shmalloc_cache *cache, struct cache_item *item,
    const struct cache_key *key, uint64_t value_len);

/* How many bytes an item takes of the segment, its chunk's head included. */
uint64_t cache_item_len(const struct cache_item *item);
uint64_t cache_len_of(uint64_t key_len, uint64_t value_len);

static inline unsigned char *
cache_item_key(struct cache_item *item)
{
	return item->bytes + item->value_len;
}

static inline uint32_t
cache_item_key_len(const struct cache_item *item)
{
	return item->key_len & ~CACHE_LEASE;
}

static inline bool
cache_item_is_lease(const struct cache_item *item)
{
	return (item->key_len & CACHE_LEASE) != 0;
}

static inline uint64_t
cache_item_version(const struct cache_item *item)
{
	return (uint64_t)item->created << 32 | item->version;
}

bool cache_item_has_key(
    const struct cache_item *item, const struct cache_key *key);
bool cache_item_has_ended(
    const struct shmalloc_cache *cache, const struct cache_item *item);

/* Is it there for a user: a value, and its time isn't over? */
bool cache_item_is_live(
    const struct shmalloc_cache *cache, const struct cache_item *item);

/* Its key, hashed again. */
struct cache_key cache_item_hash(
    const struct shmalloc_cache *cache, struct cache_item *item);

/*
 * Hang OFF, the caller's, from PLACE instead of what it held, which is
 * retired.  0; SHMALLOC_ECHANGED: OFF is still the caller's.
 */
int cache_hang(struct shmalloc_cache *cache, const struct cache_place *place,
    shmalloc_off off) CACHE_MUSTCHECK;

/* Take OFF out of ENTRY and retire it, counted as WHY.  False: it was gone. */
bool cache_drop(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_entry *entry, shmalloc_off off, enum shmalloc_cache_count why);

/* OFF, which was taken out of a slot of TABLE, goes when its readers have. */
void cache_retire(
    struct shmalloc_cache *cache, struct cache_table *table, shmalloc_off off);

/* Add an item to its table's sums (SIGN 1), or take it out (-1). */
void cache_sum(
    struct cache_table *table, const struct cache_item *item, int sign);

/* Bytes of the whole cache; how many items. */
uint64_t cache_bytes(const struct shmalloc_cache *cache);
uint64_t cache_items(const struct shmalloc_cache *cache);

/* ---- ghost.c ------------------------------------------------------------- */

/* Note that the item of HASH was evicted, and has it been, lately? */
void cache_ghost_set(
    struct shmalloc_cache *cache, struct cache_table *table, uint64_t hash);
bool cache_ghost_is(
    struct shmalloc_cache *cache, struct cache_table *table, uint64_t hash);

/* ---- hand.c, evict.c, drain.c -------------------------------------------- */

/*
 * Take TABLE's next bucket: drop from it what has ended and what is nobody's,
 * and count it again.  Inside.
 */
struct cache_bucket *cache_hand_step(
    struct shmalloc_cache *cache, struct cache_table *table);

/* What a store does for the whole: a bucket now and then.  Inside. */
void cache_hand_move(struct shmalloc_cache *cache);

/* Is there an item in ENTRY that is bound to its key?  NULL: none, or it was
 * nobody's, and it was dropped. */
struct cache_item *cache_entry_item(struct shmalloc_cache *cache,
    struct cache_table *table, struct cache_entry *entry,
    shmalloc_off *ret_off);

/* Change ITEM's mark: without CLEAR's bits, with SET's. */
void cache_mark(struct cache_item *item, uint32_t clear, uint32_t set);

/* Evict about one item; the bytes that this gave, perhaps 0.  Inside. */
uint64_t cache_evict(
    struct shmalloc_cache *cache, enum shmalloc_cache_count why);

/* Evict until the cache is as large as it may be, or for some while.  True:
 * there is more to evict. */
bool cache_trim(struct shmalloc_cache *cache);

/* Have freed what this thread has retired, unless others read.  Outside. */
void cache_retired_flush(struct shmalloc_cache *cache);

/* Evict at least LEN bytes, if there are, and have them freed.  Outside. */
uint64_t cache_evict_memory(struct shmalloc_cache *cache, uint64_t len);

/* Empty a closed bucket: shut what is empty, move what is small (or drop it,
 * with MAY_DROP).  True: all of it is shut.  Inside. */
bool cache_drain(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_bucket *bucket, bool may_drop);

#endif
