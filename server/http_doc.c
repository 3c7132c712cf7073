#include "server/http_doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/prometheus.h"
#include "server/control.h"
#include "server/job.h"
#include "server/json.h"
#include "server/log.h"
#include "server/server.h"

/* For how long a document is as good as new, and kept at all. */
#define FRESH_MS       1000
#define KEEP_MS        10000
/* Events in a document: the last so many. */
#define EVENTS_MOST    100
/* Packed bytes of an answer, and segments of metrics, that are encoded at once;
 * more are a job. */
#define LARGE_LEN      65536u
#define LARGE_SEGMENTS 4u
/* Of zlib: it is the event loop that packs. */
#define LEVEL          1

#define TYPE_JSON   "application/json"
#define TYPE_TEXT   "text/plain; charset=utf-8"
#define TYPE_BINARY "application/octet-stream"

struct http_doc_kind {
	const char *path;
	Proto__Request__BodyCase body; /* NOT_SET: metrics */
	const char *key;               /* of the answer; NULL: all of it */
	bool has_segment;
};

static const struct http_doc_kind kinds[] = {
	{ "/stats.json", PROTO__REQUEST__BODY_STATS, NULL, true },
	{ "/clients.json", PROTO__REQUEST__BODY_CLIENTS, "clients", true },
	{ "/locks.json", PROTO__REQUEST__BODY_LOCKS, NULL, true },
	{ "/latency.json", PROTO__REQUEST__BODY_LATENCY, NULL, true },
	{ "/map.json", PROTO__REQUEST__BODY_MAP, NULL, true },
	{ "/events.json", PROTO__REQUEST__BODY_EVENTS, NULL, false },
	{ "/segments.json", PROTO__REQUEST__BODY_SEGMENT_LIST, "segments",
	    false },
	{ "/debug/pprof/heap", PROTO__REQUEST__BODY_PROFILE, NULL, true },
	{ "/metrics", PROTO__REQUEST__BODY__NOT_SET, NULL, false },
};

const struct http_doc_kind *
http_doc_find(const char *path)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(kinds[i].path, path) == 0)
			return &kinds[i];
	return NULL;
}

bool
http_doc_has_segment(const struct http_doc_kind *kind)
{
	return kind->has_segment;
}

/* ---- Encoding ---------------------------------------------------------------
 */

/* What a document is made of, and becomes; of the call's pool. */
struct encoding {
	const struct http_doc_kind *kind;
	const ProtobufCMessage *root; /* of JSON */
	Proto__Stats **stats;         /* of metrics */
	size_t n_stats;
	struct http_body body;
};

/* Whether this takes so long that it is a job: 3000 clients took half a second.
 */
static bool
is_large(const struct encoding *encoding)
{
	return encoding->root != NULL
	    ? protobuf_c_message_get_packed_size(encoding->root) > LARGE_LEN
	    : encoding->n_stats > LARGE_SEGMENTS;
}

/* As proto_prometheus_write() does; NULL: out of memory. */
static char *
metrics_text(const struct encoding *encoding, size_t *ret_len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_len);
	int error = out != NULL
	    ? proto_prometheus_write(out, encoding->n_stats, encoding->stats)
	    : PROTO_ESYSTEM;
	if (out != NULL && fclose(out) != 0)
		error = PROTO_ESYSTEM;
	if (error == 0)
		return text;
	free(text);
	return NULL;
}

/* In the worker's thread if it is a job; without memory there is no body. */
static int
encode_work(struct call *call)
{
	struct encoding *encoding = call->work;
	size_t len = 0;
	char *text = encoding->root != NULL
	    ? json_text(encoding->root, encoding->kind->key, &len)
	    : metrics_text(encoding, &len);
	if (text != NULL &&
	    http_body_take(&encoding->body, text, len, LEVEL) == 0 &&
	    is_large(encoding))
		http_body_pack(&encoding->body);
	return 0;
}

static int
encode_run(struct call *call)
{
	(void)call;
	return 0;
}

/* ---- Making one ------------------------------------------------------------
 */

static int
status_of(int error)
{
	switch (error) {
	case SHM_ENOSEGMENT:
		return 404;
	case SHM_EBUSY:
		return 503;
	default:
		return 500;
	}
}

