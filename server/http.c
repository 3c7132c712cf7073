#include "server/http.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/keyvalq_struct.h>

#include "server/http_address.h"
#include "server/http_answer.h"
#include "server/http_conn.h"
#include "server/http_doc.h"
#include "server/http_file.h"
#include "server/log.h"
#include "server/server.h"

/* What a request may have: bytes of its head; of a body, nothing. */
#define HEAD_MAX        8192
/* Between two bytes of a request, or of an answer. */
#define TIMEOUT_SECONDS 5
/* How long to wait for a descriptor when there is none left. */
#define RESUME_MS       100

struct http {
	struct server *server;
	struct evhttp *evhttp;
	struct evconnlistener *listener; /* evhttp's */
	int fd;                          /* LISTENER's; -1: it is off */
	struct http_conns conns;
	struct http_docs docs;
	struct event *sweep, *resume;
	struct log_limit limit;
};

/* ---- Documents -------------------------------------------------------------
 */

static void
doc_send(struct evhttp_request *request, struct http_doc *doc)
{
	http_body_send(request, doc->status, doc->type, &doc->body);
}

/* DOC is made: answer those who waited for it. */
static void
on_made(struct http_doc *doc, void *arg)
{
	struct http *http = arg;
	struct http_conn *conn, *next;
	for (conn = TAILQ_FIRST(&http->conns.list); conn != NULL; conn = next) {
		struct evhttp_request *request = conn->request;
		next = TAILQ_NEXT(conn, link);
		if (conn->doc != doc)
			continue;
		conn->request = NULL;
		conn->doc = NULL;
		doc_send(request, doc);
	}
}

/* The value of the query's "segment"; "default" without one.  False: there is
 * no such segment. */
static bool
segment_get(struct http *http, struct evhttp_request *request,
    char segment[SHM_NAME_LEN])
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *query = evhttp_uri_get_query(uri), *name = NULL;
	struct evkeyvalq values;
	bool is_query = query != NULL && *query != '\0' &&
	    evhttp_parse_query_str(query, &values) == 0;
	if (is_query)
		name = evhttp_find_header(&values, "segment");
	snprintf(segment, SHM_NAME_LEN, "%s", name != NULL ? name : "default");
	bool is_whole = name == NULL || strlen(name) < SHM_NAME_LEN;
	if (is_query)
		evhttp_clear_headers(&values);
	return is_whole && segment_find(http->server, segment) != NULL;
}

static void
doc_answer(struct http *http, struct evhttp_request *request,
    const struct http_doc_kind *kind)
{
	struct http_conn *conn = http_conn_of(&http->conns, request);
	char segment[SHM_NAME_LEN] = "";
	if (http_doc_has_segment(kind) &&
	    !segment_get(http, request, segment)) {
		http_text_send(request, 404, "there is no such segment");
		return;
	}
	struct http_doc *doc = http_doc_get(&http->docs, kind, segment);
	if (doc != NULL && !doc->is_making) {
		doc_send(request, doc);
	} else if (doc != NULL && conn != NULL) {
		conn->request = request;
		conn->doc = doc;
	} else {
		http_text_send(request, 503, "out of memory");
	}
}

/* ---- Requests --------------------------------------------------------------
 */

/* Whether REQUEST was meant for this machine's loopback, by all that it says
 * of that. */
static bool
is_ours(struct evhttp_request *request)
{
	struct evkeyvalq *in = evhttp_request_get_input_headers(request);
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *host = evhttp_find_header(in, "Host");
	const char *authority = evhttp_uri_get_host(uri);
	return host != NULL && http_address_is_local_host(host) &&
	    (authority == NULL || http_address_is_local_host(authority));
}

static void
path_answer(struct http *http, struct evhttp_request *request, const char *path)
{
	const struct http_doc_kind *kind = http_doc_find(path);
	struct http_body *body;
	const struct http_file *file = http_file_find(path, &body);
	if (kind != NULL)
		doc_answer(http, request, kind);
	else if (strcmp(path, "/healthz") == 0)
		http_text_send(request, 200, "ok");
	else if (file != NULL && body != NULL)
		http_body_send(request, 200, file->type, body);
	else if (file != NULL)
		http_text_send(request, 503, "out of memory");
	else
		http_text_send(request, 404, "there is nothing here");
}

