/*
 * The configuration: keys of the daemon (server/config.def) and parameters of
 * segments (shm/param.def), each from its default, a file or an argument.
 *
 *	file     NAME = VALUE lines; [segment NAME] begins a segment's own
 *	argument --NAME VALUE, -p NAME=VALUE, -p SEGMENT:NAME=VALUE
 *
 * A later source overrides an earlier one, in the order above.  The top level
 * configures the segment "default", and is what other segments inherit from.
 * A configuration is made as a whole: on any error none of it counts.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "server/value.h"
#include "shm/layout.h"
#include "shm/param.h"

/* A user or group that is not configured. */
#define CONFIG_NOBODY UINT32_MAX

#define CONFIG_FILE_DEFAULT "/etc/shmalloc/shmallocd.conf"
#define CONFIG_DIR_DEFAULT  "/etc/shmalloc/conf.d"
#define CONFIG_REASON_LEN   256

enum config_key {
#define KEY(symbol, name, scope, unit, def, min, max, text) CONFIG_##symbol,
#include "server/config.def"
#undef KEY
	CONFIG_KEYS,
};

enum config_scope {
	CONFIG_SCOPE_DAEMON,
	CONFIG_SCOPE_SEGMENT,
};

struct config_key_info {
	struct shm_param_info info;
	enum config_scope scope;
};

extern const struct config_key_info config_keys[CONFIG_KEYS];

enum config_source {
	CONFIG_DEFAULT, /* not set */
	CONFIG_FILE,
	CONFIG_ARGUMENT,
	CONFIG_RUNTIME, /* by an operator; never in a struct config */
	CONFIG_SOURCES,
};

extern const char *const config_source_names[CONFIG_SOURCES];

struct config_value {
	enum config_source source;
	uint64_t number;
	char *text; /* unit text only; owned */
};

/* The top level, or one segment's own. */
struct config_section {
	char name[SHM_NAME_LEN];
	struct config_value key[CONFIG_KEYS];
	struct config_value param[SHM_PARAMS];
};

struct config {
	struct config_section base;       /* "default" */
	struct config_section **segments; /* the others */
	size_t n_segments;
};

/* ---- Making one -------------------------------------------------------- */

void config_init(struct config *config);
void config_release(struct config *config);

/*
 * Set NAME to the value TEXT in SEGMENT (NULL: at the top level), which is made
 * if there is none.  0; SHM_EUNKNOWN, SHM_ERANGE or SHM_EINVAL with the reason,
 * which names NAME, in REASON.
 */
int config_set(struct config *config, const char *segment, const char *name,
    const char *text, enum config_source source,
    char reason[CONFIG_REASON_LEN]) SHM_MUSTCHECK;

/* As config_set() with "NAME=VALUE" or "SEGMENT:NAME=VALUE". */
int config_assign(struct config *config, const char *assignment,
    char reason[CONFIG_REASON_LEN]) SHM_MUSTCHECK;

/* Is told each thing that is wrong; WHERE is "file:line". */
typedef void (*config_report_fn)(
    void *arg, const char *where, const char *reason);

/* Read the file PATH.  The number of errors reported. */
int config_read_file(struct config *config, const char *path,
    config_report_fn report, void *arg) SHM_MUSTCHECK;

/*
 * Read CONFIG_FILE_DEFAULT and what ends in .conf in CONFIG_DIR_DEFAULT, in
 * order of name, where they are there.  The number of errors reported.
 */
int config_read_default(
    struct config *config, config_report_fn report, void *arg) SHM_MUSTCHECK;

/* The file among those that what operators saved is in. */
#define CONFIG_FILE_RUNTIME "90-runtime.conf"

/* Whether PATH names such a file, wherever it lies. */
bool config_is_runtime(const char *path);

/* As config_read_default(), but for that file. */
int config_read_admin(
    struct config *config, config_report_fn report, void *arg) SHM_MUSTCHECK;

/* Write the line NAME = VALUE of PARAM. */
void config_write_param(FILE *out, enum shm_param param, uint64_t value);

/* What no single value shows: sizes that contradict each other. */
int config_check(const struct config *config, config_report_fn report,
    void *arg) SHM_MUSTCHECK;

/* ---- Asking it --------------------------------------------------------- */

/* The segment's own section; &config->base for "default"; NULL: none. */
const struct config_section *config_section(
    const struct config *config, const char *segment);

/* The value of KEY for SECTION: its own, else the top level's, else default. */
uint64_t config_number(const struct config *config,
    const struct config_section *section, enum config_key key);

/* The text of the daemon's KEY, or NULL. */
const char *config_text(const struct config *config, enum config_key key);

/* The value of PARAM for SECTION, and its source. */
uint64_t config_param(const struct config *config,
    const struct config_section *section, enum shm_param param,
    enum config_source *ret_source);

/* Write all of it as a file that config_read_file() reads. */
void config_dump(const struct config *config, FILE *out);

/* The group TEXT, a name or a number.  0 or SHM_EINVAL. */
int config_group_parse(const char *text, uint64_t *ret_group) SHM_MUSTCHECK;

/* Why NAME, 1 to 63 of [A-Za-z0-9_.-], is no name of a segment; NULL: it is. */
const char *config_name_error(const char *name);

#endif
