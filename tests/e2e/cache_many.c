/*
 * cache_many CACHE: make all roots of the segment that are left lead to one
 * cache, and fill its histograms with the largest numbers.
 */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include <shmalloc/cache.h>

#include "cache/layout.h"

int
main(int argc, char *argv[])
{
	struct shmalloc *heap;
	struct shmalloc_cache *cache;
	struct cache_head *head;
	shmalloc_slot *first, *slot;
	char name[32];
	int n = 1;

	if (argc != 2)
		errx(2, "usage: cache_many CACHE");
	if (shmalloc_attach(NULL, NULL, &heap) != 0 ||
	    shmalloc_cache_open(heap, argv[1], NULL, &cache) != 0 ||
	    shmalloc_root(heap, argv[1], &first) != 0)
		errx(1, "no cache");
	head = shmalloc_ptr(heap, shmalloc_slot_load(first));
	memset((void *)head->latency, 0xff, sizeof(head->latency));
	for (;; n++) {
		snprintf(name, sizeof(name), "%s%d", argv[1], n);
		if (shmalloc_root(heap, name, &slot) != 0)
			break;
		atomic_store(slot, shmalloc_slot_load(first));
	}
	printf("%d\n", n);
	shmalloc_cache_close(cache);
	shmalloc_detach(heap);
	return 0;
}
