#include "server/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A frame of the library's fits into it. */
#define CHUNK_LEN (PROTO_HEAD + PROTO_MAX_ATTACH)

static void
deadline_set(struct conn *conn, uint32_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000,
		.tv_usec = (suseconds_t)(ms % 1000) * 1000 };
	if (ms == 0)
		event_del(conn->deadline);
	else
		event_add(conn->deadline, &tv);
}

static void
out_fds_close(struct conn *conn)
{
	while (conn->n_out_fds > 0)
		close(conn->out_fds[--conn->n_out_fds]);
}

static void
conn_free(struct conn *conn)
{
	if (conn->read != NULL)
		event_free(conn->read);
	if (conn->write != NULL)
		event_free(conn->write);
	if (conn->deadline != NULL)
		event_free(conn->deadline);
	proto_reader_release(&conn->in);
	peer_release(&conn->peer);
	free(conn->out);
	out_fds_close(conn);
	if (conn->sent_fd >= 0)
		close(conn->sent_fd);
	free(conn);
}

static void
conn_hold(struct conn *conn)
{
	conn->busy++;
}

static void
conn_drop(struct conn *conn)
{
	if (--conn->busy == 0 && conn->is_closed)
		conn_free(conn);
}

void
conn_close(struct conn *conn, const char *why)
{
	if (conn->is_closed)
		return;
	conn->is_closed = true;
	conn_hold(conn);
	event_del(conn->read);
	event_del(conn->write);
	event_del(conn->deadline);
	conn->ops->on_close(conn, why);
	close(conn->fd);
	conn_drop(conn);
}

void
conn_set_idle(struct conn *conn, uint32_t idle_ms)
{
	conn->idle_ms = idle_ms;
	if (!conn->is_closed && conn->in.have == 0 && conn->out == NULL)
		deadline_set(conn, idle_ms);
}

void
conn_suspend(struct conn *conn)
{
	if (conn->is_closed)
		return;
	event_del(conn->read);
	deadline_set(conn, 0);
}

bool
conn_is_ended(const struct conn *conn)
{
	struct pollfd poll_fd = { .fd = conn->fd, .events = POLLRDHUP };
	return poll(&poll_fd, 1, 0) > 0;
}

/* ---- Reading ----------------------------------------------------------- */

/* Keep the first descriptor where one is expected; close all others. */
static void
fds_take(struct conn *conn, struct msghdr *msg)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof fd, sizeof fd);
			if (conn->ops->takes_fd && conn->sent_fd < 0)
				conn->sent_fd = fd;
			else
				close(fd);
		}
	}
}

/*
 * How many bytes to take: at most what the present frame lacks.  One that is
 * there is taken as a whole, for who is killed between its parts would leave
 * the next daemon the rest of it.  BUF has room for a chunk.
 */
static size_t
bytes_wanted(const struct conn *conn, uint8_t *buf)
{
	const struct proto_reader *in = &conn->in;
	size_t most = PROTO_HEAD + in->len - in->have;
	if (in->have >= PROTO_HEAD)
		return most < CHUNK_LEN ? most : CHUNK_LEN;
	if (in->have > 0)
		return PROTO_HEAD - in->have;
	ssize_t n = recv(conn->fd, buf, CHUNK_LEN, MSG_DONTWAIT | MSG_PEEK);
	if (n < (ssize_t)PROTO_HEAD ||
	    proto_length(buf) > (size_t)n - PROTO_HEAD)
		return PROTO_HEAD;
	return PROTO_HEAD + proto_length(buf);
}

static ssize_t
bytes_receive(struct conn *conn, uint8_t *buf)
{
	struct iovec iov = { .iov_base = buf,
		.iov_len = bytes_wanted(conn, buf) };
	union {
		char buf[CMSG_SPACE(PROTO_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof control.buf };
	ssize_t n = recvmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n >= 0)
		fds_take(conn, &msg);
	return n;
}

static void
frame_handle(struct conn *conn)
{
	ProtobufCMessage *message =
	    proto_reader_take(&conn->in, conn->ops->type);
	if (message == NULL) {
		conn_close(conn, "a message makes no sense");
		return;
	}
	deadline_set(conn, conn->idle_ms);
	if (conn->refusal != NULL)
		conn->ops->on_refused(conn, conn->refusal_error, conn->refusal);
	else
		conn->ops->on_message(conn, message);
	protobuf_c_message_free_unpacked(message, NULL);
}

/* Take what came.  False: nothing more for now. */
static bool
bytes_take(struct conn *conn)
{
	uint8_t buf[CHUNK_LEN];
	size_t used;
	ssize_t n = bytes_receive(conn, buf);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		conn_close(conn,
		    conn->in.have > 0 ? "it left in the middle of a message"
				      : NULL);
		return false;
	}
	if (conn->in.have == 0)
		deadline_set(conn, CONN_FRAME_MS);
	int r = proto_reader_feed(&conn->in, buf, (size_t)n, &used);
	if (r < 0)
		conn_close(conn,
		    r == PROTO_EPROTO ? "a message is too long"
				      : "out of memory");
	else if (r == 1)
		frame_handle(conn);
	return r == 0;
}

