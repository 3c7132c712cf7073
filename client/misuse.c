/*
 * Double and invalid frees: counted, reported, and then what `misuse` says.
 */
#include <stdlib.h>

#include "client/cache.h"

enum { MISUSE_IGNORE, MISUSE_WARN, MISUSE_ABORT };

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
