/*
 * What waits for readers, and what an allocation may not exceed.
 *
 * A thread keeps what it retired in a private list.  A stamp is one atomic
 * addition on a line that everybody shares, so one stamp serves a batch: a
 * later stamp only waits longer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/cache.h"
#include "shm/epoch.h"

#define BATCH 32 /* retired objects before a look at the readers */

static void
pending_add(struct cache *cache, uint64_t len, int64_t n)
{
	struct shm_client *client = cache->self.client;

	shm_add(&client->retired_bytes, n * (int64_t)len);
	shm_add(&client->retired_chunks, n);
	shm_add(&cache->self.seg->super->retired_bytes,
	    (uint64_t)(n * (int64_t)len));
}

static void
retired_stamp(struct cache *cache)
{
	uint64_t stamp;

	if (cache->n_stamped == cache->n_retired)
		return;
	stamp = shm_epoch_stamp(cache->self.seg);
	while (cache->n_stamped < cache->n_retired)
		cache->retired[cache->n_stamped++].stamp = stamp;
}

/* Put a retired object that nobody can be reading back. */
static void
retired_free(struct cache *cache, const struct cache_retired *retired)
{
	struct shm_self *self = &cache->self;
	uint32_t check = shm_tag_check(cache->key, retired->off);
	uint32_t tag =
	    shm_tag_base(self->slot, self->generation, SHM_RETIRED) | check;
	_Atomic uint32_t *place = shm_tag_at(self->seg, retired->off);
	uint64_t off = retired->off;

	pending_add(cache, retired->size, -1);
	shm_add(&self->client->frees, 1);
	if (!place || !shm_cas(place, &tag, cache->cached | check)) {
		shm_add(&self->client->misuses, 1);
		return;
	}
	cache_fill_freed(cache, off);
	shm_heap_put(self, 1, &off);
}

/* Take over what ended threads left: with a new stamp, so it waits longer. */
static void
orphans_adopt(struct cache *cache)
{
	struct heap_guard *guard = cache->heap->guard;

	(void)pthread_mutex_lock(&guard->lock);
	while (guard->n_orphans && cache_retire_room(cache) == 0) {
		cache->retired[cache->n_retired] =
		    guard->orphans[--guard->n_orphans];
		cache->retired[cache->n_retired++].stamp = 0;
	}
	(void)pthread_mutex_unlock(&guard->lock);
}

void
cache_bequeath(struct cache *cache)
{
	struct heap_guard *guard = cache->heap->guard;
	struct cache_retired *list;
	size_t n;

	(void)pthread_mutex_lock(&guard->lock);
	n = guard->n_orphans + cache->n_retired;
	list = cache->n_retired ? realloc(guard->orphans, n * sizeof(*list))
				: NULL;
	/* Without memory they stay RETIRED until this process has detached or
	 * ended. */
	if (list) {
		memcpy(list + guard->n_orphans, cache->retired,
		    cache->n_retired * sizeof(*list));
		guard->orphans = list;
		guard->n_orphans = n;
	}
	(void)pthread_mutex_unlock(&guard->lock);
	free(cache->retired);
	cache->retired = NULL;
	cache->n_retired = cache->n_stamped = cache->room_retired = 0;
}

void
cache_reap(struct cache *cache)
{
	uint64_t oldest;
	size_t n = 0;

	if (SHM_UNLIKELY(shm_load(&cache->heap->guard->n_orphans)))
		orphans_adopt(cache);
	retired_stamp(cache);
	oldest = shm_epoch_oldest(cache->self.seg);
	/* Stamps rise along the list. */
	while (n < cache->n_retired && cache->retired[n].stamp < oldest)
		retired_free(cache, &cache->retired[n++]);
	/* There is no list at all before the first retire. */
	if (n == 0)
		return;
	cache->n_retired -= n;
	cache->n_stamped -= n;
	memmove(cache->retired, cache->retired + n,
	    cache->n_retired * sizeof(*cache->retired));
}

int
cache_retire_room(struct cache *cache)
{
	size_t room = cache->room_retired ? cache->room_retired * 2 : BATCH;
	void *list;

	if (cache->n_retired < cache->room_retired)
		return 0;
	list = realloc(cache->retired, room * sizeof(*cache->retired));
	if (!list)
		return SHMALLOC_ENOMEM;
	cache->retired = list;
	cache->room_retired = room;
	return 0;
}

void
cache_retire(struct cache *cache, uint64_t off)
{
	uint64_t size = shm_heap_size(cache->self.seg, off);

	cache->retired[cache->n_retired++] =
	    (struct cache_retired){ off, 0, size };
	pending_add(cache, size, 1);
	cache_count_held(cache, cache->self.slot, size, -1);
	if (cache->n_retired % BATCH == 0)
		cache_reap(cache);
}

/* ---- Limits -------------------------------------------------------------- */

static const char *const reasons[SHM_FAILURES] = {
	[SHM_FAIL_NONE] = "none",
	[SHM_FAIL_FULL] = "full",
	[SHM_FAIL_FRAGMENTED] = "fragmented",
	[SHM_FAIL_QUOTA] = "quota",
	[SHM_FAIL_TOO_LARGE] = "too_large",
	[SHM_FAIL_READER] = "reader",
	[SHM_FAIL_SYSTEM] = "system",
};

/* Tell all caches of the segment, ten times a second at most. */
static void
pressure_raise(struct shm_seg *seg)
{
	uint32_t now = shm_clock_ms() / 100 + 1;

	if (shm_load(&seg->super->pressure) != now)
		shm_store(&seg->super->pressure, now);
}

void
cache_fail(struct cache *cache, enum shm_failure reason, uint64_t asked)
{
	struct shmalloc_failure *failure = &cache->failure;

	failure->reason = reasons[reason];
	failure->asked = asked;
	shm_heap_free_space(
	    cache->self.seg, &failure->free, &failure->largest_free);
	shm_add(&cache->self.client->failures[reason], 1);
	if (reason == SHM_FAIL_FULL || reason == SHM_FAIL_FRAGMENTED ||
	    reason == SHM_FAIL_SYSTEM)
		pressure_raise(cache->self.seg);
	errno = ENOMEM;
}

uint64_t
cache_gone(struct cache *cache, uint64_t asked)
{
	struct shmalloc_failure *failure = &cache->failure;

	failure->reason = "gone";
	failure->asked = asked;
	failure->free = failure->largest_free = 0;
	errno = heap_errno(SHMALLOC_EGONE);
	return 0;
}

bool
cache_quota(struct cache *cache, uint64_t size)
{
	struct shm_self *self = &cache->self;
	uint64_t limit = self->param[SHM_PARAM_limit_client];
	int64_t held;

	if (limit) {
		cache_count(cache,
		    size <= cache->max ? shm_class(shm_chunk_size(size)) : 0);
		held = shm_load(&self->client->held_bytes);
		if (size > limit || (held > 0 && (uint64_t)held > limit - size))
			return cache_fail(cache, SHM_FAIL_QUOTA, size), false;
	}
	limit = self->param[SHM_PARAM_retire_limit];
	if (limit == 0 || shm_load(&self->seg->super->retired_bytes) <= limit)
		return true;
	cache_reap(cache);
	if (shm_load(&self->seg->super->retired_bytes) <= limit)
		return true;
	return cache_fail(cache, SHM_FAIL_READER, size), false;
}
