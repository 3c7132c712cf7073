/*
 * Forks from a handler that interrupted a call.
 */
#ifndef CLIENT_FORK_H
#define CLIENT_FORK_H

#include <stdbool.h>

#include "client/cache.h"

/* Let forks of this process be seen, once.  0 or an errno. */
int fork_watch(void);

/* Let a fork of this thread, whose cache CACHE is, look at it; signals are
 * held. False: no memory. */
bool fork_note_make(struct cache *cache) SHM_MUSTCHECK;

/* No more: CACHE is about to go. */
void fork_note_end(const struct cache *cache);

#endif
