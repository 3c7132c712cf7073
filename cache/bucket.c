/*
 * Binding entries to parts of hashes.
 *
 * In a bucket's chain one entry at most is bound to a part, because bindings
 * change one at a time: a call announces in the control word which entry it
 * binds to what, having seen that no entry is, and whoever meets an
 * announcement carries it out.  Nobody waits, and a kill leaves either none or
 * one that the next call carries out.
 *
 * An entry may be bound anew while somebody is about to publish an item for the
 * old key there.  Such an item has the old generation: it is nobody's, and
 * whoever finds it drops it.
 */
#include "cache/internal.h"

#define STATE(control) ((enum cache_control)((control)&3))
#define INDEX(control) ((unsigned)((control) >> 2 & 63))
#define PART(control)  ((uint32_t)((control) >> 32))
#define COUNT(control) ((control) >> 8 & 0xffffff)

static uint64_t
control_binding(uint64_t idle, unsigned index, uint32_t part)
{
	return CACHE_BINDING | (uint64_t)index << 2 |
	    ((COUNT(idle) + 1) & 0xffffff) << 8 | (uint64_t)part << 32;
}

struct cache_bucket *
cache_bucket_next(
    const struct shmalloc_cache *cache, const struct cache_bucket *bucket)
{
	return cache_at(cache, cache_load(&bucket->more));
}

static struct cache_entry *
entry_at(const struct shmalloc_cache *cache, struct cache_bucket *bucket,
    unsigned index)
{
	for (; bucket && index >= CACHE_ENTRIES; index -= CACHE_ENTRIES)
		bucket = cache_bucket_next(cache, bucket);
	return bucket ? &bucket->entry[index] : NULL;
}

struct cache_entry *
cache_bucket_find(const struct shmalloc_cache *cache,
    struct cache_bucket *bucket, uint32_t part, uint64_t *ret_tag)
{
	unsigned n = 0;

	for (; bucket && n < CACHE_CHAIN; n++) {
		for (unsigned i = 0; i < CACHE_ENTRIES; i++) {
			uint64_t tag = atomic_load_explicit(
			    &bucket->entry[i].tag, memory_order_acquire);

			if (tag >> 32 == part && tag != 0) {
				*ret_tag = tag;
				return &bucket->entry[i];
			}
		}
		bucket = cache_bucket_next(cache, bucket);
	}
	return NULL;
}

/* Carry out what CONTROL announces. */
static void
binding_help(const struct shmalloc_cache *cache, struct cache_bucket *bucket,
    uint64_t control)
{
	struct cache_entry *entry = entry_at(cache, bucket, INDEX(control));
	uint64_t tag;

	if (!entry)
		return;
	tag = atomic_load(&entry->tag);
	/* The tag was read before this look: so it is the one to change, or
	 * it has been changed, and generations don't come back. */
	if (atomic_load(&bucket->control) != control)
		return;
	(void)atomic_compare_exchange_strong(&entry->tag, &tag,
	    (uint64_t)PART(control) << 32 | (uint32_t)(tag + 1));
	(void)atomic_compare_exchange_strong(
	    &bucket->control, &control, CACHE_IDLE | COUNT(control) << 8);
}

/* The control word when nothing is announced. */
static uint64_t
control_settled(const struct shmalloc_cache *cache, struct cache_bucket *bucket)
{
	uint64_t control;

	while (STATE(control = atomic_load(&bucket->control)) == CACHE_BINDING)
		binding_help(cache, bucket, control);
	return control;
}

/* Announce, when the control word was IDLE, and carry it out.  False: somebody
 * else announced something, or closed the bucket. */
static bool
binding_announce(const struct shmalloc_cache *cache,
    struct cache_bucket *bucket, uint64_t idle, unsigned index, uint32_t part)
{
	uint64_t binding = control_binding(idle, index, part);

	if (!atomic_compare_exchange_strong(&bucket->control, &idle, binding))
		return false;
	binding_help(cache, bucket, binding);
	return true;
}