static void
on_request(struct evhttp_request *request, void *arg)
{
	struct http *http = arg;
	enum evhttp_cmd_type command = evhttp_request_get_command(request);
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
	if (path == NULL) {
		http_text_send(request, 400, "this is no request");
	} else if (!is_ours(request)) {
		http_text_send(request, 421,
		    "the request names a host other than localhost, 127.0.0.1 "
		    "or [::1]");
	} else if (command != EVHTTP_REQ_GET && command != EVHTTP_REQ_HEAD) {
		evhttp_add_header(evhttp_request_get_output_headers(request),
		    "Allow", "GET, HEAD");
		http_text_send(request, 405, "nothing can be changed here");
	} else {
		path_answer(http, request, *path != '\0' ? path : "/");
	}
}

/* ---- The listener -----------------------------------------------------------
 */

static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct http *http = arg;
	struct timeval tv = { .tv_usec = RESUME_MS * 1000 };
	uint32_t more;
	if (log_allowed(&http->limit, &more))
		log_error("cannot accept on http: %s (and %u more)",
		    strerror(errno), more);
	evconnlistener_disable(listener);
	evtimer_add(http->resume, &tv);
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct http *http = arg;
	(void)fd;
	(void)what;
	if (http->listener != NULL)
		evconnlistener_enable(http->listener);
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct http *http = arg;
	(void)fd;
	(void)what;
	http_conns_sweep(&http->conns);
	http_docs_sweep(&http->docs);
}

/* End all connections, and the listener. */
static void
http_unserve(struct http *http)
{
	if (http->evhttp != NULL)
		evhttp_free(http->evhttp);
	http_conns_release(&http->conns);
	http->evhttp = NULL;
	http->listener = NULL;
	http->fd = -1;
}

static int
evhttp_configure(struct http *http)
{
	evconnlistener_set_error_cb(http->listener, on_accept_error);
	evhttp_set_gencb(http->evhttp, on_request, http);
	evhttp_set_max_headers_size(http->evhttp, HEAD_MAX);
	evhttp_set_max_body_size(http->evhttp, 0);
	evhttp_set_timeout(http->evhttp, TIMEOUT_SECONDS);
	/* All of them: they get 405, and not evhttp's 501. */
	evhttp_set_allowed_methods(http->evhttp, UINT16_MAX);
	return http_conns_init(
	    &http->conns, http->server->base, http->evhttp, http->listener);
}

/* Serve the listening socket FD, which is taken over. */
static int
http_serve(struct http *http, int fd)
{
	const unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC;
	struct event_base *base = http->server->base;
	http->evhttp = evhttp_new(base);
	struct evconnlistener *listener =
	    evconnlistener_new(base, NULL, NULL, flags, 0, fd);
	if (listener == NULL)
		close(fd);
	if (listener != NULL && http->evhttp != NULL &&
	    evhttp_bind_listener(http->evhttp, listener) != NULL) {
		http->listener = listener;
		http->fd = fd;
		if (evhttp_configure(http) == 0)
			return 0;
	} else if (listener != NULL) {
		evconnlistener_free(listener);
	}
	log_error("http: out of memory");
	http_unserve(http);
	return SHM_ENOMEM;
}

/* ---- Sockets ----------------------------------------------------------------
 */

/* As the socket control-ro: who may look may connect. */
static mode_t
socket_mode(const struct server *server)
{
	return server->policy.monitor_group == PEER_ANY_GROUP ? 0666 : 0660;
}

static gid_t
socket_group(const struct server *server)
{
	gid_t group = server->policy.monitor_group;
	return group == PEER_ANY_GROUP ? PEER_NO_GROUP : group;
}

/* The socket of the daemon before, whose configuration may have been another.
 */
static void
socket_keep(struct server *server, const struct http_address *address)
{
	if (http_address_access(
		address, socket_mode(server), socket_group(server)) != 0)
		log_error("cannot set the mode and group of %s: %s",
		    http_address_path(address), strerror(errno));
}

static int
socket_make(
    struct server *server, const struct http_address *address, int *ret_fd)
{
	if (server->policy.monitor_group != PEER_ANY_GROUP &&
	    http_address_path(address) == NULL)
		log_warn("http: every user of this machine can look there, "
			 "not only monitor_group's; use unix:/PATH");
	return http_address_listen(
	    address, socket_mode(server), socket_group(server), ret_fd);
}

/* Close the socket FD (-1: none), which is not the one that is configured, and
 * remove its file, unless that is ADDRESS's. */
static void
socket_discard(int fd, const struct http_address *address)
{
	struct http_address bound;
	const char *is = http_address_path(address), *was = NULL;
	if (fd < 0)
		return;
	if (http_address_of(fd, &bound) == 0)
		was = http_address_path(&bound);
	if (was != NULL && (is == NULL || strcmp(is, was) != 0))
		unlink(was);
	close(fd);
}

