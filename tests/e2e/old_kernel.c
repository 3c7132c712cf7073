/*
 * A kernel before Linux 6.5, for a daemon that is started with this library
 * preloaded: it cannot say by SO_PEERPIDFD which process connected, nor refuse
 * descriptors by SO_PASSRIGHTS.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>

#define OPTION_PEERPIDFD  77
#define OPTION_PASSRIGHTS 83

int
setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
	typedef int (*setsockopt_fn)(int, int, int, const void *, socklen_t);
	setsockopt_fn next;

	if (level == SOL_SOCKET && option == OPTION_PASSRIGHTS) {
		errno = ENOPROTOOPT;
		return -1;
	}
	*(void **)&next = dlsym(RTLD_NEXT, "setsockopt");
	return next(fd, level, option, value, len);
}

int
getsockopt(int fd, int level, int option, void *restrict value,
    socklen_t *restrict len)
{
	typedef int (*getsockopt_fn)(int, int, int, void *, socklen_t *);
	getsockopt_fn next;

	if (level == SOL_SOCKET && option == OPTION_PEERPIDFD) {
		errno = ENOPROTOOPT;
		return -1;
	}
	*(void **)&next = dlsym(RTLD_NEXT, "getsockopt");
	return next(fd, level, option, value, len);
}
