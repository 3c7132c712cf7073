#include "server/listen.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Connections above the limit that are told so. */
#define REFUSALS_MAX 32
/* Of <asm-generic/socket.h>; headers before Linux 6.16 lack it. */
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
/* How long to wait for a descriptor when there is none left. */
#define RESUME_MS    100
/* Accepted in one turn. */
#define ACCEPT_BATCH 16

static uint32_t
uid_count(const struct listener *listener, uid_t uid)
{
	uint32_t n = 0;
	const struct conn *conn;
	LIST_FOREACH(conn, &listener->conns, link)
	n += conn->peer.uid == uid;
	return n;
}

static int
limit_check(const struct listener *listener, const struct conn *conn,
    const char **ret_why)
{
	uid_t uid = conn->peer.uid;
	*ret_why = "the daemon has as many connections as it takes; try again "
		   "later, or raise max_connections";
	if (listener->n >= listener->max)
		return SHM_EBUSY;
	*ret_why = "this user has half of all connections already";
	if (uid != 0 && uid != geteuid() &&
	    uid_count(listener, uid) >= listener->max / 2)
		return SHM_EBUSY;
	return 0;
}

static void
refusal_log(struct listener *listener, const struct conn *conn, const char *why)
{
	uint32_t more;
	if (log_allowed(&listener->limit, &more))
		log_warn("%s: pid %d (uid %u) refused: %s (and %u more)",
		    listener->ops->name, (int)conn->peer.pid,
		    (unsigned)conn->peer.uid, why, more);
}

static void
conn_admit(struct listener *listener, int fd)
{
	struct conn *conn;
	const char *why;
	if (listener->n >= listener->max + REFUSALS_MAX ||
	    conn_open(listener->base, fd, listener->ops, listener, &conn) !=
		0) {
		close(fd);
		return;
	}
	int error = limit_check(listener, conn, &why);
	if (error == 0)
		error = listener->admit(conn, &why);
	LIST_INSERT_HEAD(&listener->conns, conn, link);
	listener->n++;
	if (error == 0)
		return;
	refusal_log(listener, conn, why);
	conn_refuse(conn, error, why);
}

struct conn *
listen_adopt(struct listener *listener, int fd)
{
	struct conn *conn;
	if (conn_open(listener->base, fd, listener->ops, listener, &conn) !=
	    0) {
		close(fd);
		return NULL;
	}
	LIST_INSERT_HEAD(&listener->conns, conn, link);
	listener->n++;
	return conn;
}

void
listen_forget(struct conn *conn)
{
	LIST_REMOVE(conn, link);
	conn->listener->n--;
}

static void
listener_pause(struct listener *listener)
{
	struct timeval tv = { .tv_usec = RESUME_MS * 1000 };
	uint32_t more;
	if (log_allowed(&listener->limit, &more))
		log_error("cannot accept on %s: %s; raise the limit of open "
			  "files (and %u more)",
		    listener->ops->name, strerror(errno), more);
	event_del(listener->event);
	event_add(listener->resume, &tv);
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;
	(void)fd;
	(void)what;
	event_add(listener->event, NULL);
}

