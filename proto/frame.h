/*
 * Frames: a message's length in 4 bytes, little-endian, then the message.
 *
 * Two users: the library and the tools, which wait (proto_send, proto_recv),
 * and the daemon, which gets bytes as they come and must not wait
 * (proto_pack, struct proto_reader).  Whoever reads says how long a message
 * may be; the daemon never allocates for bytes that did not come.
 *
 * The peer is not trusted: lengths, contents and descriptors that it sends are
 * checked here; what a message says is for the caller to check.
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#define PROTO_VERSION 1u

#define PROTO_HEAD        4u         /* bytes before each message */
#define PROTO_MAX_ATTACH  4096u      /* on `attach`, in both directions */
#define PROTO_MAX_REQUEST 16384u     /* to the daemon on `control` */
#define PROTO_MAX_REPLY   (4u << 20) /* from the daemon on `control` */
#define PROTO_MAX_FDS     4u         /* with one message */

#define PROTO_MUSTCHECK __attribute__((warn_unused_result))

/* The same numbers as in shm/error.def, which this layer doesn't see. */
enum proto_error {
	PROTO_EINVAL = -1,       /* too long to be sent, too many descriptors */
	PROTO_EUNREACHABLE = -6, /* the peer closed the connection */
	PROTO_EPROTO = -10,      /* what came makes no sense */
	PROTO_ETIMEDOUT = -11,
	PROTO_ESYSTEM = -16, /* a system call failed: see errno */
};

/*
 * Send MESSAGE as one frame over the stream socket FD, with copies of the N_FDS
 * descriptors FDS (at most PROTO_MAX_FDS), which stay the caller's.  Waits at
 * most DEADLINE_MS for the whole of it (-1: for ever), whether FD blocks or
 * not.  Never raises SIGPIPE.  0, or PROTO_EINVAL, PROTO_EUNREACHABLE,
 * PROTO_ETIMEDOUT, PROTO_ESYSTEM; after an error the stream is of no use.
 */
int proto_send(int fd, const ProtobufCMessage *message, const int *fds,
    unsigned n_fds, int deadline_ms) PROTO_MUSTCHECK;

/*
 * Receive one frame of at most MAX_LEN bytes, unpacked as TYPE, which the
 * caller frees with protobuf_c_message_free_unpacked(*ret_message, NULL).
 *
 * *N_FDS says how many descriptors RET_FDS has room for, and then how many
 * came; they are the caller's, and close on exec.  If more come than expected,
 * or any with N_FDS NULL, all are closed and the message is refused.
 *
 * 0, or PROTO_EUNREACHABLE (also in the middle of a frame), PROTO_EPROTO,
 * PROTO_ETIMEDOUT, PROTO_ESYSTEM; then no descriptor is left open, and the
 * stream is of no use.
 */
int proto_recv(int fd, const ProtobufCMessageDescriptor *type, uint32_t max_len,
    int deadline_ms, ProtobufCMessage **ret_message, int *ret_fds,
    unsigned *n_fds) PROTO_MUSTCHECK;

/*
 * MESSAGE as one frame of *RET_LEN bytes, head included, in memory that the
 * caller frees.  0; PROTO_EINVAL if the message is longer than MAX_LEN;
 * PROTO_ESYSTEM (no memory).
 */
int proto_pack(const ProtobufCMessage *message, uint32_t max_len,
    uint8_t **ret_frame, size_t *ret_len) PROTO_MUSTCHECK;

/* What the PROTO_HEAD bytes at HEAD say. */
uint32_t proto_length(const uint8_t *head);

/* A frame that is on its way in. */
struct proto_reader {
	uint32_t max_len;
	uint32_t len;  /* the message's, once the head is complete */
	uint32_t have; /* bytes that came, the head's included */
	uint32_t room; /* bytes that `body` has room for */
	uint8_t head[PROTO_HEAD];
	uint8_t *body;
};

void proto_reader_init(struct proto_reader *reader, uint32_t max_len);

/* Free what READER holds; it can be used again. */
void proto_reader_release(struct proto_reader *reader);

/*
 * Take bytes of the N at DATA, up to the end of the frame, and say in *RET_USED
 * how many.  1: the frame is complete, see proto_reader_take(), and the bytes
 * that were not used belong to the next; 0: it isn't, all bytes were used;
 * PROTO_EPROTO: it says that it is longer than max_len; PROTO_ESYSTEM: no
 * memory.  After an error the stream is of no use.  Never holds more than
 * twice what came, and never more than max_len.
 */
int proto_reader_feed(struct proto_reader *reader, const void *data, size_t n,
    size_t *ret_used) PROTO_MUSTCHECK;

/*
 * The message of the complete frame, unpacked as TYPE, which the caller frees
 * with protobuf_c_message_free_unpacked(); NULL if it makes no sense.  READER
 * is ready for the next frame in either case.
 */
ProtobufCMessage *proto_reader_take(struct proto_reader *reader,
    const ProtobufCMessageDescriptor *type) PROTO_MUSTCHECK;

#endif
