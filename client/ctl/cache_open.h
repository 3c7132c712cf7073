/*
 * A cache that is open, as any client of libshmalloc-cache has it.
 *
 * Looking attaches read-only, so it counts as no hit, changes no entry's fate
 * and makes no cache.
 */
#ifndef CTL_CACHE_OPEN_H
#define CTL_CACHE_OPEN_H

#include <jansson.h>
#include <shmalloc/cache.h>

#include "client/ctl/ctl.h"

/* The cache, and the attachment. */
struct cache_opened {
	struct shmalloc *heap;
	struct shmalloc_cache *cache;
};

/* Open the cache NAME, which must be there, to look at it, or to change it.
 * EXIT_OK, or after saying why not the exit code. */
int cache_see(struct ctl *ctl, const char *name, struct cache_opened *ret);
int cache_open(struct ctl *ctl, const char *name, struct cache_opened *ret);

void cache_opened_close(struct cache_opened *opened);

/* Say why the cache NAME gave R; the exit code: EXIT_FALSE if a key isn't
 * there. */
int cache_fail(const char *name, int r);

/* The key that TEXT is, as `keys` prints it, for cache_key_free().  False after
 * saying that it is none. */
bool cache_key_parse(const char *text, struct shmalloc_bytes *ret_key);
void cache_key_free(struct shmalloc_bytes key);

/* The seconds of a view's ttl_ms; null: it has no end. */
json_t *cache_ttl_json(int64_t ttl_ms);

/* MEMORY; without any (NULL) the program ends. */
void *cache_memory(void *memory);

#endif
