#include "server/value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct suffix {
	const char *text;
	uint64_t factor;
};

/* Largest first: value_format() takes the first that divides. */
static const struct suffix suffix_bytes[] = {
	{ "T", UINT64_C(1) << 40 },
	{ "G", UINT64_C(1) << 30 },
	{ "M", UINT64_C(1) << 20 },
	{ "K", UINT64_C(1) << 10 },
	{ "", 1 },
	{ NULL, 0 },
};

static const struct suffix suffix_ms[] = {
	{ "h", 3600000 },
	{ "m", 60000 },
	{ "s", 1000 },
	{ "ms", 1 },
	{ "", 1 },
	{ NULL, 0 },
};

static const struct suffix suffix_count[] = {
	{ "", 1 },
	{ NULL, 0 },
};

static const struct suffix *
suffixes_of(const char *unit)
{
	if (strcmp(unit, "bytes") == 0)
		return suffix_bytes;
	if (strcmp(unit, "ms") == 0)
		return suffix_ms;
	return suffix_count;
}

/* The words of an enum's unit, "enum:a|b|c"; NULL for any other unit. */
static const char *
enum_words(const char *unit)
{
	return strncmp(unit, "enum:", 5) == 0 ? unit + 5 : NULL;
}

const char *
value_example(const char *unit)
{
	if (strcmp(unit, "bytes") == 0)
		return "a size such as 64M";
	if (strcmp(unit, "ms") == 0)
		return "a duration such as 250ms or 10s";
	const char *words = enum_words(unit);
	return words != NULL ? words : "a number";
}

static int
enum_parse(const char *words, const char *text, uint64_t *ret_value)
{
	size_t len = strlen(text);
	uint64_t i = 0;
	for (const char *word = words;; word++, i++) {
		size_t n = strcspn(word, "|");
		if (n == len && strncmp(word, text, n) == 0) {
			*ret_value = i;
			return 0;
		}
		word += n;
		if (*word == '\0')
			return SHM_EINVAL;
	}
}

static void
enum_format(const char *words, uint64_t value, char ret[VALUE_LEN])
{
	const char *word = words;
	for (uint64_t i = 0; i < value; i++) {
		word += strcspn(word, "|");
		if (*word == '\0') {
			snprintf(ret, VALUE_LEN, "%" PRIu64, value);
			return;
		}
		word++;
	}
	snprintf(ret, VALUE_LEN, "%.*s", (int)strcspn(word, "|"), word);
}

/* Of bytes, "64MB", "64MiB" and "64m" are 64M too. */
static bool
suffix_equals(const struct suffix *suffix, const char *text, bool is_bytes)
{
	size_t len = strlen(suffix->text);
	if (!is_bytes)
		return strcmp(text, suffix->text) == 0;
	if (strncasecmp(text, suffix->text, len) != 0)
		return false;
	text += len;
	return *text == '\0' || strcasecmp(text, "b") == 0 ||
	    (len > 0 && strcasecmp(text, "ib") == 0);
}

#define BILLION UINT64_C(1000000000)

__extension__ typedef unsigned __int128 uint128;

/*
 * Read a decimal number of at most nine places, as its whole part and its
 * billionths.  Where it ends, or NULL if there is none.
 */
static const char *
number_parse(const char *text, uint64_t *ret_whole, uint64_t *ret_billionths)
{
	char *end;
	if (!isdigit((unsigned char)*text))
		return NULL;
	errno = 0;
	unsigned long long whole = strtoull(text, &end, 10);
	if (errno != 0)
		return NULL;
	*ret_whole = whole;
	*ret_billionths = 0;
	if (*end != '.')
		return end;
	const char *at = end + 1;
	for (uint64_t unit = BILLION / 10; isdigit((unsigned char)*at);
	     at++, unit /= 10) {
		if (unit == 0)
			return NULL;
		*ret_billionths += unit * (uint64_t)(*at - '0');
	}
	return at > end + 1 ? at : NULL;
}

int
value_parse(const char *unit, const char *text, uint64_t *ret_value)
{
	const char *words = enum_words(unit);
	if (words != NULL)
		return enum_parse(words, text, ret_value);
	uint64_t whole, billionths;
	const char *end = number_parse(text, &whole, &billionths);
	if (end == NULL)
		return SHM_EINVAL;
	const struct suffix *suffix = suffixes_of(unit);
	bool is_bytes = suffix == suffix_bytes;
	while (suffix->text != NULL && !suffix_equals(suffix, end, is_bytes))
		suffix++;
	if (suffix->text == NULL || whole >= UINT64_MAX / suffix->factor ||
	    (billionths != 0 && suffix->factor == 1))
		return SHM_EINVAL;
	*ret_value = whole * suffix->factor +
	    (uint64_t)((uint128)billionths * suffix->factor / BILLION);
	return 0;
}

void
value_format(const char *unit, uint64_t value, char ret[VALUE_LEN])
{
	const char *words = enum_words(unit);
	if (words != NULL) {
		enum_format(words, value, ret);
		return;
	}
	const struct suffix *suffix = suffixes_of(unit);
	while (value % suffix->factor != 0 || value < suffix->factor) {
		if (suffix->factor == 1)
			break;
		suffix++;
	}
	snprintf(ret, VALUE_LEN, "%" PRIu64 "%s", value / suffix->factor,
	    suffix->text);
}

int
value_check(
    const struct shm_param_info *info, uint64_t value, char *reason, size_t len)
{
	if (value >= info->min && value <= info->max)
		return 0;
	bool is_low = value < info->min;
	char asked[VALUE_LEN], bound[VALUE_LEN];
	value_format(info->unit, value, asked);
	value_format(info->unit, is_low ? info->min : info->max, bound);
	snprintf(reason, len, "%s is %s %s", asked,
	    is_low ? "below the minimum" : "above the maximum", bound);
	return SHM_ERANGE;
}

/* Names longer than this are not compared. */
#define SUGGEST_LEN 40

/* Levenshtein's distance of A and B; INT_MAX if one is too long. */
static int
name_distance(const char *a, const char *b)
{
	size_t n_a = strlen(a), n_b = strlen(b);
	if (n_a >= SUGGEST_LEN || n_b >= SUGGEST_LEN)
		return INT_MAX;
	int row[SUGGEST_LEN];
	for (size_t j = 0; j <= n_b; j++)
		row[j] = (int)j;
	for (size_t i = 1; i <= n_a; i++) {
		int diagonal = row[0];
		row[0] = (int)i;
		for (size_t j = 1; j <= n_b; j++) {
			int best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n_b];
}

const char *
value_suggest(
    const char *name, const char *const *names, size_t n, size_t stride)
{
	const char *nearest = NULL;
	int nearest_distance = (int)(strlen(name) > 5 ? 4 : 3);
	const char *at = (const char *)names;
	for (size_t i = 0; i < n; i++, at += stride) {
		const char *candidate = *(const char *const *)(const void *)at;
		int distance = name_distance(name, candidate);
		if (distance < nearest_distance) {
			nearest = candidate;
			nearest_distance = distance;
		}
	}
	return nearest;
}
