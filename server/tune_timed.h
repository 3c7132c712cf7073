/*
 * Values that were set for a time: `tune set --for`.
 *
 * When it is over, and what is then, lies in the segment, so that a daemon that
 * is killed meanwhile is followed by one that still reverts it.  Both are input
 * like all of the segment: what comes of them passes the range checks of any
 * change, and reader.evict_ms, by which the daemon kills, becomes what is
 * configured.
 */
#ifndef SERVER_TUNE_TIMED_H
#define SERVER_TUNE_TIMED_H

#include "server/tune.h"

#define TUNE_TIMED_MAX_SECONDS (366.0 * 24 * 3600)

/*
 * CHANGE was made to SEGMENT for FOR_MS milliseconds, 0 for good.  What was
 * there before its first time began is what comes back.
 */
void tune_timed_note(
    struct segment *segment, const struct tune_change *change, uint64_t for_ms);

/* When PARAM's time is over, ms since the epoch; 0: it has none. */
uint64_t tune_timed_until(const struct segment *segment, enum shm_param param);

/* What it is then. */
uint64_t tune_timed_then(const struct server *server,
    const struct segment *segment, enum shm_param param);

/* Revert what is over. */
void tune_timed_tick(struct server *server, struct segment *segment);

#endif
