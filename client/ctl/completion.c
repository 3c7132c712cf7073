/*
 * `completion`: a script for a shell that completes commands, options and their
 * words, made from the tables that parsing reads; names of segments and
 * parameters are asked for when they are wanted.
 */
#include <stdio.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/option.h"
#include "client/ctl/text.h"

static bool
option_is_of(const struct option_info *info, int id)
{
	return info->commands == OPTION_GLOBAL ||
	    (info->commands & COMMAND_BIT(id)) != 0;
}

/* Is it the first command of its name? */
static bool
command_is_first(int id)
{
	for (int i = 0; i < id; i++)
		if (strcmp(command_table[i].name, command_table[id].name) == 0)
			return false;
	return true;
}

/* TEXT between single quotes, as all three shells read it. */
static void
quoted_print(const char *text)
{
	putchar('\'');
	for (; *text != '\0'; text++)
		if (*text == '\'')
			printf("'\\''");
		else
			putchar(*text);
	putchar('\'');
}

/* The words of "a|b|c", with spaces; not what follows the last. */
static void
choices_print(const char *words)
{
	for (; *words != '\0' && *words != ' '; words++)
		putchar(*words == '|' ? ' ' : *words);
}

/* All commands, or the verbs of NAME. */
static void
names_print(const char *name)
{
	for (int i = 0; i < COMMANDS; i++) {
		const struct command *command = &command_table[i];

		if (name == NULL && command_is_first(i))
			printf(" %s", command->name);
		else if (name != NULL && command->verb != NULL &&
		    strcmp(command->name, name) == 0)
			printf(" %s", command->verb);
	}
}

/* The pattern that matches every option with an argument. */
static void
argument_options_print(void)
{
	const char *separator = "";

	for (size_t i = 0; i < option_table_n; i++)
		if (option_table[i].arg != NULL) {
			printf("%s--%s", separator, option_table[i].name);
			separator = "|";
		}
}

/* What matches COMMAND in a `case` of the plain words typed so far. */
static void
case_print(const struct command *command, bool has_verb)
{
	printf("\t'%s%s%s'|'%s%s%s '*)\n", command->name, has_verb ? " " : "",
	    has_verb ? command->verb : "", command->name, has_verb ? " " : "",
	    has_verb ? command->verb : "");
}

/* ---- bash ---------------------------------------------------------------- */

static void
bash_options_print(int id)
{
	for (size_t i = 0; i < option_table_n; i++)
		if (option_is_of(&option_table[i], id))
			printf(" --%s", option_table[i].name);
}

/* What completes the argument of each option that has one. */
static void
bash_arguments_print(void)
{
	for (size_t i = 0; i < option_table_n; i++) {
		const struct option_info *info = &option_table[i];

		if (info->arg == NULL)
			continue;
		printf("\t--%s)\n\t\t", info->name);
		if (info->kind == OPTION_WORD) {
			printf("words='");
			choices_print(info->arg);
			printf("'");
		} else if (strcmp(info->arg, "DIR") == 0) {
			printf("COMPREPLY=($(compgen -d -- \"$cur\")); return");
		} else if (strcmp(info->arg, "FILE") == 0) {
			printf("COMPREPLY=($(compgen -f -- \"$cur\")); return");
		} else if (strcmp(info->name, "segment") == 0) {
			printf("words=$(_shmallocctl_ask segment list)");
		} else {
			printf("return");
		}
		printf(" ;;\n");
	}
}

/* What completes the arguments of a command: a list of words, or a question. */
static void
bash_words_print(const struct command *command)
{
	if (strncmp(command->args, "NAME", 4) == 0 &&
	    strcmp(command->name, "tune") == 0)
		printf(" $(_shmallocctl_ask tune list)");
	else if (strncmp(command->args, "NAME", 4) == 0 &&
	    strcmp(command->name, "segment") == 0)
		printf(" $(_shmallocctl_ask segment list)");
	else if (strstr(command->args, "NAME") != NULL &&
	    strcmp(command->name, "cache") == 0)
		printf(" $(_shmallocctl_ask cache list)");
	else if (strchr(command->args, '|') != NULL) {
		putchar(' ');
		choices_print(command->args);
	} else if (strcmp(command->args, "[COMMAND]") == 0) {
		names_print(NULL);
	}
}