static void
address_log(int fd)
{
	struct http_address address;
	char text[HTTP_ADDRESS_LEN];
	if (http_address_of(fd, &address) != 0)
		return;
	http_address_format(&address, text);
	log_info("http: listening on %s", text);
}

/* config_check() has parsed it before. */
static int
configured_address(
    const struct config *config, struct http_address *ret_address)
{
	char reason[CONFIG_REASON_LEN];
	int error = http_address_parse(config_text(config, CONFIG_HTTP),
	    ret_address, reason, sizeof reason);
	if (error != 0)
		log_error("%s", reason);
	return error;
}

/* ---- Starting and stopping --------------------------------------------------
 */

static int
http_init(struct http *http, struct server *server)
{
	struct timeval second = { .tv_sec = 1 };
	http->server = server;
	http->fd = -1;
	TAILQ_INIT(&http->conns.list);
	LIST_INIT(&http->docs.list);
	http->docs.server = server;
	http->docs.on_made = on_made;
	http->docs.arg = http;
	http->sweep = event_new(server->base, -1, EV_PERSIST, on_sweep, http);
	http->resume = evtimer_new(server->base, on_resume, http);
	return http->sweep != NULL && http->resume != NULL &&
		event_add(http->sweep, &second) == 0
	    ? 0
	    : SHM_ENOMEM;
}

/* Serve FD, which is taken over, in place of what was. */
static int
http_begin(struct server *server, int fd)
{
	if (server->http == NULL) {
		server->http = calloc(1, sizeof *server->http);
		if (server->http == NULL ||
		    http_init(server->http, server) != 0) {
			log_error("http: out of memory");
			http_close(server);
			close(fd);
			return SHM_ENOMEM;
		}
	}
	http_unserve(server->http);
	int error = http_serve(server->http, fd);
	if (error == 0)
		address_log(fd);
	return error;
}

/* Listen anew at ADDRESS. */
static int
http_listen(struct server *server, const struct http_address *address)
{
	int fd;
	int error = socket_make(server, address, &fd);
	if (error != 0)
		return error;
	store_remove(&server->store, HTTP_KEPT);
	store_put(&server->store, HTTP_KEPT, &fd, 1);
	return http_begin(server, fd);
}

int
http_open(struct server *server, struct kept_list *kept)
{
	struct http_address address;
	bool is_going_on = kept->n > 0;
	int fd = kept_take(kept_get(kept, HTTP_KEPT), 0);
	int error = configured_address(&server->config, &address);
	if (error == 0 && http_address_is_bound(&address, fd)) {
		socket_keep(server, &address);
		return http_begin(server, fd);
	}
	socket_discard(fd, &address);
	store_remove(&server->store, HTTP_KEPT);
	if (error == 0 && address.len > 0)
		error = http_listen(server, &address);
	if (error == 0 || !is_going_on)
		return error;
	log_error("http: going on without it");
	return 0;
}

void
http_reload(struct server *server)
{
	struct http_address address;
	int before = http_fd(server);
	if (configured_address(&server->config, &address) != 0 ||
	    (address.len == 0 && before < 0) ||
	    http_address_is_bound(&address, before))
		return;
	/* It is closed with what serves it. */
	int copy = before >= 0 ? fcntl(before, F_DUPFD_CLOEXEC, 0) : -1;
	if (address.len == 0) {
		http_unserve(server->http);
		store_remove(&server->store, HTTP_KEPT);
		log_info("http: off");
	} else if (http_listen(server, &address) != 0) {
		log_error("http: stays as it was");
		if (copy >= 0)
			close(copy);
		return;
	}
	socket_discard(copy, &address);
}

int
http_fd(const struct server *server)
{
	return server->http != NULL ? server->http->fd : -1;
}

uint32_t
http_connections(const struct server *server)
{
	return server->http != NULL ? server->http->conns.n : 0;
}

void
http_stop(struct server *server, bool is_kept)
{
	struct http *http = server->http;
	struct http_address address;
	if (http == NULL || http->fd < 0)
		return;
	evconnlistener_disable(http->listener);
	if (!is_kept && http_address_of(http->fd, &address) == 0 &&
	    http_address_path(&address) != NULL)
		unlink(http_address_path(&address));
}

void
http_close(struct server *server)
{
	struct http *http = server->http;
	if (http == NULL)
		return;
	server->http = NULL;
	http_unserve(http);
	http_docs_release(&http->docs);
	if (http->sweep != NULL)
		event_free(http->sweep);
	if (http->resume != NULL)
		event_free(http->resume);
	free(http);
	http_files_release();
}