/* DOC has BODY now, which it takes over, or none: out of memory. */
static void
doc_fill(struct http_doc *doc, int status, const char *type,
    const struct http_body *body)
{
	if (body->plain == NULL)
		log_error("http: out of memory for %s", doc->kind->path);
	http_body_release(&doc->body);
	doc->body = *body;
	doc->is_making = false;
	doc->made_ms = server_now_ms();
	doc->status = body->plain != NULL ? status : 500;
	doc->type = type;
	doc->docs->on_made(doc, doc->docs->arg);
}

static void
error_fill(struct http_doc *doc, const Proto__Reply *reply)
{
	struct http_body body = { 0 };
	char *text;
	int len = asprintf(&text, "%s\n",
	    reply->message != NULL ? reply->message : "it failed");
	/* Without memory the body stays empty, which is told. */
	if (len >= 0)
		(void)!http_body_take(&body, text, (size_t)len, LEVEL);
	doc_fill(doc, status_of(reply->error), TYPE_TEXT, &body);
}

static bool
on_encoded(struct call *call)
{
	struct http_doc *doc = call->asker;
	struct encoding *encoding = call->work;
	/* A job that was dropped has not been done. */
	if (call->reply->error != 0) {
		http_body_release(&encoding->body);
		error_fill(doc, call->reply);
		return false;
	}
	doc_fill(doc, 200,
	    encoding->root != NULL ? TYPE_JSON : PROTO_PROMETHEUS_TYPE,
	    &encoding->body);
	return false;
}

/* Encode CALL's answer, now or as a job: then true, and CALL is that's. */
static bool
encode(struct call *call, struct encoding *encoding)
{
	encoding->kind = ((struct http_doc *)call->asker)->kind;
	call->work = encoding;
	call->request = NULL;
	call->done = on_encoded;
	if (is_large(encoding) && job_start(call, encode_work, encode_run))
		return true;
	(void)encode_work(call);
	return on_encoded(call);
}

/* The heap profile is a file that was made already. */
static bool
profile_fill(struct http_doc *doc, const ProtobufCBinaryData *from)
{
	struct http_body body = { 0 };
	char *data = malloc(from->len + 1);
	/* Without memory the body stays empty, which is told. */
	if (data != NULL) {
		memcpy(data, from->data, from->len);
		(void)!http_body_take(&body, data, from->len, LEVEL);
	}
	doc_fill(doc, 200, TYPE_BINARY, &body);
	return false;
}

static bool
on_answer(struct call *call)
{
	struct encoding *encoding;
	if (call->reply->error != 0) {
		error_fill(call->asker, call->reply);
		return false;
	}
	if (call->reply->body_case == PROTO__REPLY__BODY_PROFILE)
		return profile_fill(call->asker, &call->reply->profile->pprof);
	encoding = pool_alloc(call->pool, sizeof *encoding);
	/* All members of the union are pointers to messages. */
	encoding->root =
	    (const ProtobufCMessage *)(const void *)call->reply->done;
	return encode(call, encoding);
}

/* The quick statistics of SEGMENT, in memory of POOL; NULL: it has none now. */
static Proto__Stats *
segment_stats(struct server *server, struct segment *segment, struct pool *pool)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__StatsRequest stats = PROTO__STATS_REQUEST__INIT;
	Proto__Reply reply = PROTO__REPLY__INIT;
	struct call call = { .server = server,
		.segment = segment,
		.request = &request,
		.reply = &reply,
		.pool = pool,
		.fd = -1 };
	request.stats = &stats;
	return verb_stats(&call) == 0 ? reply.stats : NULL;
}

/* All segments', for Prometheus. */
static void
metrics_make(struct http_doc *doc)
{
	struct server *server = doc->docs->server;
	struct segment *segment;
	struct pool pool = { 0 };
	Proto__Reply reply = PROTO__REPLY__INIT;
	struct call call = { .server = server,
		.reply = &reply,
		.pool = &pool,
		.fd = -1,
		.asker = doc };
	struct encoding *encoding = pool_alloc(&pool, sizeof *encoding);
	encoding->stats = pool_array(
	    &pool, segment_count(server) + 1, sizeof(*encoding->stats));
	TAILQ_FOREACH(segment, &server->segments, link)
	{
		Proto__Stats *stats = segment_stats(server, segment, &pool);
		if (stats != NULL)
			encoding->stats[encoding->n_stats++] = stats;
	}
	doc->is_making = true;
	if (!encode(&call, encoding))
		pool_release(&pool);
}

