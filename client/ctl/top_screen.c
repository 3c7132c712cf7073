/*
 * `top` on a terminal, with ncurses.
 *
 * The terminal's own colours stay; what is to be seen has a colour of the
 * terminal's palette on its own background, so it reads in dark and in light.
 * Without colours it is bold.
 */
#include <locale.h>
#include <ncurses.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/ctl/look.h"
#include "client/ctl/text.h"
#include "client/ctl/top.h"

#define DELAY_LEAST 0.1
#define DELAY_MOST  3600.0

enum pair { PAIR_NONE, PAIR_BAD, PAIR_GOOD, PAIR_MIDDLE };

struct screen {
	struct top *top;
	bool has_color;
	bool is_paused, has_help, is_over;
	size_t first;       /* row that is on top */
	char message[128];  /* in place of the help line, "" none */
	struct timespec at; /* of the next look */
};

/* ---- Drawing ------------------------------------------------------------- */

static attr_t
mark(const struct screen *screen, enum pair pair)
{
	if (pair == PAIR_NONE)
		return A_NORMAL;
	return screen->has_color ? (attr_t)COLOR_PAIR(pair) : A_BOLD;
}

/* TEXT at the beginning of the line Y, cut where the screen ends. */
static void
line_draw(int y, attr_t attributes, const char *text)
{
	if (y < 0 || y >= LINES)
		return;
	attron(attributes);
	mvaddnstr(y, 0, text, COLS);
	if ((attributes & A_REVERSE) != 0)
		for (int x = getcurx(stdscr); x < COLS && getcury(stdscr) == y;
		     x++)
			addch(' ');
	attroff(attributes);
}

/* How much of the limit is used, as a bar: = used, c cached of it. */
static void
bar_draw(const struct screen *screen, int y)
{
	const struct shmalloc_record *stats =
	    shmalloc_control_root(screen->top->now.stats);
	const struct look *look = &screen->top->ctl->look;
	char used[QUANTITY_LEN], limit[QUANTITY_LEN], text[80];
	double cached, ratio = top_used(screen->top, &cached);
	int width = COLS - 34, full, shared;
	enum pair pair = ratio < 0.75 ? PAIR_GOOD
	    : ratio < 0.9             ? PAIR_MIDDLE
				      : PAIR_BAD;

	if (width < 10)
		width = 10;
	if (width > 100)
		width = 100;
	full = (int)(ratio * width + 0.5);
	full = full > width ? width : full;
	shared = (int)(cached * width + 0.5);
	snprintf(text, sizeof(text), "  %.0f%%  %s of %s", ratio * 100,
	    look_bytes_of(
		look, used, shmalloc_control_object(stats, "bytes"), "active"),
	    look_bytes_of(look, limit,
		shmalloc_control_object(stats, "segment"), "limit_bytes"));
	mvaddstr(y, 0, "limit [");
	attron(mark(screen, pair));
	for (int i = 0; i < full; i++)
		addch(i >= full - shared ? 'c' : '=');
	attroff(mark(screen, pair));
	for (int i = full; i < width; i++)
		addch(' ');
	addch(']');
	addnstr(text, COLS - width - 8 > 0 ? COLS - width - 8 : 0);
}

struct layout {
	int width[TOP_COLUMNS]; /* 0: left out */
	size_t n;
};

static int
layout_total(const struct layout *layout)
{
	int total = -1;

	for (size_t i = 0; i < layout->n; i++)
		if (layout->width[i] != 0)
			total += layout->width[i] + 1;
	return total;
}

/* How wide the columns are; those of the highest rank go if it is too much. */
static void
layout_make(const struct top *top, struct layout *layout)
{
	const struct top_column *columns = top->view->column;

	layout->n = 0;
	for (size_t i = 0; columns[i].head != NULL; i++) {
		int width = (int)strlen(columns[i].head) + 1;

		for (size_t j = 0; j < top->n_rows; j++) {
			int len = (int)strlen(top->row[j].cell[i].text);

			width = len > width ? len : width;
		}
		layout->width[i] = width;
		layout->n++;
	}
	for (unsigned rank = TOP_COLUMNS; rank > 0; rank--)
		for (size_t i = 0; i < layout->n; i++)
			if (layout_total(layout) > COLS &&
			    columns[i].rank == rank)
				layout->width[i] = 0;
}

static void
cell_put(const struct top_column *column, int width, const char *text)
{
	printw(
	    column->kind == TOP_TEXT ? "%-*.*s" : "%*.*s", width, width, text);
}

