/* What somebody who mistyped a name may have meant. */
#ifndef CTL_SUGGEST_H
#define CTL_SUGGEST_H

#include <stddef.h>

#define SUGGEST_LEN 64

/* The best name so far. */
struct suggest {
	const char *typed;
	char best[SUGGEST_LEN]; /* "" : none is near enough */
	size_t distance;
	size_t limit; /* beyond it, only what begins as typed */
};

void suggest_init(struct suggest *suggest, const char *typed);

/* Consider NAME. */
void suggest_offer(struct suggest *suggest, const char *name);

/* "; did you mean 'NAME'?", or "". */
const char *suggest_text(struct suggest *suggest, char *buf, size_t len);

#endif
