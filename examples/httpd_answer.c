#include "examples/httpd_answer.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COPY_MAX   4096
#define PIN_MS     20
#define SLOW_BYTES ((size_t)64 << 20)
#define WRITE_MAX  ((size_t)1 << 20) /* bytes for one system call */

/* An answer that libevent refers to in the segment. */
struct pin {
	LIST_ENTRY(pin) link;
	struct worker *worker;
	struct bufferevent *bev; /* to whom; outlives the pin */
	struct shmalloc_cache_view view;
};

/* The rest of an answer to a slow client, in this process's memory. */
struct rest {
	struct worker *worker;
	size_t len;
	unsigned char bytes[];
};

void
worker_count(struct worker *worker, enum httpd_count which)
{
	atomic_fetch_add_explicit(
	    &worker->row->count[which], 1, memory_order_relaxed);
}

/* ---- Pins ------------------------------------------------------------ */

/* libevent doesn't need the bytes any more: sent, copied, or nobody's. */
static void
on_pin_done(const void *bytes, size_t len, void *arg)
{
	struct pin *pin = arg;

	(void)bytes;
	(void)len;
	LIST_REMOVE(pin, link);
	shmalloc_cache_release(pin->worker->httpd->cache, &pin->view);
	free(pin);
}

static void
on_rest_done(const void *bytes, size_t len, void *arg)
{
	struct rest *rest = arg;

	(void)bytes;
	(void)len;
	rest->worker->slow_bytes -= rest->len;
	free(rest);
}

static struct rest *
rest_make(struct worker *worker, size_t len)
{
	struct rest *rest = NULL;

	if (len <= SLOW_BYTES - worker->slow_bytes)
		rest = malloc(sizeof(*rest) + len);
	if (rest == NULL)
		return NULL;
	*rest = (struct rest){ .worker = worker, .len = len };
	worker->slow_bytes += len;
	return rest;
}

/* Replace what waits to be sent to BEV by a copy; without memory for that the
 * connection ends.  No pin of BEV is left. */
static void
bev_settle(struct worker *worker, struct bufferevent *bev)
{
	struct evbuffer *out = bufferevent_get_output(bev);
	size_t len = evbuffer_get_length(out);
	struct rest *rest = rest_make(worker, len);

	/* A bufferevent lets nobody else take from its output. */
	evbuffer_unfreeze(out, 1);
	if (rest != NULL)
		(void)evbuffer_remove(out, rest->bytes, len);
	else
		evbuffer_drain(out, len);
	if (rest != NULL &&
	    evbuffer_add_reference(out, rest->bytes, len, on_rest_done, rest) !=
		0) {
		on_rest_done(rest->bytes, len, rest);
		rest = NULL;
	}
	evbuffer_freeze(out, 1);
	if (rest == NULL)
		shutdown(bufferevent_getfd(bev), SHUT_RDWR);
	worker_count(worker, HTTPD_copied);
}

void
pins_settle(struct worker *worker)
{
	struct pin *pin;

	while ((pin = LIST_FIRST(&worker->pins)) != NULL)
		bev_settle(worker, pin->bev);
	evtimer_del(worker->settle);
}

static void
on_settle(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pins_settle(arg);
}

/* Let OUT refer to the LEN bytes at BYTES, which VIEW holds.  False: VIEW is
 * still the caller's. */
static bool
pin_add(struct call *call, struct evbuffer *out, const void *bytes, size_t len,
    const struct shmalloc_cache_view *view)
{
	const struct timeval soon = { 0, PIN_MS * 1000 };
	struct worker *worker = call->worker;
	struct bufferevent *bev = evhttp_connection_get_bufferevent(
	    evhttp_request_get_connection(call->request));
	struct pin *pin = malloc(sizeof(*pin));

	if (pin == NULL)
		return false;
	*pin = (struct pin){ .worker = worker, .bev = bev, .view = *view };
	(void)bufferevent_set_max_single_write(bev, WRITE_MAX);
	/* Without a timer the pin could last for ever. */
	if ((LIST_EMPTY(&worker->pins) &&
		evtimer_add(worker->settle, &soon) != 0) ||
	    evbuffer_add_reference(out, bytes, len, on_pin_done, pin) != 0) {
		free(pin);
		return false;
	}
	LIST_INSERT_HEAD(&worker->pins, pin, link);
	return true;
}

bool
pins_init(struct worker *worker, struct event_base *base)
{
	LIST_INIT(&worker->pins);
	worker->settle = evtimer_new(base, on_settle, worker);
	return worker->settle != NULL;
}

