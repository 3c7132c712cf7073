/*
 * A worker: takes requests, looks their answers up, computes what is missing.
 *
 * The loop waits for other processes, WAIT_MS at most: for whoever reads the
 * file that it would have to read itself.  If that one is stopped, the worker
 * reads the file, too, and answers past the cache.
 */
#include <err.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "examples/httpd_answer.h"

#define WAIT_MS         200
#define HEAD_MAX        8192 /* bytes of a request */
#define TIMEOUT_SECONDS 10   /* without a byte from the client, or to it */
#define RESUME_MS       100  /* after accept() failed */
#define READ_TRIES      3    /* of a file that changes meanwhile */
#define FIND_TRIES      2    /* while another folder's server stores, too */

/* ---- Misses ---------------------------------------------------------- */

/* Read FILE whole, as it was at one time; NULL: it goes on changing, or there
 * is no memory. */
static struct page *
page_read(const struct httpd *httpd, const struct httpd_file *file)
{
	struct page *page = malloc(sizeof(*page) + file->size);

	if (page == NULL)
		return NULL;
	page->mtime_ns = file->mtime_ns;
	page->size = file->size;
	memcpy(page->root_id, httpd->root_id, sizeof(page->root_id));
	if (httpd_file_read(file, page->bytes))
		return page;
	free(page);
	return NULL;
}

/*
 * Read the file.  0: either *RET_PAGE, which the caller frees; or it is larger
 * than the cache shall have, then *RET_PAGE is NULL, and *RET_FILE is open.
 * Else an HTTP status.
 */
static int
path_read(
    struct call *call, struct page **ret_page, struct httpd_file *ret_file)
{
	const struct httpd *httpd = call->worker->httpd;
	int status = 503;

	*ret_page = NULL;
	for (int i = 0; i < READ_TRIES; i++) {
		status = httpd_file_open(httpd->root, call->path, ret_file);
		if (status != 0)
			return status;
		if (ret_file->size > httpd->options->largest * 1024)
			return 0;
		*ret_page = page_read(httpd, ret_file);
		close(ret_file->fd);
		worker_count(call->worker, HTTPD_reads);
		if (*ret_page != NULL)
			return 0;
	}
	return 503;
}

/* Give the lease back: with PAGE, or, if that is NULL or can't be stored,
 * without. */
static void
lease_end(struct call *call, struct shmalloc_bytes key,
    const struct shmalloc_cache_lease *lease, const struct page *page)
{
	const struct httpd *httpd = call->worker->httpd;
	struct shmalloc_cache_terms terms = {
		.ttl_ms = (uint32_t)httpd->options->ttl_ms,
	};
	struct shmalloc_bytes value = { page, 0 };
	int error = SHMALLOC_ENOMEM;

	if (page != NULL) {
		value.len = sizeof(*page) + page->size;
		error = shmalloc_cache_fill(
		    httpd->cache, key, lease, value, &terms);
	}
	/* ELEASE: the entry was evicted or stored meanwhile; as good. */
	if (error != 0 && error != SHMALLOC_CACHE_ELEASE)
		(void)shmalloc_cache_waive(httpd->cache, key, lease);
}

/* Answer from the file; with a LEASE the others get it, too. */
static void
path_load(struct call *call, struct shmalloc_bytes key,
    const struct shmalloc_cache_lease *lease)
{
	struct httpd_file file;
	struct page *page;
	int status = path_read(call, &page, &file);

	if (lease != NULL)
		lease_end(call, key, lease, page);
	if (status != 0) {
		error_send(call, status);
	} else if (page == NULL) {
		file_send(call, &file);
	} else {
		if (lease == NULL)
			worker_count(call->worker, HTTPD_uncached);
		page_send(call, page);
	}
}

/* As shmalloc_cache_take(), with nothing pinned while it waits long. */
static int
path_take(struct call *call, struct shmalloc_bytes key,
    struct shmalloc_cache_view *ret_view,
    struct shmalloc_cache_lease *ret_lease)
{
	struct worker *worker = call->worker;
	struct shmalloc_cache_patience patience = { .wait_ms = 1 };
	int result = shmalloc_cache_take(
	    worker->httpd->cache, key, &patience, ret_view, ret_lease);

	if (result != 0)
		pins_settle(worker);
	if (result != SHMALLOC_ETIMEDOUT)
		return result;
	patience.wait_ms = WAIT_MS;
	return shmalloc_cache_take(
	    worker->httpd->cache, key, &patience, ret_view, ret_lease);
}

/* Is VIEW a page of this server's folder?  The cache is all servers', and
 * whoever writes to the segment may write there. */
static bool
page_is_ours(const struct httpd *httpd, const struct shmalloc_cache_view *view)
{
	const struct page *page = view->value;

	return view->len >= sizeof(*page) &&
	    memcmp(page->root_id, httpd->root_id, sizeof(page->root_id)) == 0;
}

/* As path_take(); what isn't this server's makes room for what is. */
static int
path_find(struct call *call, struct shmalloc_bytes key,
    struct shmalloc_cache_view *ret_view,
    struct shmalloc_cache_lease *ret_lease)
{
	const struct httpd *httpd = call->worker->httpd;
	uint64_t version;

