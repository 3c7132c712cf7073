/*
 * A shared cache, as many processes as you like in front of one table.
 *
 *	root ---> table   n stripes of b buckets of 8 slots
 *	                    slot ---> entry (key, version, value)
 *
 * A slot is a shmalloc_slot: it holds the offset of an entry, or 0.  A key can
 * be in any of the 8 slots of the one bucket that its hash names.
 *
 * READING takes no lock: between shmalloc_enter() and shmalloc_exit() look
 * through the bucket and use the entry where it lies.  Whoever replaces it
 * meanwhile retires it, so its bytes stay as they are until the reader leaves.
 *
 * WRITING is one shmalloc_publish() for each change: an entry is built in
 * private memory, then hung into the slot.  A process killed before that leaves
 * the table as it was and its entry goes back to the segment; killed after it,
 * the table is as it should be and what was taken out goes back.
 *
 * BOUND.  The bytes of all entries stay below the limit.  Nobody counts them: a
 * counter would go wrong for ever when its writer is killed between the publish
 * and the addition.  Each stripe has its share of the limit, and who wants to
 * add an entry adds up the stripe as it stands and evicts until there is room.
 * So a kill never leaves too much; only processes that add to one stripe at the
 * same moment can pass its share, by what they add, until the next addition.
 *
 * EVICTION is CLOCK: a look-up marks its entry as used; the hand clears the
 * marks that it passes and takes the first entry without one.  The hand and the
 * marks are hints: any value is a good one.
 *
 * VERSIONS.  Every entry has one, and an entry replaces only an older one of
 * the same key.  Two processes that add a key while a third removes one from
 * the same bucket may leave the key twice; readers see one of the two, and
 * both are replaced, removed or evicted in time.  A reader who must not see an
 * old value compares the version with the newest one that it knows of.
 */
#ifndef EXAMPLES_CACHE_H
#define EXAMPLES_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shmalloc/shmalloc.h>

/* Why an entry left its slot; readers who still hold it may look. */
enum cache_fate {
	CACHE_PRESENT,
	CACHE_REPLACED,
	CACHE_WITHDRAWN,
	CACHE_EVICTED,
	CACHE_FATES,
};

struct cache_entry {
	uint64_t hash;
	uint64_t value_len;
	uint32_t key_len;
	uint32_t version;
	_Atomic uint32_t used; /* the clock's mark */
	_Atomic uint32_t fate; /* enum cache_fate; set after the publish */
	unsigned char bytes[]; /* the key, then the value */
};

/* What is constant about a table, and what this process did to it. */
struct cache {
	struct shmalloc *heap;
	struct cache_table *table;   /* where it lies in this process */
	uint64_t fates[CACHE_FATES]; /* entries that this process took out */
};

struct cache_options {
	uint64_t limit;   /* bytes, keys and heads of entries included */
	uint64_t mean;    /* bytes of an average record */
	uint64_t largest; /* bytes of the largest record */
};

/* A found entry; good until the reader's shmalloc_exit(). */
struct cache_view {
	const struct cache_entry *entry;
	const unsigned char *value;
	const shmalloc_slot *slot; /* where it hung */
	shmalloc_off off;
};

/* A key: its bytes and how many. */
struct cache_key {
	const void *bytes;
	uint32_t len;
};

/*
 * Create a table and hang it into the root NAME.  0, -1 with errno EEXIST if
 * the root holds one already, or ENOMEM.  A kill leaves nothing or a table.
 */
int cache_create(struct shmalloc *heap, const char *name,
    const struct cache_options *options);

/* Use the table in the root NAME.  0, or -1 with errno ENOENT. */
int cache_open(
    struct shmalloc *heap, const char *name, struct cache *ret_cache);

/*
 * Remove all entries, the table and the root; nobody may be using it.  0, or -1
 * with errno ENOENT.
 */
int cache_destroy(struct shmalloc *heap, const char *name);

/*
 * Find KEY.  The caller is inside shmalloc_enter() and may use *RET_VIEW until
 * its shmalloc_exit().  False: not there.
 */
bool cache_find(
    struct cache *cache, struct cache_key key, struct cache_view *ret_view);

/*
 * What happened to the entry of VIEW since it was found; CACHE_PRESENT while it
 * hangs in its slot, and for the moment between its leaving and the mark.
 */
enum cache_fate cache_view_fate(const struct cache_view *view);

/*
 * Begin an entry for KEY: the offset of an object of the caller's, or 0 with
 * errno ENOMEM, or EFBIG if it is larger than a stripe's share.  The caller
 * writes VALUE_LEN bytes at *RET_VALUE, then stores it.
 */
shmalloc_off cache_prepare(struct cache *cache, struct cache_key key,
    uint32_t version, uint64_t value_len, unsigned char **ret_value);

/*
 * Evict until there is room for the prepared entry OFF, and hang it into the
 * table, in the place of an older one of its key if there is one.
 * True: done, the table owns it.  False: the table has this version or a newer
 * one, or no reader's pin was to be had; OFF is freed.
 */
bool cache_store(struct cache *cache, shmalloc_off off);

/* Remove KEY.  The number of entries taken out: 0, 1, rarely 2. */
unsigned cache_withdraw(struct cache *cache, struct cache_key key);

/* What is in the table, counted now by walking it. */
struct cache_census {
	uint64_t entries, bytes;
	uint64_t limit;
	uint64_t stripes, slots;
};

struct cache_census cache_count(struct cache *cache);

#endif
