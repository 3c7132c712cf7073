/*
 * `stats --long`: every value in a line of its own, with what it means.
 *
 * The walk of a reply names values by their keys.  A record of a list has no
 * key; it is named by its first value, which is what tells it apart: arenas[3].
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/look.h"
#include "client/ctl/schema.h"
#include "client/ctl/stats.h"
#include "client/ctl/table.h"

#define DEPTH 8

/* The record or list that the walk is in: the names of what is in it, with
 * its place and as the schema has it. */
struct frame {
	char name[SCHEMA_PATH_LEN], path[SCHEMA_PATH_LEN];
	bool is_list;
	bool is_named;
};

struct lines {
	const struct look *look;
	struct table *table;
	struct schema schema;
	struct frame frame[DEPTH];
	size_t n;
};

static void
name_join(char *buf, const char *in, const char *key)
{
	size_t len = 0;

	for (; *in != '\0' && len + 1 < SCHEMA_PATH_LEN; len++)
		buf[len] = *in++;
	if (len != 0 && len + 1 < SCHEMA_PATH_LEN)
		buf[len++] = '.';
	for (; *key != '\0' && len + 1 < SCHEMA_PATH_LEN; len++)
		buf[len] = *key++;
	buf[len] = '\0';
}

static void
frame_push(struct lines *lines, const char *key, bool is_list)
{
	struct frame *in = lines->n == 0 ? NULL : &lines->frame[lines->n - 1];
	struct frame *frame = &lines->frame[lines->n];

	if (lines->n == DEPTH)
		return;
	lines->n++;
	*frame = (struct frame){ .is_list = is_list, .is_named = true };
	if (in == NULL)
		return;
	if (key == NULL) {
		*frame = *in;
		frame->is_list = frame->is_named = false;
		return;
	}
	name_join(frame->name, in->name, key);
	name_join(frame->path, in->path, key);
	if (is_list)
		strncat(frame->path, "[]",
		    sizeof(frame->path) - strlen(frame->path) - 1);
}

static void
record_begin(void *arg, const char *key)
{
	frame_push(arg, key, false);
}

static void
list_begin(void *arg, const char *key)
{
	frame_push(arg, key, true);
}

static void
frame_pop(void *arg)
{
	struct lines *lines = arg;

	lines->n--;
}

/* A line for the value TEXT under KEY. */
static void
line_add(struct lines *lines, const char *key, const char *text)
{
	struct frame *frame = &lines->frame[lines->n - 1];
	const struct schema_entry *entry;
	char name[SCHEMA_PATH_LEN], path[SCHEMA_PATH_LEN];

	name_join(name, frame->name, key);
	name_join(path, frame->path, key);
	entry = schema_find(&lines->schema, path);
	table_text(lines->table, name);
	table_text(lines->table, text);
	table_text(lines->table, entry == NULL ? "" : entry->unit);
	table_text(lines->table, entry == NULL ? "" : entry->text);
}

static const char *
unit_of(struct lines *lines, const char *key)
{
	const struct frame *frame = &lines->frame[lines->n - 1];
	const struct schema_entry *entry;
	char path[SCHEMA_PATH_LEN];

	name_join(path, frame->path, key);
	entry = schema_find(&lines->schema, path);
	return entry == NULL ? "" : entry->unit;
}

/* Name the record of a list that KEY is the first value of. */
static void
record_name(struct lines *lines, uint64_t value)
{
	struct frame *frame = &lines->frame[lines->n - 1];
	size_t len = strlen(frame->name);

	if (frame->is_named)
		return;
	snprintf(frame->name + len, sizeof(frame->name) - len, "[%" PRIu64 "]",
	    value);
	frame->is_named = true;
}

static void
uint_add(void *arg, const char *key, uint64_t value)
{
	struct lines *lines = arg;
	char text[QUANTITY_LEN];

	record_name(lines, value);
	if (strcmp(unit_of(lines, key), "bytes") == 0)
		look_bytes(lines->look, text, value);
	else
		snprintf(text, sizeof(text), "%" PRIu64, value);
	line_add(lines, key, text);
}

static void
double_add(void *arg, const char *key, double value)
{
	char text[QUANTITY_LEN];

	snprintf(text, sizeof(text), "%.3f", value);
	line_add(arg, key, text);
}

static void
bool_add(void *arg, const char *key, int value)
{
	line_add(arg, key, value ? "true" : "false");
}

static void
string_add(void *arg, const char *key, const char *value)
{
	line_add(arg, key, value);
}

static void
null_add(void *arg, const char *key)
{
	line_add(arg, key, "-");
}

void
stats_long(const struct ctl *ctl, const struct shmalloc_record *stats)
{
	static const struct shmalloc_visitor visitor = {
		.size = sizeof(visitor),
		.begin_object = record_begin,
		.end_object = frame_pop,
		.begin_array = list_begin,
		.end_array = frame_pop,
		.value_uint = uint_add,
		.value_double = double_add,
		.value_bool = bool_add,
		.value_string = string_add,
		.value_null = null_add,
	};
	struct lines lines = { .look = &ctl->look };

	lines.table = table_new(&ctl->look, !ctl->opt.no_headings);
	table_column(lines.table, "NAME", 0);
	table_column(lines.table, "VALUE", TABLE_RIGHT);
	table_column(lines.table, "UNIT", TABLE_HIDE_1);
	table_column(lines.table, "MEANING", TABLE_CUT);
	schema_make(&lines.schema, "stats");
	(void)shmalloc_control_walk(stats, NULL, &visitor, &lines);
	schema_release(&lines.schema);
	table_print(lines.table);
}
