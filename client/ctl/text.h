/* Words for people: messages on stderr, and strings that others chose. */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* "shmallocctl: ..." on stderr. */
void text_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "hint: ..." on stderr. */
void text_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * STRING (NULL: "") in BUF with everything that a terminal might obey, and
 * bytes that are no UTF-8, replaced by '?'; BUF.  Clients choose their labels
 * and commands, so what comes from the daemon goes through here.
 */
char *text_safe(char *buf, size_t len, const char *string);

/* How many bytes the printable character of UTF-8 has that the LEN bytes at S
 * begin with; 0: they begin with none. */
size_t text_printable_len(const unsigned char *s, size_t len);

/* True if STRING is UTF-8. */
bool text_is_utf8(const char *string);

/*
 * Print a line on stdout, in a terminal WIDTH columns wide (0: no limit) folded
 * where two spaces stand.
 */
void text_line(unsigned width, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Print TEXT on stdout, wrapped between words to WIDTH columns, each line
 * after INDENT spaces.
 */
void text_wrap(const char *text, unsigned width, unsigned indent);

#endif
