/*
 * Thread caches: making, finding and ending them; the in-call mark.
 */
#include "client/cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client/call.h"
#include "client/fork.h"
#include "shm/epoch.h"
#include "shm/publish.h"
#include "shm/thread.h"

/* What a thread without a cache has as its current one: matches no heap. */
static struct cache cache_none = { .gate = 1 };

_Thread_local struct cache *cache_current
    __attribute__((tls_model("initial-exec"))) = &cache_none;

/* All caches of this thread. */
static _Thread_local struct cache *cache_list
    __attribute__((tls_model("initial-exec")));

static pthread_key_t end_key;
static pthread_once_t end_once = PTHREAD_ONCE_INIT;
static int end_error;

static void call_settle(struct cache *cache);
static void block_free(struct cache *cache);

/* ---- Ending -------------------------------------------------------------- */

/* Take CACHE off its heap's list. */
static void
heap_forget(struct cache *cache)
{
	struct heap_guard *guard = cache->heap->guard;
	struct cache **place;
	sigset_t signals;

	heap_signals_hold(&signals);
	(void)pthread_mutex_lock(&guard->lock);
	for (place = &guard->caches; *place; place = &(*place)->next_of_heap)
		if (*place == cache) {
			*place = cache->next_of_heap;
			break;
		}
	(void)pthread_mutex_unlock(&guard->lock);
	heap_signals_release(&signals);
}

void
cache_end(struct cache *cache)
{
	struct shmalloc *heap = cache->heap;

	if (!cache_is_open(cache, heap))
		call_settle(cache);
	cache_mark(cache);
	if (!heap->seg.is_read_only) {
		cache_reap(cache);
		cache_flush_all(cache);
		cache_count_all(cache);
	}
	cache_bequeath(cache);
	shm_thread_release(&heap->seg, cache->self.thread);
	heap_forget(cache);
	cache->heap = NULL;
	cache->gate = 0;
}

/* The thread ends: all its caches do. */
static void
thread_end(void *arg)
{
	struct cache *cache = cache_list;

	(void)arg;
	cache_list = NULL;
	cache_current = &cache_none;
	while (cache) {
		struct cache *next = cache->next;

		if (cache->heap)
			cache_end(cache);
		/* A block that a fork wiped doesn't know its length. */
		if (cache->len)
			block_free(cache);
		cache = next;
	}
}

static void
end_key_make(void)
{
	end_error = pthread_key_create(&end_key, thread_end);
	if (end_error == 0)
		end_error = fork_watch();
	call_watch();
}

void
cache_forget(void)
{
	cache_list = NULL;
	cache_current = &cache_none;
}

/* ---- Making -------------------------------------------------------------- */

static uint32_t
class_room(uint32_t class)
{
	uint32_t size = shm_class_size(class), n = CACHE_CLASS_BYTES / size;
	uint32_t least = size < SHM_ROUND ? CACHE_CLASS_MIN : CACHE_ROUND_MIN;

	return n < least ? least : n;
}

/* A block with room for every class's array. */
static struct cache *
block_make(void)
{
	size_t len = sizeof(struct cache);
	struct cache *cache;
	uint64_t *slot;

	for (uint32_t i = 0; i < SHM_CLASSES; i++)
		len += class_room(i) * sizeof(uint64_t);
	cache = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (cache == MAP_FAILED)
		return NULL;
	if (madvise(cache, len, MADV_WIPEONFORK) != 0) {
		(void)munmap(cache, len);
		return NULL;
	}
	cache->len = len;
	slot = (uint64_t *)(void *)(cache + 1);
	for (uint32_t i = 0; i < SHM_CLASSES; i++) {
		cache->class[i].slot = slot;
		cache->class[i].max = (uint16_t)class_room(i);
		slot += class_room(i);
	}
	if (!fork_note_make(cache)) {
		(void)munmap(cache, len);
		return NULL;
	}
	return cache;
}

static void
block_free(struct cache *cache)
{
	sigset_t signals;

	heap_signals_hold(&signals);
	fork_note_end(cache);
	(void)munmap(cache, cache->len);
	heap_signals_release(&signals);
}

