#include "server/http_file.h"

#include <string.h>

/* Packed once, so as well as zlib can. */
#define LEVEL     9
#define FILES_MAX 16

static struct http_body bodies[FILES_MAX];

const struct http_file *
http_file_find(const char *path, struct http_body **ret_body)
{
	size_t i = 0;
	if (strcmp(path, "/") == 0)
		path = "/index.html";
	while (http_files[i].path != NULL && i < FILES_MAX &&
	    strcmp(http_files[i].path, path) != 0)
		i++;
	if (i == FILES_MAX || http_files[i].path == NULL)
		return NULL;
	*ret_body = &bodies[i];
	if (bodies[i].plain == NULL &&
	    http_body_static(
		&bodies[i], http_files[i].data, http_files[i].len, LEVEL) != 0)
		*ret_body = NULL;
	return &http_files[i];
}

void
http_files_release(void)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		http_body_release(&bodies[i]);
}
