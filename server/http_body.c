#include "server/http_body.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

/* Of deflateInit2(): the largest window, with gzip's head and tail. */
#define GZIP_WINDOW (15 + 16)
#define GZIP_MEMORY 8

static void
data_free(const void *data, size_t len, void *extra)
{
	(void)data;
	(void)len;
	free(extra);
}

/* EXTRA is freed with the last of the bytes. */
static int
body_make(struct http_body *body, const void *data, size_t len, void *extra,
    int level)
{
	*body = (struct http_body){ .plain = evbuffer_new(), .level = level };
	if (body->plain != NULL &&
	    evbuffer_add_reference(body->plain, data, len, data_free, extra) ==
		0)
		return 0;
	free(extra);
	http_body_release(body);
	return SHM_ENOMEM;
}

int
http_body_static(
    struct http_body *body, const void *data, size_t len, int level)
{
	return body_make(body, data, len, NULL, level);
}

int
http_body_take(struct http_body *body, char *data, size_t len, int level)
{
	return body_make(body, data, len, data, level);
}

void
http_body_release(struct http_body *body)
{
	if (body->plain != NULL)
		evbuffer_free(body->plain);
	if (body->packed != NULL)
		evbuffer_free(body->packed);
	*body = (struct http_body){ 0 };
}

/* ---- Packing --------------------------------------------------------------
 */

/* DATA packed into TO, which has ROOM bytes; how many there are, or 0. */
static size_t
data_pack(
    const void *data, size_t len, unsigned char *to, size_t room, int level)
{
	z_stream stream = { .next_in = (z_const Bytef *)(uintptr_t)data,
		.avail_in = (uInt)len,
		.next_out = to,
		.avail_out = (uInt)room };
	if (deflateInit2(&stream, level, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
		Z_DEFAULT_STRATEGY) != Z_OK)
		return 0;
	int r = deflate(&stream, Z_FINISH);
	deflateEnd(&stream);
	return r == Z_STREAM_END ? stream.total_out : 0;
}

void
http_body_pack(struct http_body *body)
{
	size_t len = evbuffer_get_length(body->plain);
	const void *data = evbuffer_pullup(body->plain, -1);
	size_t room = compressBound((uLong)len) + 32;
	unsigned char *to = len < UINT32_MAX / 2 ? malloc(room) : NULL;
	if (to == NULL || data == NULL) {
		free(to);
		return;
	}
	size_t n = data_pack(data, len, to, room, body->level);
	body->packed = n > 0 ? evbuffer_new() : NULL;
	if (body->packed != NULL && evbuffer_add(body->packed, to, n) != 0) {
		evbuffer_free(body->packed);
		body->packed = NULL;
	}
	free(to);
}

struct evbuffer *
http_body_bytes(struct http_body *body, bool is_packed, bool *ret_packed)
{
	if (is_packed && body->packed == NULL && body->plain != NULL)
		http_body_pack(body);
	*ret_packed = is_packed && body->packed != NULL;
	return *ret_packed ? body->packed : body->plain;
}

/* ---- Who accepts it --------------------------------------------------------
 */

/* Whether the parameters of a coding, up to its comma, say "q=0". */
static bool
is_refused(const char *parameters)
{
	const char *end = parameters + strcspn(parameters, ",");
	const char *q = strstr(parameters, "q=");
	return q != NULL && q < end && strtod(q + 2, NULL) <= 0;
}

bool
http_body_accepts_gzip(const char *accept_encoding)
{
	static const char word[] = "gzip";
	const char *at = accept_encoding;
	while (at != NULL && *at != '\0') {
		at += strspn(at, " \t,");
		size_t len = strcspn(at, " \t,;");
		if (len == sizeof word - 1 && strncasecmp(at, word, len) == 0)
			return !is_refused(at + len);
		at += strcspn(at, ",");
	}
	return false;
}
