/*
 * What an answer of HTTP has in it: bytes, and the same packed by gzip, made
 * when somebody first asks for it so.  Answers share them, and may outlive the
 * body that they came from.
 */
#ifndef SERVER_HTTP_BODY_H
#define SERVER_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/buffer.h>

#include "shm/error.h"

struct http_body {
	struct evbuffer *plain, *packed; /* PACKED may be NULL */
	int level;                       /* of zlib */
};

/* Bytes that stay where they are, and never change. */
int http_body_static(struct http_body *body, const void *data, size_t len,
    int level) SHM_MUSTCHECK;

/* Bytes of malloc(), which are taken over in any case. */
int http_body_take(
    struct http_body *body, char *data, size_t len, int level) SHM_MUSTCHECK;

/* Pack it now, so that nobody has to later. */
void http_body_pack(struct http_body *body);

void http_body_release(struct http_body *body);

/*
 * The bytes to send to who accepts gzip (IS_PACKED), or does not.  *RET_PACKED:
 * they are packed; without memory for that they are not.  NULL: there are none.
 */
struct evbuffer *http_body_bytes(
    struct http_body *body, bool is_packed, bool *ret_packed);

/* Whether the header Accept-Encoding, or NULL, allows gzip. */
bool http_body_accepts_gzip(const char *accept_encoding);

#endif
