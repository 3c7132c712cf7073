/* The table of options and its parser: see client/ctl/option.h. */
#include "client/ctl/option.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/quantity.h"
#include "client/ctl/suggest.h"
#include "client/ctl/text.h"

#define ON(id)    COMMAND_BIT(COMMAND_##id)
#define AT(field) offsetof(struct options, field)

const struct option_info option_table[] = {
	{ "socket", 0, "DIR", OPTION_STRING, AT(socket), 0, 0, OPTION_GLOBAL,
	    "the directory of the daemon's sockets" },
	{ "segment", 0, "NAME", OPTION_STRING, AT(segment), 0, 0, OPTION_GLOBAL,
	    "the segment; else 'default'" },
	{ "json", 0, NULL, OPTION_FLAG, AT(json), 0, 0, OPTION_GLOBAL,
	    "print JSON" },
	{ "bytes", 0, NULL, OPTION_FLAG, AT(bytes), 0, 0, OPTION_GLOBAL,
	    "print sizes in bytes, on a terminal too" },
	{ "no-headings", 0, NULL, OPTION_FLAG, AT(no_headings), 0, 0,
	    OPTION_GLOBAL, "print tables without their first line" },
	{ "no-color", 0, NULL, OPTION_FLAG, AT(no_color), 0, 0, OPTION_GLOBAL,
	    "print without colours, as with NO_COLOR set" },
	{ "help", 'h', NULL, OPTION_FLAG, AT(help), 0, 0, OPTION_GLOBAL,
	    "say what the command does" },
	{ "version", 'V', NULL, OPTION_FLAG, AT(version), 0, 0, OPTION_GLOBAL,
	    "print this program's version" },
	{ "exact", 0, NULL, OPTION_FLAG, AT(exact), 0, 0, ON(STATS),
	    "walk the segment: nothing lags, objects are counted" },
	{ "by", 0, "arena|bin|client|lock", OPTION_WORD, AT(by), 0, 0,
	    ON(STATS) | ON(TOP), "what a line of the table is" },
	{ "via", 0, "socket|segment", OPTION_WORD, AT(via), 0, 0,
	    ON(STATUS) | ON(STATS) | ON(METRICS) | ON(TUNE_LIST) |
		ON(SEGMENT_LIST) | ON(CACHE_LIST) | ON(CACHE_STATS),
	    "segment: read it, also while the daemon is down" },
	{ "watch", 0, "SECONDS", OPTION_SECONDS, AT(watch), 0, 0, ON(STATS),
	    "again and again; with --json an object a line" },
	{ "count", 'n', "N", OPTION_COUNT, AT(count), 1, UINT32_MAX,
	    ON(STATS) | ON(FIT) | ON(TOP) | ON(CACHE_KEYS),
	    "how many: objects (fit), keys, rounds (stats, top)" },
	{ "delay", 'd', "SECONDS", OPTION_SECONDS, AT(delay), 0, 0, ON(TOP),
	    "how often it looks; else every second" },
	{ "batch", 'b', NULL, OPTION_FLAG, AT(batch), 0, 0, ON(TOP),
	    "print rounds of text, as without a terminal" },
	{ "sort", 0, "COLUMN", OPTION_STRING, AT(sort), 0, 0, ON(TOP),
	    "by the column of this heading, the largest first" },
	{ "arena", 0, "N", OPTION_COUNT, AT(arena), 0, 65535,
	    ON(MAP) | ON(TRIM), "this arena only" },
	{ "width", 0, "W", OPTION_COUNT, AT(width), 8, 512, ON(MAP),
	    "cells in a line" },
	{ "ascii", 0, NULL, OPTION_FLAG, AT(ascii), 0, 0, ON(MAP),
	    "draw with ASCII characters" },
	{ "long", 'l', NULL, OPTION_FLAG, AT(is_long), 0, 0,
	    ON(TUNE_LIST) | ON(STATS) | ON(CACHE_KEYS),
	    "more of each: its meaning; a key's size and times" },
	{ "textfile", 0, "FILE", OPTION_STRING, AT(textfile), 0, 0, ON(METRICS),
	    "write FILE, which is replaced as a whole" },
	{ "output", 'o', "FILE", OPTION_STRING, AT(output), 0, 0, ON(PROFILE),
	    "write FILE, which is replaced as a whole" },
	{ "changed", 0, NULL, OPTION_FLAG, AT(changed), 0, 0, ON(TUNE_LIST),
	    "only those that differ from their default" },
	{ "all", 0, NULL, OPTION_FLAG, AT(all), 0, 0, ON(TUNE_RESET),
	    "reset every parameter" },
	{ "repair", 0, NULL, OPTION_FLAG, AT(repair), 0, 0, ON(CHECK),
	    "rebuild the index of arenas whose heads are sane" },
	{ "dry-run", 0, NULL, OPTION_FLAG, AT(dry_run), 0, 0,
	    ON(TUNE_SET) | ON(TUNE_REVERT) | ON(TUNE_PRESET) | ON(TRIM),
	    "say what would happen, change nothing" },
	{ "for", 0, "DURATION", OPTION_SECONDS, AT(for_seconds), 0, 0,
	    ON(TUNE_SET) | ON(TUNE_PRESET), "then what was before comes back" },
	{ "save", 0, NULL, OPTION_FLAG, AT(save), 0, 0,
	    ON(TUNE_SET) | ON(TUNE_PRESET), "and `tune save` after that" },
	{ "size", 0, "SIZE", OPTION_BYTES, AT(size), 1, UINT64_MAX,
	    ON(SEGMENT_CREATE), "its limit, as 256M" },
	{ "reserve", 0, "SIZE", OPTION_BYTES, AT(reserve), 1, UINT64_MAX,
	    ON(SEGMENT_CREATE),
	    "addresses reserved, the most limit.hard can be" },
	{ "mode", 0, "MODE", OPTION_MODE, AT(mode), 0, 0777, ON(SEGMENT_CREATE),
	    "who may attach, as 0660; else 0600" },
	{ "group", 0, "GROUP", OPTION_STRING, AT(group), 0, 0,
	    ON(SEGMENT_CREATE), "whose members the mode's second digit means" },
	{ "quota", 0, "SIZE", OPTION_BYTES, AT(quota), 1, UINT64_MAX,
	    ON(SEGMENT_CREATE), "what one client may hold (limit.client)" },
	{ "remove", 0, "NAME", OPTION_STRING, AT(remove), 0, 0, ON(ROOTS),
	    "remove this root, which must hold nothing" },
	{ "follow", 'f', NULL, OPTION_FLAG, AT(follow), 0, 0, ON(EVENTS),
	    "go on with what happens from now on" },
	{ "reset", 0, NULL, OPTION_FLAG, AT(reset), 0, 0, ON(LATENCY),
	    "count anew after this" },
	{ "force", 0, NULL, OPTION_FLAG, AT(force), 0, 0, ON(SEGMENT_DESTROY),
	    "also while clients are attached" },
	{ "yes", 'y', NULL, OPTION_FLAG, AT(yes), 0, 0,
	    ON(SEGMENT_DESTROY) | ON(ROOTS) | ON(CLIENTS_EVICT) |
		ON(CACHE_CLEAR),
	    "don't ask" },
};

