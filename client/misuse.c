/*
 * Double and invalid frees: counted, reported, and then what `misuse` says; and
 * what makes wrong use show: `fill.alloc` and `fill.free`.
 */
#include <stdlib.h>
#include <string.h>

#include "client/cache.h"
#include "shm/commit.h"

enum { MISUSE_IGNORE, MISUSE_WARN, MISUSE_ABORT };

/* Set the bytes of the object at OFF from FROM on to BYTE, where there are
 * pages for them. */
static void
object_fill(struct cache *cache, uint64_t off, uint64_t from, uint64_t byte)
{
	struct shm_seg *seg = cache->self.seg;
	uint64_t size;

	if (SHM_LIKELY(byte == 0))
		return;
	size = shm_heap_usable(seg, off);
	if (size > shm_committed_prefix(seg, off, size) || from >= size)
		return;
	memset(seg->base + off + from, (int)byte, size - from);
}

void
cache_fill_new(struct cache *cache, uint64_t off, uint64_t from)
{
	object_fill(cache, off, from, cache->self.param[SHM_PARAM_fill_alloc]);
}

void
cache_fill_freed(struct cache *cache, uint64_t off)
{
	object_fill(cache, off, 0, cache->self.param[SHM_PARAM_fill_free]);
}

bool
cache_head_is_there(struct cache *cache, uint64_t off)
{
	return cache->self.param[SHM_PARAM_check_level] < 2 ||
	    shm_heap_has_head(&cache->self, off);
}

void
cache_misuse(struct cache *cache, uint64_t off, int kind)
{
	struct shm_seg *seg = cache->self.seg;
	_Atomic uint32_t *place = shm_tag_at(seg, off);
	uint64_t reaction = cache->self.param[SHM_PARAM_misuse];

	shm_add(&cache->self.client->misuses, 1);
	if (reaction != MISUSE_IGNORE)
		heap_report_misuse(
		    cache->heap, kind, off, place ? shm_load(place) : 0);
	if (reaction == MISUSE_ABORT)
		abort();
}
