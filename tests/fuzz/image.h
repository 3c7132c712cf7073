/*
 * A small segment with something of everything in it, that can be had again as
 * it was after it has been written over: three arenas, chunks and extents in
 * every state, readers, publishes under way, a client that is dead, roots,
 * a cache.
 */
#ifndef TESTS_FUZZ_IMAGE_H
#define TESTS_FUZZ_IMAGE_H

#include "shm/seg.h"

#define IMAGE_OBJECTS 512
#define IMAGE_CLIENTS 4 /* slots 2 to 5; the last is dead */

struct image {
	struct shm_seg seg;
	uint64_t object[IMAGE_OBJECTS]; /* payloads, of any state */
	uint32_t n_objects;
	uint64_t cache, cache_len; /* bytes from the segment's start */
	/* What it was at first: the files' pages. */
	struct shm_seg seg_before;
	struct image_pages *file, *pins;
};

/* Make it; ends the process if that fails. */
void image_make(struct image *image);

/* Make it what it was. */
void image_restore(struct image *image);

#endif
