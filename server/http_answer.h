/*
 * Answers of the daemon's HTTP: their heads, and what of a body goes with them.
 */
#ifndef SERVER_HTTP_ANSWER_H
#define SERVER_HTTP_ANSWER_H

#include <event2/http.h>

#include "server/http_body.h"

/* Answer REQUEST, which evhttp then frees, with TEXT and a newline. */
void http_text_send(
    struct evhttp_request *request, int status, const char *text);

/* The same with BODY, packed if the request accepts that. */
void http_body_send(struct evhttp_request *request, int status,
    const char *type, struct http_body *body);

#endif
