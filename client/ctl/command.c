/* The table of commands, and how a word finds its row: see command.h. */
#include "client/ctl/command.h"

#include <stdio.h>
#include <string.h>

#include "client/ctl/suggest.h"
#include "client/ctl/text.h"

const struct command command_table[COMMANDS] = {
	[COMMAND_STATUS] = { "status", NULL, "", 0, 0, status_run,
	    "one line: is it up, how did it start, how full is it" },
	[COMMAND_STATS] = { "stats", NULL, "", 0, 0, stats_run,
	    "what fills the segment, how fragmented it is, what failed" },
	[COMMAND_TOP] = { "top", NULL, "", 0, 0, top_run,
	    "a live view of arenas, clients, bins or locks" },
	[COMMAND_CLIENTS] = { "clients", NULL, "[PID]", 0, 1, clients_run,
	    "who holds what, alive or reclaimed" },
	[COMMAND_CLIENTS_EVICT] = { "clients", "evict", "PID", 1, 1, evict_run,
	    "kill a client; what it held comes back" },
	[COMMAND_LOCKS] = { "locks", NULL, "", 0, 0, locks_run,
	    "who holds the arenas' locks, since when, and who waited" },
	[COMMAND_LATENCY] = { "latency", NULL, "", 0, 0, latency_run,
	    "how long operations take" },
	[COMMAND_PROFILE] = { "profile", NULL, "", 0, 0, profile_run,
	    "who allocated what is there, with call stacks, for pprof" },
	[COMMAND_EVENTS] = { "events", NULL, "", 0, 0, events_run,
	    "what happened last: who came, died, failed, was repaired" },
	[COMMAND_MAP] = { "map", NULL, "", 0, 0, map_run,
	    "every byte of the segment by what it is used for" },
	[COMMAND_FIT] = { "fit", NULL, "SIZE", 1, 1, fit_run,
	    "would an object of SIZE fit, where, and if not why" },
	[COMMAND_TUNE_LIST] = { "tune", "list", "", 0, 0, tune_list_run,
	    "the parameters, their values and sources" },
	[COMMAND_TUNE_GET] = { "tune", "get", "NAME", 1, 1, tune_get_run,
	    "one parameter's value" },
	[COMMAND_TUNE_SET] = { "tune", "set", "NAME=VALUE...", 1,
	    ASSIGNMENTS_MAX, tune_set_run,
	    "change parameters, all or none, while it runs" },
	[COMMAND_TUNE_RESET] = { "tune", "reset", "NAME", 0, 1, tune_reset_run,
	    "give a parameter its value from the start" },
	[COMMAND_TUNE_REVERT] = { "tune", "revert", "", 0, 0, tune_revert_run,
	    "undo the last change" },
	[COMMAND_TUNE_DIFF] = { "tune", "diff", "", 0, 0, tune_diff_run,
	    "what a new start would change back" },
	[COMMAND_TUNE_SAVE] = { "tune", "save", "", 0, 0, tune_save_run,
	    "keep what was set for the next start" },
	[COMMAND_TUNE_PRESET] = { "tune", "preset", "list|use NAME", 1, 2,
	    tune_preset_run, "sets of values with a name" },
	[COMMAND_TRIM] = { "trim", NULL, "", 0, 0, trim_run,
	    "give free pages back to the system now" },
	[COMMAND_CHECK] = { "check", NULL, "", 0, 0, check_run,
	    "walk everything and prove that it is in order" },
	[COMMAND_DOCTOR] = { "doctor", NULL, "", 0, 0, doctor_run,
	    "what in the figures asks for a hand, and what to run" },
	[COMMAND_SEGMENT_LIST] = { "segment", "list", "", 0, 0,
	    segment_list_run, "the daemon's segments" },
	[COMMAND_SEGMENT_CREATE] = { "segment", "create", "NAME", 1, 1,
	    segment_create_run, "make a segment" },
	[COMMAND_SEGMENT_DESTROY] = { "segment", "destroy", "NAME", 1, 1,
	    segment_destroy_run, "end a segment" },
	[COMMAND_ROOTS] = { "roots", NULL, "", 0, 0, roots_run,
	    "the named slots that the segment's structures hang from" },
	[COMMAND_CACHE_LIST] = { "cache", "list", "", 0, 0, cache_list_run,
	    "the caches in the segment" },
	[COMMAND_CACHE_STATS] = { "cache", "stats", "[NAME]", 0, 1,
	    cache_stats_run, "hits, losses, ages and leases of caches" },
	[COMMAND_CACHE_GET] = { "cache", "get", "NAME KEY", 2, 2, cache_get_run,
	    "a value; into a pipe its bytes" },
	[COMMAND_CACHE_KEYS] = { "cache", "keys", "NAME [PATTERN]", 1, 2,
	    cache_keys_run, "the keys that a shell's PATTERN matches" },
	[COMMAND_CACHE_DELETE] = { "cache", "delete", "NAME KEY", 2, 2,
	    cache_delete_run, "delete an entry" },
	[COMMAND_CACHE_CLEAR] = { "cache", "clear", "NAME", 1, 1,
	    cache_clear_run, "delete all entries" },
	[COMMAND_CACHE_LIMIT] = { "cache", "limit", "NAME SIZE", 2, 2,
	    cache_limit_run, "change what a cache may have; 0: no limit" },
	[COMMAND_METRICS] = { "metrics", NULL, "", 0, 0, metrics_run,
	    "the statistics of all segments for Prometheus" },
	[COMMAND_SCHEMA] = { "schema", NULL, "[COMMAND]", 0, 2, schema_run,
	    "what each value of the JSON output means" },
	[COMMAND_COMPLETION] = { "completion", NULL, "bash|zsh|fish", 1, 1,
	    completion_run, "a script that completes words in a shell" },
	[COMMAND_VERSION] = { "version", NULL, "", 0, 0, version_run,
	    "the versions of this program and of the daemon" },
	[COMMAND_HELP] = { "help", NULL, "[COMMAND]", 0, 2, help_run,
	    "what a command does and which options it takes" },
};

