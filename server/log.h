/*
 * The daemon's log: one line an event on stderr, that says what happened, to
 * whom, and what to do about it.
 *
 * Under systemd (JOURNAL_STREAM names stderr) a line begins with its priority
 * as "<4>" and has no time, because the journal adds both.  Bytes that came
 * from elsewhere cannot forge lines: control characters are shown as '?'.
 *
 * Or a line is a JSON object, in ASCII: "time" (seconds since the epoch),
 * "level", "pid", "message".
 */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/error.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVELS,
};

extern const char *const log_level_names[LOG_LEVELS];

/* The order of the key log_format. */
enum log_format {
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JSON,
};

/* Lines above LEVEL are dropped.  At first: info. */
void log_set_level(enum log_level level);

/* What lines look like from now on.  At first: text. */
void log_set_format(enum log_format format);

/*
 * Append the log to the file PATH instead of where stderr goes now; NULL:
 * nothing changes.  SHM_ESYSTEM, which was logged.
 */
int log_open(const char *path) SHM_MUSTCHECK;

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * A limit for lines that a peer can cause: at most LOG_BURST in a second, and
 * the number of those left out is said with the next.
 */
struct log_limit {
	uint64_t second;
	uint32_t n, suppressed;
};

#define LOG_BURST 5

/* Whether to log now; *RET_SUPPRESSED is how many were left out before. */
bool log_allowed(struct log_limit *limit, uint32_t *ret_suppressed);

#endif