const size_t option_table_n = sizeof(option_table) / sizeof(option_table[0]);

#define OPTIONS_MAX (sizeof(option_table) / sizeof(option_table[0]))

void
option_defaults(struct options *options)
{
	*options = (struct options){
		.arena = SHMALLOC_ALL_ARENAS,
		.mode = 0600,
	};
}

static bool
value_fail(const struct option_info *info, const char *text)
{
	text_error("--%s: '%s' is no %s", info->name, text, info->arg);
	return false;
}

static bool
number_parse(const struct option_info *info, const char *text, uint64_t *field)
{
	char *end;
	uint64_t value;

	if (info->kind == OPTION_MODE) {
		value = strtoul(text, &end, 8);
		if (text[0] < '0' || text[0] > '7' || *end != '\0')
			return value_fail(info, text);
	} else if (info->kind == OPTION_BYTES) {
		if (!quantity_parse_bytes(text, &value))
			return value_fail(info, text);
	} else if (!quantity_parse_count(text, UINT64_MAX, &value)) {
		return value_fail(info, text);
	}
	if (value < info->min || value > info->max) {
		text_error("--%s: %s is out of range", info->name, text);
		return false;
	}
	*field = value;
	return true;
}

/* Is TEXT one of the words of "a|b|c"? */
static bool
word_is_one(const char *text, const char *words)
{
	size_t len = strlen(text);

	for (; len != 0; words++) {
		size_t n = strcspn(words, "|");

		if (n == len && strncmp(words, text, n) == 0)
			return true;
		words += n;
		if (*words == '\0')
			break;
	}
	return false;
}

