/*
 * The options: one table says each option's name, kind, and which commands take
 * it; parsing, help and the manual page's test read it.
 */
#ifndef CTL_OPTION_H
#define CTL_OPTION_H

#include "client/ctl/ctl.h"

enum option_kind {
	OPTION_FLAG,    /* bool */
	OPTION_STRING,  /* const char * */
	OPTION_WORD,    /* const char *, one of those in `arg` */
	OPTION_COUNT,   /* uint64_t, min to max */
	OPTION_BYTES,   /* uint64_t, min to max */
	OPTION_MODE,    /* uint64_t, octal, up to max */
	OPTION_SECONDS, /* double, more than 0 */
};

struct option_info {
	const char *name;
	char letter;     /* 0: none */
	const char *arg; /* its argument's name; NULL: none */
	enum option_kind kind;
	size_t offset;     /* in struct options */
	uint64_t min, max; /* of numbers */
	uint64_t commands; /* bits of enum command_id, or OPTION_GLOBAL */
	const char *help;
};

#define OPTION_GLOBAL UINT64_MAX

extern const struct option_info option_table[];
extern const size_t option_table_n;

void option_defaults(struct options *options);

/*
 * Parse the options of ARGV that the commands in the mask COMMANDS take; with
 * IS_LEADING only those in front of the first other word.  The index of the
 * first word that is no option (they are moved to the end), or a negative
 * number after saying on stderr what is wrong.
 */
int option_parse(struct options *options, uint64_t commands, bool is_leading,
    int argc, char **argv);

#endif