/* ---- Answers --------------------------------------------------------- */

void
header_add(struct call *call, const char *name, const char *value)
{
	evhttp_add_header(
	    evhttp_request_get_output_headers(call->request), name, value);
}

static bool
is_head(const struct call *call)
{
	return evhttp_request_get_command(call->request) == EVHTTP_REQ_HEAD;
}

void
call_end(struct call *call, int status, const char *reason)
{
	char pid[24];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	header_add(call, "X-Worker", pid);
	worker_count(call->worker, HTTPD_answers);
	evhttp_send_reply(call->request, status, reason, NULL);
}

void
error_send(struct call *call, int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{ 400, "Bad Request" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 503, "Service Unavailable" },
		{ 500, "Internal Server Error" },
	};
	size_t i = 0;

	while (i < sizeof(reasons) / sizeof(reasons[0]) - 1 &&
	    reasons[i].status != status)
		i++;
	header_add(call, "Content-Type", "text/plain; charset=utf-8");
	if (!is_head(call))
		evbuffer_add_printf(
		    evhttp_request_get_output_buffer(call->request), "%s\n",
		    reasons[i].reason);
	worker_count(call->worker, HTTPD_refused);
	call_end(call, status, reasons[i].reason);
}

/* Is TAG among what the client has? */
static bool
is_known(const struct call *call, const char *tag)
{
	const char *tags = evhttp_find_header(
	    evhttp_request_get_input_headers(call->request), "If-None-Match");

	return tags != NULL &&
	    (strcmp(tags, "*") == 0 || strstr(tags, tag) != NULL);
}

/* The headers of a file of that time and SIZE.  False: that is the answer, for
 * the client has the file, or doesn't want its bytes. */
static bool
head_make(struct call *call, int64_t mtime_ns, uint64_t size)
{
	char tag[48], len[24];

	snprintf(tag, sizeof(tag), "\"%" PRIx64 "-%" PRIx64 "\"",
	    (uint64_t)mtime_ns, size);
	header_add(call, "ETag", tag);
	if (is_known(call, tag)) {
		call_end(call, 304, "Not Modified");
		return false;
	}
	snprintf(len, sizeof(len), "%" PRIu64, size);
	header_add(call, "Content-Length", len);
	header_add(call, "Content-Type", httpd_file_type(call->path));
	header_add(call, "X-Content-Type-Options", "nosniff");
	if (is_head(call))
		call_end(call, 200, "OK");
	return !is_head(call);
}

void
view_send(struct call *call, struct shmalloc_cache_view *view)
{
	struct evbuffer *out = evhttp_request_get_output_buffer(call->request);
	struct shmalloc_cache *cache = call->worker->httpd->cache;
	const struct page *page = view->value;
	size_t len = view->len - sizeof(*page);

	worker_count(call->worker, HTTPD_hits);
	if (!head_make(call, page->mtime_ns, len)) {
		shmalloc_cache_release(cache, view);
		return;
	}
	if (len > COPY_MAX && pin_add(call, out, page->bytes, len, view)) {
		worker_count(call->worker, HTTPD_in_place);
		call_end(call, 200, "OK");
		return;
	}
	if (evbuffer_add(out, page->bytes, len) == 0)
		call_end(call, 200, "OK");
	else
		evhttp_send_error(call->request, 503, NULL);
	shmalloc_cache_release(cache, view);
}

static void
on_page_done(const void *bytes, size_t len, void *arg)
{
	(void)bytes;
	(void)len;
	free(arg);
}

void
page_send(struct call *call, struct page *page)
{
	struct evbuffer *out = evhttp_request_get_output_buffer(call->request);

	if (!head_make(call, page->mtime_ns, page->size)) {
		free(page);
	} else if (evbuffer_add_reference(
		       out, page->bytes, page->size, on_page_done, page) == 0) {
		call_end(call, 200, "OK");
	} else {
		free(page);
		evhttp_send_error(call->request, 503, NULL);
	}
}

void
file_send(struct call *call, const struct httpd_file *file)
{
	struct evbuffer *out = evhttp_request_get_output_buffer(call->request);

	worker_count(call->worker, HTTPD_uncached);
	if (!head_make(call, file->mtime_ns, file->size)) {
		close(file->fd);
	} else if (evbuffer_add_file(out, file->fd, 0, (ev_off_t)file->size) ==
	    0) {
		call_end(call, 200, "OK");
	} else {
		close(file->fd);
		evhttp_send_error(call->request, 503, NULL);
	}
}