static void
head_draw(const struct screen *screen, const struct layout *layout, int y)
{
	const struct top *top = screen->top;
	char head[TOP_CELL_LEN];

	line_draw(y, A_REVERSE, "");
	move(y, 0);
	for (size_t i = 0; i < layout->n; i++) {
		attr_t attributes = A_REVERSE |
		    (i == top->sort ? A_BOLD | A_UNDERLINE : A_NORMAL);

		if (layout->width[i] == 0)
			continue;
		snprintf(head, sizeof(head), "%s%s", top->view->column[i].head,
		    i != top->sort         ? ""
			: top->is_reversed ? "^"
					   : "v");
		attron(attributes);
		cell_put(&top->view->column[i], layout->width[i], head);
		attroff(attributes & ~A_REVERSE);
		addch(' ' | A_REVERSE);
		attroff(A_REVERSE);
	}
}

static void
row_draw(const struct screen *screen, const struct layout *layout, int y,
    const struct top_row *row)
{
	move(y, 0);
	for (size_t i = 0; i < layout->n; i++) {
		const struct top_cell *cell = &row->cell[i];
		attr_t attributes =
		    mark(screen, cell->is_bad ? PAIR_BAD : PAIR_NONE);

		if (layout->width[i] == 0)
			continue;
		attron(attributes);
		cell_put(&screen->top->view->column[i], layout->width[i],
		    cell->text);
		attroff(attributes);
		addch(' ');
	}
}

static void
rows_draw(struct screen *screen, int y, int end)
{
	const struct top *top = screen->top;
	size_t room = end > y + 1 ? (size_t)(end - y - 1) : 0;
	struct layout layout;

	layout_make(top, &layout);
	head_draw(screen, &layout, y);
	if (screen->first + room > top->n_rows)
		screen->first = top->n_rows > room ? top->n_rows - room : 0;
	for (size_t i = 0; i < room && screen->first + i < top->n_rows; i++)
		row_draw(screen, &layout, y + 1 + (int)i,
		    &top->row[screen->first + i]);
}

static const char *const help_lines[] = {
	"a c b l     by arena, client, bin, lock",
	"< >         sort by the column to the left, to the right",
	"r           the other way round",
	"+ -         look more, less often",
	"p           pause; go on",
	"space       look now",
	"up down     scroll; also PgUp, PgDn, Home, End",
	"h ?         this help; go back",
	"q           end",
	"",
	"= in use, c of it in thread caches.  A second's figures are counted",
	"between two looks, and lag by what caches did since their refill.",
};

static void
help_draw(int y)
{
	for (size_t i = 0; i < sizeof(help_lines) / sizeof(help_lines[0]); i++)
		line_draw(y + (int)i, A_NORMAL, help_lines[i]);
}

static void
title_draw(const struct screen *screen)
{
	char text[TOP_LINE_LEN], clock[16];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "shmallocctl top  by %s  every %gs  %s%s",
	    screen->top->view->name, screen->top->delay, clock,
	    screen->is_paused ? "  PAUSED" : "");
	line_draw(0, A_BOLD, text);
}

static void
screen_draw(struct screen *screen)
{
	char line[TOP_SUMMARY][TOP_LINE_LEN];
	size_t n = 0;
	int y = 1;

	erase();
	title_draw(screen);
	if (screen->top->now.stats != NULL)
		n = top_summary(screen->top, line);
	if (n != 0)
		bar_draw(screen, y++);
	for (size_t i = 0; i < n; i++)
		line_draw(y++, A_NORMAL, line[i]);
	y++;
	if (screen->has_help)
		help_draw(y);
	else if (n != 0)
		rows_draw(screen, y, LINES - 1);
	line_draw(LINES - 1,
	    screen->message[0] != '\0' ? mark(screen, PAIR_BAD) | A_REVERSE
				       : A_REVERSE,
	    screen->message[0] != '\0'
		? screen->message
		: "q end  h help  a arenas  c clients  b bins  l locks  "
		  "< > r sort  p pause");
	refresh();
}

/* ---- Keys ---------------------------------------------------------------- */

static void
clock_set(struct screen *screen, double seconds)
{
	clock_gettime(CLOCK_MONOTONIC, &screen->at);
	screen->at.tv_sec += (time_t)seconds;
	screen->at.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
}

/* Milliseconds until the next look; a pause has none. */
static int
clock_left(const struct screen *screen)
{
	struct timespec now;
	double left;

	if (screen->is_paused)
		return -1;
	clock_gettime(CLOCK_MONOTONIC, &now);
	left = (double)(screen->at.tv_sec - now.tv_sec) * 1e3 +
	    (double)(screen->at.tv_nsec - now.tv_nsec) / 1e6;
	return left > 0 ? (int)left + 1 : 0;
}

