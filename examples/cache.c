#include "examples/cache.h"

#include <errno.h>
#include <string.h>

#include <xxhash.h>

#define BUCKET_SLOTS 8u /* a cache line */
#define RELAXED      memory_order_relaxed
#define CACHE_MAGIC  UINT64_C(0x656863616364656d)

/*
 * The table, an object of the segment.  A bucket is BUCKET_SLOTS slots, a
 * stripe a number of buckets; behind the last slot lies one clock hand for each
 * stripe.  All but slots and hands is constant.
 */
struct cache_table {
	uint64_t magic;
	uint64_t limit;        /* bytes, of the whole table */
	uint64_t n_slots;      /* a power of two */
	uint64_t stripe_slots; /* a power of two, at least BUCKET_SLOTS */
	uint64_t stripe_limit; /* bytes */
	uint64_t spare[3];
	shmalloc_slot slot[];
};

static uint64_t
power_of_two_from(uint64_t n)
{
	uint64_t power = 1;

	while (power < n)
		power *= 2;
	return power;
}

static uint64_t
stripe_count(const struct cache_table *table)
{
	return table->n_slots / table->stripe_slots;
}

static _Atomic uint64_t *
stripe_hand(struct cache_table *table, uint64_t stripe)
{
	void *hands = &table->slot[table->n_slots];

	return (_Atomic uint64_t *)hands + stripe;
}

/* The number of the first slot of the bucket of HASH. */
static uint64_t
bucket_of(const struct cache_table *table, uint64_t hash)
{
	return hash & (table->n_slots - 1) & ~(uint64_t)(BUCKET_SLOTS - 1);
}

static uint64_t
entry_len(const struct cache_entry *entry)
{
	return sizeof(*entry) + entry->key_len + entry->value_len;
}

static struct cache_entry *
entry_at(const struct cache *cache, shmalloc_off off)
{
	return shmalloc_ptr(cache->heap, off);
}

static bool
entry_has_key(
    const struct cache_entry *entry, uint64_t hash, struct cache_key key)
{
	return entry->hash == hash && entry->key_len == key.len &&
	    memcmp(entry->bytes, key.bytes, key.len) == 0;
}

/* ---- The table ----------------------------------------------------------- */

/*
 * How many stripes: as many as have room for 64 average records and 8 of the
 * largest each, so that hashing spreads the bytes evenly enough.
 */
static uint64_t
stripes_for(const struct cache_options *options)
{
	uint64_t least = 64 * options->mean, stripes = 1;

	if (least < 8 * options->largest)
		least = 8 * options->largest;
	while (stripes < 4096 && options->limit / (stripes * 2) >= least)
		stripes *= 2;
	return stripes;
}

static shmalloc_off
table_create(struct shmalloc *heap, const struct cache_options *options)
{
	uint64_t entries = options->limit / (options->mean + 1) + 1;
	uint64_t stripes = stripes_for(options);
	uint64_t slots = power_of_two_from(3 * entries);
	struct cache_table *table;
	shmalloc_off off;

	if (slots < stripes * BUCKET_SLOTS)
		slots = stripes * BUCKET_SLOTS;
	off = shmalloc_zalloc(heap, 1,
	    sizeof(*table) + slots * sizeof(shmalloc_slot) +
		stripes * sizeof(uint64_t));
	if (off == 0)
		return 0;
	table = shmalloc_ptr(heap, off);
	table->magic = CACHE_MAGIC;
	table->limit = options->limit;
	table->n_slots = slots;
	table->stripe_slots = slots / stripes;
	table->stripe_limit = options->limit / stripes;
	return off;
}

int
cache_create(struct shmalloc *heap, const char *name,
    const struct cache_options *options)
{
	shmalloc_slot *root;
	shmalloc_off off;

	if (shmalloc_root(heap, name, &root) != 0) {
		errno = ENOMEM;
		return -1;
	}
	off = table_create(heap, options);
	if (off == 0)
		return -1;
	if (shmalloc_publish(heap, root, 0, off) != 0) {
		shmalloc_free(heap, off);
		errno = EEXIST;
		return -1;
	}
	return 0;
}

int
cache_open(struct shmalloc *heap, const char *name, struct cache *ret_cache)
{
	struct cache_table *table = NULL;
	shmalloc_slot *root;

	if (shmalloc_root(heap, name, &root) == 0)
		table = shmalloc_ptr(heap, shmalloc_slot_load(root));
	if (table == NULL || table->magic != CACHE_MAGIC) {
		errno = ENOENT;
		return -1;
	}
	memset(ret_cache, 0, sizeof(*ret_cache));
	ret_cache->heap = heap;
	ret_cache->table = table;
	return 0;
}

/* ---- Reading ------------------------------------------------------------- */

