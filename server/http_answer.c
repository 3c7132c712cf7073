#include "server/http_answer.h"

#include <stdio.h>

#include <event2/keyvalq_struct.h>

#include "server/log.h"

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" },
	{ 400, "Bad Request" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 421, "Misdirected Request" },
	{ 503, "Service Unavailable" },
	{ 500, "Internal Server Error" },
};

static const char *
reason_of(int status)
{
	size_t i = 0;
	while (i < sizeof reasons / sizeof *reasons - 1 &&
	    reasons[i].status != status)
		i++;
	return reasons[i].reason;
}

/* A page of another origin can neither read what is here nor show it, and what
 * is here loads nothing from elsewhere. */
static const char *const headers[][2] = {
	{ "Content-Security-Policy",
	    "default-src 'none'; script-src 'self'; style-src 'self'; "
	    "img-src 'self'; connect-src 'self'; base-uri 'none'; "
	    "form-action 'none'; frame-ancestors 'none'" },
	{ "X-Content-Type-Options", "nosniff" },
	{ "Referrer-Policy", "no-referrer" },
	{ "Cross-Origin-Resource-Policy", "same-origin" },
	{ "Cache-Control", "no-store" },
	{ "Vary", "Accept-Encoding" },
	{ "Connection", "close" },
};

/* Answer REQUEST, which evhttp then frees, with the N bytes of BYTES, which
 * stay the caller's; HEAD gets all but them. */
static void
bytes_send(struct evhttp_request *request, int status, const char *type,
    struct evbuffer *bytes)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(request);
	struct evbuffer *body = evhttp_request_get_output_buffer(request);
	size_t len = bytes != NULL ? evbuffer_get_length(bytes) : 0;
	char text[32];
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
		evhttp_add_header(out, headers[i][0], headers[i][1]);
	snprintf(text, sizeof text, "%zu", len);
	evhttp_add_header(out, "Content-Length", text);
	evhttp_add_header(out, "Content-Type", type);
	if (len > 0 && evhttp_request_get_command(request) != EVHTTP_REQ_HEAD &&
	    evbuffer_add_buffer_reference(body, bytes) != 0)
		log_error("http: out of memory");
	evhttp_send_reply(request, status, reason_of(status), NULL);
}

void
http_text_send(struct evhttp_request *request, int status, const char *text)
{
	struct evbuffer *bytes = evbuffer_new();
	if (bytes != NULL)
		(void)evbuffer_add_printf(bytes, "%s\n", text);
	bytes_send(request, status, "text/plain; charset=utf-8", bytes);
	if (bytes != NULL)
		evbuffer_free(bytes);
}

void
http_body_send(struct evhttp_request *request, int status, const char *type,
    struct http_body *body)
{
	struct evkeyvalq *in = evhttp_request_get_input_headers(request);
	struct evkeyvalq *out = evhttp_request_get_output_headers(request);
	bool is_packed;
	struct evbuffer *bytes = http_body_bytes(body,
	    http_body_accepts_gzip(evhttp_find_header(in, "Accept-Encoding")),
	    &is_packed);
	if (is_packed)
		evhttp_add_header(out, "Content-Encoding", "gzip");
	bytes_send(request, status, type, bytes);
}
