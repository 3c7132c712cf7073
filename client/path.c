/* Where the daemon's sockets are: see client/path.h. */
#include "client/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shmalloc/shmalloc.h"

#define SYSTEM_DIR "/run/shmalloc"

static int
path_format(char *buf, size_t len, const char *dir, const char *name)
{
	int n = snprintf(buf, len, "%s/%s", dir, name);

	return n > 0 && (size_t)n < len ? 0 : SHMALLOC_EINVAL;
}

/* $XDG_RUNTIME_DIR/shmalloc into BUF if it is a directory. */
static const char *
runtime_dir(char *buf, size_t len)
{
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (runtime == NULL || runtime[0] != '/')
		return NULL;
	if (path_format(buf, len, runtime, "shmalloc") < 0)
		return NULL;
	return stat(buf, &st) == 0 && S_ISDIR(st.st_mode) ? buf : NULL;
}

int
shmalloc_socket_path(char *buf, size_t len, const char *dir, const char *name)
{
	char runtime[sizeof(((struct sockaddr_un *)0)->sun_path)];

	if (dir == NULL)
		dir = secure_getenv("SHMALLOC_SOCKET");
	if (dir == NULL || dir[0] == '\0')
		dir = runtime_dir(runtime, sizeof(runtime));
	if (dir == NULL)
		dir = SYSTEM_DIR;
	return path_format(buf, len, dir, name);
}

static int
connect_error(void)
{
	switch (errno) {
	case ENOENT:
	case ENOTDIR:
	case ECONNREFUSED:
	case ECONNRESET:
		return SHMALLOC_EUNREACHABLE;
	case EACCES:
	case EPERM:
		return SHMALLOC_EPERM;
	case EAGAIN:
		return SHMALLOC_EBUSY;
	default:
		return SHMALLOC_ESYSTEM;
	}
}

int
shmalloc_socket_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, r, saved;

	if (strlen(path) >= sizeof(address.sun_path))
		return SHMALLOC_EINVAL;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return SHMALLOC_ESYSTEM;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	r = connect_error();
	saved = errno;
	close(fd);
	errno = saved;
	return r;
}
