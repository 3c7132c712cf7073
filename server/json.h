/*
 * A message of protobuf-c as JSON, as `shmallocctl --json` prints it: every
 * field, in the order of the schema, null where it is absent.
 */
#ifndef SERVER_JSON_H
#define SERVER_JSON_H

#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

/*
 * The text of MESSAGE, or of its field KEY (not NULL), with a newline at its
 * end; the caller frees it.  NULL: out of memory, or there is no such field.
 */
char *json_text(
    const ProtobufCMessage *message, const char *key, size_t *ret_len);

#endif