static void
on_acceptable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *listener = arg;
	(void)what;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int peer =
		    accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (peer >= 0) {
			conn_admit(listener, peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS)
			listener_pause(listener);
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

/* ---- The socket --------------------------------------------------------- */

int
listen_address(struct listener *listener, const char *dir)
{
	struct sockaddr_un *address = &listener->address;
	address->sun_family = AF_UNIX;
	int n = snprintf(address->sun_path, sizeof address->sun_path, "%s/%s",
	    dir, listener->ops->name);
	if (n > 0 && (size_t)n < sizeof address->sun_path)
		return 0;
	log_error("%s/%s is too long for a socket's name (%zu characters at "
		  "most); choose a shorter directory with --socket",
	    dir, listener->ops->name, sizeof address->sun_path - 1);
	return SHM_EINVAL;
}

/* We hold the directory's lock, so a socket there is a dead daemon's. */
int
listen_remove_stale(const struct listener *listener)
{
	struct stat st;
	const char *path = listener->address.sun_path;
	if (lstat(path, &st) != 0)
		return 0;
	if (!S_ISSOCK(st.st_mode)) {
		log_error("%s is there and is no socket; remove it", path);
		return SHM_EEXIST;
	}
	if (unlink(path) == 0)
		return 0;
	log_error("cannot remove %s: %s", path, strerror(errno));
	return SHM_ESYSTEM;
}

/*
 * Where the kernel can, let it refuse descriptors that we have no use for
 * (Linux 6.16; connections inherit it).  Closing one is not always quick: a TCP
 * socket may linger, a file of a user's own file system may wait for that user.
 */
static void
descriptors_refuse(const struct listener *listener)
{
	int no = 0;
	if (listener->ops->takes_fd && !peer_is_known_by_pidfd())
		return;
	(void)setsockopt(
	    listener->fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof no);
}

/* Nobody's before its group is right. */
static int
access_set(const char *path, mode_t mode, gid_t group)
{
	gid_t wanted = group == PEER_NO_GROUP ? getegid() : group;
	struct stat st;
	if (stat(path, &st) != 0)
		return SHM_ESYSTEM;
	if (st.st_gid == wanted && (st.st_mode & 07777) == mode)
		return 0;
	return chmod(path, 0) == 0 && chown(path, (uid_t)-1, wanted) == 0 &&
		chmod(path, mode) == 0
	    ? 0
	    : SHM_ESYSTEM;
}

/* Bound for nobody at first, so that nobody comes before the mode is set. */
static int
socket_bind(struct listener *listener, mode_t mode, gid_t group)
{
	const char *path = listener->address.sun_path;
	mode_t umask_before = umask(0777);
	int r = bind(listener->fd, (struct sockaddr *)&listener->address,
	    sizeof listener->address);
	umask(umask_before);
	if (r != 0 || access_set(path, mode, group) != 0 ||
	    listen(listener->fd, SOMAXCONN) != 0)
		return SHM_ESYSTEM;
	return 0;
}

static int
socket_make(struct listener *listener, mode_t mode, gid_t group)
{
	int error = listen_remove_stale(listener);
	if (error != 0)
		return error;
	listener->fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd >= 0 && socket_bind(listener, mode, group) == 0)
		return 0;
	log_error("cannot listen on %s: %s", listener->address.sun_path,
	    strerror(errno));
	return SHM_ESYSTEM;
}

/* Whether FD is the socket that clients find there. */
static bool
is_socket(const struct listener *listener, int fd)
{
	struct sockaddr_un bound = { 0 };
	struct stat st;
	socklen_t len = sizeof bound - 1, flag_len = sizeof(int);
	int is_listening = 0;
	return fd >= 0 &&
	    getsockopt(
		fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &flag_len) == 0 &&
	    is_listening != 0 &&
	    getsockname(fd, (struct sockaddr *)&bound, &len) == 0 &&
	    strcmp(bound.sun_path, listener->address.sun_path) == 0 &&
	    lstat(bound.sun_path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* The socket FD of the daemon before, whose configuration may have been
 * another. Who may not say whose it is leaves that as it was. */
static void
socket_keep(struct listener *listener, mode_t mode, gid_t group, int fd)
{
	listener->fd = fd;
	evutil_make_socket_nonblocking(fd);
	if (access_set(listener->address.sun_path, mode, group) != 0)
		log_error("cannot set the mode and group of %s: %s",
		    listener->address.sun_path, strerror(errno));
}

int
listen_open(struct listener *listener, const struct rundir *dir, mode_t mode,
    gid_t group, int fd, bool *ret_is_kept)
{
	LIST_INIT(&listener->conns);
	listener->fd = -1;
	int error = listen_address(listener, dir->path);
	*ret_is_kept = error == 0 && is_socket(listener, fd);
	if (*ret_is_kept) {
		socket_keep(listener, mode, group, fd);
	} else {
		if (fd >= 0)
			close(fd);
		if (error == 0)
			error = socket_make(listener, mode, group);
	}
	if (error != 0)
		goto fail;
	descriptors_refuse(listener);
	listener->event = event_new(listener->base, listener->fd,
	    EV_READ | EV_PERSIST, on_acceptable, listener);
	listener->resume = evtimer_new(listener->base, on_resume, listener);
	if (listener->event != NULL && listener->resume != NULL &&
	    event_add(listener->event, NULL) == 0)
		return 0;
	log_error("out of memory");
	error = SHM_ENOMEM;
fail:
	listen_stop(listener, *ret_is_kept);
	return error;
}

bool
listen_is_pending(const struct listener *listener)
{
	struct pollfd poll_fd = { .fd = listener->fd, .events = POLLIN };
	return poll(&poll_fd, 1, 0) > 0;
}

void
listen_stop(struct listener *listener, bool is_kept)
{
	if (listener->event != NULL)
		event_free(listener->event);
	if (listener->resume != NULL)
		event_free(listener->resume);
	listener->event = listener->resume = NULL;
	if (listener->fd < 0)
		return;
	if (!is_kept && !listener->is_given)
		unlink(listener->address.sun_path);
	close(listener->fd);
	listener->fd = -1;
}

void
listen_close(struct listener *listener)
{
	struct conn *conn;
	while ((conn = LIST_FIRST(&listener->conns)) != NULL)
		conn_close(conn, NULL);
}
