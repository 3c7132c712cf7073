/* How values look: see client/ctl/look.h. */
#include "client/ctl/look.h"

#include <inttypes.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/ctl/text.h"

static unsigned
terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0)
		return size.ws_col;
	return columns == NULL ? 80 : (unsigned)strtoul(columns, NULL, 10);
}

void
look_find(struct look *look, const struct options *opt)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool is_dumb = term == NULL || strcmp(term, "dumb") == 0;

	look->is_terminal = isatty(STDOUT_FILENO) != 0;
	look->is_human = look->is_terminal && !opt->bytes;
	look->has_color = look->is_terminal && !opt->no_color && !is_dumb &&
	    (no_color == NULL || no_color[0] == '\0');
	look->is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	look->width = look->is_terminal ? terminal_width() : 0;
}

char *
look_bytes(const struct look *look, char buf[QUANTITY_LEN], uint64_t n)
{
	if (look->is_human)
		return quantity_bytes(buf, n);
	snprintf(buf, QUANTITY_LEN, "%" PRIu64, n);
	return buf;
}

char *
look_count(const struct look *look, char buf[QUANTITY_LEN], uint64_t n)
{
	if (look->is_human)
		return quantity_count(buf, n);
	snprintf(buf, QUANTITY_LEN, "%" PRIu64, n);
	return buf;
}

char *
look_bytes_of(const struct look *look, char buf[QUANTITY_LEN],
    const struct shmalloc_record *record, const char *key)
{
	uint64_t n;

	if (shmalloc_control_uint(record, key, &n) == 0)
		return look_bytes(look, buf, n);
	return strcpy(buf, "?");
}

char *
look_count_of(const struct look *look, char buf[QUANTITY_LEN],
    const struct shmalloc_record *record, const char *key)
{
	uint64_t n;

	if (shmalloc_control_uint(record, key, &n) == 0)
		return look_count(look, buf, n);
	return strcpy(buf, "?");
}

char *
look_id_of(char buf[QUANTITY_LEN], const struct shmalloc_record *record,
    const char *key)
{
	uint64_t id;

	if (shmalloc_control_uint(record, key, &id) == 0)
		snprintf(buf, QUANTITY_LEN, "%" PRIu64, id);
	else
		strcpy(buf, "?");
	return buf;
}

char *
look_duration_of(char buf[QUANTITY_LEN], const struct shmalloc_record *record,
    const char *key)
{
	double seconds;

	if (shmalloc_control_double(record, key, &seconds) == 0)
		return quantity_duration(buf, seconds);
	return strcpy(buf, "?");
}

uint64_t
look_uint(
    const struct shmalloc_record *record, const char *key, uint64_t absent)
{
	uint64_t n = absent;

	return shmalloc_control_uint(record, key, &n) == 0 ? n : absent;
}

double
look_double(
    const struct shmalloc_record *record, const char *key, double absent)
{
	double value = absent;

	return shmalloc_control_double(record, key, &value) == 0 ? value
								 : absent;
}

bool
look_bool(const struct shmalloc_record *record, const char *key)
{
	int value = 0;

	return shmalloc_control_bool(record, key, &value) == 0 && value != 0;
}

char *
look_string(char *buf, size_t len, const struct shmalloc_record *record,
    const char *key)
{
	const char *string = shmalloc_control_string(record, key);

	return text_safe(buf, len, string == NULL ? "?" : string);
}

const char *
look_color(const struct look *look, const char *escape)
{
	return look->has_color ? escape : "";
}