bool
cache_find(
    struct cache *cache, struct cache_key key, struct cache_view *ret_view)
{
	uint64_t hash = XXH3_64bits(key.bytes, key.len);
	shmalloc_slot *bucket =
	    &cache->table->slot[bucket_of(cache->table, hash)];

	for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
		shmalloc_off off = shmalloc_slot_load(&bucket[i]);
		struct cache_entry *entry = entry_at(cache, off);

		if (entry == NULL || !entry_has_key(entry, hash, key))
			continue;
		/* Most marks are set already: don't dirty the line again. */
		if (atomic_load_explicit(&entry->used, RELAXED) == 0)
			atomic_store_explicit(&entry->used, 1, RELAXED);
		*ret_view = (struct cache_view){ entry,
			entry->bytes + entry->key_len, &bucket[i], off };
		return true;
	}
	return false;
}

enum cache_fate
cache_view_fate(const struct cache_view *view)
{
	if (shmalloc_slot_load(view->slot) == view->off)
		return CACHE_PRESENT;
	return (enum cache_fate)atomic_load_explicit(
	    &view->entry->fate, RELAXED);
}

/* ---- Writing ------------------------------------------------------------- */

/*
 * Make SLOT hold DESIRED in the place of EXPECTED, and give EXPECTED, if any,
 * back once its readers have left.  False: somebody else was faster.
 */
static bool
slot_change(struct cache *cache, shmalloc_slot *slot, shmalloc_off expected,
    shmalloc_off desired, enum cache_fate fate)
{
	if (shmalloc_publish(cache->heap, slot, expected, desired) != 0)
		return false;
	if (expected != 0) {
		atomic_store_explicit(
		    &entry_at(cache, expected)->fate, fate, RELAXED);
		/* It is ours since the publish, so this can't be refused. */
		(void)shmalloc_retire(cache->heap, expected);
		cache->fates[fate]++;
	}
	return true;
}

static uint64_t
stripe_bytes(struct cache *cache, uint64_t stripe, uint64_t *entries)
{
	const struct cache_table *table = cache->table;
	const shmalloc_slot *slot = &table->slot[stripe * table->stripe_slots];
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < table->stripe_slots; i++) {
		const struct cache_entry *entry =
		    entry_at(cache, shmalloc_slot_load(&slot[i]));

		if (entry == NULL)
			continue;
		bytes += entry_len(entry);
		++*entries;
	}
	return bytes;
}

/*
 * Move the stripe's hand to the next entry whose mark is clear, clearing marks
 * on the way, and evict that one.
 */
static void
stripe_evict(struct cache *cache, uint64_t stripe)
{
	struct cache_table *table = cache->table;
	shmalloc_slot *first = &table->slot[stripe * table->stripe_slots];
	_Atomic uint64_t *hand = stripe_hand(table, stripe);

	for (uint64_t n = 0; n < 2 * table->stripe_slots; n++) {
		uint64_t at = atomic_fetch_add_explicit(hand, 1, RELAXED);
		shmalloc_slot *slot = &first[at & (table->stripe_slots - 1)];
		shmalloc_off off = shmalloc_slot_load(slot);

		if (off == 0)
			continue;
		if (atomic_exchange_explicit(
			&entry_at(cache, off)->used, 0, RELAXED) != 0)
			continue;
		if (slot_change(cache, slot, off, 0, CACHE_EVICTED))
			return;
	}
}

/* Make room for LEN bytes, at most the stripe's share. */
static void
stripe_make_room(struct cache *cache, uint64_t stripe, uint64_t len)
{
	uint64_t entries = 0;

	while (stripe_bytes(cache, stripe, &entries) + len >
	    cache->table->stripe_limit)
		stripe_evict(cache, stripe);
}

/*
 * The slot in which the entry of KEY is, else one for it: an empty one, else
 * that of the entry to be evicted.  *RET_OFF is what the slot holds.
 */
static shmalloc_slot *
slot_for(struct cache *cache, shmalloc_slot *bucket,
    const struct cache_entry *entry, shmalloc_off *ret_off)
{
	struct cache_key key = { entry->bytes, entry->key_len };
	shmalloc_slot *empty = NULL, *victim = NULL;
	shmalloc_off victim_off = 0;

	for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
		shmalloc_slot *slot = &bucket[i];
		shmalloc_off off = shmalloc_slot_load(slot);
		struct cache_entry *other = entry_at(cache, off);

		if (other != NULL && entry_has_key(other, entry->hash, key)) {
			*ret_off = off;
			return slot;
		}
		if (other == NULL) {
			empty = empty == NULL ? slot : empty;
		} else if (victim == NULL ||
		    atomic_exchange_explicit(&other->used, 0, RELAXED) == 0) {
			victim = slot;
			victim_off = off;
		}
	}
	*ret_off = empty != NULL ? 0 : victim_off;
	return empty != NULL ? empty : victim;
}

