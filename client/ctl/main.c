/*
 * shmallocctl: watch and tune a running shmallocd.
 *
 * The words are taken apart in three steps: options in front of the command,
 * the command (its verb may come behind options), then its own options and
 * arguments (where global options may stand too).  See ctl.h for what follows.
 */
#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/command.h"
#include "client/ctl/look.h"
#include "client/ctl/option.h"
#include "client/ctl/text.h"

/* `check` has fsck's codes and `doctor` Nagios', also when they could not run.
 */
#define EXIT_CHECK_NOT_RUN  8
#define EXIT_DOCTOR_NOT_RUN 3

int
ctl_exit_code(int r)
{
	switch (r) {
	case 0:
		return EXIT_OK;
	case SHMALLOC_EUNREACHABLE:
	case SHMALLOC_ETIMEDOUT:
		return EXIT_UNREACHABLE;
	case SHMALLOC_EPERM:
		return EXIT_PERMISSION;
	case SHMALLOC_EVERSION:
		return EXIT_VERSION;
	case SHMALLOC_ESYSTEM:
	case SHMALLOC_EPROTO:
		return EXIT_INTERNAL;
	default:
		return EXIT_REJECTED;
	}
}

int
ctl_fail(struct ctl *ctl, int r)
{
	text_error("%s", shmalloc_control_message(ctl->control));
	if (r == SHMALLOC_EPERM && shmalloc_control_is_read_only(ctl->control))
		text_hint("this is the socket control-ro, which changes "
			  "nothing; control is not open to this user");
	return ctl_exit_code(r);
}

int
ctl_confirm(struct ctl *ctl, const char *question, ...)
{
	char text[512], answer[16];
	va_list args;

	if (ctl->opt.yes)
		return EXIT_OK;
	va_start(args, question);
	vsnprintf(text, sizeof(text), question, args);
	va_end(args);
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		text_error(
		    "%s: nobody to ask, so this needs --yes", ctl->command);
		return EXIT_USAGE;
	}
	fprintf(stderr, "%s [y/N] ", text);
	if (fgets(answer, sizeof(answer), stdin) != NULL &&
	    (answer[0] == 'y' || answer[0] == 'Y'))
		return EXIT_OK;
	fprintf(stderr, "nothing changed\n");
	return EXIT_FALSE;
}

int
ctl_connect_fail(struct ctl *ctl, int r)
{
	int saved = errno;
	char path[256];

	if (r == SHMALLOC_EINVAL ||
	    shmalloc_control_path(ctl->opt.socket, path, sizeof(path)) < 0) {
		text_error("the path of the socket is too long");
		return EXIT_USAGE;
	}
	if (r == SHMALLOC_EUNREACHABLE && saved == ECONNREFUSED)
		text_error("no daemon answers: %s is a socket that nobody "
			   "listens on any more",
		    path);
	else if (r == SHMALLOC_EUNREACHABLE)
		text_error("no daemon answers: there is no socket %s", path);
	else
		text_error("%s: %s", path,
		    r == SHMALLOC_ESYSTEM ? strerror(saved)
					  : shmalloc_strerror(r));
	if (r == SHMALLOC_EUNREACHABLE && ctl->opt.socket == NULL &&
	    getenv("SHMALLOC_SOCKET") == NULL)
		text_hint("if its sockets are elsewhere, name the directory "
			  "with --socket or SHMALLOC_SOCKET");
	return ctl_exit_code(r);
}

int
ctl_connect(struct ctl *ctl)
{
	bool is_via_segment =
	    ctl->opt.via != NULL && strcmp(ctl->opt.via, "segment") == 0;
	int r;

	if (!is_via_segment) {
		r = shmalloc_control_connect(ctl->opt.socket, 0, &ctl->control);
		return r < 0 ? ctl_connect_fail(ctl, r) : EXIT_OK;
	}
	r = shmalloc_control_connect_keeper(ctl->opt.socket, 0, &ctl->control);
	if (r < 0)
		text_error("no keeper answers for the daemon: %s",
		    shmalloc_strerror(r));
	return ctl_exit_code(r);
}

static int
command_run(
    struct ctl *ctl, const struct command *command, int argc, char **argv)
{
	const char *verb = command->verb == NULL ? "" : command->verb;
	int code;