	for (int i = 0; i < FIND_TRIES; i++) {
		int result = path_take(call, key, ret_view, ret_lease);

		if (result != 0 || page_is_ours(httpd, ret_view))
			return result;
		version = ret_view->version;
		shmalloc_cache_release(httpd->cache, ret_view);
		/* If it changed or went meanwhile, as good. */
		(void)shmalloc_cache_delete_version(httpd->cache, key, version);
	}
	return SHMALLOC_CACHE_EMISS;
}

static void
path_serve(struct call *call)
{
	struct shmalloc_bytes key = { call->path, strlen(call->path) };
	struct shmalloc_cache_lease lease;
	struct shmalloc_cache_view view;
	int result = path_find(call, key, &view, &lease);

	if (result == 0)
		view_send(call, &view);
	else
		path_load(call, key, result == 1 ? &lease : NULL);
}

/* ---- Requests -------------------------------------------------------- */

static void
stats_serve(struct call *call)
{
	const struct httpd *httpd = call->worker->httpd;
	struct evbuffer *out = evhttp_request_get_output_buffer(call->request);

	header_add(call, "Content-Type", "text/plain; charset=utf-8");
	header_add(call, "Cache-Control", "no-store");
	if (httpd_board_print(
		httpd->board, (unsigned)httpd->options->workers, out) != 0)
		error_send(call, 500);
	else
		call_end(call, 200, "OK");
}

/* The request's path, decoded, without its first slashes; the caller frees
 * *RET_BUFFER.  NULL: it makes no sense. */
static const char *
path_of(struct evhttp_request *request, char **ret_buffer)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
	size_t len = 0;

	*ret_buffer = path != NULL ? evhttp_uridecode(path, 0, &len) : NULL;
	if (*ret_buffer == NULL || strlen(*ret_buffer) != len ||
	    **ret_buffer != '/')
		return NULL;
	path = *ret_buffer + strspn(*ret_buffer, "/");
	return *path != '\0' ? path : ".";
}

static void
on_request(struct evhttp_request *request, void *arg)
{
	struct call call = { .worker = arg, .request = request };
	enum evhttp_cmd_type command = evhttp_request_get_command(request);
	char *buffer;

	call.path = path_of(request, &buffer);
	if (command != EVHTTP_REQ_GET && command != EVHTTP_REQ_HEAD) {
		header_add(&call, "Allow", "GET, HEAD");
		error_send(&call, 405);
	} else if (call.path == NULL) {
		error_send(&call, 400);
	} else if (strcmp(call.path, "stats") == 0) {
		stats_serve(&call);
	} else {
		path_serve(&call);
	}
	free(buffer);
}

/* ---- The loop -------------------------------------------------------- */

/* Most likely there is no descriptor left: others will end. */
static void
on_accept_error(struct evconnlistener *listener, void *arg)
{
	const struct timeval later = { 0, RESUME_MS * 1000 };
	struct worker *worker = arg;

	warn("accept");
	evconnlistener_disable(listener);
	evtimer_add(worker->resume, &later);
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;

	(void)fd;
	(void)what;
	evconnlistener_enable(worker->listener);
}

static void
on_stop(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	event_base_loopexit(arg, NULL);
}

static struct evhttp *
http_make(struct event_base *base, struct worker *worker, int fd)
{
	struct evhttp *http = evhttp_new(base);

	worker->listener = evconnlistener_new(
	    base, NULL, worker, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (http == NULL || worker->listener == NULL ||
	    evhttp_bind_listener(http, worker->listener) == NULL)
		return NULL;
	evconnlistener_set_error_cb(worker->listener, on_accept_error);
	evhttp_set_max_headers_size(http, HEAD_MAX);
	evhttp_set_max_body_size(http, 0);
	evhttp_set_timeout(http, TIMEOUT_SECONDS);
	/* All of them: they get 405, and not evhttp's 501. */
	evhttp_set_allowed_methods(http, UINT16_MAX);
	evhttp_set_gencb(http, on_request, worker);
	return http;
}

static bool
signal_add(struct event_base *base, int number)
{
	struct event *event = evsignal_new(base, number, on_stop, base);

	return event != NULL && evsignal_add(event, NULL) == 0;
}

int
httpd_work(const struct httpd *httpd, unsigned number)
{
	static struct worker worker;
	struct event_base *base = event_base_new();
	struct evhttp *http;
	sigset_t signals;

	worker.httpd = httpd;
	worker.row = &httpd->board->row[number];
	if (base == NULL)
		return 1;
	worker.resume = evtimer_new(base, on_resume, &worker);
	http = http_make(base, &worker, httpd->listener[number]);
	if (!pins_init(&worker, base) || worker.resume == NULL ||
	    http == NULL || !signal_add(base, SIGTERM) ||
	    !signal_add(base, SIGINT) || signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
		warnx("a worker could not be set up");
		return 1;
	}
	sigemptyset(&signals);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	event_base_dispatch(base);
	/* Outside, and with nothing in hand; the system closes the rest. */
	pins_settle(&worker);
	return 0;
}
