/*
 * What somebody who mistyped a name may have meant: the name at the least
 * Damerau-Levenshtein distance (insert, delete, change, swap neighbours), if
 * that is at most a third of what was typed, and at least 1; or one that
 * begins as typed.
 */
#include "client/ctl/suggest.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t
distance(const char *a, size_t n, const char *b, size_t m)
{
	size_t cost[SUGGEST_LEN + 1][SUGGEST_LEN + 1];

	for (size_t i = 0; i <= n; i++)
		cost[i][0] = i;
	for (size_t j = 0; j <= m; j++)
		cost[0][j] = j;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			size_t best =
			    cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			best = least(best, cost[i - 1][j] + 1);
			best = least(best, cost[i][j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				best = least(best, cost[i - 2][j - 2] + 1);
			cost[i][j] = best;
		}
	}
	return cost[n][m];
}

void
suggest_init(struct suggest *suggest, const char *typed)
{
	size_t third = strlen(typed) / 3;

	suggest->typed = typed;
	suggest->best[0] = '\0';
	suggest->limit = third == 0 ? 1 : third;
	suggest->distance = SIZE_MAX;
}

void
suggest_offer(struct suggest *suggest, const char *name)
{
	size_t n = strlen(suggest->typed), m = strlen(name), d;

	if (n == 0 || n >= SUGGEST_LEN || m >= SUGGEST_LEN)
		return;
	d = distance(suggest->typed, n, name, m);
	if (d > suggest->limit && strncmp(suggest->typed, name, n) != 0)
		return;
	if (d >= suggest->distance)
		return;
	suggest->distance = d;
	memcpy(suggest->best, name, m + 1);
}

const char *
suggest_text(struct suggest *suggest, char *buf, size_t len)
{
	buf[0] = '\0';
	if (suggest->best[0] != '\0')
		snprintf(buf, len, "; did you mean '%s'?", suggest->best);
	return buf;
}
