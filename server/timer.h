/*
 * The clock of every segment: decay, trimming, growing ahead, locks of the
 * dead, peaks, and looking after processes without a socket.
 */
#ifndef SERVER_TIMER_H
#define SERVER_TIMER_H

#include "server/server.h"

#define TIMER_TICK_MS 100

/* Begin to tick.  SHM_ENOMEM. */
int timer_init(struct server *server) SHM_MUSTCHECK;
void timer_release(struct server *server);

#endif
