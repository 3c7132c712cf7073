/*
 * Answering operators from the segments alone, while the daemon is down, or
 * does not answer.
 *
 * The keeper listens on the socket `keeper` in the sockets' directory, and
 * forks an onlooker for each connection.  That maps the kept segments read-only
 * and answers what their counters say, with the code and for the roles of the
 * daemon's `control-ro`; it changes nothing, takes no lock, and lives for some
 * seconds at most.  What a damaged segment might do to it the keeper never
 * sees.
 */
#ifndef SERVER_ONLOOKER_H
#define SERVER_ONLOOKER_H

#include "server/server.h"

#define ONLOOKER_SECONDS 10
#define ONLOOKER_MAX     4 /* at a time; whoever comes then is sent away */

/* The name that the keeper has its listening socket under. */
#define ONLOOKER_KEPT "socket/keeper"

/* What the socket is called; its connections are not the daemon's. */
extern const struct conn_ops onlooker_ops;

/*
 * Answer the connection FD, which is taken over, from what KEPT has, until it
 * ends.  In a process of its own; the exit status.
 */
int onlooker_run(
    const struct server_options *options, const struct kept_list *kept, int fd);

#endif
