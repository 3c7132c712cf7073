/*
 * How much a thread's cache may keep, class by class.
 *
 * A class begins small and doubles each time it runs empty or full, as long as
 * all classes together stay below tcache.bytes; beyond that it takes from the
 * others (tcmalloc's slow start and stealing).  One that isn't used gives back
 * half of what it has every decay_ms, when its thread next comes to a slow path
 * (jemalloc's incremental collection of its caches).
 */
#include "client/cache.h"
#include "shm/thread.h"

#define THREADS_LOOK 256u /* thread records that are looked at */
#define STEALS_LOOK  64u  /* the threads are counted each time after so many */
#define AGE_MS_MIN   100u /* no class is looked at more often than that */

static void
cap_set(struct cache *cache, uint32_t class, uint32_t cap)
{
	struct cache_class *k = &cache->class[class];
	uint64_t size = shm_class_size(class);

	cache->cap_bytes += cap * size;
	cache->cap_bytes -= k->cap * size;
	k->cap = cap;
	if (k->n > cap)
		cache_flush(cache, class, k->n - cap);
}

uint32_t
cache_cap_most(const struct cache *cache, uint32_t class)
{
	uint64_t most = cache->self.param[SHM_PARAM_tcache_count];
	uint32_t room = cache->class[class].max;

	if (shm_class_size(class) > cache->max + SHM_CHUNK_OVER + 15)
		return 0;
	return most < room ? (uint32_t)most : room;
}

/* How many threads there are. */
static uint32_t
threads_count(const struct shm_seg *seg)
{
	uint32_t used = shm_threads_used(seg), n = 0;

	/* Beyond the first few hundred all are taken for live ones. */
	for (uint32_t i = 1; i < used && i < THREADS_LOOK; i++)
		n += shm_thread_owner(seg, i) != 0;
	return n + (used > THREADS_LOOK ? used - THREADS_LOOK : 0);
}

/* What this cache may hold: with the caches of all other threads, no more than
 * an eighth of the segment's limit. */
static uint64_t
bytes_most(struct cache *cache)
{
	uint64_t most = cache->self.param[SHM_PARAM_tcache_bytes];
	uint64_t share = cache->self.param[SHM_PARAM_limit_hard] / CACHE_SHARE;

	if (cache->n_steals++ % STEALS_LOOK == 0)
		cache->n_threads = threads_count(cache->self.seg);
	share /= cache->n_threads + 1;
	if (share < CACHE_CLASS_BYTES)
		share = CACHE_CLASS_BYTES;
	return most < share ? most : share;
}

/* Take NEED bytes of room from other classes; false if there isn't so much. */
static bool
cap_steal(struct cache *cache, uint32_t class, uint64_t need)
{
	uint64_t most = bytes_most(cache);

	for (uint32_t i = 0; i < SHM_CLASSES && need <= most; i++) {
		uint32_t victim = cache->hand++ % SHM_CLASSES;
		struct cache_class *k = &cache->class[victim];

		if (cache->cap_bytes + need <= most)
			return true;
		if (victim != class && k->cap > 1)
			cap_set(cache, victim, k->cap / 2);
	}
	return cache->cap_bytes + need <= most;
}

void
cache_grow(struct cache *cache, uint32_t class)
{
	struct cache_class *k = &cache->class[class];
	uint32_t most = cache_cap_most(cache, class);
	uint64_t size = shm_class_size(class), need;
	uint32_t cap = size * CACHE_FIRST > CACHE_CLASS_BYTES ? 1 : CACHE_FIRST;

	cap = k->cap ? k->cap * 2 : cap;
	cap = cap < most ? cap : most;
	if (cap <= k->cap)
		return;
	need = (cap - k->cap) * size;
	if (cap_steal(cache, class, need))
		cap_set(cache, class, cap);
}

/* Memory ran out, here or in another process: keep nothing back. */
static void
pressure_yield(struct cache *cache)
{
	uint32_t now = shm_load(&cache->self.seg->super->pressure);

	if (SHM_LIKELY(now == cache->pressure))
		return;
	cache->pressure = now;
	if (cache->cap_bytes)
		cache_flush_all(cache);
}

/* ---- When unused --------------------------------------------------------- */

/* What CLASS still has, though nothing came or went for a whole decay_ms: one
 * half goes back, and so on. */
static void
class_age(struct cache *cache, uint32_t class)
{
	struct cache_class *k = &cache->class[class];

	if (cache_allocs(k))
		cache_count(cache, class);
	if (!k->is_used && k->n == k->n_before && k->cap)
		cap_set(cache, class, k->n / 2);
	k->is_used = false;
	k->n_before = k->n;
}

/* By the segment's clock, which stands while no daemon runs. */
static void
cache_age(struct cache *cache)
{
	uint32_t now = shm_load(&cache->self.seg->super->clock_ms);
	uint64_t decay_ms = cache->self.param[SHM_PARAM_decay_ms];

	if (SHM_LIKELY(now - cache->aged_ms <
		(decay_ms > AGE_MS_MIN ? decay_ms : AGE_MS_MIN)))
		return;
	cache->aged_ms = now;
	for (uint32_t i = 0; i < SHM_CLASSES; i++)
		class_age(cache, i);
}

/* ---- Tunables ------------------------------------------------------------ */

void
cache_refresh(struct cache *cache)
{
	struct shm_self *self = &cache->self;
	uint64_t threshold;

	pressure_yield(cache);
	cache_age(cache);
	threshold = shm_heap_threshold(self);
	/* It grows by itself, too. */
	if (!shm_self_refresh(self) && threshold == cache->threshold)
		return;
	threshold = cache->threshold = shm_heap_threshold(self);
	cache->max = self->param[SHM_PARAM_tcache_max];
	if (cache->max >= threshold)
		cache->max = threshold - 1;
	if (self->param[SHM_PARAM_tcache_count] == 0)
		cache->max = 0;
	cache->range_max = self->param[SHM_PARAM_fill_alloc] ? 0 : cache->max;
	cache->fast_max = SHM_LARGE_MIN - SHM_CHUNK_OVER - SHM_GRANULE;
	if (cache->fast_max > cache->range_max)
		cache->fast_max = cache->range_max;
	/* With checks at each free, no free is fast. */
	cache->granules = self->param[SHM_PARAM_check_level] ||
		self->param[SHM_PARAM_fill_free]
	    ? 0
	    : (uint64_t)self->seg->n_regions * (SHM_REGION / SHM_GRANULE);
	for (uint32_t i = 0; i < SHM_CLASSES; i++) {
		uint32_t most = cache_cap_most(cache, i);

		if (cache->class[i].cap > most)
			cap_set(cache, i, most);
	}
	cache_sample_refresh(cache);
}
