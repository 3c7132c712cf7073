/*
 * The three sockets, and how many connections each may have.
 *
 * One that comes above the limit is told so and closed; far above it, it is
 * closed without a word.  One user (but root and the daemon's own) gets at
 * most half of a socket's connections.
 */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <event2/event.h>

#include "server/conn.h"
#include "server/log.h"
#include "server/rundir.h"

LIST_HEAD(conn_list, conn);

struct listener {
	const struct conn_ops *ops;
	void *owner; /* of whoever handles the connections */
	struct event_base *base;
	int fd;
	bool is_given; /* by the service manager, who removes its file */
	struct event *event, *resume;
	struct conn_list conns;
	uint32_t n, max;
	struct log_limit limit;
	struct sockaddr_un address;
	/* Says whether the new CONN may stay: 0, or an error and why. */
	int (*admit)(struct conn *conn, const char **ret_why);
};

/* Set LISTENER's address in the directory DIR.  SHM_EINVAL, which was logged:
 * it is too long. */
int listen_address(struct listener *listener, const char *dir) SHM_MUSTCHECK;

/*
 * Listen on FD, which is taken over (-1: there is none), if it is that socket
 * already, or make it: listen on the socket OPS->name in DIR, of mode MODE and
 * GROUP (PEER_NO_GROUP: the daemon's) in either case, replacing a dead
 * daemon's.  *RET_IS_KEPT: it is FD.  LISTENER has its ops, base, owner, admit
 * and max.  Errors are logged.  SHM_EINVAL (the path is
 * too long), SHM_EEXIST (something that is no socket is there), SHM_ESYSTEM.
 */
int listen_open(struct listener *listener, const struct rundir *dir,
    mode_t mode, gid_t group, int fd, bool *ret_is_kept) SHM_MUSTCHECK;

/* Remove what a dead daemon left at LISTENER's address, if that is a socket. */
int listen_remove_stale(const struct listener *listener) SHM_MUSTCHECK;

/* Go on with the connection FD, which is taken over; NULL: it is closed. */
struct conn *listen_adopt(struct listener *listener, int fd);

/* Whether a connection waits to be accepted. */
bool listen_is_pending(const struct listener *listener);

/* Close the socket, having removed its file unless IS_KEPT, or the service
 * manager does that; connections stay. */
void listen_stop(struct listener *listener, bool is_kept);

/* Close all connections of one that was stopped. */
void listen_close(struct listener *listener);

/* A connection of LISTENER ends: it leaves the list. */
void listen_forget(struct conn *conn);

#endif