	if (argc < command->min_args || argc > command->max_args) {
		text_error("usage: shmallocctl %s%s%s%s%s", command->name,
		    verb[0] == '\0' ? "" : " ", verb,
		    command->args[0] == '\0' ? "" : " ", command->args);
		return EXIT_USAGE;
	}
	code = command->run(ctl, argc, argv);
	shmalloc_control_disconnect(ctl->control);
	return code;
}

/* --help and --version, where they stand; -1: neither was given. */
static int
general_run(const struct ctl *ctl, const struct command *command)
{
	if (ctl->opt.version) {
		printf("shmallocctl %s\n", PACKAGE_VERSION);
		return EXIT_OK;
	}
	if (!ctl->opt.help)
		return -1;
	if (command == NULL)
		help_all();
	else
		help_command(command->name, command->verb);
	return EXIT_OK;
}

/* Everything after the command's name; ARGV[0] is that name's last word. */
static int
rest_run(struct ctl *ctl, const struct command *command, int argc, char **argv)
{
	unsigned id = (unsigned)(command - command_table);
	int at = option_parse(&ctl->opt, COMMAND_BIT(id), false, argc, argv);
	int code;

	if (at < 0) {
		text_hint("see `shmallocctl help %s`", command->name);
		return EXIT_USAGE;
	}
	code = general_run(ctl, command);
	if (code >= 0)
		return code;
	look_find(&ctl->look, &ctl->opt);
	ctl->command = command->name;
	return command_run(ctl, command, argc - at, argv + at);
}

/* The options of all commands that are called NAME, with whatever verb. */
static uint64_t
name_options(const char *name)
{
	uint64_t commands = 0;

	for (unsigned i = 0; i < COMMANDS; i++)
		if (strcmp(command_table[i].name, name) == 0)
			commands |= COMMAND_BIT(i);
	return commands;
}

/*
 * `tune --json set`: bring what comes behind the options of the command ARGV[0]
 * in front of them, as it may be its verb.  False after saying what is wrong
 * with an option.
 */
static bool
verb_forward(int argc, char **argv)
{
	uint64_t commands = name_options(argv[0]);
	bool has_verbs = (commands & (commands - 1)) != 0;
	struct options read_again;
	char *verb;
	int at;

	if (!has_verbs || argc < 2 || argv[1][0] != '-')
		return true;
	option_defaults(&read_again);
	at = option_parse(&read_again, commands, true, argc, argv);
	if (at < 0 || at == argc)
		return at >= 0;
	verb = argv[at];
	memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof(*argv));
	argv[1] = verb;
	return true;
}

static int
words_run(struct ctl *ctl, int argc, char **argv)
{
	const struct command *command;
	int used, code, at = option_parse(&ctl->opt, 0, true, argc, argv);

	if (at < 0) {
		text_hint("see `shmallocctl help`");
		return EXIT_USAGE;
	}
	if (at == argc) {
		code = general_run(ctl, NULL);
		if (code < 0)
			text_error("which command? see `shmallocctl help`");
		return code < 0 ? EXIT_USAGE : code;
	}
	command = verb_forward(argc - at, argv + at)
	    ? command_find(argc - at, argv + at, &used)
	    : NULL;
	if (command == NULL) {
		text_hint("see `shmallocctl help`");
		return EXIT_USAGE;
	}
	at += used - 1;
	code = rest_run(ctl, command, argc - at, argv + at);
	if (command->run == check_run && code != EXIT_OK && !ctl->is_judged)
		return EXIT_CHECK_NOT_RUN;
	if (command->run == doctor_run && code != EXIT_OK && !ctl->is_judged)
		return EXIT_DOCTOR_NOT_RUN;
	return code;
}

int
main(int argc, char **argv)
{
	struct ctl ctl = { .control = NULL };
	int code;

	setlocale(LC_ALL, "");
	setlocale(LC_NUMERIC, "C");
	option_defaults(&ctl.opt);
	code = words_run(&ctl, argc, argv);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		text_error("writing failed: %s", strerror(errno));
		return EXIT_INTERNAL;
	}
	return code;
}
