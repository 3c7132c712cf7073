/*
 * The files of the page, which are in the program: server/web, put there by
 * server/web/embed.  Nothing else is served from anywhere.
 */
#ifndef SERVER_HTTP_FILE_H
#define SERVER_HTTP_FILE_H

#include <stddef.h>

#include "server/http_body.h"

struct http_file {
	const char *path; /* from the root: "/page.css" */
	const char *type;
	const unsigned char *data;
	size_t len;
};

/* Made by server/web/embed; ends with a path of NULL. */
extern const struct http_file http_files[];

/* The file at PATH, or NULL; "/" is "/index.html".  *RET_BODY is its body, for
 * as long as the program runs; NULL: out of memory. */
const struct http_file *http_file_find(
    const char *path, struct http_body **ret_body);

/* Free all bodies. */
void http_files_release(void);

#endif
