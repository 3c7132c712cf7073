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
	const char *reply, *list;
} outputs[COMMANDS] = {
	[COMMAND_STATUS] = { "status", "" },
	[COMMAND_STATS] = { "stats", "" },
	[COMMAND_CLIENTS] = { "clients", "clients" },
	[COMMAND_LOCKS] = { "locks", "" },
	[COMMAND_PROFILE] = { "profile", "" },
	[COMMAND_MAP] = { "map", "" },
	[COMMAND_FIT] = { "fit", "" },
	[COMMAND_TUNE_LIST] = { "parameters", "parameters" },
	[COMMAND_TUNE_SET] = { "changes", "changes" },
	[COMMAND_TUNE_REVERT] = { "changes", "changes" },
	[COMMAND_TUNE_DIFF] = { "parameters", "parameters" },
	[COMMAND_TUNE_SAVE] = { "saved", "" },
	[COMMAND_TRIM] = { "trimmed", "" },
	[COMMAND_CHECK] = { "checked", "" },
	[COMMAND_SEGMENT_LIST] = { "segments", "segments" },
	[COMMAND_ROOTS] = { "roots", "roots" },
	[COMMAND_CACHE_LIST] = { "stats", "caches" },
	[COMMAND_CACHE_STATS] = { "stats", "caches" },
};

#define OWN(command, path, kind, unit, text)                                   \
	{                                                                      \
		COMMAND_##command,                                             \
		{                                                              \
			path, kind, unit, NULL, text                           \
		}                                                              \
	}

/* And what commands make themselves. */
static const struct {
	enum command_id command;
	struct shmalloc_metric metric;
} own[] = {
	OWN(STATS, "by_client[]", "record", "",
	    "With --by client: as in the output of clients."),
	OWN(STATS, "by_lock[]", "record", "",
	    "With --by lock: as locks[] in the output of locks."),
	OWN(CACHE_GET, "cache", "key", "text", "The cache's name."),
	OWN(CACHE_GET, "key", "key", "text",
	    "The key: itself, or in base64 if it is no UTF-8."),
	OWN(CACHE_GET, "key_encoding", "info", "text", "utf-8 or base64."),
	OWN(CACHE_GET, "value", "info", "text", "The value, likewise."),
	OWN(CACHE_GET, "value_encoding", "info", "text", "utf-8 or base64."),
	OWN(CACHE_GET, "bytes", "gauge", "bytes", "The value's length."),
	OWN(CACHE_GET, "flags", "info", "number", "As they were stored."),
	OWN(CACHE_GET, "ttl_seconds", "gauge", "seconds",
	    "What is left of its time; null if it has no end."),
	OWN(CACHE_GET, "stale", "gauge", "flag", "Whether its time is over."),
	OWN(CACHE_KEYS, "[]", "record", "", "Each entry, by key."),
	OWN(CACHE_KEYS, "[].key", "key", "text",
	    "Its key: itself, or in base64 if it is no UTF-8."),
	OWN(CACHE_KEYS, "[].key_encoding", "info", "text", "utf-8 or base64."),
	OWN(CACHE_KEYS, "[].bytes", "gauge", "bytes", "Its value's length."),
	OWN(CACHE_KEYS, "[].flags", "info", "number", "As they were stored."),
	OWN(CACHE_KEYS, "[].ttl_seconds", "gauge", "seconds",
	    "What is left of its time; null if it has no end."),
	OWN(CACHE_KEYS, "[].age_seconds", "gauge", "seconds",
	    "How long ago it was stored."),
	OWN(DOCTOR, "schema", "info", "text", "shmalloc.doctor/1."),
	OWN(DOCTOR, "level", "info", "text", "ok, warning or critical."),
	OWN(DOCTOR, "rules", "gauge", "count", "How many rules were applied."),
	OWN(DOCTOR, "findings[]", "record", "",
	    "What was found, the worst first."),
	OWN(DOCTOR, "findings[].rule", "key", "text", "The rule's name."),
	OWN(DOCTOR, "findings[].level", "info", "text", "warning or critical."),
	OWN(DOCTOR, "findings[].evidence", "info", "text", "The figures."),
	OWN(DOCTOR, "findings[].why", "info", "text", "What they mean."),
	OWN(DOCTOR, "findings[].run", "info", "text",
	    "A command that shows more, or helps."),
	OWN(VERSION, "schema", "info", "text", "shmalloc.versions/1."),
	OWN(VERSION, "shmallocctl", "info", "text", "This program's version."),
	OWN(VERSION, "shmallocd", "record", "",
	    "The daemon's answer; null if there is none."),
	OWN(VERSION, "shmallocd.schema", "info", "text", "shmalloc.version/1."),
	OWN(VERSION, "shmallocd.version", "info", "text",
	    "The daemon's version."),
	OWN(VERSION, "shmallocd.protocol", "info", "number",
	    "The protocol it speaks."),
	OWN(VERSION, "shmallocd.layout", "info", "number",
	    "The layout of its segments."),
};

#define OWN_N (sizeof(own) / sizeof(own[0]))

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
	size_t len = strlen(sink->list);
	/* Of a list that is printed alone, what follows its name. */
	const char *path = metric->path + len;

	if (len != 0 &&
	    (strncmp(metric->path, sink->list, len) != 0 || *path != '['))
		return;
	if (sink->array != NULL)
		json_add(sink, path, metric);
	else
		text_add(sink, path, metric);
}

/* The output of the command ID; false: it has none. */
static bool
output_add(struct sink *sink, int id)
{
	const struct command *command = &command_table[id];
	bool has_own = false;

	for (size_t i = 0; i < OWN_N; i++)
		has_own = has_own || (int)own[i].command == id;
	if (outputs[id].reply == NULL && !has_own)
		return false;
	snprintf(sink->command, sizeof(sink->command), "%s%s%s", command->name,
	    command->verb == NULL ? "" : " ",
	    command->verb == NULL ? "" : command->verb);
	if (sink->array == NULL)
		printf("%s --json:\n", sink->command);
	sink->list = "";
	for (size_t i = 0; i < OWN_N; i++)
		if ((int)own[i].command == id)
			metric_add(sink, &own[i].metric);
	if (outputs[id].reply == NULL)
		return true;
	sink->list = outputs[id].list;
	(void)shmalloc_control_schema(outputs[id].reply, metric_add, sink);
	return true;
}

/* The outputs of the commands NAME, with VERB (or NULL: all its verbs); NAME
 * NULL: of all.  How many there are. */
static size_t
outputs_add(struct sink *sink, const char *name, const char *verb)
{
	size_t n = 0;

	for (int i = 0; i < COMMANDS; i++) {
		const struct command *command = &command_table[i];

		if (name != NULL && strcmp(name, command->name) != 0)
			continue;
		if (verb != NULL &&
		    (command->verb == NULL || strcmp(verb, command->verb) != 0))
			continue;
		if (output_add(sink, i))
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
		text_error("'%s' prints no JSON of its own", argv[0]);
		json_decref(sink.array);
		return EXIT_FALSE;
	}
	if (ctl->opt.json)
		json_print(json_pack("{s:s, s:o}", "schema",
			       "shmalloc.schema/1", "metrics", sink.array),
		    false);
	return EXIT_OK;
}
