/* Bytes of any content as text that says each of them. */
#ifndef CTL_ESCAPE_H
#define CTL_ESCAPE_H

#include <jansson.h>
#include <stddef.h>

/* All of these give memory for free(); without any the program ends. */

/*
 * The LEN bytes at DATA in one line of UTF-8 that no terminal obeys: what is
 * printable stays, a backslash is doubled, and the rest is \n, \t, \r or \xHH.
 */
char *escape_make(const void *data, size_t len);

/* The *RET_LEN bytes that escape_make() wrote as TEXT; NULL: it writes no such
 * thing, as \q. */
void *escape_parse(const char *text, size_t *ret_len);

/* The same in base64 (RFC 4648). */
char *escape_base64(const void *data, size_t len);

/*
 * Put the LEN bytes at DATA into OBJECT under KEY: as they are if they are
 * UTF-8, else in base64; KEY_encoding says which, "utf-8" or "base64".
 */
void escape_json(json_t *object, const char *key, const void *data, size_t len);

#endif