/* Requests without anything in them: each answer has all that there is. */
static void
doc_make(struct http_doc *doc)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__StatsRequest stats = PROTO__STATS_REQUEST__INIT;
	Proto__ClientsRequest clients = PROTO__CLIENTS_REQUEST__INIT;
	Proto__LocksRequest locks = PROTO__LOCKS_REQUEST__INIT;
	Proto__EventsRequest events = PROTO__EVENTS_REQUEST__INIT;
	Proto__LatencyRequest latency = PROTO__LATENCY_REQUEST__INIT;
	Proto__MapRequest map = PROTO__MAP_REQUEST__INIT;
	Proto__ProfileRequest profile = PROTO__PROFILE_REQUEST__INIT;
	Proto__SegmentListRequest list = PROTO__SEGMENT_LIST_REQUEST__INIT;
	CALL_PUT(&request, protocol, PROTO_VERSION);
	request.segment = doc->segment;
	request.body_case = doc->kind->body;
	switch (request.body_case) {
	case PROTO__REQUEST__BODY_STATS:
		request.stats = &stats;
		break;
	case PROTO__REQUEST__BODY_CLIENTS:
		request.clients = &clients;
		break;
	case PROTO__REQUEST__BODY_LOCKS:
		request.locks = &locks;
		break;
	case PROTO__REQUEST__BODY_EVENTS:
		CALL_PUT(&events, most, EVENTS_MOST);
		request.events = &events;
		break;
	case PROTO__REQUEST__BODY_LATENCY:
		request.latency = &latency;
		break;
	case PROTO__REQUEST__BODY_MAP:
		request.map = &map;
		break;
	case PROTO__REQUEST__BODY_PROFILE:
		request.profile = &profile;
		break;
	default:
		request.segment_list = &list;
		break;
	}
	doc->is_making = true;
	control_ask(doc->docs->server, &request, on_answer, doc);
}

/* ---- Having them -----------------------------------------------------------
 */

static struct http_doc *
doc_new(struct http_docs *docs, const struct http_doc_kind *kind,
    const char *segment)
{
	struct http_doc *doc = calloc(1, sizeof *doc);
	if (doc == NULL)
		return NULL;
	doc->docs = docs;
	doc->kind = kind;
	strncpy(doc->segment, segment, sizeof doc->segment - 1);
	LIST_INSERT_HEAD(&docs->list, doc, link);
	return doc;
}

struct http_doc *
http_doc_get(struct http_docs *docs, const struct http_doc_kind *kind,
    const char *segment)
{
	struct http_doc *doc;
	LIST_FOREACH(doc, &docs->list, link)
	if (doc->kind == kind && strcmp(doc->segment, segment) == 0)
		break;
	if (doc == NULL)
		doc = doc_new(docs, kind, segment);
	if (doc == NULL || doc->is_making ||
	    (doc->made_ms != 0 && server_now_ms() - doc->made_ms < FRESH_MS))
		return doc;
	if (kind->body == PROTO__REQUEST__BODY__NOT_SET)
		metrics_make(doc);
	else
		doc_make(doc);
	return doc;
}

static void
doc_free(struct http_doc *doc)
{
	LIST_REMOVE(doc, link);
	http_body_release(&doc->body);
	free(doc);
}

void
http_docs_sweep(struct http_docs *docs)
{
	uint64_t now = server_now_ms();
	struct http_doc *doc, *next;
	for (doc = LIST_FIRST(&docs->list); doc != NULL; doc = next) {
		next = LIST_NEXT(doc, link);
		if (!doc->is_making && now - doc->made_ms >= KEEP_MS)
			doc_free(doc);
	}
}

void
http_docs_release(struct http_docs *docs)
{
	while (!LIST_EMPTY(&docs->list))
		doc_free(LIST_FIRST(&docs->list));
}
