/* Frames: whole, cut anywhere, too long, and with descriptors. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/frame.h"
#include "proto/shmalloc.pb-c.h"

static int pair[2];

static void
pair_open(void)
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
}

static void
pair_close(void)
{
	close(pair[0]);
	close(pair[1]);
}

TestSuite(proto_frame, .init = pair_open, .fini = pair_close);

/* A request with a name in it, as a frame; the caller frees it. */
static uint8_t *
frame_make(const char *name, size_t *ret_len)
{
	Proto__SegmentDestroyRequest destroy =
	    PROTO__SEGMENT_DESTROY_REQUEST__INIT;
	char copy[4096];
	uint8_t *frame = NULL;

	cr_assert_lt(snprintf(copy, sizeof(copy), "%s", name), 4096);
	destroy.name = copy;
	cr_assert_eq(proto_pack(&destroy.base, 4096, &frame, ret_len), 0);
	return frame;
}

static void
destroy_check(ProtobufCMessage *message, const char *name)
{
	Proto__SegmentDestroyRequest *destroy =
	    (Proto__SegmentDestroyRequest *)message;

	cr_assert_not_null(message);
	cr_assert_str_eq(destroy->name, name);
	protobuf_c_message_free_unpacked(message, NULL);
}

static int
destroy_recv(uint32_t max_len, int deadline_ms, ProtobufCMessage **ret_message)
{
	return proto_recv(pair[1], &proto__segment_destroy_request__descriptor,
	    max_len, deadline_ms, ret_message, NULL, NULL);
}

/* How many descriptors this process has open. */
static unsigned
descriptors_count(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

Test(proto_frame, length_is_little_endian)
{
	const uint8_t head[] = { 0x04, 0x03, 0x02, 0x81 };

	cr_assert_eq(proto_length(head), 0x81020304u);
}

Test(proto_frame, reader_gives_the_message_when_split_at_every_position)
{
	size_t len;
	uint8_t *frame = frame_make("hundred", &len);

	for (size_t cut = 0; cut <= len; cut++) {
		struct proto_reader reader;
		size_t used, first = cut;
		int r;

		proto_reader_init(&reader, 4096);
		r = proto_reader_feed(&reader, frame, cut, &used);
		cr_assert_eq(used, first);
		cr_assert_eq(r, cut == len);
		if (r == 0) {
			r = proto_reader_feed(
			    &reader, frame + cut, len - cut, &used);
			cr_assert_eq(r, 1);
			cr_assert_eq(used, len - cut);
		}
		destroy_check(proto_reader_take(&reader,
				  &proto__segment_destroy_request__descriptor),
		    "hundred");
	}
	free(frame);
}

Test(proto_frame, reader_leaves_the_bytes_of_the_next_frame)
{
	struct proto_reader reader;
	size_t len, used, at = 0;
	uint8_t *frame = frame_make("one", &len);
	uint8_t twice[256];

	memcpy(twice, frame, len);
	memcpy(twice + len, frame, len);
	proto_reader_init(&reader, 4096);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(
		    proto_reader_feed(&reader, twice + at, 2 * len - at, &used),
		    1);
		cr_assert_eq(used, len);
		at += used;
		destroy_check(proto_reader_take(&reader,
				  &proto__segment_destroy_request__descriptor),
		    "one");
	}
	free(frame);
}

Test(proto_frame, reader_takes_an_empty_message)
{
	const uint8_t frame[] = { 0, 0, 0, 0 };
	struct proto_reader reader;
	ProtobufCMessage *message;
	size_t used;

	proto_reader_init(&reader, 16);
	cr_assert_eq(proto_reader_feed(&reader, frame, 4, &used), 1);
	message = proto_reader_take(
	    &reader, &proto__segment_destroy_request__descriptor);
	cr_assert_not_null(message);
	protobuf_c_message_free_unpacked(message, NULL);
}

Test(proto_frame, reader_refuses_a_frame_that_says_too_much)
{
	const uint8_t frame[] = { 17, 0, 0, 0, 1 };
	struct proto_reader reader;
	size_t used;

	proto_reader_init(&reader, 16);
	cr_assert_eq(proto_reader_feed(&reader, frame, 5, &used), PROTO_EPROTO);
	cr_assert_null(reader.body);
}