/* One frame at most, so that each connection has its turn. */
static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	(void)fd;
	(void)what;
	conn_hold(conn);
	while (bytes_take(conn))
		continue;
	conn_drop(conn);
}

/* ---- Writing ----------------------------------------------------------- */

static ssize_t
bytes_send(struct conn *conn)
{
	struct iovec iov = { .iov_base = conn->out + conn->out_done,
		.iov_len = conn->out_len - conn->out_done };
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (conn->n_out_fds > 0) {
		size_t len = conn->n_out_fds * sizeof(int);
		memset(&control, 0, sizeof control);
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(len);
		struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(len);
		memcpy(CMSG_DATA(cmsg), conn->out_fds, len);
	}
	return sendmsg(conn->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
write_end(struct conn *conn)
{
	free(conn->out);
	conn->out = NULL;
	event_del(conn->write);
	if (conn->closes_after) {
		conn_close(conn, NULL);
		return;
	}
	deadline_set(conn, conn->idle_ms);
	event_add(conn->read, NULL);
	if (conn->ops->on_sent != NULL)
		conn->ops->on_sent(conn);
}

static void
bytes_flush(struct conn *conn)
{
	while (conn->out_done < conn->out_len) {
		ssize_t n = bytes_send(conn);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			event_add(conn->write, NULL);
			return;
		}
		if (n < 0) {
			bool has_left = errno == EPIPE || errno == ECONNRESET;
			conn_close(conn, has_left ? NULL : strerror(errno));
			return;
		}
		out_fds_close(conn);
		conn->out_done += (size_t)n;
	}
	write_end(conn);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	(void)fd;
	(void)what;
	conn_hold(conn);
	bytes_flush(conn);
	conn_drop(conn);
}

void
conn_send(struct conn *conn, const ProtobufCMessage *message, const int *fds,
    unsigned n_fds)
{
	const char *why = NULL;
	if (conn->is_closed)
		why = "closed";
	else if (conn->out != NULL)
		why = "a reply was due before the last was read";
	else if (proto_pack(message, conn->ops->max_out, &conn->out,
		     &conn->out_len) != 0)
		why = "the reply is too long";
	if (why != NULL) {
		for (unsigned i = 0; i < n_fds; i++)
			close(fds[i]);
		conn_close(conn, why);
		return;
	}
	conn->out_done = 0;
	conn->n_out_fds = n_fds;
	for (unsigned i = 0; i < n_fds; i++)
		conn->out_fds[i] = fds[i];
	event_del(conn->read);
	deadline_set(conn, CONN_WRITE_MS);
	conn_hold(conn);
	bytes_flush(conn);
	conn_drop(conn);
}

void
conn_send_last(struct conn *conn, const ProtobufCMessage *message)
{
	conn->closes_after = true;
	conn_send(conn, message, NULL, 0);
}

void
conn_refuse(struct conn *conn, int error, const char *why)
{
	conn->refusal = why;
	conn->refusal_error = error;
}

/* ---- Opening ----------------------------------------------------------- */

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	(void)fd;
	(void)what;
	if (conn->out != NULL)
		conn_close(conn, "it does not read its reply");
	else
		conn_close(conn,
		    conn->in.have > 0 ? "its message takes too long"
				      : "it said nothing for too long");
}

int
conn_open(struct event_base *base, int fd, const struct conn_ops *ops,
    struct listener *listener, struct conn **ret_conn)
{
	struct conn *conn = calloc(1, sizeof *conn);
	if (conn == NULL)
		return SHM_ESYSTEM;
	conn->ops = ops;
	conn->listener = listener;
	conn->fd = fd;
	conn->sent_fd = -1;
	conn->idle_ms = ops->idle_ms;
	proto_reader_init(&conn->in, ops->max_in);
	conn->read =
	    event_new(base, fd, EV_READ | EV_PERSIST, on_readable, conn);
	conn->write =
	    event_new(base, fd, EV_WRITE | EV_PERSIST, on_writable, conn);
	conn->deadline = evtimer_new(base, on_deadline, conn);
	if (conn->read == NULL || conn->write == NULL ||
	    conn->deadline == NULL || peer_identify(fd, &conn->peer) != 0 ||
	    event_add(conn->read, NULL) != 0) {
		conn_free(conn);
		return SHM_ESYSTEM;
	}
	deadline_set(conn, conn->idle_ms);
	*ret_conn = conn;
	return 0;
}
