/*
 * What hangs from the cache in a segment that nobody changes.
 */
#include <stdio.h>
#include <string.h>

#include "cache/layout.h"
#include "shm/commit.h"
#include "shm/seg.h"
#include "tests/kill/cache_ops.h"

#define KEYS_MAX 256

struct looking {
	const struct shm_seg *seg;
	struct cache_look look;
	uint32_t keys[KEYS_MAX];
	size_t n_keys;
	bool is_good;
};

static const void *
object_at(const struct shm_seg *seg, uint64_t off)
{
	return off <= CACHE_SHUT ? NULL : seg->base + off;
}

static uint64_t
mix(uint64_t hash)
{
	hash ^= hash >> 31;
	hash *= UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

static void
looking_fail(struct looking *looking, const char *what, uint32_t key)
{
	(void)printf("# the cache's key %u: %s\n", key, what);
	looking->is_good = false;
}

/* An item that a user can find: a value that is whole, once.  Leases count,
 * too, as another kind of contents. */
static void
item_look(struct looking *looking, const struct cache_item *item)
{
	uint64_t len = item->value_len;
	const unsigned char *bytes = item->bytes;
	bool is_lease = item->key_len & CACHE_LEASE;
	uint32_t key;

	memcpy(&key, bytes + len, sizeof(key));
	if ((item->key_len & ~CACHE_LEASE) != sizeof(key))
		looking_fail(looking, "its length is wrong", key);
	for (size_t i = 0; i < looking->n_keys; i++)
		if (looking->keys[i] == key)
			looking_fail(looking, "there twice", key);
	for (uint64_t i = 1; !is_lease && i < len; i++)
		if (bytes[i] != bytes[0])
			looking_fail(looking, "torn", key);
	if (looking->n_keys < KEYS_MAX)
		looking->keys[looking->n_keys++] = key;
	if (key < KILL_KEYS && !is_lease && len > 0)
		looking->look.value[key] = (char)bytes[0];
	looking->look.contents +=
	    mix(mix(key + 1) + len * 2 + is_lease + (is_lease ? 0 : bytes[0]));
}

static void
bucket_look(struct looking *looking, const struct cache_bucket *bucket)
{
	for (; bucket; bucket = object_at(looking->seg, bucket->more)) {
		looking->look.objects += bucket->more > CACHE_SHUT;
		for (unsigned i = 0; i < CACHE_ENTRIES; i++) {
			const struct cache_entry *entry = &bucket->entry[i];
			const struct cache_item *item =
			    object_at(looking->seg, entry->slot);

			looking->look.objects += item != NULL;
			if (item && item->generation == (uint32_t)entry->tag)
				item_look(looking, item);
		}
	}
}

static void
head_look(struct looking *looking, const struct cache_head *head)
{
	for (unsigned i = 0; i < CACHE_TABLES; i++) {
		const struct cache_table *table =
		    object_at(looking->seg, head->table[i]);

		looking->look.objects += table != NULL;
		for (uint64_t k = 0; table && k < table->n_buckets; k++)
			bucket_look(looking, &table->bucket[k]);
	}
}

bool
cache_look_at(const struct shm_seg *seg, struct cache_look *ret_look)
{
	struct looking looking = { .seg = seg, .is_good = true };
	const struct cache_head *head =
	    object_at(seg, judge_root(seg, "kill-cache"));

	if (head) {
		looking.look.objects++;
		head_look(&looking, head);
	}
	*ret_look = looking.look;
	return looking.is_good;
}