Test(proto_frame, reader_holds_no_memory_for_bytes_that_did_not_come)
{
	const uint8_t frame[] = { 0, 0, 0x40, 0, 1 };
	struct proto_reader reader;
	size_t used;

	proto_reader_init(&reader, PROTO_MAX_REPLY);
	cr_assert_eq(proto_reader_feed(&reader, frame, 5, &used), 0);
	cr_assert_leq(reader.room, 64);
	proto_reader_release(&reader);
}

Test(proto_frame, reader_gives_null_for_garbage_and_goes_on)
{
	const uint8_t garbage[] = { 3, 0, 0, 0, 0xff, 0xff, 0xff };
	struct proto_reader reader;
	size_t len, used;
	uint8_t *frame = frame_make("next", &len);

	proto_reader_init(&reader, 4096);
	cr_assert_eq(proto_reader_feed(&reader, garbage, 7, &used), 1);
	cr_assert_null(proto_reader_take(
	    &reader, &proto__segment_destroy_request__descriptor));
	cr_assert_eq(proto_reader_feed(&reader, frame, len, &used), 1);
	destroy_check(proto_reader_take(
			  &reader, &proto__segment_destroy_request__descriptor),
	    "next");
	free(frame);
}

Test(proto_frame, pack_refuses_what_is_longer_than_allowed)
{
	Proto__SegmentDestroyRequest destroy =
	    PROTO__SEGMENT_DESTROY_REQUEST__INIT;
	uint8_t *frame;
	size_t len;
	char name[] = "0123456789";

	destroy.name = name; /* a byte of key, one of length, the name */
	cr_assert_eq(proto_pack(&destroy.base, 11, &frame, &len), PROTO_EINVAL);
	cr_assert_eq(proto_pack(&destroy.base, 12, &frame, &len), 0);
	free(frame);
}

