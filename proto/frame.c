/*
 * Frames, packed and taken apart: see proto/frame.h.  Sockets are the business
 * of proto/wire.c.
 */
#include "proto/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void
length_put(uint8_t *head, uint32_t len)
{
	for (unsigned i = 0; i < PROTO_HEAD; i++)
		head[i] = (uint8_t)(len >> (8 * i));
}

uint32_t
proto_length(const uint8_t *head)
{
	uint32_t len = 0;

	for (unsigned i = 0; i < PROTO_HEAD; i++)
		len |= (uint32_t)head[i] << (8 * i);
	return len;
}

int
proto_pack(const ProtobufCMessage *message, uint32_t max_len,
    uint8_t **ret_frame, size_t *ret_len)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	uint8_t *frame;

	if (len > max_len)
		return PROTO_EINVAL;
	frame = malloc(PROTO_HEAD + len);
	if (frame == NULL)
		return PROTO_ESYSTEM;
	length_put(frame, (uint32_t)len);
	protobuf_c_message_pack(message, frame + PROTO_HEAD);
	*ret_frame = frame;
	*ret_len = PROTO_HEAD + len;
	return 0;
}

void
proto_reader_init(struct proto_reader *reader, uint32_t max_len)
{
	*reader = (struct proto_reader){ .max_len = max_len };
}

void
proto_reader_release(struct proto_reader *reader)
{
	free(reader->body);
	proto_reader_init(reader, reader->max_len);
}

/* Make room for N more bytes of the body; doubling, so a sender that claims
 * much and sends little costs little. */
static int
room_make(struct proto_reader *reader, uint32_t n)
{
	uint32_t need = reader->have - PROTO_HEAD + n;
	uint32_t room = reader->room == 0 ? 64 : reader->room;
	uint8_t *body;

	if (need <= reader->room)
		return 0;
	while (room < need)
		room *= 2;
	if (room > reader->len)
		room = reader->len;
	body = realloc(reader->body, room);
	if (body == NULL)
		return PROTO_ESYSTEM;
	reader->body = body;
	reader->room = room;
	return 0;
}

static size_t
head_feed(struct proto_reader *reader, const uint8_t *data, size_t n)
{
	size_t used = 0;

	while (reader->have < PROTO_HEAD && used < n)
		reader->head[reader->have++] = data[used++];
	if (reader->have == PROTO_HEAD)
		reader->len = proto_length(reader->head);
	return used;
}

static int
body_feed(struct proto_reader *reader, const uint8_t *data, size_t n,
    size_t *ret_used)
{
	uint32_t left = reader->len - (reader->have - PROTO_HEAD);
	uint32_t take = n < left ? (uint32_t)n : left;
	int r = room_make(reader, take);

	if (r < 0)
		return r;
	if (take != 0)
		memcpy(reader->body + (reader->have - PROTO_HEAD), data, take);
	reader->have += take;
	*ret_used += take;
	return take == left;
}

int
proto_reader_feed(
    struct proto_reader *reader, const void *data, size_t n, size_t *ret_used)
{
	size_t used = 0;
	int r;

	if (reader->have < PROTO_HEAD)
		used = head_feed(reader, data, n);
	*ret_used = used;
	if (reader->have < PROTO_HEAD)
		return 0;
	if (reader->len > reader->max_len)
		return PROTO_EPROTO;
	r = body_feed(reader, (const uint8_t *)data + used, n - used, &used);
	if (r >= 0)
		*ret_used = used;
	return r;
}

ProtobufCMessage *
proto_reader_take(
    struct proto_reader *reader, const ProtobufCMessageDescriptor *type)
{
	static const uint8_t nothing[1];
	ProtobufCMessage *message = protobuf_c_message_unpack(type, NULL,
	    reader->len, reader->body == NULL ? nothing : reader->body);

	proto_reader_release(reader);
	return message;
}
