#include "client/ctl/file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ctl/ctl.h"
#include "client/ctl/text.h"

#define FILE_MODE 0644 /* other users read it */

static int
file_fail(const char *path)
{
	text_error("%s: %s", path, strerror(errno));
	return EXIT_INTERNAL;
}

/* Write LEN bytes at DATA to the descriptor FD, which is closed; false: errno.
 */
static bool
file_fill(int fd, const void *data, size_t len)
{
	FILE *file = fdopen(fd, "w");
	bool is_written;

	if (file == NULL) {
		close(fd);
		return false;
	}
	is_written =
	    fchmod(fd, FILE_MODE) == 0 && fwrite(data, 1, len, file) == len;
	return fclose(file) == 0 && is_written;
}

int
file_replace(const char *path, const void *data, size_t len)
{
	char name[4096];
	int fd;

	if ((size_t)snprintf(name, sizeof(name), "%s.XXXXXX", path) >=
	    sizeof(name)) {
		errno = ENAMETOOLONG;
		return file_fail(path);
	}
	fd = mkstemp(name);
	if (fd < 0)
		return file_fail(name);
	if (!file_fill(fd, data, len) || rename(name, path) != 0) {
		int saved = errno;

		unlink(name);
		errno = saved;
		return file_fail(path);
	}
	return EXIT_OK;
}
