/*
 * One connection: frames in, frames out, and nothing without a bound.
 *
 * A connection is in one of three states, each with its own deadline:
 *
 *	idle     no byte of a frame has come           idle_ms (0: for ever)
 *	reading  a frame is on its way in              CONN_FRAME_MS
 *	writing  a reply is on its way out             CONN_WRITE_MS
 *
 * While it writes nothing is read, so a peer that asks and does not listen
 * holds one reply in memory and no more.  What was handled ends with the
 * connection's owner being told (`on_close`) exactly once.
 */
#ifndef SERVER_CONN_H
#define SERVER_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "proto/frame.h"
#include "server/peer.h"

#define CONN_FRAME_MS 5000
#define CONN_WRITE_MS 10000

struct conn;

/* What a kind of connection does. */
struct conn_ops {
	const char *name;                       /* of the socket */
	const ProtobufCMessageDescriptor *type; /* of what comes in */
	uint32_t max_in, max_out;               /* bytes of a message */
	uint32_t idle_ms;
	bool takes_fd; /* one descriptor may come with the first frame */
	/* A message came; it is freed afterwards.  May close CONN. */
	void (*on_message)(struct conn *conn, const ProtobufCMessage *message);
	/* A message came over a connection that is refused: say WHY. */
	void (*on_refused)(struct conn *conn, int error, const char *why);
	/* All that was to be sent was.  NULL: that is of no interest. */
	void (*on_sent)(struct conn *conn);
	/* CONN is about to be freed; WHY is NULL if the peer just left. */
	void (*on_close)(struct conn *conn, const char *why);
};

struct conn {
	LIST_ENTRY(conn) link; /* in its listener's list */
	const struct conn_ops *ops;
	struct listener *listener;
	int fd;
	int sent_fd; /* what the peer sent, or -1; owned */
	struct peer peer;
	void *owner; /* of whoever handles it */
	struct event *read, *write, *deadline;
	struct proto_reader in;
	uint8_t *out; /* a frame on its way out, or NULL */
	size_t out_len, out_done;
	int out_fds[2]; /* go with its first byte; owned */
	unsigned n_out_fds;
	uint32_t idle_ms;
	const char *refusal; /* why nothing is answered; NULL: it is */
	int refusal_error;
	bool closes_after; /* the reply that is on its way */
	bool is_closed;    /* freed when the present call returns */
	unsigned busy;     /* nested calls that hold CONN */
};

/*
 * Make a connection of the accepted socket FD, which it owns on success, and
 * begin to read.  SHM_ESYSTEM.
 */
int conn_open(struct event_base *base, int fd, const struct conn_ops *ops,
    struct listener *listener, struct conn **ret_conn) SHM_MUSTCHECK;

/* End CONN; on_close is told WHY. */
void conn_close(struct conn *conn, const char *why);

/*
 * Send MESSAGE with N_FDS descriptors, which CONN closes in any case.  After an
 * error CONN is closed.
 */
void conn_send(struct conn *conn, const ProtobufCMessage *message,
    const int *fds, unsigned n_fds);

/* As conn_send(), then end CONN. */
void conn_send_last(struct conn *conn, const ProtobufCMessage *message);

/* Answer whatever CONN asks with ERROR and WHY, a constant, then end it. */
void conn_refuse(struct conn *conn, int error, const char *why);

/* How long CONN may be idle from now on; 0: for ever. */
void conn_set_idle(struct conn *conn, uint32_t idle_ms);

/* Read nothing more from CONN before something was sent, however late. */
void conn_suspend(struct conn *conn);

/* Whether the peer has closed its end. */
bool conn_is_ended(const struct conn *conn);

#endif
