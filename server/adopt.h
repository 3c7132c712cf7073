/*
 * Going on where another daemon was: its segments, clients and sockets, from
 * what was kept of them.
 *
 * What a killed daemon was doing is done again by shm_daemon_start(), and by
 * what the timer and the reaper do anyway.  What was kept of clients is
 * compared with the slots in the segment:
 *
 *	LIVE, kept		goes on; its pidfd says if it died meanwhile
 *	LIVE, not kept		looked for by its pid: it has the segment
 *				mapped, or never learned its slot; dead if
 *				the segment was read from a file
 *	DEAD			its reclaim goes on
 *	free, or later, kept	was forgotten too late
 */
#ifndef SERVER_ADOPT_H
#define SERVER_ADOPT_H

#include "server/kept.h"
#include "server/server.h"

/*
 * Take the segments in KEPT.  One that cannot be taken (its client may have
 * destroyed it) is logged and dropped.  How many were taken.
 */
uint32_t adopt_segments(struct server *server, struct kept_list *kept);

/* Take the clients of those segments.  The sockets must be open. */
void adopt_clients(struct server *server, struct kept_list *kept);

/* Forget all in KEPT that belongs to nothing any more, and close KEPT. */
void adopt_end(struct server *server, struct kept_list *kept);

/* The descriptors of the segment that is kept as ENTRY, which stay its own:
 * memory and pins.  False: it has none. */
bool adopt_segment_fds(const struct kept *entry, int *ret_fd, int *ret_pins_fd);

#endif
