/* What the files of the control interface share. */
#ifndef CLIENT_CONTROL_INTERNAL_H
#define CLIENT_CONTROL_INTERNAL_H

#include "proto/shmalloc.pb-c.h"
#include "shmalloc/control.h"

struct shmalloc_control {
	int fd; /* -1: of no use any more */
	int is_read_only;
	int timeout_ms; /* 0: by the kind of request */
	char *message;  /* of the last error, or NULL */
	char *subject;
	int error; /* the last request's */
};

/* A reply owns its message; the body is one of its members. */
struct shmalloc_reply {
	Proto__Reply *message;
};

/* A record is a message of protobuf-c; the type exists for callers only. */
static inline const ProtobufCMessage *
record_message(const struct shmalloc_record *record)
{
	return (const ProtobufCMessage *)(const void *)record;
}

/*
 * Send REQUEST for SEGMENT and receive its reply, which must have the body
 * BODY.  IS_WALK: it may take long.  RET_REPLY may be NULL.
 */
int shmalloc_control_request(struct shmalloc_control *control,
    Proto__Request *request, const char *segment, Proto__Reply__BodyCase body,
    int is_walk, struct shmalloc_reply **ret_reply)
    __attribute__((warn_unused_result));

#endif
