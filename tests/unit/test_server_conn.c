/* Connections: one frame each way, descriptors, and ends, over a socket pair
 * and an event loop that is turned by hand. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proto/shmalloc.pb-c.h"
#include "server/conn.h"

#define REPLY_LEN (1u << 20)

static struct event_base *base;
static struct conn *conn;
static int peer = -1;
static unsigned n_messages, n_closes, n_refusals;
static const char *close_why;
static bool answers; /* whether each message gets a reply of REPLY_LEN */

static unsigned n_takes; /* calls that took bytes */

/* In the place of the C library's. */
ssize_t
recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, fd, msg, flags);

	n_takes += n > 0 && (flags & MSG_PEEK) == 0;
	return n;
}

static void
on_message(struct conn *from, const ProtobufCMessage *message)
{
	Proto__Reply reply = PROTO__REPLY__INIT;
	char *text = malloc(REPLY_LEN);

	(void)message;
	cr_assert_not_null(text);
	n_messages++;
	memset(text, 'x', REPLY_LEN - 1);
	text[REPLY_LEN - 1] = '\0';
	reply.message = text;
	if (answers)
		conn_send(from, &reply.base, NULL, 0);
	free(text);
}

static void
on_refused(struct conn *from, int error, const char *why)
{
	Proto__Reply reply = PROTO__REPLY__INIT;

	(void)why;
	n_refusals++;
	reply.has_error = 1;
	reply.error = error;
	conn_send_last(from, &reply.base);
}

static void
on_close(struct conn *from, const char *why)
{
	(void)from;
	n_closes++;
	close_why = why;
}

static const struct conn_ops ops = {
	.name = "test",
	.type = &proto__request__descriptor,
	.max_in = 1024,
	.max_out = 2 * REPLY_LEN,
	.takes_fd = true,
	.on_message = on_message,
	.on_refused = on_refused,
	.on_close = on_close,
};

static void
pair_open(void)
{
	int pair[2];

	cr_assert_eq(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	base = event_base_new();
	cr_assert_not_null(base);
	cr_assert_eq(conn_open(base, pair[0], &ops, NULL, &conn), 0);
	peer = pair[1];
}

static void
pair_close(void)
{
	if (n_closes == 0)
		conn_close(conn, NULL);
	cr_assert_eq(n_closes, 1);
	close(peer);
	event_base_free(base);
}

TestSuite(server_conn, .init = pair_open, .fini = pair_close);

/* Let the loop do what can be done now. */
static void
turn(void)
{
	for (int i = 0; i < 8; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

static size_t
request_pack(uint8_t **ret_frame)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	size_t len;

	request.has_protocol = 1;
	request.protocol = 7;
	cr_assert_eq(proto_pack(&request.base, 1024, ret_frame, &len), 0);
	return len;
}

static void
requests_send(unsigned n)
{
	uint8_t *frame;
	size_t len = request_pack(&frame);

	while (n-- > 0)
		cr_assert_eq(write(peer, frame, len), (ssize_t)len);
	free(frame);
}

/* Read all that has come; how many bytes. */
static size_t
drain(void)
{
	static char buf[65536];
	size_t sum = 0;
	ssize_t n;

	while ((n = read(peer, buf, sizeof(buf))) > 0)
		sum += (size_t)n;
	return sum;
}

/* Or a daemon that is killed between them leaves half a frame to the next. */
Test(server_conn, a_frame_that_is_there_is_taken_at_once)
{
	requests_send(2);
	turn();
	cr_assert_eq(n_messages, 2);
	cr_assert_eq(n_takes, 2);
}

Test(server_conn, each_of_many_messages_is_handled)
{
	requests_send(5);
	turn();
	cr_assert_eq(n_messages, 5);
}

Test(server_conn, a_message_may_come_byte_by_byte)
{
	uint8_t *frame;
	size_t len = request_pack(&frame);

	for (size_t i = 0; i < len; i++) {
		cr_assert_eq(n_messages, 0);
		cr_assert_eq(write(peer, frame + i, 1), 1);
		turn();
	}
	cr_assert_eq(n_messages, 1);
	free(frame);
}

Test(server_conn, nothing_is_read_while_a_reply_is_on_its_way)
{
	size_t came = 0;

	answers = true;
	requests_send(2);
	turn();
	cr_assert_eq(n_messages, 1);
	for (int i = 0; i < 1000 && came < 2 * REPLY_LEN; i++) {
		/* What the socket itself holds is a fraction of it. */
		cr_assert(n_messages == 1 || came >= REPLY_LEN / 2);
		came += drain();
		turn();
	}
	cr_assert_eq(n_messages, 2);
	cr_assert_geq(came, 2 * REPLY_LEN);
}

Test(server_conn, a_peer_that_leaves_is_told_once_and_without_a_reason)
{
	shutdown(peer, SHUT_RDWR);
	turn();
	cr_assert_eq(n_closes, 1);
	cr_assert_null(close_why);
}

Test(server_conn, a_peer_that_leaves_in_a_message_gives_a_reason)
{
	cr_assert_eq(write(peer, "\5\0", 2), 2);
	turn();
	shutdown(peer, SHUT_RDWR);
	turn();
	cr_assert_eq(n_closes, 1);
	cr_assert_not_null(close_why);
}

Test(server_conn, a_message_above_the_limit_ends_the_connection)
{
	cr_assert_eq(write(peer, "\1\4\0\0", 4), 4);
	turn();
	cr_assert_eq(n_closes, 1);
	cr_assert_str_eq(close_why, "a message is too long");
}

Test(server_conn, a_message_that_makes_no_sense_ends_the_connection)
{
	cr_assert_eq(write(peer, "\1\0\0\0\377", 5), 5);
	turn();
	cr_assert_eq(n_closes, 1);
	cr_assert_str_eq(close_why, "a message makes no sense");
}

Test(server_conn, a_refused_connection_is_answered_and_ended)
{
	conn_refuse(conn, -16, "no");
	requests_send(1);
	turn();
	cr_assert_eq(n_refusals, 1);
	cr_assert_eq(n_messages, 0);
	cr_assert_gt(drain(), 0);
	cr_assert_eq(n_closes, 1);
}

static void
fds_send(unsigned n)
{
	union {
		char buf[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t) "\5", 1 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int fds[4] = { peer, peer, peer, peer };

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
	cr_assert_eq(sendmsg(peer, &msg, 0), 1);
}

/* How many descriptors are open; their numbers may have gaps. */
static int
fd_count(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

Test(server_conn, one_descriptor_is_kept_and_goes_with_the_connection)
{
	int before = fd_count();

	fds_send(3);
	turn();
	cr_assert_geq(conn->sent_fd, 0);
	cr_assert_eq(fd_count(), before + 1);
	cr_assert_neq(fcntl(conn->sent_fd, F_GETFD) & FD_CLOEXEC, 0);
	conn_close(conn, NULL);
	cr_assert_leq(fd_count(), before);
}

Test(server_conn, descriptors_of_a_reply_are_closed_once_sent)
{
	Proto__Reply reply = PROTO__REPLY__INIT;
	int before = fd_count();
	int fds[2] = { dup(peer), dup(peer) };

	conn_send(conn, &reply.base, fds, 2);
	cr_assert_eq(fd_count(), before);
	/* Also when there is nobody to send them to. */
	shutdown(peer, SHUT_RDWR);
	fds[0] = dup(peer);
	fds[1] = dup(peer);
	conn_send(conn, &reply.base, fds, 2);
	cr_assert_leq(fd_count(), before);
	cr_assert_eq(n_closes, 1);
}
