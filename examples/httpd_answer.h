/*
 * The answers of a worker, and what of them lies in the segment.
 *
 * WHAT IS SENT IN PLACE, AND FOR HOW LONG.  The answer to a hit lies in the
 * segment; libevent is given a reference to it, and the thread stays inside
 * shmalloc_enter() until the kernel has taken the last byte.  While it is
 * inside, nothing that others retire can be freed, so:
 *
 *  - up to COPY_MAX bytes are copied at once: that is as cheap as the
 *    reference, and the pin is gone before the request is answered;
 *  - PIN_MS after the first of the references, whatever of them is not sent yet
 *    is copied to memory of this process, and the thread is outside.  A fast
 *    client has everything by then; a slow one costs a copy, and never holds
 *    the segment's memory, nor does a crowd of clients whose requests overlap;
 *  - the same is done before the worker waits for another process or reads a
 *    file, so it never holds memory that it is asking for;
 *  - copies may have SLOW_BYTES in all; beyond that slow clients are cut off.
 *
 * A file larger than the cache is to hold is sent by libevent straight from the
 * system's page cache, and never read into the segment: it would push out a
 * thousand small ones, to save one read that the system caches anyhow.
 */
#ifndef EXAMPLES_HTTPD_ANSWER_H
#define EXAMPLES_HTTPD_ANSWER_H

#include <sys/queue.h>

#include "examples/httpd.h"

struct evconnlistener;
struct event;
struct event_base;
struct evhttp_request;
struct pin;

/* A cached value: what goes with the file's bytes, then those. */
struct page {
	int64_t mtime_ns;
	uint64_t size;
	uint64_t root_id[2]; /* of the folder that it is of */
	unsigned char bytes[];
};

struct worker {
	const struct httpd *httpd;
	struct httpd_row *row;
	struct evconnlistener *listener;
	struct event *resume; /* takes connections again */
	struct event *settle; /* ends the pins; made by pins_init() */
	LIST_HEAD(, pin) pins;
	size_t slow_bytes; /* in all copies for slow clients */
};

/* A request that is being answered; each of the functions that send ends it. */
struct call {
	struct worker *worker;
	struct evhttp_request *request;
	const char *path; /* below the document root */
};

void worker_count(struct worker *worker, enum httpd_count which);

/* Set the pins of WORKER up.  False: no memory. */
bool pins_init(struct worker *worker, struct event_base *base);

/* Copy what is left of all answers in the segment: be outside. */
void pins_settle(struct worker *worker);

void header_add(struct call *call, const char *name, const char *value);

/* Send what is in the request's output buffer. */
void call_end(struct call *call, int status, const char *reason);

/* An answer with STATUS (4xx, 5xx) and its reason. */
void error_send(struct call *call, int status);

/* What VIEW shows in the segment, a struct page; VIEW is taken over. */
void view_send(struct call *call, struct shmalloc_cache_view *view);

/* PAGE, which is malloc()ed, and taken over. */
void page_send(struct call *call, struct page *page);

/* FILE, which isn't cached; its descriptor is taken over. */
void file_send(struct call *call, const struct httpd_file *file);

#endif
