/*
 * The commands: one table that parsing, help and suggestions read.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include "client/ctl/ctl.h"

enum command_id {
	COMMAND_STATUS,
	COMMAND_STATS,
	COMMAND_TOP,
	COMMAND_CLIENTS,
	COMMAND_CLIENTS_EVICT,
	COMMAND_LOCKS,
	COMMAND_LATENCY,
	COMMAND_PROFILE,
	COMMAND_EVENTS,
	COMMAND_MAP,
	COMMAND_FIT,
	COMMAND_TUNE_LIST,
	COMMAND_TUNE_GET,
	COMMAND_TUNE_SET,
	COMMAND_TUNE_RESET,
	COMMAND_TUNE_REVERT,
	COMMAND_TUNE_DIFF,
	COMMAND_TUNE_SAVE,
	COMMAND_TUNE_PRESET,
	COMMAND_TRIM,
	COMMAND_CHECK,
	COMMAND_DOCTOR,
	COMMAND_SEGMENT_LIST,
	COMMAND_SEGMENT_CREATE,
	COMMAND_SEGMENT_DESTROY,
	COMMAND_ROOTS,
	COMMAND_CACHE_LIST,
	COMMAND_CACHE_STATS,
	COMMAND_CACHE_GET,
	COMMAND_CACHE_KEYS,
	COMMAND_CACHE_DELETE,
	COMMAND_CACHE_CLEAR,
	COMMAND_CACHE_LIMIT,
	COMMAND_METRICS,
	COMMAND_SCHEMA,
	COMMAND_COMPLETION,
	COMMAND_VERSION,
	COMMAND_HELP,
	COMMANDS,
};

#define COMMAND_BIT(id) (UINT64_C(1) << (id))

/* As many as `tune set` takes. */
#define ASSIGNMENTS_MAX 100

struct command {
	const char *name;
	const char *verb; /* the second word, or NULL */
	const char *args; /* the words that follow, "" none */
	int min_args, max_args;
	int (*run)(struct ctl *ctl, int argc, char **argv);
	const char *summary;
};

/* By enum command_id; the first of several verbs is what NAME alone does. */
extern const struct command command_table[COMMANDS];

/*
 * The command that the words ARGV name, and in *RET_USED how many of them (1
 * or 2).  NULL after saying on stderr that there is none, and which was meant.
 */
const struct command *command_find(int argc, char **argv, int *ret_used);

int status_run(struct ctl *ctl, int argc, char **argv);
int stats_run(struct ctl *ctl, int argc, char **argv);
int top_run(struct ctl *ctl, int argc, char **argv);
int clients_run(struct ctl *ctl, int argc, char **argv);
int evict_run(struct ctl *ctl, int argc, char **argv);
int locks_run(struct ctl *ctl, int argc, char **argv);
int events_run(struct ctl *ctl, int argc, char **argv);
int latency_run(struct ctl *ctl, int argc, char **argv);
int profile_run(struct ctl *ctl, int argc, char **argv);
int fit_run(struct ctl *ctl, int argc, char **argv);
int map_run(struct ctl *ctl, int argc, char **argv);
int tune_list_run(struct ctl *ctl, int argc, char **argv);
int tune_get_run(struct ctl *ctl, int argc, char **argv);
int tune_set_run(struct ctl *ctl, int argc, char **argv);
int tune_reset_run(struct ctl *ctl, int argc, char **argv);
int tune_revert_run(struct ctl *ctl, int argc, char **argv);
int tune_diff_run(struct ctl *ctl, int argc, char **argv);
int tune_save_run(struct ctl *ctl, int argc, char **argv);
int tune_preset_run(struct ctl *ctl, int argc, char **argv);
int trim_run(struct ctl *ctl, int argc, char **argv);
int check_run(struct ctl *ctl, int argc, char **argv);
int doctor_run(struct ctl *ctl, int argc, char **argv);
int segment_list_run(struct ctl *ctl, int argc, char **argv);
int segment_create_run(struct ctl *ctl, int argc, char **argv);
int segment_destroy_run(struct ctl *ctl, int argc, char **argv);
int roots_run(struct ctl *ctl, int argc, char **argv);
int cache_list_run(struct ctl *ctl, int argc, char **argv);
int cache_stats_run(struct ctl *ctl, int argc, char **argv);
int cache_get_run(struct ctl *ctl, int argc, char **argv);
int cache_keys_run(struct ctl *ctl, int argc, char **argv);
int cache_delete_run(struct ctl *ctl, int argc, char **argv);
int cache_clear_run(struct ctl *ctl, int argc, char **argv);
int cache_limit_run(struct ctl *ctl, int argc, char **argv);
int metrics_run(struct ctl *ctl, int argc, char **argv);
int schema_run(struct ctl *ctl, int argc, char **argv);
int completion_run(struct ctl *ctl, int argc, char **argv);
int version_run(struct ctl *ctl, int argc, char **argv);
int help_run(struct ctl *ctl, int argc, char **argv);

/* Print what there is, and what NAME (with VERB, or NULL: all its verbs) does.
 */
void help_all(void);
void help_command(const char *name, const char *verb);

#endif
