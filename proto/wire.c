/*
 * Frames over a stream socket, for those who may wait: see proto/frame.h.
 *
 * Descriptors travel with a frame's first byte.  A receiver reads the head and
 * the body apart, and so never a byte of the next frame.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/frame.h"

/* Descriptors that came, and how many the caller takes. */
struct arrivals {
	int fd[PROTO_MAX_FDS];
	unsigned n, max;
	bool is_too_many;
};

union control {
	char buf[CMSG_SPACE(PROTO_MAX_FDS * sizeof(int))];
	struct cmsghdr align;
};

static int64_t
clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* When a call that may take MS from now ends; -1: never. */
static int64_t
deadline_from(int ms)
{
	return ms < 0 ? -1 : clock_ms() + ms;
}

/* Wait until FD is ready for EVENTS or the deadline is over. */
static int
socket_wait(int fd, short events, int64_t deadline)
{
	struct pollfd poller = { .fd = fd, .events = events };

	for (;;) {
		int64_t left = deadline < 0 ? -1 : deadline - clock_ms();
		int r;

		if (deadline >= 0 && left < 0)
			left = 0;
		r = poll(&poller, 1, (int)left);
		if (r > 0)
			return 0;
		if (r == 0)
			return PROTO_ETIMEDOUT;
		if (errno != EINTR)
			return PROTO_ESYSTEM;
	}
}

/* What errno says after a call on the socket failed: 0 is "wait, and again". */
static int
socket_error(void)
{
	switch (errno) {
	case EAGAIN:
	case EINTR:
		return 0;
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN:
		return PROTO_EUNREACHABLE;
	default:
		return PROTO_ESYSTEM;
	}
}

static void
control_fill(
    struct msghdr *msg, union control *control, const int *fds, unsigned n_fds)
{
	struct cmsghdr *cmsg;

	memset(control, 0, sizeof(*control));
	msg->msg_control = control->buf;
	msg->msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
}

static int
bytes_send(int fd, uint8_t *data, size_t len, const int *fds, unsigned n_fds,
    int64_t deadline)
{
	while (len != 0) {
		struct iovec iov = { data, len };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		union control control;
		ssize_t n;
		int r;

		if (n_fds != 0)
			control_fill(&msg, &control, fds, n_fds);
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
			n_fds = 0;
			continue;
		}
		r = socket_error();
		if (r == 0)
			r = socket_wait(fd, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
	return 0;
}

int
proto_send(int fd, const ProtobufCMessage *message, const int *fds,
    unsigned n_fds, int deadline_ms)
{
	int64_t deadline = deadline_from(deadline_ms);
	uint8_t *frame;
	size_t len;
	int r, saved;

	if (n_fds > PROTO_MAX_FDS)
		return PROTO_EINVAL;
	r = proto_pack(message, PROTO_MAX_REPLY, &frame, &len);
	if (r < 0)
		return r;
	r = bytes_send(fd, frame, len, fds, n_fds, deadline);
	saved = errno;
	free(frame);
	errno = saved;
	return r;
}

/* Keep the descriptors of one control message; what is too many is closed. */
static void
descriptors_keep(struct arrivals *arrivals, const struct cmsghdr *cmsg)
{
	size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
		if (arrivals->n < arrivals->max) {
			arrivals->fd[arrivals->n++] = fd;
			continue;
		}
		close(fd);
		arrivals->is_too_many = true;
	}
}

static void
arrivals_close(struct arrivals *arrivals)
{
	int saved = errno;

	while (arrivals->n != 0)
		close(arrivals->fd[--arrivals->n]);
	errno = saved;
}

/* One recvmsg: the bytes that came, or an error; 0: none yet. */
static ssize_t
bytes_take(int fd, uint8_t *data, size_t len, struct arrivals *arrivals)
{
	struct iovec iov = { data, len };
	union control control;
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n < 0)
		return socket_error();
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_level == SOL_SOCKET &&
		    cmsg->cmsg_type == SCM_RIGHTS)
			descriptors_keep(arrivals, cmsg);
	}
	if ((msg.msg_flags & MSG_CTRUNC) != 0)
		arrivals->is_too_many = true;
	return n == 0 ? PROTO_EUNREACHABLE : n;
}

static int
bytes_recv(int fd, uint8_t *data, size_t len, struct arrivals *arrivals,
    int64_t deadline)
{
	while (len != 0) {
		ssize_t n = bytes_take(fd, data, len, arrivals);
		int r;

		if (n < 0)
			return (int)n;
		if (arrivals->is_too_many)
			return PROTO_EPROTO;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
			continue;
		}
		r = socket_wait(fd, POLLIN, deadline);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Receive the LEN bytes of a message and unpack them. */
static int
body_recv(int fd, const ProtobufCMessageDescriptor *type, uint32_t len,
    struct arrivals *arrivals, int64_t deadline, ProtobufCMessage **ret_message)
{
	uint8_t *body = malloc(len == 0 ? 1 : len);
	ProtobufCMessage *message;
	int r, saved;

	if (body == NULL)
		return PROTO_ESYSTEM;
	r = bytes_recv(fd, body, len, arrivals, deadline);
	if (r == 0) {
		message = protobuf_c_message_unpack(type, NULL, len, body);
		if (message == NULL)
			r = PROTO_EPROTO;
		else
			*ret_message = message;
	}
	saved = errno;
	free(body);
	errno = saved;
	return r;
}

int
proto_recv(int fd, const ProtobufCMessageDescriptor *type, uint32_t max_len,
    int deadline_ms, ProtobufCMessage **ret_message, int *ret_fds,
    unsigned *n_fds)
{
	int64_t deadline = deadline_from(deadline_ms);
	struct arrivals arrivals = { .n = 0 };
	uint8_t head[PROTO_HEAD];
	int r;

	if (n_fds != NULL)
		arrivals.max = *n_fds < PROTO_MAX_FDS ? *n_fds : PROTO_MAX_FDS;
	r = bytes_recv(fd, head, sizeof(head), &arrivals, deadline);
	if (r == 0 && proto_length(head) > max_len)
		r = PROTO_EPROTO;
	if (r == 0)
		r = body_recv(fd, type, proto_length(head), &arrivals, deadline,
		    ret_message);
	if (r < 0) {
		arrivals_close(&arrivals);
		return r;
	}
	for (unsigned i = 0; i < arrivals.n; i++)
		ret_fds[i] = arrivals.fd[i];
	if (n_fds != NULL)
		*n_fds = arrivals.n;
	return 0;
}
