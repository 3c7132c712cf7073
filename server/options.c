#include "server/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an option does. */
enum option_kind {
	OPTION_KEY,     /* NAME=VALUE of the configuration */
	OPTION_SEGMENT, /* NAME:SIZE */
	OPTION_ASSIGN,  /* -p */
	OPTION_CONFIG,
	OPTION_NO_CONFIG,
	OPTION_IDLE_EXIT,
	OPTION_BACKGROUND,
	OPTION_NO_KEEPER,
	OPTION_TAKEOVER,
	OPTION_SAVE,
	OPTION_ACTION,
};

struct option_row {
	const char *name;
	char letter; /* or 0 */
	enum option_kind kind;
	const char *argument;       /* its name in --help; NULL: takes none */
	const char *key;            /* of OPTION_KEY */
	enum options_action action; /* of OPTION_ACTION */
	const char *text;
};

static const struct option_row rows[] = {
	{ "socket", 's', OPTION_KEY, "DIR", "socket", 0,
	    "directory of the sockets; default $SHMALLOC_SOCKET, else "
	    "$XDG_RUNTIME_DIR/shmalloc, else /run/shmalloc" },
	{ "size", 'm', OPTION_KEY, "SIZE", "size", 0,
	    "limit of the segment \"default\", as 64M or 1G; default 256M" },
	{ "reserve", 0, OPTION_KEY, "SIZE", "reserve", 0,
	    "address space reserved for it; default 8 x size, but 64G at "
	    "least, and 1T or size at most" },
	{ "mode", 0, OPTION_KEY, "MODE", "mode", 0,
	    "who may attach, as permission bits; default 0600" },
	{ "group", 'g', OPTION_KEY, "GROUP", "group", 0,
	    "group that the segment belongs to" },
	{ "segment", 'n', OPTION_SEGMENT, "NAME:SIZE", NULL, 0,
	    "make another segment; more of it with -p NAME:mode=0660 and so "
	    "on; repeatable" },
	{ NULL, 'p', OPTION_ASSIGN, "NAME=VALUE", NULL, 0,
	    "set a parameter or key of shmallocd.conf(5), or with "
	    "SEGMENT:NAME=VALUE one segment's; repeatable" },
	{ "config", 'c', OPTION_CONFIG, "FILE", NULL, 0,
	    "read FILE instead of " CONFIG_FILE_DEFAULT " and conf.d; "
	    "repeatable" },
	{ "no-config", 0, OPTION_NO_CONFIG, NULL, NULL, 0,
	    "do not read the default configuration files" },
	{ "check-config", 0, OPTION_ACTION, NULL, NULL, OPTIONS_CHECK_CONFIG,
	    "say what is wrong with the configuration, and end" },
	{ "dump-config", 0, OPTION_ACTION, NULL, NULL, OPTIONS_DUMP_CONFIG,
	    "write the whole configuration to stdout, and end" },
	{ "background", 'b', OPTION_BACKGROUND, NULL, NULL, 0,
	    "go into the background once clients can attach" },
	{ "idle-exit", 0, OPTION_IDLE_EXIT, NULL, NULL, 0,
	    "end when the last client has left" },
	{ "no-keeper", 0, OPTION_NO_KEEPER, NULL, NULL, 0,
	    "run without a parent that starts the daemon again, with the same "
	    "memory, when it is killed" },
	{ "takeover", 0, OPTION_TAKEOVER, NULL, NULL, 0,
	    "take over from the daemon that serves the directory, with its "
	    "segments and clients, which don't notice" },
	{ "save", 0, OPTION_SAVE, "FILE", NULL, 0,
	    "when stopping, write the segments to FILE; when starting, read "
	    "them from there" },
	{ "http", 0, OPTION_KEY, "ADDRESS", "http", 0,
	    "serve a web page and /metrics at 127.0.0.1:PORT, [::1]:PORT or "
	    "unix:/PATH; default off" },
	{ "log-level", 0, OPTION_KEY, "LEVEL", "log_level", 0,
	    "error, warn, info or debug; default info" },
	{ "log-file", 0, OPTION_KEY, "FILE", "log_file", 0,
	    "append the log to FILE instead of stderr" },
	{ "log-format", 0, OPTION_KEY, "FORMAT", "log_format", 0,
	    "text or json; default text" },
	{ "help", 'h', OPTION_ACTION, NULL, NULL, OPTIONS_HELP,
	    "show this, and end" },
	{ "version", 'V', OPTION_ACTION, NULL, NULL, OPTIONS_VERSION,
	    "show the version, and end" },
};

#define ROWS      (sizeof rows / sizeof *rows)
/* getopt_long()'s values of options without a letter. */
#define LONG_BASE 256

/* ---- Lists that grow ----------------------------------------------------- */

static int
list_add(const char ***list, size_t *n, const char *text)
{
	const char **grown = realloc(*list, (*n + 1) * sizeof(*grown));
	if (grown == NULL)
		return SHM_ENOMEM;
	*list = grown;
	grown[(*n)++] = text;
	return 0;
}

/* Add "A=B"; whether it means something is seen at once. */
static int
assignment_add(struct options *options, const char *a, const char *b)
{
	struct config scratch;
	char reason[CONFIG_REASON_LEN];
	char *text;
	if (asprintf(&text, "%s%s%s", a, b != NULL ? "=" : "",
		b != NULL ? b : "") < 0)
		return OPTIONS_USAGE;
	if (list_add(&options->assignments, &options->server.n_assignments,
		text) != 0) {
		free(text);
		return OPTIONS_USAGE;
	}
	config_init(&scratch);
	int error = config_assign(&scratch, text, reason);
	config_release(&scratch);
	if (error == 0)
		return 0;
	fprintf(stderr, "shmallocd: %s\n", reason);
	return OPTIONS_USAGE;
}

