/* Configuration: sources, segments, files, and what is wrong with them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config.h"

static struct config config;
static char path[] = "/tmp/test_server_config.XXXXXX";
static char reports[2048];

static void
config_begin(void)
{
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	close(fd);
	config_init(&config);
	reports[0] = '\0';
}

static void
config_end(void)
{
	config_release(&config);
	unlink(path);
}

TestSuite(server_config, .init = config_begin, .fini = config_end);

static void
on_report(void *arg, const char *where, const char *reason)
{
	const char *slash = strrchr(where, ':');
	size_t len = strlen(reports);

	(void)arg;
	snprintf(reports + len, sizeof(reports) - len, "%s: %s\n",
	    slash != NULL ? slash + 1 : where, reason);
}

static int
read_text(const char *text)
{
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
	return config_read_file(&config, path, on_report, NULL);
}

static uint64_t
param(const char *segment, enum shm_param index, enum config_source *ret)
{
	return config_param(
	    &config, config_section(&config, segment), index, ret);
}

Test(server_config, nothing_configured_is_all_defaults)
{
	enum config_source source;

	cr_assert_eq(param("default", SHM_PARAM_decay_ms, &source), 10000);
	cr_assert_eq(source, CONFIG_DEFAULT);
	cr_assert_eq(config_number(&config, NULL, CONFIG_SIZE), 268435456);
	cr_assert_null(config_text(&config, CONFIG_SOCKET));
	cr_assert_null(config_section(&config, "other"));
}

Test(server_config, a_file_sets_keys_and_parameters)
{
	enum config_source source;

	cr_assert_eq(read_text("# a comment\n"
			       "socket = /run/x\n"
			       "\n"
			       "  decay_ms= 2s\n"
			       "misuse =warn ; and why\n"),
	    0);
	cr_assert_str_eq(config_text(&config, CONFIG_SOCKET), "/run/x");
	cr_assert_eq(param("default", SHM_PARAM_decay_ms, &source), 2000);
	cr_assert_eq(source, CONFIG_FILE);
	cr_assert_eq(param("default", SHM_PARAM_misuse, &source), 1);
}

Test(server_config, a_segment_inherits_and_overrides)
{
	enum config_source source;
	const struct config_section *section;

	cr_assert_eq(read_text("decay_ms = 2s\nmode = 0640\nsize = 32M\n"
			       "[segment web]\nsize = 1G\ntop_pad = 8K\n"),
	    0);
	section = config_section(&config, "web");
	cr_assert_not_null(section);
	cr_assert_eq(param("web", SHM_PARAM_decay_ms, &source), 2000);
	cr_assert_eq(param("web", SHM_PARAM_top_pad, &source), 8192);
	cr_assert_eq(param("default", SHM_PARAM_top_pad, &source), 131072);
	cr_assert_eq(config_number(&config, section, CONFIG_MODE), 0640);
	cr_assert_eq(param("web", SHM_PARAM_limit_hard, &source), 1 << 30);
	cr_assert_eq(param("default", SHM_PARAM_limit_hard, &source), 32 << 20);
	cr_assert_eq(source, CONFIG_FILE);
}

Test(server_config, a_segments_size_counts_more_than_the_common_limit)
{
	enum config_source source;

	cr_assert_eq(
	    read_text("limit.hard = 32M\n[segment web]\nsize = 1G\n"), 0);
	cr_assert_eq(param("web", SHM_PARAM_limit_hard, &source), 1 << 30);
}

Test(server_config, an_argument_overrides_a_file)
{
	enum config_source source;
	char reason[CONFIG_REASON_LEN];

	cr_assert_eq(read_text("decay_ms = 2s\n"), 0);
	cr_assert_eq(config_assign(&config, "decay_ms=3s", reason), 0);
	cr_assert_eq(param("default", SHM_PARAM_decay_ms, &source), 3000);
	cr_assert_eq(source, CONFIG_ARGUMENT);
	cr_assert_eq(config_assign(&config, "web:decay_ms=4s", reason), 0);
	cr_assert_eq(param("web", SHM_PARAM_decay_ms, &source), 4000);
}

Test(server_config, every_error_is_reported_with_its_line)
{
	cr_assert_eq(read_text("decay_m = 2s\n"
			       "mmap_threshold = 1K\n"
			       "size = big\n"
			       "[section]\n"
			       "size = 1M\n"
			       "[segment web]\n"
			       "socket = /x\n"
			       "[segment a/b]\n"
			       "size = 2M\n"),
	    6);
	cr_assert_str_eq(reports,
	    "1: unknown name 'decay_m'; did you mean 'decay_ms'?\n"
	    "2: mmap_threshold: 1K is below the minimum 4K\n"
	    "3: size: 'big' is not a size such as 64M\n"
	    "5: '[section]' is not [segment NAME]\n"
	    "7: socket: is the daemon's, not a segment's\n"
	    "9: 'a/b': a segment's name has letters, digits, '_', '.' and "
	    "'-'\n");
}

Test(server_config, a_line_that_is_no_assignment_is_reported)
{
	cr_assert_eq(read_text("size = 1M\nnonsense\n"), 1);
	cr_assert_str_eq(reports,
	    "2: neither NAME = VALUE nor [segment NAME] nor a # comment\n");
}

Test(server_config, a_line_that_is_too_long_is_reported_once)
{
	char text[4096];

	memset(text, 'x', sizeof(text));
	memcpy(text, "size = 1M\n", 10);
	strcpy(text + 3000, "\ndecay_ms = 2s\n");
	cr_assert_eq(read_text(text), 1);
	cr_assert_str_eq(reports, "2: the line is too long\n");
}

Test(server_config, a_file_that_is_absent_is_an_error)
{
	cr_assert_eq(
	    config_read_file(&config, "/nonexistent/x", on_report, NULL), 1);
}

Test(server_config, an_argument_that_is_no_assignment_is_refused)
{
	char reason[CONFIG_REASON_LEN];

	cr_assert_eq(config_assign(&config, "decay_ms", reason), SHM_EINVAL);
	cr_assert_eq(config_assign(&config, "=1", reason), SHM_EINVAL);
	cr_assert_eq(config_assign(&config, "x=1", reason), SHM_EUNKNOWN);
	cr_assert_eq(
	    config_assign(&config, "check.level=3", reason), SHM_ERANGE);
	cr_assert_str_eq(reason, "check.level: 3 is above the maximum 2");
	cr_assert_eq(config_assign(&config, "mode=0999", reason), SHM_EINVAL);
	cr_assert_eq(config_assign(&config, "mode=01777", reason), SHM_ERANGE);
	cr_assert_eq(
	    config_assign(&config, "group=no such group", reason), SHM_EINVAL);
}

Test(server_config, a_limit_above_the_reserve_is_reported)
{
	cr_assert_eq(read_text("reserve = 64M\nsize = 128M\n"), 0);
	cr_assert_eq(config_check(&config, on_report, NULL), 1);
	cr_assert_str_eq(reports,
	    "default: the limit of 128M (size or limit.hard) is above the "
	    "reserve of 64M\n");
}

Test(server_config, what_is_dumped_reads_back_the_same)
{
	enum config_source source;
	struct config_section *web;
	FILE *file;

	cr_assert_eq(read_text("mode = 0640\ndecay_ms = 2s\nmisuse = abort\n"
			       "socket = /run/x\n[segment web]\nsize = 1G\n"
			       "group = 0\nlimit.client = 3M\n"),
	    0);
	file = fopen(path, "w");
	config_dump(&config, file);
	fclose(file);
	config_release(&config);
	cr_assert_eq(
	    config_read_file(&config, path, on_report, NULL), 0, "%s", reports);
	web = config.segments[0];
	cr_assert_eq(config.n_segments, 1);
	cr_assert_eq(config_number(&config, web, CONFIG_MODE), 0640);
	cr_assert_eq(config_number(&config, web, CONFIG_GROUP), 0);
	cr_assert_str_eq(config_text(&config, CONFIG_SOCKET), "/run/x");
	cr_assert_eq(param("web", SHM_PARAM_misuse, &source), 2);
	cr_assert_eq(param("web", SHM_PARAM_limit_client, &source), 3 << 20);
	cr_assert_eq(param("web", SHM_PARAM_limit_hard, &source), 1 << 30);
	/* What was a default is one still. */
	(void)param("default", SHM_PARAM_mmap_threshold, &source);
	cr_assert_eq(source, CONFIG_DEFAULT);
}
