/*
 * The command line of shmallocd: one table of options, which also makes the
 * text of --help.
 */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include <stdbool.h>

#include "server/server.h"

enum options_action {
	OPTIONS_RUN,
	OPTIONS_CHECK_CONFIG,
	OPTIONS_DUMP_CONFIG,
	OPTIONS_HELP,
	OPTIONS_VERSION,
};

struct options {
	enum options_action action;
	bool is_background;
	bool has_no_keeper;
	struct server_options server;
	const char **config_paths;
	const char **assignments; /* each owned */
};

/* Exit status of a command line that makes no sense. */
#define OPTIONS_USAGE 2

/*
 * Read the command line.  0, or OPTIONS_USAGE after having said on stderr what
 * is wrong.  Free with options_release() in either case.
 */
int options_parse(
    int argc, char *argv[], struct options *ret_options) SHM_MUSTCHECK;

void options_release(struct options *options);

/* The text of --help, on stdout. */
void options_help(void);

#endif
