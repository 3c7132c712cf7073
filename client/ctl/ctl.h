/*
 * shmallocctl: what its files share.
 *
 * main.c takes the command line apart by two tables, option_table (option.c)
 * and command_table (command.c), connects if the command wants to, and runs
 * it.  A command prints data on stdout, talk on stderr, and returns the exit
 * code.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>
#include <stdint.h>

#include <shmalloc/control.h>

enum ctl_exit {
	EXIT_OK = 0,
	EXIT_FALSE = 1, /* the asked condition is false */
	EXIT_USAGE = 2,
	EXIT_UNREACHABLE = 3,
	EXIT_PERMISSION = 4,
	EXIT_REJECTED = 5,
	EXIT_VERSION = 6,
	EXIT_INTERNAL = 70,
};

/* What the command line says; see option_table for each. */
struct options {
	const char *socket, *segment;
	bool json, bytes, no_headings, no_color, help, version;
	bool exact, ascii, is_long, changed, dry_run, all, repair, yes, force;
	bool reset, follow;
	const char *by, *remove, *group, *textfile, *via, *output;
	const char *sort;
	bool batch;
	bool save;
	double watch, delay, for_seconds; /* 0: not given */
	uint64_t count, width, arena;
	uint64_t size, reserve, quota, mode;
};

/* How output looks: found out once. */
struct look {
	bool is_terminal; /* stdout */
	bool is_human;    /* sizes */
	bool has_color;
	bool is_utf8;
	unsigned width; /* columns; 0: no limit */
};

struct ctl {
	struct options opt;
	struct look look;
	const char *command; /* its name, for messages */
	bool is_judged; /* `check` or `doctor` ran: the code is of its kind */
	struct shmalloc_control *control;
};

/* The exit code for the SHMALLOC_E* R. */
int ctl_exit_code(int r);

/*
 * Connect to the daemon; EXIT_OK, or after saying why not on stderr the exit
 * code.  A command does this after it has checked its words.
 */
int ctl_connect(struct ctl *ctl);

/* Say on stderr why the daemon could not be reached, with R and errno; the exit
 * code. */
int ctl_connect_fail(struct ctl *ctl, int r);

/*
 * Say on stderr why the last request failed with R, and what to do if that is
 * known; the exit code.
 */
int ctl_fail(struct ctl *ctl, int r);

/*
 * Ask the user QUESTION: EXIT_OK is yes, EXIT_FALSE no.  With --yes nobody is
 * asked; without a terminal to ask on, EXIT_USAGE after saying that it needs
 * --yes.
 */
int ctl_confirm(struct ctl *ctl, const char *question, ...)
    __attribute__((format(printf, 2, 3)));

#endif