/* One attempt to hang OFF: 1 done, 0 not wanted, -1 try again. */
static int
entry_hang(struct cache *cache, shmalloc_off off)
{
	const struct cache_entry *entry = entry_at(cache, off), *old;
	enum cache_fate fate = CACHE_EVICTED;
	struct cache_table *table = cache->table;
	shmalloc_off old_off;
	shmalloc_slot *slot = slot_for(cache,
	    &table->slot[bucket_of(table, entry->hash)], entry, &old_off);

	old = entry_at(cache, old_off);
	if (old != NULL &&
	    entry_has_key(old, entry->hash,
		(struct cache_key){ entry->bytes, entry->key_len })) {
		if (old->version >= entry->version)
			return 0;
		fate = CACHE_REPLACED;
	}
	return slot_change(cache, slot, old_off, off, fate) ? 1 : -1;
}

shmalloc_off
cache_prepare(struct cache *cache, struct cache_key key, uint32_t version,
    uint64_t value_len, unsigned char **ret_value)
{
	struct cache_entry *entry;
	shmalloc_off off;

	if (value_len > cache->table->stripe_limit - sizeof(*entry) - key.len) {
		errno = EFBIG;
		return 0;
	}
	off = shmalloc_alloc(cache->heap, sizeof(*entry) + key.len + value_len);
	entry = entry_at(cache, off);
	if (entry == NULL)
		return 0;
	entry->hash = XXH3_64bits(key.bytes, key.len);
	entry->value_len = value_len;
	entry->key_len = key.len;
	entry->version = version;
	atomic_init(&entry->used, 0);
	atomic_init(&entry->fate, CACHE_PRESENT);
	memcpy(entry->bytes, key.bytes, key.len);
	*ret_value = entry->bytes + key.len;
	return off;
}

bool
cache_store(struct cache *cache, shmalloc_off off)
{
	struct cache_entry *entry = entry_at(cache, off);
	uint64_t stripe =
	    bucket_of(cache->table, entry->hash) / cache->table->stripe_slots;
	int done = 0;

	if (shmalloc_enter(cache->heap) == 0) {
		stripe_make_room(cache, stripe, entry_len(entry));
		do
			done = entry_hang(cache, off);
		while (done < 0);
		(void)shmalloc_exit(cache->heap);
	}
	if (done == 0)
		shmalloc_free(cache->heap, off);
	return done != 0;
}

unsigned
cache_withdraw(struct cache *cache, struct cache_key key)
{
	uint64_t hash = XXH3_64bits(key.bytes, key.len);
	shmalloc_slot *bucket =
	    &cache->table->slot[bucket_of(cache->table, hash)];
	unsigned n = 0;

	if (shmalloc_enter(cache->heap) != 0)
		return 0;
	for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
		shmalloc_slot *slot = &bucket[i];
		shmalloc_off off = shmalloc_slot_load(slot);
		const struct cache_entry *entry = entry_at(cache, off);

		if (entry != NULL && entry_has_key(entry, hash, key) &&
		    slot_change(cache, slot, off, 0, CACHE_WITHDRAWN))
			n++;
	}
	(void)shmalloc_exit(cache->heap);
	return n;
}

struct cache_census
cache_count(struct cache *cache)
{
	struct cache_table *table = cache->table;
	struct cache_census census = { .limit = table->limit,
		.stripes = stripe_count(table),
		.slots = table->n_slots };

	if (shmalloc_enter(cache->heap) != 0)
		return census;
	for (uint64_t i = 0; i < census.stripes; i++)
		census.bytes += stripe_bytes(cache, i, &census.entries);
	(void)shmalloc_exit(cache->heap);
	return census;
}

int
cache_destroy(struct shmalloc *heap, const char *name)
{
	struct cache cache;
	shmalloc_slot *root;
	shmalloc_off off;

	if (cache_open(heap, name, &cache) != 0 ||
	    shmalloc_root(heap, name, &root) != 0)
		return -1;
	for (uint64_t i = 0; i < cache.table->n_slots; i++) {
		shmalloc_slot *slot = &cache.table->slot[i];

		off = shmalloc_slot_load(slot);
		if (off != 0)
			(void)slot_change(
			    &cache, slot, off, 0, CACHE_WITHDRAWN);
	}
	off = shmalloc_slot_load(root);
	if (shmalloc_publish(heap, root, off, 0) != 0 ||
	    shmalloc_retire(heap, off) != 0 ||
	    shmalloc_root_remove(heap, name) != 0) {
		errno = EBUSY;
		return -1;
	}
	return 0;
}
