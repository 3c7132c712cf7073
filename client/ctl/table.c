/* Tables, over libsmartcols: see client/ctl/table.h. */
#include "client/ctl/table.h"

#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/quantity.h"
#include "client/ctl/text.h"

#define COLUMNS_MAX 24
#define CELL_LEN    256
#define HIDE(flags) ((flags) >> 4)

struct column {
	const char *name;
	unsigned flags;
	size_t width; /* of its widest cell */
	bool is_hidden;
};

struct table {
	const struct look *look;
	struct libscols_table *scols;
	struct libscols_line *line;
	struct column columns[COLUMNS_MAX];
	size_t n_columns, n_lines;
	size_t next; /* cell of the line */
};

static void
memory_fail(void)
{
	text_error("out of memory");
	exit(EXIT_INTERNAL);
}

struct table *
table_new(const struct look *look, bool has_headings)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table == NULL || (table->scols = scols_new_table()) == NULL)
		memory_fail();
	table->look = look;
	scols_table_enable_noheadings(table->scols, !has_headings);
	scols_table_enable_colors(table->scols, look->has_color);
	/* Never cut: this is for us to decide, before. */
	scols_table_set_termforce(table->scols, SCOLS_TERMFORCE_ALWAYS);
	scols_table_set_termwidth(table->scols, 4096);
	return table;
}

void
table_column(struct table *table, const char *name, unsigned flags)
{
	struct column *column = &table->columns[table->n_columns];
	bool is_headed = !scols_table_is_noheadings(table->scols);
	int scols_flags = ((flags & TABLE_RIGHT) != 0 ? SCOLS_FL_RIGHT : 0) |
	    ((flags & TABLE_CUT) != 0 ? SCOLS_FL_TRUNC : 0);

	if (table->n_columns == COLUMNS_MAX ||
	    scols_table_new_column(
		table->scols, is_headed ? name : "", 0, scols_flags) == NULL)
		memory_fail();
	*column = (struct column){
		.name = name,
		.flags = flags,
		.width = is_headed ? strlen(name) : 0,
	};
	table->n_columns++;
}

void
table_color(struct table *table, const char *text, const char *color_name)
{
	struct column *column = &table->columns[table->next];
	struct libscols_cell *cell;
	char safe[CELL_LEN];

	if (table->next == 0) {
		table->line = scols_table_new_line(table->scols, NULL);
		table->n_lines++;
	}
	text_safe(safe, sizeof(safe), text);
	if (table->line == NULL ||
	    scols_line_set_data(table->line, table->next, safe) != 0)
		memory_fail();
	cell = scols_line_get_cell(table->line, table->next);
	if (color_name != NULL && cell != NULL &&
	    scols_cell_set_color(cell, color_name) != 0)
		memory_fail();
	if (strlen(safe) > column->width && (column->flags & TABLE_CUT) == 0)
		column->width = strlen(safe);
	table->next = (table->next + 1) % table->n_columns;
}

void
table_text(struct table *table, const char *text)
{
	table_color(table, text, NULL);
}

void
table_uint(
    struct table *table, const struct shmalloc_record *record, const char *key)
{
	char buf[QUANTITY_LEN] = "-";
	uint64_t value;

	if (shmalloc_control_uint(record, key, &value) == 0)
		snprintf(buf, sizeof(buf), "%" PRIu64, value);
	table_text(table, buf);
}

void
table_bytes(
    struct table *table, const struct shmalloc_record *record, const char *key)
{
	char buf[QUANTITY_LEN];
	uint64_t value;

	if (!table->look->is_human ||
	    shmalloc_control_uint(record, key, &value) != 0)
		table_uint(table, record, key);
	else
		table_text(table, quantity_bytes(buf, value));
}

void
table_percent(
    struct table *table, const struct shmalloc_record *record, const char *key)
{
	char buf[QUANTITY_LEN] = "-";
	double ratio;

	if (shmalloc_control_double(record, key, &ratio) == 0)
		snprintf(buf, sizeof(buf), "%.0f%%", ratio * 100);
	table_text(table, buf);
}

void
table_string(
    struct table *table, const struct shmalloc_record *record, const char *key)
{
	const char *string = shmalloc_control_string(record, key);

	table_text(table, string == NULL || string[0] == '\0' ? "-" : string);
}

void
table_age(struct table *table, const struct shmalloc_record *record,
    const char *key, double now)
{
	char buf[QUANTITY_LEN] = "-";
	double then;

	if (shmalloc_control_double(record, key, &then) == 0) {
		/* The clock may have been set meanwhile. */
		double age = now > then ? now - then : 0;

		if (table->look->is_human)
			quantity_duration(buf, age);
		else
			snprintf(buf, sizeof(buf), "%.0f", age);
	}
	table_text(table, buf);
}

static size_t
table_width(const struct table *table)
{
	size_t width = 0;

	for (size_t i = 0; i < table->n_columns; i++)
		if (!table->columns[i].is_hidden)
			width += table->columns[i].width + 1;
	return width - 1;
}

static void
column_hide(struct table *table, size_t i)
{
	struct libscols_column *column =
	    scols_table_get_column(table->scols, i);

	table->columns[i].is_hidden = true;
	scols_column_set_flags(
	    column, scols_column_get_flags(column) | SCOLS_FL_HIDDEN);
}

/* Leave columns out until the table fits; how many. */
static size_t
columns_fit(struct table *table)
{
	size_t n = 0;

	for (unsigned rank = 1; rank <= 4; rank++) {
		for (size_t i = table->n_columns; i-- != 0;) {
			if (table_width(table) <= table->look->width)
				return n;
			if (HIDE(table->columns[i].flags) != rank)
				continue;
			column_hide(table, i);
			n++;
		}
	}
	return n;
}

static void
hidden_tell(const struct table *table)
{
	char names[256] = "";
	size_t len = 0;

	for (size_t i = 0; i < table->n_columns; i++)
		if (table->columns[i].is_hidden && len < sizeof(names))
			len += (size_t)snprintf(names + len,
			    sizeof(names) - len, "%s%s", len == 0 ? "" : ", ",
			    table->columns[i].name);
	text_hint("not shown in %u columns: %s", table->look->width, names);
}

void
table_print(struct table *table)
{
	size_t n_hidden = 0;

	if (table->look->width != 0)
		n_hidden = columns_fit(table);
	if (table->look->width != 0 && table->n_columns != 0 &&
	    (table->columns[table->n_columns - 1].flags & TABLE_CUT) != 0)
		scols_table_set_termwidth(table->scols, table->look->width);
	if (table->n_lines != 0 && scols_print_table(table->scols) != 0)
		memory_fail();
	if (n_hidden != 0)
		hidden_tell(table);
	scols_unref_table(table->scols);
	free(table);
}
