/*
 * What counters of a segment say has happened: failed allocations, repairs,
 * arenas out of service.
 *
 * Clients count failures by themselves, as many as they like; so a look a
 * second becomes one event of each kind at most.  The counters are input: one
 * that goes back says nothing.
 */
#ifndef SERVER_WATCH_H
#define SERVER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/layout.h"

struct segment;
struct shm_stats;

struct watch {
	bool has_begun; /* what was before is no event */
	uint64_t failures[SHM_FAILURES];
	uint64_t repairs;
	uint64_t soft;
	uint64_t sick[SHM_ARENAS / 64]; /* a bit for each arena */
};

/* Compare STATS of SEGMENT with the last ones. */
void watch_look(struct segment *segment, const struct shm_stats *stats);

#endif
