/* The log: a line an event, whatever the bytes in it, as text or as JSON. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/log.h"

static int err_fd, file_fd;
static char text[8192];

static void
err_redirect(void)
{
	file_fd = open("/tmp", O_TMPFILE | O_RDWR | O_APPEND, 0600);
	cr_assert_geq(file_fd, 0);
	err_fd = dup(STDERR_FILENO);
	dup2(file_fd, STDERR_FILENO);
	unsetenv("JOURNAL_STREAM");
}

static void
err_restore(void)
{
	dup2(err_fd, STDERR_FILENO);
}

/* What was logged, and how many lines it is. */
static int
lines_read(void)
{
	int n = 0;
	ssize_t len = pread(file_fd, text, sizeof(text) - 1, 0);

	cr_assert_geq(len, 0);
	text[len] = '\0';
	for (const char *c = text; *c != '\0'; c++)
		n += *c == '\n';
	return n;
}

TestSuite(server_log, .init = err_redirect, .fini = err_restore);

Test(server_log, lines_above_the_level_are_dropped)
{
	log_set_level(LOG_LEVEL_WARN);
	log_error("one");
	log_warn("two");
	log_info("three");
	log_debug("four");
	cr_assert_eq(lines_read(), 2);
	cr_assert_not_null(strstr(text, "error: one\n"));
	cr_assert_not_null(strstr(text, "warn: two\n"));
}

Test(server_log, nobody_forges_a_line_of_text)
{
	log_info("a\nb\033[2J%s", "\177");
	cr_assert_eq(lines_read(), 1);
	cr_assert_not_null(strstr(text, "a?b?[2J?\n"));
}

/* The only line as JSON. */
static json_t *
object_read(void)
{
	cr_assert_eq(lines_read(), 1);
	json_t *object = json_loads(text, 0, NULL);
	cr_assert_not_null(object, "%s", text);
	return object;
}

static const char *
member(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

Test(server_log, a_json_line_has_time_level_pid_and_message)
{
	log_set_format(LOG_FORMAT_JSON);
	log_warn("segment %s: %d", "web", 7);
	json_t *object = object_read();
	cr_assert_eq(json_object_size(object), 4);
	cr_assert_str_eq(member(object, "level"), "warn");
	cr_assert_str_eq(member(object, "message"), "segment web: 7");
	cr_assert_eq(
	    json_integer_value(json_object_get(object, "pid")), getpid());
	cr_assert_gt(
	    json_real_value(json_object_get(object, "time")), 1700000000.0);
	json_decref(object);
}

Test(server_log, any_bytes_are_one_json_line_of_ascii)
{
	log_set_format(LOG_FORMAT_JSON);
	log_info("a\n\"\\b\033%s", "\303\244");
	json_t *object = object_read();
	for (const char *c = text; *c != '\0'; c++)
		cr_assert_lt((unsigned char)*c, 0x7f);
	cr_assert_str_eq(member(object, "message"), "a\n\"\\b\033\303\244");
	json_decref(object);
}

Test(server_log, what_is_no_utf8_is_masked)
{
	log_set_format(LOG_FORMAT_JSON);
	log_info("a\377b\303");
	json_t *object = object_read();
	cr_assert_str_eq(member(object, "message"), "a?b?");
	json_decref(object);
}

Test(server_log, a_long_json_line_of_escapes_is_whole)
{
	char message[2000];

	memset(message, 1, sizeof(message));
	message[sizeof(message) - 1] = '\0';
	log_set_format(LOG_FORMAT_JSON);
	log_info("%s", message);
	json_t *object = object_read();
	cr_assert_gt(strlen(member(object, "message")), 1000);
	json_decref(object);
}

Test(server_log, the_journal_gets_a_priority_before_a_json_line_too)
{
	char stream[64];
	struct stat st;

	cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu",
	    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_set_format(LOG_FORMAT_JSON);
	log_error("x");
	cr_assert_eq(lines_read(), 1);
	cr_assert_eq(strncmp(text, "<3>{", 4), 0, "%s", text);
}
