/*
 * The documents of the daemon's HTTP: what operators can ask on the socket
 * control-ro, as JSON or as metrics.
 *
 * One is made at most once a second for each segment, whoever asks for it and
 * how often.  What walks the segment is a job (server/job.h), and so is making
 * JSON of thousands of clients; those who ask wait for that.
 */
#ifndef SERVER_HTTP_DOC_H
#define SERVER_HTTP_DOC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/http_body.h"
#include "shm/layout.h"

struct http_doc_kind;
struct server;

struct http_doc {
	LIST_ENTRY(http_doc) link;
	struct http_docs *docs;
	const struct http_doc_kind *kind;
	char segment[SHM_NAME_LEN]; /* "": of none in particular */
	bool is_making;
	uint64_t made_ms;
	int status;       /* of HTTP: 200, or an error, which the body says */
	const char *type; /* of the body */
	struct http_body body;
};

struct http_docs {
	struct server *server;
	LIST_HEAD(http_doc_list, http_doc) list;
	/* DOC, for which somebody waited, is made. */
	void (*on_made)(struct http_doc *doc, void *arg);
	void *arg;
};

/* What is at PATH, or NULL. */
const struct http_doc_kind *http_doc_find(const char *path);

/* Whether there is one for each segment. */
bool http_doc_has_segment(const struct http_doc_kind *kind);

/*
 * The document KIND of SEGMENT, no older than a second.  While it `is_making`
 * there is nothing in it, and it cannot go.  NULL: out of memory.
 */
struct http_doc *http_doc_get(struct http_docs *docs,
    const struct http_doc_kind *kind, const char *segment);

/* Forget what nobody has asked for lately. */
void http_docs_sweep(struct http_docs *docs);

/* Forget all; none `is_making`. */
void http_docs_release(struct http_docs *docs);

#endif