/* The index of an entry that nobody needs: never bound, else an empty one; -1:
 * none. */
static int
entry_free(const struct shmalloc_cache *cache, struct cache_bucket *bucket)
{
	int empty = -1, index = 0;

	for (unsigned n = 0; bucket && n < CACHE_CHAIN; n++) {
		for (unsigned i = 0; i < CACHE_ENTRIES; i++, index++) {
			struct cache_entry *entry = &bucket->entry[i];

			if (atomic_load(&entry->tag) == 0)
				return empty < 0 ? index : empty;
			if (empty < 0 && cache_load(&entry->slot) == 0)
				empty = index;
		}
		bucket = cache_bucket_next(cache, bucket);
	}
	return empty;
}

/* Make the first item of the chain go. */
static void
chain_evict(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_bucket *bucket)
{
	for (unsigned i = 0; i < CACHE_ENTRIES; i++) {
		struct cache_entry *entry = &bucket->entry[i];
		shmalloc_off off = cache_load(&entry->slot);

		if (off > CACHE_SHUT &&
		    cache_drop(
			cache, table, entry, off, SHMALLOC_CACHE_EVICTED_PLACE))
			return;
	}
}

/* Put a bucket behind the chain.  False: it can't be longer. */
static bool
chain_extend(struct shmalloc_cache *cache, struct cache_bucket *bucket)
{
	struct cache_bucket *next;
	shmalloc_off off;
	unsigned n = 1;

	for (; (next = cache_bucket_next(cache, bucket)) != NULL; n++)
		bucket = next;
	if (n >= CACHE_CHAIN)
		return false;
	off = shmalloc_zalloc(cache->heap, 1, sizeof(*bucket));
	if (off == 0)
		return false;
	if (shmalloc_publish(cache->heap, &bucket->more, 0, off) != 0)
		shmalloc_free(cache->heap, off);
	return true;
}

int
cache_bucket_bind(struct shmalloc_cache *cache, struct cache_table *table,
    struct cache_bucket *bucket, uint32_t part)
{
	uint64_t control = control_settled(cache, bucket), tag;
	int index;

	if (STATE(control) == CACHE_CLOSED)
		return SHMALLOC_ECHANGED;
	if (cache_bucket_find(cache, bucket, part, &tag))
		return 0;
	/* Closed after this look at it, the announcement fails. */
	index = entry_free(cache, bucket);
	if (index >= 0)
		(void)binding_announce(
		    cache, bucket, control, (unsigned)index, part);
	else if (!chain_extend(cache, bucket))
		chain_evict(cache, table, bucket);
	return 1;
}

bool
cache_bucket_renew(const struct shmalloc_cache *cache,
    struct cache_bucket *bucket, uint32_t part)
{
	uint64_t control = control_settled(cache, bucket), tag = 0;
	struct cache_entry *entry;
	unsigned index = 0;

	if (STATE(control) == CACHE_CLOSED)
		return false;
	entry = cache_bucket_find(cache, bucket, part, &tag);
	while (entry && entry_at(cache, bucket, index) != entry)
		index++;
	return !entry ||
	    binding_announce(cache, bucket, control, index, part) ||
	    cache_bucket_renew(cache, bucket, part);
}

bool
cache_bucket_is_closed(const struct cache_bucket *bucket)
{
	return STATE(atomic_load(&bucket->control)) == CACHE_CLOSED;
}

void
cache_bucket_close(
    const struct shmalloc_cache *cache, struct cache_bucket *bucket)
{
	uint64_t control = control_settled(cache, bucket);

	while (STATE(control) != CACHE_CLOSED &&
	    !atomic_compare_exchange_strong(
		&bucket->control, &control, CACHE_CLOSED))
		control = control_settled(cache, bucket);
}

bool
cache_shut(shmalloc_slot *slot)
{
	uint64_t empty = 0;

	return atomic_compare_exchange_strong(slot, &empty, CACHE_SHUT) ||
	    empty == CACHE_SHUT;
}