static void
bash_command_print(int id, bool has_verb)
{
	const struct command *command = &command_table[id];

	case_print(command, has_verb);
	printf("\t\twords=\"");
	if (!has_verb)
		names_print(command->name);
	if (has_verb || command->verb == NULL)
		bash_words_print(command);
	bash_options_print(id);
	printf("\" ;;\n");
}

/* Those of two words first: what matches them matches their first word. */
static void
commands_print(void (*print)(int id, bool has_verb))
{
	for (int i = 0; i < COMMANDS; i++)
		if (command_table[i].verb != NULL)
			print(i, true);
	for (int i = 0; i < COMMANDS; i++)
		if (command_is_first(i))
			print(i, false);
}

static void
bash_print(void)
{
	printf("# bash completion for shmallocctl; made by it.\n"
	       "_shmallocctl_ask()\n{\n"
	       "\tshmallocctl --no-headings \"$@\" 2>/dev/null |\n"
	       "\t    awk '{ print $1 }'\n}\n\n"
	       "_shmallocctl()\n{\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} command= words= i\n\n"
	       "\tCOMPREPLY=()\n"
	       "\tcase ${COMP_WORDS[COMP_CWORD - 1]} in\n");
	bash_arguments_print();
	printf("\tesac\n\tif [ -n \"$words\" ]; then\n"
	       "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	       "\t\treturn\n\tfi\n"
	       "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	       "\t\tcase ${COMP_WORDS[i]} in\n\t\t");
	argument_options_print();
	printf(") ((i++)) ;;\n"
	       "\t\t-*|=) ;;\n"
	       "\t\t*) command+=${command:+ }${COMP_WORDS[i]} ;;\n"
	       "\t\tesac\n\tdone\n"
	       "\tcase $command in\n\t'') words='");
	names_print(NULL);
	bash_options_print(COMMANDS);
	printf("' ;;\n");
	commands_print(bash_command_print);
	printf("\tesac\n"
	       "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\n\n"
	       "complete -F _shmallocctl shmallocctl\n");
}

/* ---- zsh ----------------------------------------------------------------- */

/* TEXT in the last part of a specification of _arguments. */
static void
zsh_text_print(const char *text)
{
	for (; *text != '\0'; text++) {
		if (strchr("[]:\\", *text) != NULL)
			putchar('\\');
		if (*text == '\'')
			printf("'\\'");
		putchar(*text);
	}
}

static void
zsh_option_print(const struct option_info *info)
{
	printf(" \\\n\t\t'--%s[", info->name);
	zsh_text_print(info->help);
	putchar(']');
	if (info->arg != NULL) {
		printf(":%s:", info->kind == OPTION_WORD ? "word" : info->arg);
		if (info->kind == OPTION_WORD) {
			putchar('(');
			choices_print(info->arg);
			putchar(')');
		} else if (strcmp(info->arg, "DIR") == 0) {
			printf("_directories");
		} else if (strcmp(info->arg, "FILE") == 0) {
			printf("_files");
		}
	}
	putchar('\'');
}

static void
zsh_options_print(int id)
{
	for (size_t i = 0; i < option_table_n; i++)
		if (option_is_of(&option_table[i], id))
			zsh_option_print(&option_table[i]);
}

/* The commands, or the verbs of NAME, with what each does; how many. */
static int
zsh_names_print(const char *name)
{
	int n = 0;

	for (int i = 0; i < COMMANDS; i++) {
		const struct command *command = &command_table[i];
		const char *word = name == NULL ? command->name : command->verb;

		if (name == NULL ? !command_is_first(i)
				 : command->verb == NULL ||
			    strcmp(command->name, name) != 0)
			continue;
		if (n++ == 0)
			printf("\t\tnames=(\n");
		printf("\t\t\t'%s:", word);
		zsh_text_print(name == NULL && command->verb != NULL
			? "more commands"
			: command->summary);
		printf("'\n");
	}
	if (n != 0)
		printf("\t\t)\n\t\t_describe command names\n");
	return n;
}

static void
zsh_command_print(int id, bool has_verb)
{
	const struct command *command = &command_table[id];

	case_print(command, has_verb);
	if (!has_verb && zsh_names_print(command->name) != 0 &&
	    command->verb != NULL) {
		printf("\t\t;;\n");
		return;
	}
	printf("\t\t_arguments");
	zsh_options_print(id);
	printf(" \\\n\t\t'*:word:");
	if (strchr(command->args, '|') != NULL) {
		putchar('(');
		choices_print(command->args);
		putchar(')');
	}
	printf("' ;;\n");
}

static void
zsh_print(void)
{
	printf("#compdef shmallocctl\n"
	       "# zsh completion for shmallocctl; made by it.\n"
	       "_shmallocctl()\n{\n"
	       "\tlocal -a names plain\n\tlocal -i i\n\n"
	       "\tfor ((i = 2; i < CURRENT; i++)); do\n"
	       "\t\tcase ${words[i]} in\n\t\t");
	argument_options_print();
	printf(") ((i++)) ;;\n"
	       "\t\t-*) ;;\n"
	       "\t\t*) plain+=(\"${words[i]}\") ;;\n"
	       "\t\tesac\n\tdone\n"
	       "\tcase \"${plain[*]}\" in\n\t'')\n");
	(void)zsh_names_print(NULL);
	printf("\t\t;;\n");
	commands_print(zsh_command_print);
	printf("\tesac\n}\n\n"
	       "if [ \"$funcstack[1]\" = _shmallocctl ]; then\n"
	       "\t_shmallocctl \"$@\"\nelse\n"
	       "\tcompdef _shmallocctl shmallocctl\nfi\n");
}

/* ---- fish ---------------------------------------------------------------- */

static void
fish_option_print(const struct option_info *info)
{
	printf(" -l %s", info->name);
	if (info->letter != 0)
		printf(" -s %c", info->letter);
	if (info->arg != NULL)
		printf(" -r");
	if (info->kind == OPTION_WORD) {
		printf(" -fa '");
		choices_print(info->arg);
		putchar('\'');
	} else if (info->arg != NULL && strcmp(info->arg, "FILE") != 0 &&
	    strcmp(info->arg, "DIR") != 0) {
		printf(" -f");
	}
	printf(" -d ");
	quoted_print(info->help);
	putchar('\n');
}

static void
fish_command_print(int id)
{
	const struct command *command = &command_table[id];

	if (command_is_first(id)) {
		printf("complete -c shmallocctl -f -n __fish_use_subcommand "
		       "-a %s -d ",
		    command->name);
		quoted_print(
		    command->verb != NULL ? "more commands" : command->summary);
		putchar('\n');
	}
	if (command->verb != NULL) {
		printf("complete -c shmallocctl -f -n "
		       "'__fish_seen_subcommand_from %s' -a %s -d ",
		    command->name, command->verb);
		quoted_print(command->summary);
		putchar('\n');
	}
	for (size_t i = 0; i < option_table_n; i++) {
		if (option_table[i].commands == OPTION_GLOBAL ||
		    !option_is_of(&option_table[i], id))
			continue;
		printf("complete -c shmallocctl -n "
		       "'__fish_seen_subcommand_from %s%s%s'",
		    command->name,
		    command->verb == NULL
			? ""
			: "; and __fish_seen_subcommand_from ",
		    command->verb == NULL ? "" : command->verb);
		fish_option_print(&option_table[i]);
	}
}

static void
fish_print(void)
{
	printf("# fish completion for shmallocctl; made by it.\n"
	       "complete -c shmallocctl -f\n");
	for (size_t i = 0; i < option_table_n; i++)
		if (option_table[i].commands == OPTION_GLOBAL) {
			printf("complete -c shmallocctl");
			fish_option_print(&option_table[i]);
		}
	for (int i = 0; i < COMMANDS; i++)
		fish_command_print(i);
}

int
completion_run(struct ctl *ctl, int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*print)(void);
	} shells[] = {
		{ "bash", bash_print },
		{ "zsh", zsh_print },
		{ "fish", fish_print },
	};

	(void)ctl, (void)argc;
	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++)
		if (strcmp(shells[i].name, argv[0]) == 0) {
			shells[i].print();
			return EXIT_OK;
		}
	text_error("completion: '%s' is none of bash, zsh, fish", argv[0]);
	return EXIT_USAGE;
}