static int
segment_add(struct options *options, const char *argument)
{
	char name[SHM_NAME_LEN + 8];
	size_t len = strcspn(argument, ":");
	if (argument[len] == '\0' || len >= SHM_NAME_LEN) {
		fprintf(stderr, "shmallocd: --segment: '%s' is not NAME:SIZE\n",
		    argument);
		return OPTIONS_USAGE;
	}
	snprintf(name, sizeof name, "%.*s:size", (int)len, argument);
	return assignment_add(options, name, argument + len + 1);
}

/* ---- Parsing ------------------------------------------------------------- */

static int
row_apply(
    struct options *options, const struct option_row *row, const char *argument)
{
	switch (row->kind) {
	case OPTION_KEY:
		return assignment_add(options, row->key, argument);
	case OPTION_SEGMENT:
		return segment_add(options, argument);
	case OPTION_ASSIGN:
		return assignment_add(options, argument, NULL);
	case OPTION_CONFIG:
		return list_add(&options->config_paths,
			   &options->server.n_config_paths, argument) == 0
		    ? 0
		    : OPTIONS_USAGE;
	case OPTION_NO_CONFIG:
		options->server.is_default_config_off = true;
		return 0;
	case OPTION_IDLE_EXIT:
		options->server.is_idle_exit = true;
		return 0;
	case OPTION_BACKGROUND:
		options->is_background = true;
		return 0;
	case OPTION_NO_KEEPER:
		options->has_no_keeper = true;
		return 0;
	case OPTION_TAKEOVER:
		options->server.is_takeover = true;
		return 0;
	case OPTION_SAVE:
		options->server.save_path = argument;
		return 0;
	case OPTION_ACTION:
		options->action = row->action;
		return 0;
	}
	return OPTIONS_USAGE;
}

static const struct option_row *
row_find(int value)
{
	for (size_t i = 0; i < ROWS; i++)
		if ((rows[i].letter != 0 && rows[i].letter == value) ||
		    value == LONG_BASE + (int)i)
			return &rows[i];
	return NULL;
}

/* The table in getopt_long()'s words. */
static void
getopt_tables(char *letters, struct option *longs)
{
	size_t n = 0;
	for (size_t i = 0; i < ROWS; i++) {
		const struct option_row *row = &rows[i];
		if (row->letter != 0) {
			*letters++ = row->letter;
			if (row->argument != NULL)
				*letters++ = ':';
		}
		if (row->name != NULL)
			longs[n++] =
			    (struct option){ row->name, row->argument != NULL,
				    NULL, LONG_BASE + (int)i };
	}
	*letters = '\0';
	longs[n] = (struct option){ NULL, 0, NULL, 0 };
}

int
options_parse(int argc, char *argv[], struct options *ret_options)
{
	char letters[2 * ROWS + 1];
	struct option longs[ROWS + 1];
	int value, error = 0;
	memset(ret_options, 0, sizeof *ret_options);
	getopt_tables(letters, longs);
	while (error == 0 &&
	    (value = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		const struct option_row *row = row_find(value);
		error = row == NULL ? OPTIONS_USAGE
				    : row_apply(ret_options, row, optarg);
	}
	if (error == 0 && optind < argc) {
		fprintf(stderr, "shmallocd: unexpected argument '%s'\n",
		    argv[optind]);
		error = OPTIONS_USAGE;
	}
	if (error != 0)
		fprintf(stderr, "Try 'shmallocd --help'.\n");
	ret_options->server.config_paths = ret_options->config_paths;
	ret_options->server.assignments = ret_options->assignments;
	return error;
}

void
options_release(struct options *options)
{
	for (size_t i = 0; i < options->server.n_assignments; i++) {
		char *text;
		memcpy(&text, &options->assignments[i], sizeof text);
		free(text);
	}
	free(options->assignments);
	free(options->config_paths);
	memset(options, 0, sizeof *options);
}

/* ---- Help ---------------------------------------------------------------- */

/* TEXT in lines of at most 50 characters, the first at the present place. */
static void
text_wrap(const char *text)
{
	size_t column = 0;
	while (*text != '\0') {
		size_t len = strcspn(text, " ");
		if (column > 0 && column + 1 + len > 50) {
			printf("\n%28s", "");
			column = 0;
		}
		column += (size_t)printf(
		    "%s%.*s", column > 0 ? " " : "", (int)len, text);
		text += len + strspn(text + len, " ");
	}
	putchar('\n');
}

void
options_help(void)
{
	puts("Usage: shmallocd [OPTION...]\n"
	     "Serve segments of shared memory to many processes.\n\n"
	     "  shmallocd --socket DIR --size SIZE\n");
	for (size_t i = 0; i < ROWS; i++) {
		char left[40], letter[4] = "";
		const struct option_row *row = &rows[i];
		if (row->letter != 0)
			snprintf(letter, sizeof letter, "-%c", row->letter);
		snprintf(left, sizeof left, "%2s%s%s%s%s%s", letter,
		    row->letter != 0 && row->name != NULL ? ", "
			: row->name != NULL               ? "  "
							  : "",
		    row->name != NULL ? "--" : "",
		    row->name != NULL ? row->name : "",
		    row->argument != NULL ? " " : "",
		    row->argument != NULL ? row->argument : "");
		printf("  %-25s ", left);
		text_wrap(row->text);
	}
	puts("\nSignals: SIGHUP reads the configuration again; SIGUSR1 starts "
	     "the daemon again\nwith the same memory; SIGTERM and SIGINT "
	     "stop.\nSee shmallocd(8) and shmallocd.conf(5).");
}
