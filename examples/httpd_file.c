#define _GNU_SOURCE /* openat2's constants, strcasecmp */

#include "examples/httpd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TRIES 3 /* of a look-up that others disturb by renaming */

static int
status_of(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case EINVAL:
		return 404;
	case EXDEV: /* out of the document root */
	case ELOOP:
	case EACCES:
	case EPERM:
		return 403;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
		return 503;
	default:
		return 500;
	}
}

/* O_NONBLOCK, so that a FIFO doesn't wait for its other end. */
static int
beneath_open(int root, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
	long fd = -1;

	for (int i = 0; i < TRIES && fd < 0; i++) {
		fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd < 0 && errno != EAGAIN)
			break;
	}
	return (int)fd;
}

static int
file_look(struct httpd_file *file)
{
	struct stat is;

	if (fstat(file->fd, &is) != 0)
		return status_of(errno);
	if (!S_ISREG(is.st_mode))
		return 404;
	file->size = (uint64_t)is.st_size;
	file->mtime_ns =
	    is.st_mtim.tv_sec * INT64_C(1000000000) + is.st_mtim.tv_nsec;
	return 0;
}

int
httpd_file_open(int root, const char *path, struct httpd_file *ret_file)
{
	int status;

	ret_file->fd = beneath_open(root, path);
	if (ret_file->fd < 0)
		return status_of(errno);
	status = file_look(ret_file);
	if (status != 0)
		close(ret_file->fd);
	return status;
}

bool
httpd_file_read(const struct httpd_file *file, void *buffer)
{
	struct httpd_file after = { .fd = file->fd };
	uint64_t len = 0;

	while (len < file->size) {
		ssize_t n = pread(file->fd, (char *)buffer + len,
		    file->size - len, (off_t)len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		len += (uint64_t)n;
	}
	return file_look(&after) == 0 && after.size == file->size &&
	    after.mtime_ns == file->mtime_ns;
}

const char *
httpd_file_type(const char *path)
{
	static const struct {
		const char *ending, *type;
	} types[] = {
		{ ".css", "text/css; charset=utf-8" },
		{ ".gz", "application/gzip" },
		{ ".htm", "text/html; charset=utf-8" },
		{ ".html", "text/html; charset=utf-8" },
		{ ".jpg", "image/jpeg" },
		{ ".js", "text/javascript; charset=utf-8" },
		{ ".json", "application/json" },
		{ ".pdf", "application/pdf" },
		{ ".png", "image/png" },
		{ ".svg", "image/svg+xml" },
		{ ".txt", "text/plain; charset=utf-8" },
		{ ".h", "text/plain; charset=utf-8" },
		{ ".xml", "application/xml" },
	};
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(slash != NULL ? slash : path, '.');

	for (size_t i = 0; dot != NULL && i < sizeof(types) / sizeof(types[0]);
	     i++)
		if (strcasecmp(dot, types[i].ending) == 0)
			return types[i].type;
	/* A README, a copyright: browsers shall show it, not save it. */
	return dot != NULL ? "application/octet-stream"
			   : "text/plain; charset=utf-8";
}
