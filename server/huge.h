/*
 * Huge pages, as the tunable `hugepages` says: looked for by the timer, made in
 * the thread of server/job.h, since each takes some milliseconds.
 */
#ifndef SERVER_HUGE_H
#define SERVER_HUGE_H

#include "server/segment.h"

/* To be called by the timer for each segment. */
void huge_tick(struct server *server, struct segment *segment);

#endif
