/*
 * `help`: all of it made from the tables of commands and options, so it names
 * what exists and nothing else.
 */
#include <stdio.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/option.h"
#include "client/ctl/text.h"

#define WIDTH 79

/* A usage line that is folded between its parts. */
struct fold {
	size_t column;
};

static void
part_print(struct fold *fold, const char *part)
{
	static const char indent[] = "         ";

	if (fold->column + 1 + strlen(part) > WIDTH) {
		printf("\n%s", indent);
		fold->column = strlen(indent);
	}
	printf(" %s", part);
	fold->column += 1 + strlen(part);
}

static void
option_usage(struct fold *fold, const struct option_info *info)
{
	char part[64];

	if (info->letter != 0 && info->arg == NULL)
		snprintf(part, sizeof(part), "[-%c]", info->letter);
	else if (info->arg == NULL)
		snprintf(part, sizeof(part), "[--%s]", info->name);
	else
		snprintf(
		    part, sizeof(part), "[--%s %s]", info->name, info->arg);
	part_print(fold, part);
}

static void
command_usage(enum command_id id, const char *prefix)
{
	const struct command *command = &command_table[id];
	struct fold fold = { strlen(prefix) };

	printf("%s", prefix);
	part_print(&fold, command->name);
	if (command->verb != NULL)
		part_print(&fold, command->verb);
	if (command->args[0] != '\0')
		part_print(&fold, command->args);
	for (size_t i = 0; i < option_table_n; i++)
		if (option_table[i].commands != OPTION_GLOBAL &&
		    (option_table[i].commands & COMMAND_BIT(id)) != 0)
			option_usage(&fold, &option_table[i]);
	putchar('\n');
}

static void
option_line(const struct option_info *info)
{
	char left[64];

	snprintf(left, sizeof(left), "%c%c%s--%s%s%s",
	    info->letter == 0 ? ' ' : '-',
	    info->letter == 0 ? ' ' : info->letter,
	    info->letter == 0 ? "  " : ", ", info->name,
	    info->arg == NULL ? "" : " ", info->arg == NULL ? "" : info->arg);
	printf("  %-26s %s\n", left, info->help);
}

static void
options_list(uint64_t commands)
{
	for (size_t i = 0; i < option_table_n; i++)
		if (commands == OPTION_GLOBAL
			? option_table[i].commands == OPTION_GLOBAL
			: option_table[i].commands != OPTION_GLOBAL &&
			    (option_table[i].commands & commands) != 0)
			option_line(&option_table[i]);
}

void
help_all(void)
{
	printf("usage: shmallocctl [OPTION...] COMMAND [ARGUMENT...]\n\n");
	for (int i = 0; i < COMMANDS; i++) {
		const struct command *command = &command_table[i];
		char left[64];

		snprintf(left, sizeof(left), "%s%s%s", command->name,
		    command->verb == NULL ? "" : " ",
		    command->verb == NULL ? "" : command->verb);
		printf("  %-16s %s\n", left, command->summary);
	}
	printf("\nOptions of every command:\n");
	options_list(OPTION_GLOBAL);
	printf("\nSizes: 64K, 1.5G. Times: 500ms, 2s, 10m. Exit: 0 ok, 1 no, "
	       "2 usage,\n3 no daemon, 4 permission, 5 rejected, 6 version, "
	       "70 internal error;\ncheck: 0 clean, 1 repaired, 4 left, 8 "
	       "could not run;\ndoctor: 0 ok, 1 warning, 2 critical, 3 "
	       "could not run.\nThe options of one command: "
	       "shmallocctl help COMMAND\n");
}

static bool
command_is(const struct command *command, const char *name, const char *verb)
{
	if (strcmp(command->name, name) != 0)
		return false;
	return verb == NULL ||
	    (command->verb != NULL && strcmp(command->verb, verb) == 0);
}

void
help_command(const char *name, const char *verb)
{
	uint64_t commands = 0;

	for (unsigned i = 0; i < COMMANDS; i++) {
		if (!command_is(&command_table[i], name, verb))
			continue;
		command_usage((enum command_id)i,
		    commands == 0 ? "usage: shmallocctl"
				  : "       shmallocctl");
		printf("         %s\n", command_table[i].summary);
		commands |= COMMAND_BIT(i);
	}
	options_list(commands);
	printf("Options of every command: shmallocctl help\n");
}

int
help_run(struct ctl *ctl, int argc, char **argv)
{
	int used;

	(void)ctl;
	if (argc == 0) {
		help_all();
		return EXIT_OK;
	}
	if (command_find(argc, argv, &used) == NULL)
		return EXIT_USAGE;
	if (used < argc) {
		text_error("'%s' has no verbs", argv[0]);
		return EXIT_USAGE;
	}
	help_command(argv[0], used == 2 ? argv[1] : NULL);
	return EXIT_OK;
}
