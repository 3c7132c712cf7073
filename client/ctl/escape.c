/* Bytes of any content as text: see client/ctl/escape.h. */
#include "client/ctl/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/ctl.h"
#include "client/ctl/text.h"

static void
memory_fail(void)
{
	text_error("out of memory");
	exit(EXIT_INTERNAL);
}

static char *
memory_take(size_t len)
{
	char *buf = malloc(len);

	if (buf == NULL)
		memory_fail();
	return buf;
}

/* ---- Escapes ------------------------------------------------------------- */

/* Those of one letter: what they are, what they mean. */
static const char letters[] = "\\ntr", meanings[] = "\\\n\t\r";

/* Write BYTE, which is no part of printable UTF-8, to TO; how much. */
static size_t
byte_escape(char *to, unsigned char byte)
{
	const char *at = byte == 0 ? NULL : strchr(meanings, byte);

	if (at == NULL)
		return (size_t)sprintf(to, "\\x%02x", byte);
	to[0] = '\\';
	to[1] = letters[at - meanings];
	return 2;
}

char *
escape_make(const void *data, size_t len)
{
	const unsigned char *s = data;
	char *text = memory_take(4 * len + 1), *to = text;

	while (len > 0) {
		size_t n = *s == '\\' ? 0 : text_printable_len(s, len);

		if (n == 0) {
			to += byte_escape(to, *s);
			n = 1;
		} else {
			memcpy(to, s, n);
			to += n;
		}
		s += n;
		len -= n;
	}
	*to = '\0';
	return text;
}

static int
digit_value(char digit)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	const char *at = digit == '\0' ? NULL : strchr(digits, digit);
	int value = at == NULL ? -1 : (int)(at - digits);

	return value < 16 ? value : value - 6;
}

/* The byte of the escape at S, behind its backslash, and how long that is; -1:
 * it is none. */
static int
escape_value(const char *s, size_t *ret_len)
{
	const char *at = *s == '\0' ? NULL : strchr(letters, *s);
	int high, low;

	*ret_len = 1;
	if (at != NULL)
		return meanings[at - letters];
	if (*s != 'x')
		return -1;
	high = digit_value(s[1]);
	low = high < 0 ? -1 : digit_value(s[2]);
	*ret_len = 3;
	return low < 0 ? -1 : high * 16 + low;
}

void *
escape_parse(const char *text, size_t *ret_len)
{
	char *bytes = memory_take(strlen(text) + 1), *to = bytes;

	while (*text != '\0') {
		size_t n;
		int value;

		if (*text != '\\') {
			*to++ = *text++;
			continue;
		}
		value = escape_value(text + 1, &n);
		if (value < 0) {
			free(bytes);
			return NULL;
		}
		*to++ = (char)value;
		text += 1 + n;
	}
	*ret_len = (size_t)(to - bytes);
	return bytes;
}

/* ---- base64 -------------------------------------------------------------- */

char *
escape_base64(const void *data, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *s = data;
	char *text = memory_take((len + 2) / 3 * 4 + 1), *to = text;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		unsigned bits = (unsigned)s[i] << 16;

		bits |= n > 1 ? (unsigned)s[i + 1] << 8 : 0;
		bits |= n > 2 ? (unsigned)s[i + 2] : 0;
		for (unsigned k = 0; k < 4; k++)
			*to++ = k > n ? '=' : digits[bits >> (18 - 6 * k) & 63];
	}
	*to = '\0';
	return text;
}

/* ---- JSON ---------------------------------------------------------------- */

void
escape_json(json_t *object, const char *key, const void *data, size_t len)
{
	/* It refuses what is no UTF-8. */
	json_t *value = json_stringn(len == 0 ? "" : data, len);
	const char *encoding = value == NULL ? "base64" : "utf-8";
	char name[64];

	if (value == NULL) {
		char *text = escape_base64(data, len);

		value = json_string(text);
		free(text);
	}
	snprintf(name, sizeof(name), "%s_encoding", key);
	if (json_object_set_new(object, key, value) != 0 ||
	    json_object_set_new(object, name, json_string(encoding)) != 0)
		memory_fail();
}
