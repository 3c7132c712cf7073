/*
 * Records of the control interface: access by key, and the walk, over the
 * descriptors of protobuf-c, so that a message that gets a field needs no line
 * here.  See <shmalloc/control.h>.
 *
 * Replies hold 32 and 64 bit integers, doubles, booleans, strings, bytes and
 * messages, optional or repeated; of the repeated ones strings and messages.
 * Bytes are not for walks: there they are absent.
 */
#include <string.h>

#include "client/control_internal.h"

struct value {
	const ProtobufCFieldDescriptor *field;
	const void *member; /* NULL: absent */
	size_t n;           /* of a list */
};

const struct shmalloc_record *
shmalloc_control_root(const struct shmalloc_reply *reply)
{
	/* All members of the union are pointers to messages. */
	return (
	    const struct shmalloc_record *)(const void *)reply->message->done;
}

static int
field_is_pointer(const ProtobufCFieldDescriptor *field)
{
	return field->type == PROTOBUF_C_TYPE_STRING ||
	    field->type == PROTOBUF_C_TYPE_MESSAGE;
}

static struct value
field_value(
    const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const char *base = (const char *)message;
	const char *member = base + field->offset;
	const char *quantifier = base + field->quantifier_offset;
	struct value value = { .field = field, .member = member };

	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		value.n = *(const size_t *)(const void *)quantifier;
		value.member = *(const void *const *)(const void *)member;
	} else if (field_is_pointer(field)) {
		value.member = *(const void *const *)(const void *)member;
	} else if (!*(const protobuf_c_boolean *)(const void *)quantifier) {
		value.member = NULL;
	}
	return value;
}

/* The value under KEY; its field is NULL if there is no such key. */
static struct value
record_find(const struct shmalloc_record *record, const char *key)
{
	const ProtobufCMessage *message = record_message(record);
	const ProtobufCFieldDescriptor *field = NULL;

	if (message != NULL)
		field = protobuf_c_message_descriptor_get_field_by_name(
		    message->descriptor, key);
	if (field == NULL)
		return (struct value){ .field = NULL };
	return field_value(message, field);
}

/* As record_find(), but only a present value of TYPE, not a list. */
static const void *
record_scalar(
    const struct shmalloc_record *record, const char *key, ProtobufCType type)
{
	struct value value = record_find(record, key);

	if (value.field == NULL || value.field->type != type ||
	    value.field->label == PROTOBUF_C_LABEL_REPEATED)
		return NULL;
	return value.member;
}

const struct shmalloc_record *
shmalloc_control_object(const struct shmalloc_record *record, const char *key)
{
	return record_scalar(record, key, PROTOBUF_C_TYPE_MESSAGE);
}

size_t
shmalloc_control_count(const struct shmalloc_record *record, const char *key)
{
	return record_find(record, key).n;
}

/* Item I of the list under KEY, if its items are of TYPE. */
static const void *
list_item(const struct shmalloc_record *record, const char *key, size_t i,
    ProtobufCType type)
{
	struct value value = record_find(record, key);

	if (i >= value.n || value.field->type != type)
		return NULL;
	return ((const void *const *)value.member)[i];
}

const struct shmalloc_record *
shmalloc_control_item(
    const struct shmalloc_record *record, const char *key, size_t i)
{
	return list_item(record, key, i, PROTOBUF_C_TYPE_MESSAGE);
}

const char *
shmalloc_control_string_item(
    const struct shmalloc_record *record, const char *key, size_t i)
{
	return list_item(record, key, i, PROTOBUF_C_TYPE_STRING);
}

int
shmalloc_control_uint(
    const struct shmalloc_record *record, const char *key, uint64_t *ret_value)
{
	const void *wide = record_scalar(record, key, PROTOBUF_C_TYPE_UINT64);
	const void *narrow = record_scalar(record, key, PROTOBUF_C_TYPE_UINT32);

	if (wide != NULL)
		*ret_value = *(const uint64_t *)wide;
	else if (narrow != NULL)
		*ret_value = *(const uint32_t *)narrow;
	else
		return SHMALLOC_EUNKNOWN;
	return 0;
}

int
shmalloc_control_double(
    const struct shmalloc_record *record, const char *key, double *ret_value)
{
	const double *value =
	    record_scalar(record, key, PROTOBUF_C_TYPE_DOUBLE);

	if (value == NULL)
		return SHMALLOC_EUNKNOWN;
	*ret_value = *value;
	return 0;
}

