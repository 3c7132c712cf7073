/*
 * Counters: a thread counts in private memory, and adds to its client's slot at
 * refill and flush, class by class.  So they cost nothing on the fast path, and
 * lag by what live caches did since.
 *
 * A chunk is counted in the class of its own size, when it comes and when it
 * goes, whatever size was asked for.  Above 1 KiB a class has chunks of several
 * sizes; there each weighs what the smallest of its class does.
 */
#include "client/cache.h"

static uint64_t
weight(uint64_t len)
{
	uint32_t class;

	if (len > SHM_CHUNK_MAX || len < SHM_CHUNK_MIN)
		return len;
	class = shm_class((uint32_t)len);
	return class < SHM_CLASSES ? shm_class_size(class) : len;
}

void
cache_count_held(struct cache *cache, uint32_t slot, uint64_t len, int64_t n)
{
	struct shm_client *client = &cache->self.seg->clients[slot];

	shm_add(&client->held_bytes, n * (int64_t)weight(len));
	shm_add(&client->held_chunks, n);
}

#define OWED_MOST 32 /* chunks, before their client's counters are told */

/* What was owed to a client that has gone went with its counters: its slot may
 * be another's, whose generation differs in those bits that a tag has, as a
 * slot rests before it is used again. */
static bool
owed_is_there(const struct cache *cache, const struct shm_client *client)
{
	return shm_load(&client->state) == SHM_CLIENT_LIVE &&
	    shm_load(&client->generation) % SHM_TAG_GENERATIONS ==
	    cache->owed_generation;
}

static void
owed_settle(struct cache *cache)
{
	struct shm_client *client = &cache->self.seg->clients[cache->owed_slot];

	if (cache->owed_chunks && owed_is_there(cache, client)) {
		shm_sub(&client->held_bytes, cache->owed_bytes);
		shm_sub(&client->held_chunks, cache->owed_chunks);
	}
	cache->owed_bytes = cache->owed_chunks = 0;
}

void
cache_owe(struct cache *cache, uint32_t tag, uint32_t class)
{
	uint32_t slot = shm_tag_owner(tag);
	uint32_t generation = shm_tag_generation(tag);

	if (slot != cache->owed_slot || generation != cache->owed_generation ||
	    cache->owed_chunks == OWED_MOST)
		owed_settle(cache);
	/* Slot 0 is nobody's: what is SHARED is held by no client. */
	if (slot == 0 || slot >= SHM_CLIENTS)
		return;
	cache->owed_slot = slot;
	cache->owed_generation = generation;
	cache->owed_bytes += shm_class_size(class);
	cache->owed_chunks++;
}

void
cache_count(struct cache *cache, uint32_t class)
{
	struct cache_class *k = &cache->class[class];
	struct shm_client *client = cache->self.client;
	int64_t size = shm_class_size(class);
	int64_t more = (int64_t)k->n - (int64_t)k->published;
	uint64_t allocs = cache_allocs(k);
	int64_t frees = (int64_t)allocs + more - k->taken;
	int64_t held = (int64_t)allocs - frees + k->foreign;

	if (allocs) {
		shm_add(&client->allocs, allocs);
		shm_add(&client->requested, k->requested);
		shm_add(&client->class_allocs[class], allocs);
		shm_add(&client->class_requested[class], k->requested);
	}
	if (frees > 0) {
		shm_add(&client->frees, (uint64_t)frees);
		shm_add(&client->class_frees[class], (uint64_t)frees);
	}
	if (held) {
		shm_add(&client->held_bytes, held * size);
		shm_add(&client->held_chunks, held);
	}
	if (more) {
		shm_add(&client->cached_bytes, more * size);
		shm_add(&client->cached_chunks, more);
	}
	k->left_before = k->left;
	k->requested = 0;
	k->taken = 0;
	k->foreign = 0;
	k->published = k->n;
	k->is_used = true;
	owed_settle(cache);
}

void
cache_count_all(struct cache *cache)
{
	for (uint32_t i = 0; i < SHM_CLASSES; i++)
		cache_count(cache, i);
}

/* The class of the object at OFF, of LEN bytes, in the statistics. */
static uint32_t
class_counted(const struct cache *cache, uint64_t off, uint64_t len)
{
	bool is_extent = false;

	(void)shm_arena_of(cache->self.seg, off, &is_extent);
	if (is_extent)
		return shm_class_of_pages(len / SHM_PAGE);
	return len < SHM_CHUNK_MIN || len > SHM_CHUNK_MAX
	    ? 0
	    : shm_class((uint32_t)len);
}

void
cache_count_large(struct cache *cache, uint64_t off, size_t size)
{
	struct shm_client *client = cache->self.client;
	uint64_t len = shm_heap_size(cache->self.seg, off);
	uint32_t class = class_counted(cache, off, len);

	shm_add(&client->allocs, 1);
	shm_add(&client->cache_misses, 1);
	shm_add(&client->requested, size);
	shm_add(&client->class_allocs[class], 1);
	shm_add(&client->class_misses[class], 1);
	shm_add(&client->class_requested[class], size);
	cache_count_held(cache, cache->self.slot, len, 1);
}

void
cache_count_free(struct cache *cache, uint64_t off, uint64_t len)
{
	shm_add(&cache->self.client->frees, 1);
	shm_add(
	    &cache->self.client->class_frees[class_counted(cache, off, len)],
	    1);
	cache_count_held(cache, cache->self.slot, len, -1);
}
