#include "server/http_conn.h"

#include <stdlib.h>

#include <event2/bufferevent.h>

#include "server/log.h"
#include "server/server.h"

static void
conn_forget(struct http_conn *conn)
{
	struct http_conns *conns = conn->conns;
	TAILQ_REMOVE(&conns->list, conn, link);
	conns->n--;
	if (conn->bev != NULL)
		bufferevent_decref(conn->bev);
	free(conn);
}

/* A request that evhttp has let go of is ours to free: its peer has left while
 * it waited. */
static void
on_close(struct evhttp_connection *evcon, void *arg)
{
	struct http_conn *conn = arg;
	(void)evcon;
	if (conn->request != NULL &&
	    evhttp_request_get_connection(conn->request) == NULL)
		evhttp_request_free(conn->request);
	conn_forget(conn);
}

/* ---- Accepting --------------------------------------------------------------
 */

/* evhttp is about to have a new connection; NULL: let it do without us. */
static struct bufferevent *
on_accept(struct event_base *base, void *arg)
{
	struct http_conns *conns = arg;
	struct http_conn *conn = calloc(1, sizeof *conn);
	if (conn == NULL)
		return NULL;
	conn->bev = bufferevent_socket_new(base, -1, 0);
	if (conn->bev == NULL) {
		free(conn);
		return NULL;
	}
	bufferevent_incref(conn->bev);
	conn->conns = conns;
	conn->end_ms = server_now_ms() + HTTP_LIFE_MS;
	TAILQ_INSERT_TAIL(&conns->list, conn, link);
	if (++conns->n >= HTTP_CONNS + HTTP_EXTRA)
		evconnlistener_disable(conns->listener);
	/* Runs in this turn, so before a request of its can come. */
	event_active(conns->known, EV_TIMEOUT, 0);
	return conn->bev;
}

static void
conn_know(struct http_conn *conn)
{
	struct bufferevent *bev = conn->bev;
	void *evcon;
	bufferevent_getcb(bev, NULL, NULL, NULL, &evcon);
	/* One that is freed has no callbacks any more. */
	if (evcon == NULL) {
		conn_forget(conn);
		return;
	}
	conn->bev = NULL;
	conn->evcon = evcon;
	evhttp_connection_set_closecb(conn->evcon, on_close, conn);
	bufferevent_decref(bev);
}

/* Ends in on_close(). */
static void
conn_end(struct http_conn *conn)
{
	evhttp_connection_free(conn->evcon);
}

static void
on_known(evutil_socket_t fd, short what, void *arg)
{
	struct http_conns *conns = arg;
	struct http_conn *conn, *next;
	(void)fd;
	(void)what;
	for (conn = TAILQ_FIRST(&conns->list); conn != NULL; conn = next) {
		next = TAILQ_NEXT(conn, link);
		if (conn->evcon == NULL)
			conn_know(conn);
	}
	if (conns->n > HTTP_CONNS)
		log_debug(
		    "http: %u connections; the oldest end", (unsigned)conns->n);
	while (conns->n > HTTP_CONNS)
		conn_end(TAILQ_FIRST(&conns->list));
	evconnlistener_enable(conns->listener);
}

/* ---- All of them ------------------------------------------------------------
 */

int
http_conns_init(struct http_conns *conns, struct event_base *base,
    struct evhttp *http, struct evconnlistener *listener)
{
	*conns = (struct http_conns){ .listener = listener, .base = base };
	TAILQ_INIT(&conns->list);
	conns->known = event_new(base, -1, 0, on_known, conns);
	if (conns->known == NULL)
		return SHM_ENOMEM;
	evhttp_set_bevcb(http, on_accept, conns);
	return 0;
}

struct http_conn *
http_conn_of(struct http_conns *conns, struct evhttp_request *request)
{
	const struct evhttp_connection *evcon =
	    evhttp_request_get_connection(request);
	struct http_conn *conn;
	TAILQ_FOREACH(conn, &conns->list, link)
	if (conn->evcon == evcon && evcon != NULL)
		return conn;
	return NULL;
}

void
http_conns_sweep(struct http_conns *conns)
{
	uint64_t now = server_now_ms();
	struct http_conn *conn;
	while ((conn = TAILQ_FIRST(&conns->list)) != NULL &&
	    conn->evcon != NULL && now >= conn->end_ms)
		conn_end(conn);
}

void
http_conns_release(struct http_conns *conns)
{
	while (!TAILQ_EMPTY(&conns->list))
		conn_forget(TAILQ_FIRST(&conns->list));
	if (conns->known != NULL)
		event_free(conns->known);
	conns->known = NULL;
}