static const struct command *
command_first(const char *name)
{
	for (int i = 0; i < COMMANDS; i++)
		if (strcmp(command_table[i].name, name) == 0)
			return &command_table[i];
	return NULL;
}

static const struct command *
command_second(const char *name, const char *verb)
{
	for (int i = 0; i < COMMANDS; i++)
		if (command_table[i].verb != NULL &&
		    strcmp(command_table[i].name, name) == 0 &&
		    strcmp(command_table[i].verb, verb) == 0)
			return &command_table[i];
	return NULL;
}

static const struct command *
name_unknown(const char *name)
{
	struct suggest suggest;
	char text[SUGGEST_LEN + 32];

	suggest_init(&suggest, name);
	for (int i = 0; i < COMMANDS; i++)
		suggest_offer(&suggest, command_table[i].name);
	text_error("there is no command '%s'%s", name,
	    suggest_text(&suggest, text, sizeof(text)));
	return NULL;
}

static const struct command *
verb_unknown(const char *name, const char *verb)
{
	struct suggest suggest;
	char text[SUGGEST_LEN + 32], typed[SUGGEST_LEN], words[SUGGEST_LEN];

	snprintf(typed, sizeof(typed), "%s %s", name, verb);
	suggest_init(&suggest, typed);
	for (int i = 0; i < COMMANDS; i++)
		if (strcmp(command_table[i].name, name) == 0) {
			snprintf(words, sizeof(words), "%s %s", name,
			    command_table[i].verb);
			suggest_offer(&suggest, words);
		}
	text_error("there is no command '%s'%s", typed,
	    suggest_text(&suggest, text, sizeof(text)));
	return NULL;
}

const struct command *
command_find(int argc, char **argv, int *ret_used)
{
	const struct command *first = command_first(argv[0]), *second;

	*ret_used = 1;
	if (first == NULL)
		return name_unknown(argv[0]);
	if (argc < 2 || argv[1][0] == '-')
		return first;
	second = command_second(argv[0], argv[1]);
	if (second == NULL && first->verb == NULL)
		return first;
	*ret_used = 2;
	return second != NULL ? second : verb_unknown(argv[0], argv[1]);
}
