/*
 * A cache that is open, as any client of libshmalloc-cache has it.
 *
 * Looking attaches read-only, so it counts as no hit, changes no entry's fate
 * and makes no cache.
 */
#ifndef CTL_OPENED_H
#define CTL_OPENED_H

#include <jansson.h>
#include <shmalloc/cache.h>

#include "client/ctl/ctl.h"

/* The cache, and the attachment. */
struct opened {
	struct shmalloc *heap;
	struct shmalloc_cache *cache;
};

/* Open the cache NAME, which must be there, to look at it, or to change it.
 * EXIT_OK, or after saying why not the exit code. */
int opened_see(struct ctl *ctl, const char *name, struct opened *ret);
int opened_change(struct ctl *ctl, const char *name, struct opened *ret);

void opened_close(struct opened *opened);

/* Say why the cache NAME gave R; the exit code: EXIT_FALSE if a key isn't
 * there. */
int opened_fail(const char *name, int r);

/* The key that TEXT is, as `keys` prints it, for opened_key_free().  False
 * after saying that it is none. */
bool opened_key_parse(const char *text, struct shmalloc_bytes *ret_key);
void opened_key_free(struct shmalloc_bytes key);

/* The seconds of a view's ttl_ms; null: it has no end. */
json_t *opened_ttl_json(int64_t ttl_ms);

/* MEMORY; without any (NULL) the program ends. */
void *opened_memory(void *memory);

#endif
