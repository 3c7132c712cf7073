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
#include "shm/commit.h"
#include "shm/epoch.h"

#define BATCH 32 /* retired objects before a look at the readers */

static void
pending_add(struct cache *cache, uint64_t len, int64_t n)
{
	struct shm_client *client = cache->self.client;

	shm_add(&client->retired_bytes, n * (int64_t)len);
	shm_add(&client->retired_chunks, n);
	shm_add(&cache->self.seg->super->retired_bytes, n * (int64_t)len);
}

static void
retired_stamp(struct cache *cache)
{
	uint64_t stamp;

	if (cache->n_stamped == cache->n_retired)
		return;
	stamp = shm_epoch_stamp(cache->self.seg);
	while (cache->n_stamped < cache->n_retired) {
		cache->retired[cache->n_stamped].stamp = stamp;
		atomic_signal_fence(memory_order_seq_cst);
		cache->n_stamped++;
	}
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
	if (!place || !shm_cas(place, &tag, cache->cached | check)) {
		shm_add(&self->client->misuses, 1);
		return;
	}
	/* It is ours once more, until cache_put() has counted its free. */
	cache_count_held(cache, self->slot, retired->size, 1);
	cache_put_freed(cache, off);
}

/* Take over what ended threads left: with a new stamp, so it waits longer. */
static void
orphans_adopt(struct cache *cache)
{
	struct heap_guard *guard = cache->heap->guard;
	sigset_t signals;

	heap_signals_hold(&signals);
	(void)pthread_mutex_lock(&guard->lock);
	while (guard->n_orphans && cache_retire_room(cache) == 0) {
		cache->retired[cache->n_retired] =
		    guard->orphans[--guard->n_orphans];
		cache->retired[cache->n_retired++].stamp = 0;
	}
	(void)pthread_mutex_unlock(&guard->lock);
	heap_signals_release(&signals);
}

void
cache_bequeath(struct cache *cache)
{
	struct heap_guard *guard = cache->heap->guard;
	size_t n = cache->n_retired - cache->n_gone, before;
	struct cache_retired *list;
	sigset_t signals;

	heap_signals_hold(&signals);
	(void)pthread_mutex_lock(&guard->lock);
	before = guard->n_orphans;
	list = n ? realloc(guard->orphans, (before + n) * sizeof(*list)) : NULL;
	/* Without memory they stay RETIRED until this process has detached or
	 * ended. */
	if (list) {
		memcpy(list + before, cache->retired + cache->n_gone,
		    n * sizeof(*list));
		guard->orphans = list;
		guard->n_orphans = before + n;
	}
	(void)pthread_mutex_unlock(&guard->lock);
	free(cache->retired);
	cache->retired = NULL;
	cache->n_gone = cache->n_retired = cache->n_stamped = 0;
	cache->room_retired = 0;
	heap_signals_release(&signals);
}

/* An object leaves the list before it is put back: if a jump leaves us after
 * that, the list must not name what may be somebody's again. */
void
cache_reap(struct cache *cache)
{
	uint64_t oldest;

	if (SHM_UNLIKELY(shm_load(&cache->heap->guard->n_orphans)))
		orphans_adopt(cache);
	retired_stamp(cache);
	oldest = shm_epoch_oldest(cache->self.seg);
	/* Stamps rise along the list. */
	while (cache->n_gone < cache->n_retired &&
	    cache->retired[cache->n_gone].stamp < oldest) {
		const struct cache_retired *retired =
		    &cache->retired[cache->n_gone++];

		atomic_signal_fence(memory_order_seq_cst);
		retired_free(cache, retired);
	}
}

/* Drop the entries of what has gone, and make room for as many as are left. */
static int
retired_grow(struct cache *cache)
{
	size_t left = cache->n_retired - cache->n_gone;
	size_t room = left < BATCH ? BATCH : 2 * left;
	struct cache_retired *list = cache->retired;

	if (left)
		memmove(list, list + cache->n_gone, left * sizeof(*list));
	cache->n_retired = left;
	cache->n_stamped -= cache->n_gone;
	cache->n_gone = 0;
	if (room <= cache->room_retired)
		return 0;
	list = realloc(list, room * sizeof(*list));
	if (!list)
		return SHMALLOC_ENOMEM;
	cache->retired = list;
	cache->room_retired = room;
	return 0;
}

int
cache_retire_room(struct cache *cache)
{
	sigset_t signals;
	int error;

	if (cache->n_retired < cache->room_retired)
		return 0;
	heap_signals_hold(&signals);
	error = retired_grow(cache);
	heap_signals_release(&signals);
	return error;
}

void
cache_retire(struct cache *cache, uint64_t off)
{
	uint64_t size = shm_heap_size(cache->self.seg, off);

	cache->retired[cache->n_retired] =
	    (struct cache_retired){ off, 0, size };
	atomic_signal_fence(memory_order_seq_cst);
	cache->n_retired++;
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
		shm_pressure_raise(cache->self.seg);
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

static bool
too_much_waits(const struct shm_seg *seg, uint64_t limit)
{
	int64_t now = shm_load(&seg->super->retired_bytes);

	return limit != 0 && now > 0 && (uint64_t)now > limit;
}

bool
cache_quota(struct cache *cache, uint64_t size, uint64_t more)
{
	struct shm_self *self = &cache->self;
	uint64_t limit = self->param[SHM_PARAM_limit_client];
	int64_t held;

	if (limit) {
		cache_count(cache,
		    size <= cache->max ? shm_class(shm_chunk_size(size)) : 0);
		held = shm_load(&self->client->held_bytes);
		if (more > limit || (held > 0 && (uint64_t)held > limit - more))
			return cache_fail(cache, SHM_FAIL_QUOTA, size), false;
	}
	limit = self->param[SHM_PARAM_retire_limit];
	if (!too_much_waits(self->seg, limit))
		return true;
	cache_reap(cache);
	if (!too_much_waits(self->seg, limit))
		return true;
	return cache_fail(cache, SHM_FAIL_READER, size), false;
}