Test(proto_frame, sent_message_arrives_with_its_descriptors)
{
	Proto__AttachReply reply = PROTO__ATTACH_REPLY__INIT;
	ProtobufCMessage *message;
	int files[2], came[PROTO_MAX_FDS];
	unsigned n = PROTO_MAX_FDS;
	char byte = 0;

	cr_assert_eq(pipe(files), 0);
	reply.has_slot = 1;
	reply.slot = 7;
	cr_assert_eq(proto_send(pair[0], &reply.base, files, 2, 1000), 0);
	cr_assert_eq(proto_recv(pair[1], &proto__attach_reply__descriptor,
			 PROTO_MAX_ATTACH, 1000, &message, came, &n),
	    0);
	cr_assert_eq(n, 2);
	cr_assert_eq(((Proto__AttachReply *)message)->slot, 7);
	cr_assert_eq(write(came[1], "x", 1), 1);
	cr_assert_eq(read(files[0], &byte, 1), 1);
	cr_assert_eq(byte, 'x');
	cr_assert_eq(fcntl(came[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	protobuf_c_message_free_unpacked(message, NULL);
}

Test(proto_frame, unexpected_descriptors_are_closed_and_refused)
{
	Proto__Detach detach = PROTO__DETACH__INIT;
	ProtobufCMessage *message;
	int files[PROTO_MAX_FDS], came[1];
	unsigned before, n;

	for (unsigned i = 0; i < PROTO_MAX_FDS; i++)
		files[i] = dup(pair[0]);
	before = descriptors_count();
	cr_assert_eq(
	    proto_send(pair[0], &detach.base, files, PROTO_MAX_FDS, 1000), 0);
	n = 1;
	cr_assert_eq(proto_recv(pair[1], &proto__detach__descriptor, 16, 1000,
			 &message, came, &n),
	    PROTO_EPROTO);
	cr_assert_eq(descriptors_count(), before);
	close(pair[0]);
	close(pair[1]);
	pair_open();
	before = descriptors_count();
	cr_assert_eq(proto_send(pair[0], &detach.base, files, 1, 1000), 0);
	cr_assert_eq(proto_recv(pair[1], &proto__detach__descriptor, 16, 1000,
			 &message, NULL, NULL),
	    PROTO_EPROTO);
	cr_assert_eq(descriptors_count(), before);
}

Test(proto_frame, more_descriptors_than_any_message_has_are_closed)
{
	int many[PROTO_MAX_FDS + 4], came[PROTO_MAX_FDS];
	union {
		char buf[CMSG_SPACE(sizeof(many))];
		struct cmsghdr align;
	} control;
	char head[4] = { 0 };
	struct iovec iov = { head, 4 };
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf) };
	struct cmsghdr *cmsg;
	ProtobufCMessage *message;
	unsigned before = descriptors_count(), n = PROTO_MAX_FDS;

	for (unsigned i = 0; i < PROTO_MAX_FDS + 4; i++)
		many[i] = pair[0];
	memset(&control, 0, sizeof(control));
	cmsg = CMSG_FIRSTHDR(&msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(many));
	memcpy(CMSG_DATA(cmsg), many, sizeof(many));
	cr_assert_eq(sendmsg(pair[0], &msg, 0), 4);
	cr_assert_eq(proto_recv(pair[1], &proto__detach__descriptor, 16, 1000,
			 &message, came, &n),
	    PROTO_EPROTO);
	cr_assert_eq(descriptors_count(), before);
}

Test(proto_frame, too_many_descriptors_are_not_sent)
{
	Proto__Detach detach = PROTO__DETACH__INIT;
	int files[PROTO_MAX_FDS + 1] = { 0 };

	cr_assert_eq(
	    proto_send(pair[0], &detach.base, files, PROTO_MAX_FDS + 1, 1000),
	    PROTO_EINVAL);
}

Test(proto_frame, frame_cut_at_any_byte_is_an_unreachable_peer)
{
	size_t len;
	uint8_t *frame = frame_make("cut", &len);
	ProtobufCMessage *message;

	for (size_t cut = 0; cut < len; cut++) {
		cr_assert_eq(write(pair[0], frame, cut), (ssize_t)cut);
		shutdown(pair[0], SHUT_WR);
		cr_assert_eq(
		    destroy_recv(4096, 1000, &message), PROTO_EUNREACHABLE);
		pair_close();
		pair_open();
	}
	free(frame);
}

Test(proto_frame, received_frame_that_says_too_much_is_refused)
{
	size_t len;
	uint8_t *frame = frame_make("0123456789", &len);
	ProtobufCMessage *message;

	cr_assert_eq(write(pair[0], frame, len), (ssize_t)len);
	cr_assert_eq(destroy_recv(11, 1000, &message), PROTO_EPROTO);
	free(frame);
}

Test(proto_frame, received_garbage_is_refused)
{
	const uint8_t garbage[] = { 3, 0, 0, 0, 0xff, 0xff, 0xff };
	ProtobufCMessage *message;

	cr_assert_eq(write(pair[0], garbage, sizeof(garbage)), 7);
	cr_assert_eq(destroy_recv(4096, 1000, &message), PROTO_EPROTO);
}

Test(proto_frame, receive_reads_no_byte_of_the_next_frame)
{
	size_t len;
	uint8_t *frame = frame_make("first", &len);
	ProtobufCMessage *message;
	char next;

	cr_assert_eq(write(pair[0], frame, len), (ssize_t)len);
	cr_assert_eq(write(pair[0], "N", 1), 1);
	cr_assert_eq(destroy_recv(4096, 1000, &message), 0);
	destroy_check(message, "first");
	cr_assert_eq(read(pair[1], &next, 1), 1);
	cr_assert_eq(next, 'N');
	free(frame);
}

Test(proto_frame, silent_peer_is_a_timeout)
{
	ProtobufCMessage *message;

	cr_assert_eq(destroy_recv(4096, 1, &message), PROTO_ETIMEDOUT);
}

Test(proto_frame, peer_that_does_not_read_is_a_timeout)
{
	Proto__SegmentDestroyRequest destroy =
	    PROTO__SEGMENT_DESTROY_REQUEST__INIT;
	char name[4000];
	int r = 0;

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	destroy.name = name;
	for (int i = 0; i < 10000 && r == 0; i++)
		r = proto_send(pair[0], &destroy.base, NULL, 0, 1);
	cr_assert_eq(r, PROTO_ETIMEDOUT);
}

Test(proto_frame, send_to_a_closed_peer_raises_no_signal)
{
	Proto__Detach detach = PROTO__DETACH__INIT;

	close(pair[1]);
	cr_assert_eq(proto_send(pair[0], &detach.base, NULL, 0, 1000),
	    PROTO_EUNREACHABLE);
	pair[1] = dup(pair[0]);
}
