/*
 * `top`: what is looked at, as rows and cells that a screen or a printer shows.
 *
 *	top_ask()  --> the replies of now, and those before for rates
 *	top_rows() --> cells of the view, sorted
 *	top_summary() --> the lines on top
 *
 * top.c prints rounds (--batch), top_screen.c draws with ncurses.
 */
#ifndef CTL_TOP_H
#define CTL_TOP_H

#include "client/ctl/ctl.h"

#define TOP_COLUMNS  14
#define TOP_CELL_LEN 24
#define TOP_SUMMARY  6
#define TOP_LINE_LEN 256
#define TOP_VIEWS    4

/* What a cell shows of the value under its path. */
enum top_kind {
	TOP_COUNT,
	TOP_BYTES,
	TOP_RATE,       /* of a counter, a second */
	TOP_BYTES_RATE, /* the same of bytes */
	TOP_RATIO,
	TOP_SECONDS,
	TOP_TEXT,
};

struct top_column {
	const char *head; /* NULL: no more */
	const char *path; /* a key, or two: lock.busy */
	enum top_kind kind;
	unsigned rank; /* on a narrow screen the highest goes first; 0 never */
};

struct top_view {
	const char *name; /* as --by has it */
	char key;
	const char *list; /* in its reply */
	unsigned sort;    /* the column, largest first, to begin with */
	struct top_column column[TOP_COLUMNS];
};

extern const struct top_view top_views[TOP_VIEWS];

struct top_cell {
	char text[TOP_CELL_LEN];
	double number; /* to sort by; of text 0 */
	bool is_bad;   /* to be seen */
};

struct top_row {
	struct top_cell cell[TOP_COLUMNS];
};

/* The replies of one moment. */
struct top_moment {
	struct shmalloc_reply *stats, *list; /* list: NULL if in stats */
};

struct top {
	struct ctl *ctl;
	const struct top_view *view;
	unsigned sort;
	bool is_reversed; /* smallest first */
	double delay;     /* seconds */
	struct top_moment now, before;
	size_t n_rows;
	struct top_row *row; /* owned */
};

void top_init(struct top *top, struct ctl *ctl);
void top_release(struct top *top);

/* Look at VIEW from now on, sorted as it is to begin with. */
void top_choose(struct top *top, const struct top_view *view);

/* Ask the daemon; 0 or what the request gave, the replies of before stay. */
int top_ask(struct top *top);

/* Make the rows of the replies of now. */
void top_rows(struct top *top);

/* Sort them again. */
void top_sort(struct top *top);

/* The lines on top; how many. */
size_t top_summary(const struct top *top, char line[TOP_SUMMARY][TOP_LINE_LEN]);

/* How much of limit.hard is used, 0 to 1, and what of it is cached. */
double top_used(const struct top *top, double *ret_cached);

/* Whether the terminal's kind is known, so that it can be drawn on. */
bool top_has_terminal(void);

/* Run on a terminal until the user ends it; the exit code. */
int top_screen(struct top *top);

#endif
