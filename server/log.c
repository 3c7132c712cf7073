#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_LEN 1024

const char *const log_level_names[LOG_LEVELS] = {
	"error",
	"warn",
	"info",
	"debug",
};

/* What the journal calls them: RFC 5424 severities. */
static const int severities[LOG_LEVELS] = { 3, 4, 6, 7 };

static enum log_level level_max = LOG_LEVEL_INFO;
static enum log_format line_format = LOG_FORMAT_TEXT;

void
log_set_level(enum log_level level)
{
	level_max = level;
}

void
log_set_format(enum log_format format)
{
	line_format = format;
}

int
log_open(const char *path)
{
	if (path == NULL)
		return 0;
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0) {
		log_error(
		    "cannot write the log to %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return SHM_ESYSTEM;
	}
	close(fd);
	return 0;
}

/* Whether stderr goes to the journal, which JOURNAL_STREAM names by inode. */
static bool
is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat st;
	unsigned long long dev, ino;
	if (stream == NULL || sscanf(stream, "%llu:%llu", &dev, &ino) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
	    st.st_ino == ino;
}

static int
prefix_write(enum log_level level, char *line, size_t len)
{
	if (is_journal())
		return snprintf(line, len, "<%d>", severities[level]);
	struct timespec now;
	struct tm tm;
	char stamp[40] = "";
	clock_gettime(CLOCK_REALTIME, &now);
	if (localtime_r(&now.tv_sec, &tm) != NULL)
		strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S%z", &tm);
	return snprintf(line, len, "%s shmallocd[%d] %s: ", stamp,
	    (int)getpid(), log_level_names[level]);
}

static void
control_mask(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

/* Nobody is left to be told if the log itself cannot be written. */
static void
text_put(const char *text, size_t len)
{
	if (write(STDERR_FILENO, text, len) < 0)
		return;
}

/* MESSAGE, whose bytes may be any, as a JSON string. */
static json_t *
message_json(char *message)
{
	json_t *string = json_string(message);
	if (string != NULL)
		return string;
	/* It is no UTF-8. */
	for (char *byte = message; *byte != '\0'; byte++)
		if ((unsigned char)*byte > 0x7f)
			*byte = '?';
	return json_string(message);
}

/* False: there is no memory. */
static bool
json_write(enum log_level level, char *message)
{
	char line[6 * LINE_LEN + 128];
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	double time = (double)now.tv_sec + (double)(now.tv_nsec / 1000) / 1e6;
	json_t *object = json_pack("{s:f, s:s, s:i, s:o}", "time", time,
	    "level", log_level_names[level], "pid", (int)getpid(), "message",
	    message_json(message));
	size_t n = 0;
	if (is_journal())
		n = (size_t)snprintf(
		    line, sizeof line, "<%d>", severities[level]);
	size_t len = object == NULL
	    ? 0
	    : json_dumpb(object, line + n, sizeof line - n,
		  JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(16));
	json_decref(object);
	if (len == 0 || len >= sizeof line - n)
		return false;
	line[n + len] = '\n';
	text_put(line, n + len + 1);
	return true;
}

static void
line_write(enum log_level level, const char *format, va_list args)
{
	char line[LINE_LEN];
	int n = prefix_write(level, line, sizeof line - 1);
	if (n < 0 || (size_t)n >= sizeof line - 1)
		return;
	vsnprintf(line + n, sizeof line - 1 - (size_t)n, format, args);
	control_mask(line);
	size_t len = strlen(line);
	line[len++] = '\n';
	text_put(line, len);
}

static void
event_write(enum log_level level, const char *format, va_list args)
{
	char message[LINE_LEN];
	va_list again;
	if (level > level_max)
		return;
	va_copy(again, args);
	vsnprintf(message, sizeof message, format, again);
	va_end(again);
	if (line_format != LOG_FORMAT_JSON || !json_write(level, message))
		line_write(level, format, args);
}

#define LOG_BODY(level)                                                        \
	va_list args;                                                          \
	va_start(args, format);                                                \
	event_write(level, format, args);                                      \
	va_end(args)

void
log_error(const char *format, ...)
{
	LOG_BODY(LOG_LEVEL_ERROR);
}

void
log_warn(const char *format, ...)
{
	LOG_BODY(LOG_LEVEL_WARN);
}

void
log_info(const char *format, ...)
{
	LOG_BODY(LOG_LEVEL_INFO);
}

void
log_debug(const char *format, ...)
{
	LOG_BODY(LOG_LEVEL_DEBUG);
}

bool
log_allowed(struct log_limit *limit, uint32_t *ret_suppressed)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	uint64_t second = (uint64_t)now.tv_sec;
	if (limit->second != second) {
		limit->second = second;
		limit->n = 0;
	}
	if (limit->n >= LOG_BURST) {
		limit->suppressed++;
		return false;
	}
	limit->n++;
	*ret_suppressed = limit->suppressed;
	limit->suppressed = 0;
	return true;
}
