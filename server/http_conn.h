/*
 * The connections of the daemon's HTTP: how many, and for how long.
 *
 * evhttp of libevent 2.1 bounds neither.  It asks us for each connection's
 * bufferevent; of that we learn its connection, as the argument that evhttp has
 * its callbacks called with, once the acceptance has returned.
 *
 *	accepted -> on_accept -> (known, in the same turn) -> on_close
 *
 * Invariant: n = number of connections in the list <= HTTP_CONNS + HTTP_EXTRA.
 */
#ifndef SERVER_HTTP_CONN_H
#define SERVER_HTTP_CONN_H

#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "shm/error.h"

/* At the same time; accepted in one turn beyond that. */
#define HTTP_CONNS   64u
#define HTTP_EXTRA   16u
/* From the acceptance of a connection to its end. */
#define HTTP_LIFE_MS 10000u

struct http_doc;

struct http_conn {
	TAILQ_ENTRY(http_conn) link;
	struct http_conns *conns;
	struct bufferevent *bev;         /* ours, too; until it is known */
	struct evhttp_connection *evcon; /* NULL: not yet known */
	uint64_t end_ms;
	struct evhttp_request *request; /* that waits for DOC, or NULL */
	struct http_doc *doc;
};

TAILQ_HEAD(http_conn_list, http_conn);

struct http_conns {
	struct http_conn_list list; /* the oldest first */
	uint32_t n;
	struct event *known; /* some are not yet known */
	struct evconnlistener *listener;
	struct event_base *base;
};

/* Have HTTP's connections, those of LISTENER, in CONNS.  SHM_ENOMEM. */
int http_conns_init(struct http_conns *conns, struct event_base *base,
    struct evhttp *http, struct evconnlistener *listener) SHM_MUSTCHECK;

/* The connection of REQUEST, or NULL. */
struct http_conn *http_conn_of(
    struct http_conns *conns, struct evhttp_request *request);

/* End those whose time is over. */
void http_conns_sweep(struct http_conns *conns);

/* Their evhttp has gone, and all of them with it. */
void http_conns_release(struct http_conns *conns);

#endif
