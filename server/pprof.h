/*
 * A segment's heap profile, in the format that pprof reads: profile.proto,
 * packed by gzip.  See shm/sample.h for what there is, and proto/profile.proto
 * for the format.
 */
#ifndef SERVER_PPROF_H
#define SERVER_PPROF_H

#include <stddef.h>
#include <stdint.h>

#include "shm/sample.h"

struct pprof {
	uint64_t samples; /* objects that are in it */
	/* What they stand for. */
	uint64_t objects, bytes;
	uint8_t *data; /* malloc'd; the caller's */
	size_t len;
};

/*
 * The profile of SEG, called NAME, as it is now: while clients go on, so that
 * objects which come and go meanwhile are in it or not.  Bounded: reads each
 * record once.  0, or SHM_ENOMEM.
 */
int pprof_make(
    struct shm_seg *seg, const char *name, struct pprof *ret) SHM_MUSTCHECK;

#endif