static void
sort_move(struct top *top, int by)
{
	unsigned n = 0;

	while (top->view->column[n].head != NULL)
		n++;
	top->sort = (top->sort + n + (unsigned)by) % n;
	top_sort(top);
}

static void
delay_change(struct screen *screen, double factor)
{
	double delay = screen->top->delay * factor;

	if (delay >= DELAY_LEAST && delay <= DELAY_MOST)
		screen->top->delay = delay;
	clock_set(screen, screen->top->delay);
}

/* Ask, and show what there is; a daemon that is away is asked again. */
static void
screen_look(struct screen *screen)
{
	struct ctl *ctl = screen->top->ctl;
	int r = 0;

	if (ctl->control == NULL)
		r = shmalloc_control_connect(ctl->opt.socket, 0, &ctl->control);
	if (r == 0)
		r = top_ask(screen->top);
	screen->message[0] = '\0';
	if (r == 0) {
		top_rows(screen->top);
	} else {
		snprintf(screen->message, sizeof(screen->message),
		    "no answer (%s); asking again",
		    ctl->control == NULL
			? shmalloc_strerror(r)
			: shmalloc_control_message(ctl->control));
		shmalloc_control_disconnect(ctl->control);
		ctl->control = NULL;
	}
	clock_set(screen, screen->top->delay);
}

static bool
view_key(struct screen *screen, int key)
{
	for (size_t i = 0; i < TOP_VIEWS; i++) {
		if (top_views[i].key != key)
			continue;
		top_choose(screen->top, &top_views[i]);
		screen->first = 0;
		screen_look(screen);
		return true;
	}
	return false;
}

static void
scroll_key(struct screen *screen, int key)
{
	size_t page = LINES > 10 ? (size_t)LINES - 10 : 1;

	switch (key) {
	case KEY_UP:
		screen->first -= screen->first > 0;
		break;
	case KEY_DOWN:
		screen->first++;
		break;
	case KEY_PPAGE:
		screen->first -= screen->first < page ? screen->first : page;
		break;
	case KEY_NPAGE:
		screen->first += page;
		break;
	case KEY_HOME:
		screen->first = 0;
		break;
	case KEY_END:
		screen->first = screen->top->n_rows;
		break;
	default:
		break;
	}
}

static void
screen_key(struct screen *screen, int key)
{
	switch (key) {
	case 'q':
	case 'Q':
	case 3: /* ^C, where it is no signal */
		screen->is_over = true;
		break;
	case 'h':
	case '?':
		screen->has_help = !screen->has_help;
		break;
	case 'p':
		screen->is_paused = !screen->is_paused;
		clock_set(screen, 0);
		break;
	case 'r':
	case 'R':
		screen->top->is_reversed = !screen->top->is_reversed;
		top_sort(screen->top);
		break;
	case '<':
		sort_move(screen->top, -1);
		break;
	case '>':
		sort_move(screen->top, 1);
		break;
	case '+':
		delay_change(screen, 0.5);
		break;
	case '-':
		delay_change(screen, 2);
		break;
	case ' ':
		screen_look(screen);
		break;
	default:
		if (!view_key(screen, key))
			scroll_key(screen, key);
		break;
	}
}

/* ---- The terminal -------------------------------------------------------- */

static void
terminal_begin(struct screen *screen)
{
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	curs_set(0);
	set_escdelay(25);
	screen->has_color =
	    screen->top->ctl->look.has_color && has_colors() == TRUE;
	if (!screen->has_color)
		return;
	start_color();
	use_default_colors();
	init_pair(PAIR_BAD, COLOR_RED, -1);
	init_pair(PAIR_GOOD, COLOR_GREEN, -1);
	init_pair(PAIR_MIDDLE, COLOR_YELLOW, -1);
}

int
top_screen(struct top *top)
{
	struct screen screen = { .top = top };
	SCREEN *terminal;
	int r;

	top->ctl->look.is_human = !top->ctl->opt.bytes;
	/* The first answer decides whether there is anything to show. */
	r = top_ask(top);
	if (r < 0)
		return ctl_fail(top->ctl, r);
	terminal = top_has_terminal() ? newterm(NULL, stdout, stdin) : NULL;
	if (terminal == NULL) {
		text_error("top: this terminal cannot show it; use --batch");
		return EXIT_INTERNAL;
	}
	terminal_begin(&screen);
	top_rows(top);
	clock_set(&screen, top->delay);
	while (!screen.is_over) {
		int key;

		screen_draw(&screen);
		timeout(clock_left(&screen));
		key = getch();
		if (key != ERR)
			screen_key(&screen, key);
		else if (!screen.is_paused)
			screen_look(&screen);
	}
	endwin();
	delscreen(terminal);
	return EXIT_OK;
}
