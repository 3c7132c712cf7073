#include "server/json.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "shm/error.h"

/* As client/ctl/json.c has it: equal documents are equal bytes. */
#define JSON_FLAGS (JSON_ENCODE_ANY | JSON_REAL_PRECISION(15) | JSON_INDENT(2))

static json_t *message_json(const ProtobufCMessage *message);

/* Whole numbers that jansson's do not hold go as others that are near. */
static json_t *
number_json(uint64_t number)
{
	return number <= INT64_MAX ? json_integer((json_int_t)number)
				   : json_real((double)number);
}

/* JSON has neither infinity nor what is no number. */
static json_t *
real_json(double real)
{
	json_t *value = json_real(real);
	return value != NULL ? value : json_null();
}

/* The value of TYPE at MEMBER. */
static json_t *
item_json(ProtobufCType type, const void *member)
{
	switch (type) {
	case PROTOBUF_C_TYPE_UINT32:
		return number_json(*(const uint32_t *)member);
	case PROTOBUF_C_TYPE_UINT64:
		return number_json(*(const uint64_t *)member);
	case PROTOBUF_C_TYPE_SINT32:
		return json_integer(*(const int32_t *)member);
	case PROTOBUF_C_TYPE_DOUBLE:
		return real_json(*(const double *)member);
	case PROTOBUF_C_TYPE_BOOL:
		return json_boolean(*(const protobuf_c_boolean *)member != 0);
	case PROTOBUF_C_TYPE_STRING:
		return json_string(member);
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_json(member);
	default:
		return json_null();
	}
}

static bool
is_pointer(const ProtobufCFieldDescriptor *field)
{
	return field->type == PROTOBUF_C_TYPE_STRING ||
	    field->type == PROTOBUF_C_TYPE_MESSAGE;
}

/* Lists are of strings or messages. */
static json_t *
list_json(const ProtobufCFieldDescriptor *field, const void *member, size_t n)
{
	const void *const *items = *(const void *const *const *)member;
	json_t *list = json_array();
	for (size_t i = 0; i < n && is_pointer(field); i++)
		if (json_array_append_new(
			list, item_json(field->type, items[i])) != 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static json_t *
field_json(
    const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const char *base = (const char *)message;
	const void *member = base + field->offset;
	const void *quantifier = base + field->quantifier_offset;
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return list_json(field, member, *(const size_t *)quantifier);
	if (is_pointer(field)) {
		member = *(const void *const *)member;
		return member != NULL ? item_json(field->type, member)
				      : json_null();
	}
	return *(const protobuf_c_boolean *)quantifier
	    ? item_json(field->type, member)
	    : json_null();
}

static json_t *
message_json(const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	json_t *object = json_object();
	for (unsigned i = 0; i < type->n_fields; i++)
		if (json_object_set_new(object, type->fields[i].name,
			field_json(message, &type->fields[i])) != 0) {
			json_decref(object);
			return NULL;
		}
	return object;
}

static json_t *
key_json(const ProtobufCMessage *message, const char *key)
{
	const ProtobufCFieldDescriptor *field =
	    protobuf_c_message_descriptor_get_field_by_name(
		message->descriptor, key);
	return field != NULL ? field_json(message, field) : NULL;
}

char *
json_text(const ProtobufCMessage *message, const char *key, size_t *ret_len)
{
	json_t *value =
	    key != NULL ? key_json(message, key) : message_json(message);
	char *text = value != NULL ? json_dumps(value, JSON_FLAGS) : NULL;
	json_decref(value);
	if (text == NULL)
		return NULL;
	/* In place of the end: the length counts. */
	size_t len = strlen(text);
	text[len] = '\n';
	*ret_len = len + 1;
	return text;
}
