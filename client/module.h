/*
 * Files that this process runs code of, as the heap profile names them.
 */
#ifndef CLIENT_MODULE_H
#define CLIENT_MODULE_H

#include "client/cache.h"

/*
 * The frame of a stack for the instruction at IP in this process: which module
 * of the segment, and the address in it; for IP in none, or in one for which
 * there is no room, just IP.  See struct shm_sample.  Takes no lock; allocates
 * nothing; system calls for a module that this cache hasn't seen.
 */
uint64_t module_frame(struct cache *cache, uintptr_t ip);

#endif
