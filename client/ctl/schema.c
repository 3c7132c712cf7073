/* `schema`: what each value of the JSON output means. */
#include "client/ctl/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/text.h"

/* ---- For those who show values ------------------------------------------- */

static void
entry_add(void *arg, const struct shmalloc_metric *metric)
{
	struct schema *schema = arg;
	struct schema_entry *more =
	    realloc(schema->entry, (schema->n + 1) * sizeof(*schema->entry));

	if (more == NULL) {
		text_error("out of memory");
		exit(EXIT_INTERNAL);
	}
	schema->entry = more;
	more += schema->n++;
	snprintf(more->path, sizeof(more->path), "%s", metric->path);
	more->kind = metric->kind;
	more->unit = metric->unit;
	more->text = metric->text;
}

void
schema_make(struct schema *schema, const char *reply)
{
	*schema = (struct schema){ NULL, 0 };
	(void)shmalloc_control_schema(reply, entry_add, schema);
}

void
schema_release(struct schema *schema)
{
	free(schema->entry);
}

const struct schema_entry *
schema_find(const struct schema *schema, const char *path)
{
	for (size_t i = 0; i < schema->n; i++)
		if (strcmp(schema->entry[i].path, path) == 0)
			return &schema->entry[i];
	return NULL;
}

/* ---- The command --------------------------------------------------------- */

/* Which reply a command prints as JSON, and the list that it is, if it prints
 * that alone. */
static const struct {
	enum command_id command;
	const char *reply, *list;
} outputs[] = {
	{ COMMAND_STATUS, "status", "" },
	{ COMMAND_STATS, "stats", "" },
	{ COMMAND_CLIENTS, "clients", "clients" },
	{ COMMAND_LOCKS, "locks", "" },
	{ COMMAND_MAP, "map", "" },
	{ COMMAND_FIT, "fit", "" },
	{ COMMAND_TUNE_LIST, "parameters", "parameters" },
	{ COMMAND_TUNE_SET, "changes", "changes" },
	{ COMMAND_TRIM, "trimmed", "" },
	{ COMMAND_CHECK, "checked", "" },
	{ COMMAND_SEGMENT_LIST, "segments", "segments" },
	{ COMMAND_ROOTS, "roots", "roots" },
};

#define OUTPUTS (sizeof(outputs) / sizeof(outputs[0]))

/* Where the metrics of one command's output go. */
struct sink {
	const struct ctl *ctl;
	const char *list;
	char command[32];
	json_t *array; /* NULL: text */
};

static void
json_add(
    struct sink *sink, const char *path, const struct shmalloc_metric *metric)
{
	json_t *value = json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s}", "command",
	    sink->command, "path", path, "kind", metric->kind, "unit",
	    metric->unit, "series", metric->series, "text", metric->text);

	if (value == NULL || json_array_append_new(sink->array, value) != 0) {
		text_error("out of memory");
		exit(EXIT_INTERNAL);
	}
}

static void
text_add(const struct sink *sink, const char *path,
    const struct shmalloc_metric *metric)
{
	const struct look *look = &sink->ctl->look;
	unsigned width =
	    look->width == 0 || look->width > 80 ? 80 : look->width;

	printf("%s%s%s  %s%s%s%s%s\n", look_color(look, LOOK_BOLD), path,
	    look_color(look, LOOK_RESET), metric->kind,
	    metric->unit[0] == '\0' ? "" : ", ", metric->unit,
	    metric->series == NULL ? "" : "  ",
	    metric->series == NULL ? "" : metric->series);
	text_wrap(metric->text, width, 4);
}

static void
metric_add(void *arg, const struct shmalloc_metric *metric)
{
	struct sink *sink = arg;
	/* Of a list that is printed alone, what follows its name. */
	const char *path = metric->path + strlen(sink->list);

	if (sink->array != NULL)
		json_add(sink, path, metric);
	else
		text_add(sink, path, metric);
}

static void
output_add(struct sink *sink, size_t i)
{
	const struct command *command = &command_table[outputs[i].command];

	snprintf(sink->command, sizeof(sink->command), "%s%s%s", command->name,
	    command->verb == NULL ? "" : " ",
	    command->verb == NULL ? "" : command->verb);
	sink->list = outputs[i].list;
	if (sink->array == NULL)
		printf("%s%s --json:\n", i == 0 ? "" : "\n", sink->command);
	(void)shmalloc_control_schema(outputs[i].reply, metric_add, sink);
}

/* Print the outputs of the commands NAME, with VERB (or NULL: all its verbs);
 * NAME NULL: of all.  How many there are. */
static size_t
outputs_add(struct sink *sink, const char *name, const char *verb)
{
	size_t n = 0;

	for (size_t i = 0; i < OUTPUTS; i++) {
		const struct command *command =
		    &command_table[outputs[i].command];

		if (name != NULL && strcmp(name, command->name) != 0)
			continue;
		if (verb != NULL && strcmp(verb, command->verb) != 0)
			continue;
		output_add(sink, i);
		n++;
	}
	return n;
}

int
schema_run(struct ctl *ctl, int argc, char **argv)
{
	struct sink sink = { .ctl = ctl };
	int used = 0;

	if (argc != 0 && command_find(argc, argv, &used) == NULL)
		return EXIT_USAGE;
	if (used < argc) {
		text_error("'%s' has no verbs", argv[0]);
		return EXIT_USAGE;
	}
	if (ctl->opt.json)
		sink.array = json_array();
	if (outputs_add(&sink, argc == 0 ? NULL : argv[0],
		used == 2 ? argv[1] : NULL) == 0) {
		text_error(
		    "'%s' prints nothing that the daemon answers", argv[0]);
		json_decref(sink.array);
		return EXIT_FALSE;
	}
	if (ctl->opt.json)
		json_print(json_pack("{s:s, s:o}", "schema",
			       "shmalloc.schema/1", "metrics", sink.array),
		    false);
	return EXIT_OK;
}
