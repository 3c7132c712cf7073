/*
 * The configuration, kept: for a daemon that goes on where this one ended, and
 * may by then find a file that somebody is at work on.  What was refused as a
 * reload must not end what it would have changed.
 *
 *	config/NUMBER	a file that config_read_file() reads; the highest counts
 */
#ifndef SERVER_RECALL_H
#define SERVER_RECALL_H

#include "server/kept.h"
#include "server/server.h"

/* Keep SERVER's configuration; the former one goes when this one is kept. */
void recall_put(struct server *server);

/* Keep it no longer. */
void recall_drop(struct server *server);

/*
 * Make the configuration that the daemon before had, which is in KEPT.  Errors
 * are told to REPORT; SHM_EINVAL: there is none, or it cannot be read.
 */
int recall_get(const struct kept_list *kept, struct config *config,
    config_report_fn report, void *arg) SHM_MUSTCHECK;

/* The number of the one that is in KEPT; 0: none. */
unsigned recall_number(const struct kept_list *kept);

#endif