int
shmalloc_control_bool(
    const struct shmalloc_record *record, const char *key, int *ret_value)
{
	const protobuf_c_boolean *value =
	    record_scalar(record, key, PROTOBUF_C_TYPE_BOOL);

	if (value == NULL)
		return SHMALLOC_EUNKNOWN;
	*ret_value = *value != 0;
	return 0;
}

const char *
shmalloc_control_string(const struct shmalloc_record *record, const char *key)
{
	return record_scalar(record, key, PROTOBUF_C_TYPE_STRING);
}

const void *
shmalloc_control_bytes(
    const struct shmalloc_record *record, const char *key, size_t *ret_len)
{
	const ProtobufCBinaryData *value =
	    record_scalar(record, key, PROTOBUF_C_TYPE_BYTES);

	if (value == NULL)
		return NULL;
	*ret_len = value->len;
	return value->data;
}

/* ---- The walk -------------------------------------------------------- */

#define VISIT(visitor, member, ...)                                            \
	do {                                                                   \
		if ((visitor)->member != NULL)                                 \
			(visitor)->member(__VA_ARGS__);                        \
	} while (0)

static void message_walk(const ProtobufCMessage *message, const char *key,
    const struct shmalloc_visitor *visitor, void *arg);

/* One value that is present and no list. */
static void
item_walk(ProtobufCType type, const void *member, const char *key,
    const struct shmalloc_visitor *visitor, void *arg)
{
	switch (type) {
	case PROTOBUF_C_TYPE_UINT32:
		VISIT(visitor, value_uint, arg, key, *(const uint32_t *)member);
		break;
	case PROTOBUF_C_TYPE_UINT64:
		VISIT(visitor, value_uint, arg, key, *(const uint64_t *)member);
		break;
	case PROTOBUF_C_TYPE_SINT32:
		VISIT(visitor, value_int, arg, key, *(const int32_t *)member);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		VISIT(visitor, value_double, arg, key, *(const double *)member);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		VISIT(visitor, value_bool, arg, key,
		    *(const protobuf_c_boolean *)member != 0);
		break;
	case PROTOBUF_C_TYPE_STRING:
		VISIT(visitor, value_string, arg, key, member);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		message_walk(member, key, visitor, arg);
		break;
	default:
		VISIT(visitor, value_null, arg, key);
		break;
	}
}

static void
value_walk(const struct value *value, const char *key,
    const struct shmalloc_visitor *visitor, void *arg)
{
	ProtobufCType type = value->field->type;

	if (value->field->label != PROTOBUF_C_LABEL_REPEATED) {
		if (value->member == NULL)
			VISIT(visitor, value_null, arg, key);
		else
			item_walk(type, value->member, key, visitor, arg);
		return;
	}
	VISIT(visitor, begin_array, arg, key);
	for (size_t i = 0; i < value->n && field_is_pointer(value->field); i++)
		item_walk(type, ((const void *const *)value->member)[i], NULL,
		    visitor, arg);
	VISIT(visitor, end_array, arg);
}

static void
message_walk(const ProtobufCMessage *message, const char *key,
    const struct shmalloc_visitor *visitor, void *arg)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;

	VISIT(visitor, begin_object, arg, key);
	for (unsigned i = 0; i < type->n_fields; i++) {
		struct value value = field_value(message, &type->fields[i]);

		value_walk(&value, type->fields[i].name, visitor, arg);
	}
	VISIT(visitor, end_object, arg);
}

int
shmalloc_control_walk(const struct shmalloc_record *record, const char *key,
    const struct shmalloc_visitor *visitor, void *arg)
{
	struct shmalloc_visitor full = SHMALLOC_VISITOR_INIT;
	struct value value;

	if (record == NULL)
		return SHMALLOC_EUNKNOWN;
	memcpy(&full, visitor,
	    visitor->size < sizeof(full) ? visitor->size : sizeof(full));
	if (key == NULL) {
		message_walk(record_message(record), NULL, &full, arg);
		return 0;
	}
	value = record_find(record, key);
	if (value.field == NULL)
		return SHMALLOC_EUNKNOWN;
	value_walk(&value, NULL, &full, arg);
	return 0;
}
