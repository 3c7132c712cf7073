/*
 * The daemon's own HTTP, by libevent's evhttp: a page for people and documents
 * for monitoring, at the address that the configuration's key `http` has
 * (server/http_address.h), off by default.
 *
 * It only shows, to whoever can connect.  A connection serves one request, GET
 * or HEAD, and lives for HTTP_LIFE_MS at most, whatever its peer does; above
 * HTTP_CONNS the oldest goes, so that no number of slow ones keeps others out.
 *
 *	http_conn.c   connections, their number and their time
 *	http.c        the listener; a request and its answer
 *	http_doc.c    documents, made once a second at most
 *	http_file.c   what is in the program: the page
 *
 * The socket is kept as the others are (server/store.h), so who connects while
 * no daemon runs is answered by the next one.
 */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/error.h"

struct kept_list;
struct server;

/* What is kept of it, see server/store.h. */
#define HTTP_KEPT "socket/http"

/*
 * Listen where SERVER's configuration says, on the socket of KEPT if that is
 * it.  An error, which was logged: see http_address_listen(), and SHM_ENOMEM.
 */
int http_open(struct server *server, struct kept_list *kept) SHM_MUSTCHECK;

/* The address is another one now, or off.  If there is none to be had, what was
 * stays, and the log says so. */
void http_reload(struct server *server);

/* The listening socket, or -1. */
int http_fd(const struct server *server);

/* Connections at the moment. */
uint32_t http_connections(const struct server *server);

/* Accept no more; remove a socket's file unless IS_KEPT. */
void http_stop(struct server *server, bool is_kept);

/* End all of it; jobs have ended. */
void http_close(struct server *server);

#endif