static void
cache_fill(struct cache *cache, struct shmalloc *heap)
{
	struct shm_seg *seg = &heap->seg;

	cache->base = seg->base;
	cache->key = seg->key;
	cache->heap_off = seg->heap;
	cache->regions = seg->regions;
	cache->owned = cache->self.owned;
	cache->cached = cache->self.cached;
	cache->pin = shm_thread_pin(seg, cache->self.thread);
	cache->self.arena = cache->self.thread %
	    (shm_load(&seg->super->n_arenas) ? shm_load(&seg->super->n_arenas)
					     : 1);
	cache->failure.reason = "none";
	cache->self.tunables_generation = UINT64_MAX;
	cache->aged_ms = shm_load(&seg->super->clock_ms);
	cache->sample_rate = UINT64_MAX;
	if (!seg->is_read_only)
		cache_refresh(cache);
}

static struct cache *
cache_make(struct shmalloc *heap)
{
	struct cache *cache;
	int error;

	if (heap->is_lost)
		return errno = ESTALE, NULL;
	if (pthread_once(&end_once, end_key_make) != 0 || end_error)
		return errno = EAGAIN, NULL;
	error = heap_attach_child(heap);
	if (error)
		return errno = error == SHMALLOC_EGONE ? ESTALE : ENOTCONN,
		       NULL;
	cache = block_make();
	if (!cache)
		return errno = ENOMEM, NULL;
	shm_self_init(
	    &cache->self, &heap->seg, heap->slot, heap->generation, 0, 0);
	error = shm_thread_claim(&cache->self);
	if (error || pthread_setspecific(end_key, cache) != 0) {
		if (!error)
			shm_thread_release(&heap->seg, cache->self.thread);
		block_free(cache);
		return errno = error ? heap_errno(error) : ENOMEM, NULL;
	}
	cache_fill(cache, heap);
	cache->next = cache_list;
	cache_list = cache;
	(void)pthread_mutex_lock(&heap->guard->lock);
	cache->next_of_heap = heap->guard->caches;
	heap->guard->caches = cache;
	(void)pthread_mutex_unlock(&heap->guard->lock);
	cache->heap = heap;
	cache->gate = (uintptr_t)heap;
	return cache;
}

struct cache *
cache_find(struct shmalloc *heap)
{
	struct cache *cache;
	sigset_t signals;

	if (!heap)
		return errno = EINVAL, NULL;
	if (cache_current->heap == heap)
		return cache_current;
	for (cache = cache_list; cache; cache = cache->next)
		if (cache->heap == heap)
			return cache_current = cache;
	/* A handler that came in here would find half a cache. */
	heap_signals_hold(&signals);
	cache = cache_make(heap);
	if (cache)
		cache_current = cache;
	heap_signals_release(&signals);
	return cache;
}

/* ---- The in-call mark ---------------------------------------------------- */

/* Settle what a call that was left by a jump had begun, as the daemon would
 * after a death. */
static void
call_settle(struct cache *cache)
{
	struct shm_self *self = &cache->self;
	struct shm_seg *seg = self->seg;
	uint32_t n = shm_get(&seg->super->n_arenas);

	cache->depth = cache->depth_before;
	if (seg->is_read_only)
		goto out;
	for (uint32_t i = 0; i < n && i < seg->max_arenas; i++) {
		struct shm_arena *arena = &seg->arenas[i];

		if ((shm_load(&arena->lock) & ~SHM_LOCK_WAITERS) !=
		    self->lock_word)
			continue;
		/* Damage quarantines the arena, which is all we can do. */
		if (shm_arena_rebuild_locked(self, arena) == 0)
			shm_bump(&arena->repairs, 1);
		shm_arena_unlock(arena);
	}
	shm_publish_settle(seg, self->thread);
out:
	/* Not before the publish is settled. */
	if (cache->depth == 0)
		shm_epoch_exit(cache->pin);
}

struct cache *
cache_enter(struct shmalloc *heap)
{
	struct cache *cache = cache_find(heap);

	if (!cache)
		return NULL;
	if (!cache_is_open(cache, heap)) {
		if (call_goes_on(cache->gate))
			return errno = EDEADLK, NULL;
		call_settle(cache);
	}
	cache->depth_before = cache->depth;
	cache_mark(cache);
	if (!heap->seg.is_read_only)
		cache_epoch_mark(cache);
	return cache;
}

void
cache_leave(struct cache *cache)
{
	if (!cache->self.seg->is_read_only)
		cache_epoch_clear(cache);
	cache_unmark(cache, cache->heap);
}
