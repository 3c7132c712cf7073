/* Quantities as people write and read them: see client/ctl/quantity.h. */
#include "client/ctl/quantity.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char byte_units[] = "KMGTP";

/* The unit after a number: "", "K", "KB", "KiB"; false: none of these. */
static bool
unit_parse(const char *text, unsigned *ret_shift)
{
	const char *unit;

	*ret_shift = 0;
	if (text[0] == '\0' || strcasecmp(text, "B") == 0)
		return true;
	unit = strchr(byte_units, toupper((unsigned char)text[0]));
	if (unit == NULL)
		return false;
	*ret_shift = 10 * (unsigned)(unit - byte_units + 1);
	text++;
	return text[0] == '\0' || strcasecmp(text, "B") == 0 ||
	    strcasecmp(text, "iB") == 0;
}

/* The digits after the point, as a part of 1; at most 9 of them count. */
static const char *
fraction_parse(const char *text, uint64_t *ret_billionths)
{
	uint64_t scale = 1000000000;

	*ret_billionths = 0;
	for (; isdigit((unsigned char)*text); text++) {
		scale /= 10;
		*ret_billionths += scale * (uint64_t)(*text - '0');
	}
	return text;
}

bool
quantity_parse_bytes(const char *text, uint64_t *ret_bytes)
{
	uint64_t whole, billionths = 0, part, unit;
	unsigned shift;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	whole = strtoull(text, &end, 10);
	if (errno != 0)
		return false;
	if (*end == '.' && isdigit((unsigned char)end[1])) {
		const char *rest = fraction_parse(end + 1, &billionths);

		end += rest - end;
	}
	if (!unit_parse(end, &shift))
		return false;
	unit = UINT64_C(1) << shift;
	if (whole > (UINT64_MAX >> shift))
		return false;
	whole <<= shift;
	part = (uint64_t)((double)unit * ((double)billionths / 1e9));
	if (part > UINT64_MAX - whole)
		return false;
	*ret_bytes = whole + part;
	return true;
}

bool
quantity_parse_count(const char *text, uint64_t max, uint64_t *ret_n)
{
	uint64_t n;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || n > max)
		return false;
	*ret_n = n;
	return true;
}

bool
quantity_parse_seconds(const char *text, double *ret_seconds)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = { { "", 1 }, { "ms", 0.001 }, { "s", 1 }, { "m", 60 },
		{ "h", 3600 }, { "d", 86400 } };
	char *end;
	double value;

	if (!isdigit((unsigned char)text[0]) && text[0] != '.')
		return false;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		return false;
	value = strtod(text, &end);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (end == text || strcmp(end, units[i].name) != 0)
			continue;
		*ret_seconds = value * units[i].seconds;
		return isfinite(*ret_seconds) != 0;
	}
	return false;
}

char *
quantity_bytes(char buf[QUANTITY_LEN], uint64_t bytes)
{
	unsigned shift = 0;
	double value;

	while (shift < 50 && (bytes >> shift) >= 1024)
		shift += 10;
	if ((bytes & ((UINT64_C(1) << shift) - 1)) == 0) {
		snprintf(buf, QUANTITY_LEN, "%" PRIu64 "%.1s", bytes >> shift,
		    shift == 0 ? "" : &byte_units[shift / 10 - 1]);
		return buf;
	}
	value = (double)bytes / (double)(UINT64_C(1) << shift);
	if (value >= 1023.5 && shift < 50) {
		value /= 1024;
		shift += 10;
	}
	snprintf(buf, QUANTITY_LEN, "%.*f%c", value < 99.95 ? 1 : 0, value,
	    byte_units[shift / 10 - 1]);
	return buf;
}

char *
quantity_count(char buf[QUANTITY_LEN], uint64_t n)
{
	static const char units[] = " KMGTPE";
	double value = (double)n;
	unsigned unit = 0;

	if (n < 10000) {
		snprintf(buf, QUANTITY_LEN, "%" PRIu64, n);
		return buf;
	}
	while (value >= 999.5) {
		value /= 1000;
		unit++;
	}
	snprintf(buf, QUANTITY_LEN, "%.*f%c",
	    value < 9.995 ? 2 : (value < 99.95 ? 1 : 0), value, units[unit]);
	return buf;
}

char *
quantity_duration(char buf[QUANTITY_LEN], double seconds)
{
	static const struct {
		uint64_t seconds;
		char name;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	uint64_t left = seconds > 0 && seconds < 1e15 ? (uint64_t)seconds : 0;
	size_t i = 0;
	uint64_t minor;

	while (i < 3 && left < units[i].seconds)
		i++;
	snprintf(buf, QUANTITY_LEN, "%" PRIu64 "%c", left / units[i].seconds,
	    units[i].name);
	if (i == 3)
		return buf;
	minor = left % units[i].seconds / units[i + 1].seconds;
	if (minor != 0) {
		size_t len = strlen(buf);

		snprintf(buf + len, QUANTITY_LEN - len, " %" PRIu64 "%c", minor,
		    units[i + 1].name);
	}
	return buf;
}

char *
quantity_ms(char buf[QUANTITY_LEN], uint64_t ms)
{
	static const struct {
		uint64_t ms;
		const char *name;
	} units[] = { { 3600000, "h" }, { 60000, "m" }, { 1000, "s" },
		{ 1, "ms" } };
	size_t i = 0;

	while (i < 3 && (ms == 0 || ms % units[i].ms != 0))
		i++;
	snprintf(buf, QUANTITY_LEN, "%" PRIu64 "%s", ms / units[i].ms,
	    units[i].name);
	return buf;
}
