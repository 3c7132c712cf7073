/* Words for people: see client/ctl/text.h. */
#include "client/ctl/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void
line_print(const char *prefix, const char *format, va_list args)
{
	char raw[1024], line[1024];

	vsnprintf(raw, sizeof(raw), format, args);
	fflush(stdout);
	fprintf(stderr, "%s: %s\n", prefix, text_safe(line, sizeof(line), raw));
}

void
text_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	line_print("shmallocctl", format, args);
	va_end(args);
}

void
text_hint(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	line_print("hint", format, args);
	va_end(args);
}

size_t
text_printable_len(const unsigned char *s, size_t len)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] < 0x80 ? 1
	    : s[0] < 0xc2      ? 0
	    : s[0] < 0xe0      ? 2
	    : s[0] < 0xf0      ? 3
	    : s[0] < 0xf5      ? 4
			       : 0;
	uint32_t code;

	if (n > len)
		return 0;
	if (n <= 1)
		return n == 1 && s[0] >= 0x20 && s[0] != 0x7f;
	code = s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	if (code < smallest[n] || code < 0xa0 || code > 0x10ffff ||
	    (code >= 0xd800 && code < 0xe000))
		return 0;
	return n;
}

char *
text_safe(char *buf, size_t len, const char *string)
{
	const unsigned char *s = (const unsigned char *)string;
	size_t used = 0;

	while (s != NULL && *s != '\0') {
		size_t n = text_printable_len(s, SIZE_MAX);

		if (used + (n == 0 ? 1 : n) >= len)
			break;
		if (n == 0) {
			buf[used++] = '?';
			s++;
			continue;
		}
		memcpy(buf + used, s, n);
		used += n;
		s += n;
	}
	buf[used] = '\0';
	return buf;
}

bool
text_is_utf8(const char *string)
{
	const unsigned char *s = (const unsigned char *)string;

	while (*s != '\0') {
		size_t n = *s < 0x80 ? 1 : text_printable_len(s, SIZE_MAX);

		if (n == 0)
			return false;
		s += n;
	}
	return true;
}

/* How many bytes the part of a line at S has, up to two spaces or the end. */
static size_t
part_len(const char *s)
{
	const char *end = strstr(s, "  ");

	return end == NULL ? strlen(s) : (size_t)(end - s);
}

void
text_line(unsigned width, const char *format, ...)
{
	char line[1024];
	const char *s = line;
	size_t column = 0;
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	while (*s != '\0') {
		size_t len = part_len(s);

		if (column != 0 && width != 0 && column + 2 + len > width) {
			putchar('\n');
			column = 0;
		}
		column += (size_t)printf(
		    "%s%.*s", s == line ? "" : "  ", (int)len, s);
		s += len;
		s += strspn(s, " ");
	}
	putchar('\n');
}

void
text_wrap(const char *text, unsigned width, unsigned indent)
{
	unsigned column = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (column != 0 && column + 1 + len > width) {
			putchar('\n');
			column = 0;
		}
		if (column == 0)
			column = (unsigned)printf("%*s", (int)indent, "");
		else
			column += (unsigned)printf(" ");
		column += (unsigned)printf("%.*s", (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
	putchar('\n');
}
