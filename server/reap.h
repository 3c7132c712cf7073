/*
 * The reaper gives back what dead clients held, a bounded slice at a time, in
 * turn, and lets the event loop look at its sockets after each slice.
 */
#ifndef SERVER_REAP_H
#define SERVER_REAP_H

#include "server/server.h"
#include "server/slot.h"

/* Chunks that one slice looks at, and regions that one repairs. */
#define REAP_SLICE    4096
#define REAP_REGIONS  2
/* How long a slot waits whose reclaim needs a lock or a reader to go. */
#define REAP_RETRY_MS 5
/* How many of those that wait try at once. */
#define REAP_WAKE     16

int reap_init(struct reaper *reaper, struct event_base *base) SHM_MUSTCHECK;
void reap_release(struct reaper *reaper);

/* Reclaim SLOT, which was marked dead. */
void reap_add(struct reaper *reaper, struct slot *slot);

/* Stop reclaiming SLOT. */
void reap_remove(struct reaper *reaper, struct slot *slot);

#endif
