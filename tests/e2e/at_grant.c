/*
 * To be preloaded, for what may happen when a client is given its slot:
 *
 * - A daemon is killed when it would answer its first client, or with DIE_AFTER
 *   when it has: only the first, which the file $DIED tells.
 * - A client that has its answer rests until there is a file $GO.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int
is_stream(int fd)
{
	int type = 0;
	socklen_t len = sizeof type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    type == SOCK_STREAM;
}

static int
dies_now(int fd, const struct msghdr *msg)
{
	const char *died = getenv("DIED");

	return msg->msg_controllen > 0 && is_stream(fd) && died != NULL &&
	    open(died, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) >= 0;
}

ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	typedef ssize_t (*sendmsg_fn)(int, const struct msghdr *, int);
	sendmsg_fn next;
	int dies = dies_now(fd, msg);
	ssize_t n;

	if (dies && getenv("DIE_AFTER") == NULL)
		kill(getpid(), SIGKILL);
	*(void **)&next = dlsym(RTLD_NEXT, "sendmsg");
	n = next(fd, msg, flags);
	if (dies)
		kill(getpid(), SIGKILL);
	return n;
}

ssize_t
recvmsg(int fd, struct msghdr *msg, int flags)
{
	typedef ssize_t (*recvmsg_fn)(int, struct msghdr *, int);
	const char *go = getenv("GO");
	recvmsg_fn next;
	ssize_t n;

	*(void **)&next = dlsym(RTLD_NEXT, "recvmsg");
	n = next(fd, msg, flags);
	while (n > 0 && msg->msg_controllen > 0 && go != NULL &&
	    access(go, F_OK) != 0)
		usleep(10000);
	return n;
}
