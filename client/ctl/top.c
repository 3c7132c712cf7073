/* `top`: a screen, or with --batch and without a terminal rounds of text. */
#include "client/ctl/top.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "client/ctl/command.h"
#include "client/ctl/look.h"
#include "client/ctl/table.h"
#include "client/ctl/text.h"

static void
delay_sleep(double seconds)
{
	struct timespec left = { .tv_sec = (time_t)seconds };

	left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
	nanosleep(&left, NULL);
}

static void
rows_print(const struct top *top)
{
	const struct top_column *columns = top->view->column;
	struct table *table =
	    table_new(&top->ctl->look, !top->ctl->opt.no_headings);

	for (size_t i = 0; columns[i].head != NULL; i++)
		table_column(table, columns[i].head,
		    columns[i].kind == TOP_TEXT ? 0 : TABLE_RIGHT);
	for (size_t i = 0; i < top->n_rows; i++)
		for (size_t j = 0; columns[j].head != NULL; j++)
			table_text(table, top->row[i].cell[j].text);
	table_print(table);
}

static void
round_print(struct top *top)
{
	char line[TOP_SUMMARY][TOP_LINE_LEN];
	size_t n;

	top_rows(top);
	n = top_summary(top, line);
	for (size_t i = 0; i < n; i++)
		text_line(top->ctl->look.width, "%s", line[i]);
	rows_print(top);
}

static int
batch_run(struct top *top, uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++) {
		int r;

		if (i != 0) {
			delay_sleep(top->delay);
			putchar('\n');
		}
		r = top_ask(top);
		if (r < 0)
			return ctl_fail(top->ctl, r);
		round_print(top);
		if (fflush(stdout) != 0)
			break;
	}
	return EXIT_OK;
}

/* The column whose heading is NAME. */
static bool
sort_choose(struct top *top, const char *name)
{
	const struct top_column *columns = top->view->column;

	for (unsigned i = 0; columns[i].head != NULL; i++)
		if (strcasecmp(columns[i].head, name) == 0) {
			top->sort = i;
			return true;
		}
	text_error("top: there is no column '%s' by %s", name, top->view->name);
	return false;
}

static bool
has_screen(const struct ctl *ctl)
{
	return !ctl->opt.batch && ctl->opt.count == 0 && !ctl->opt.json &&
	    ctl->look.is_terminal && isatty(STDIN_FILENO) == 1;
}

int
top_run(struct ctl *ctl, int argc, char **argv)
{
	struct top top;
	int code;

	(void)argc, (void)argv;
	if (ctl->opt.json) {
		text_error("top: there is no JSON; see `stats --json --watch`");
		return EXIT_USAGE;
	}
	top_init(&top, ctl);
	if (ctl->opt.sort != NULL && !sort_choose(&top, ctl->opt.sort))
		return EXIT_USAGE;
	code = ctl_connect(ctl);
	if (code != EXIT_OK)
		return code;
	if (has_screen(ctl))
		code = top_screen(&top);
	else
		code = batch_run(
		    &top, ctl->opt.count == 0 ? UINT64_MAX : ctl->opt.count);
	top_release(&top);
	return code;
}