static bool
word_parse(const struct option_info *info, const char *text, const char **field)
{
	if (!word_is_one(text, info->arg)) {
		text_error(
		    "--%s: '%s' is none of %s", info->name, text, info->arg);
		return false;
	}
	*field = text;
	return true;
}

static bool
value_parse(
    struct options *options, const struct option_info *info, const char *text)
{
	void *field = (char *)options + info->offset;

	switch (info->kind) {
	case OPTION_FLAG:
		*(bool *)field = true;
		return true;
	case OPTION_STRING:
		*(const char **)field = text;
		return true;
	case OPTION_WORD:
		return word_parse(info, text, field);
	case OPTION_SECONDS:
		if (!quantity_parse_seconds(text, field))
			return value_fail(info, text);
		if (*(double *)field > 0)
			return true;
		text_error("--%s: must be more than 0", info->name);
		return false;
	case OPTION_COUNT:
	case OPTION_BYTES:
	case OPTION_MODE:
		break;
	}
	return number_parse(info, text, field);
}

/* What getopt_long reads, made from the table. */
struct parser {
	struct option longs[OPTIONS_MAX + 1];
	char shorts[3 * OPTIONS_MAX + 3];
};

static void
parser_make(struct parser *parser, uint64_t commands, bool is_leading)
{
	size_t n = 0, m = 0;

	memset(parser, 0, sizeof(*parser));
	if (is_leading)
		parser->shorts[m++] = '+';
	parser->shorts[m++] = ':';
	for (size_t i = 0; i < option_table_n; i++) {
		const struct option_info *info = &option_table[i];

		if (info->commands != OPTION_GLOBAL &&
		    (info->commands & commands) == 0)
			continue;
		parser->longs[n++] = (struct option){ info->name,
			info->arg == NULL ? no_argument : required_argument,
			NULL, (int)(256 + i) };
		if (info->letter != 0)
			parser->shorts[m++] = info->letter;
		if (info->letter != 0 && info->arg != NULL)
			parser->shorts[m++] = ':';
	}
}

static const struct option_info *
option_by_code(int code)
{
	if (code >= 256)
		return &option_table[code - 256];
	for (size_t i = 0; i < option_table_n; i++)
		if (option_table[i].letter == code)
			return &option_table[i];
	return NULL;
}

/* Say why getopt_long refused the word. */
static void
option_refuse(const struct parser *parser, int code, const char *word)
{
	const struct option_info *info = option_by_code(optopt);
	struct suggest suggest;
	char text[SUGGEST_LEN + 32], name[SUGGEST_LEN], known[SUGGEST_LEN];

	if (code == ':') {
		text_error("%s needs %s", word,
		    info == NULL ? "an argument" : info->arg);
		return;
	}
	if (optopt >= 256) {
		text_error("%s takes no argument", word);
		return;
	}
	if (optopt != 0) {
		text_error("there is no option '-%c' here", optopt);
		return;
	}
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	suggest_init(&suggest, name);
	for (const struct option *o = parser->longs; o->name != NULL; o++) {
		snprintf(known, sizeof(known), "--%s", o->name);
		suggest_offer(&suggest, known);
	}
	text_error("there is no option '%s' here%s", name,
	    suggest_text(&suggest, text, sizeof(text)));
}

int
option_parse(struct options *options, uint64_t commands, bool is_leading,
    int argc, char **argv)
{
	struct parser parser;
	int code;

	parser_make(&parser, commands, is_leading);
	opterr = 0;
	optind = 0; /* begin anew: also the order of words is forgotten */
	for (;;) {
		code =
		    getopt_long(argc, argv, parser.shorts, parser.longs, NULL);
		if (code == -1)
			return optind;
		if (code == '?' || code == ':') {
			option_refuse(&parser, code, argv[optind - 1]);
			return -1;
		}
		if (!value_parse(options, option_by_code(code), optarg))
			return -1;
	}
}
