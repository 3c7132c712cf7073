/*
 * Reading and writing configuration files.  The INI grammar is inih's; the
 * lines are counted by our reader, because its handler is not told.
 */
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"

/* inih's own buffer is larger than that. */
#define LINE_LEN 190

struct file_reader {
	struct config *config;
	FILE *file;
	const char *path;
	unsigned line;
	int n_errors;
	config_report_fn report;
	void *arg;
};

static void
reader_report(struct file_reader *reader, unsigned line, const char *reason)
{
	char where[512];
	snprintf(where, sizeof where, "%.480s:%u", reader->path, line);
	reader->report(reader->arg, where, reason);
	reader->n_errors++;
}

/* inih's fgets(): one line, whatever its length, or NULL at the end. */
static char *
line_read(char *str, int num, void *stream)
{
	struct file_reader *reader = stream;
	if (fgets(str, num < LINE_LEN ? num : LINE_LEN, reader->file) == NULL)
		return NULL;
	reader->line++;
	if (strchr(str, '\n') != NULL || feof(reader->file))
		return str;
	reader_report(reader, reader->line, "the line is too long");
	for (int c = 0; c != '\n' && c != EOF;)
		c = fgetc(reader->file);
	str[0] = '#';
	return str;
}

/* The segment of "[segment NAME]"; NULL if SECTION is not of that form. */
static const char *
section_segment(const char *section)
{
	static const char word[] = "segment ";
	if (strncmp(section, word, sizeof word - 1) != 0)
		return NULL;
	section += sizeof word - 1;
	return section + strspn(section, " \t");
}

static int
entry_set(void *user, const char *section, const char *name, const char *value)
{
	struct file_reader *reader = user;
	char reason[CONFIG_REASON_LEN];
	const char *segment = NULL;
	if (*section != '\0') {
		segment = section_segment(section);
		if (segment == NULL) {
			snprintf(reason, sizeof reason,
			    "'[%.60s]' is not [segment NAME]", section);
			reader_report(reader, reader->line, reason);
			return 1;
		}
	}
	if (config_set(
		reader->config, segment, name, value, CONFIG_FILE, reason) != 0)
		reader_report(reader, reader->line, reason);
	return 1;
}

int
config_read_file(
    struct config *config, const char *path, config_report_fn report, void *arg)
{
	struct file_reader reader = {
		.config = config, .path = path, .report = report, .arg = arg
	};
	reader.file = fopen(path, "re");
	if (reader.file == NULL) {
		report(arg, path, strerror(errno));
		return 1;
	}
	ini_allow_multiline = false;
	int line = ini_parse_stream(line_read, &reader, entry_set, &reader);
	if (line > 0)
		reader_report(&reader, (unsigned)line,
		    "neither NAME = VALUE nor [segment NAME] nor a # comment");
	if (line < 0 || ferror(reader.file))
		reader_report(&reader, reader.line, "cannot be read");
	fclose(reader.file);
	return reader.n_errors;
}

static int
name_is_conf(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);
	return len > 5 && entry->d_name[0] != '.' &&
	    strcmp(entry->d_name + len - 5, ".conf") == 0;
}

bool
config_is_runtime(const char *path)
{
	const char *slash = strrchr(path, '/');
	return strcmp(slash == NULL ? path : slash + 1, CONFIG_FILE_RUNTIME) ==
	    0;
}

static int
dir_read(struct config *config, const char *dir, bool has_runtime,
    config_report_fn report, void *arg)
{
	struct dirent **entries;
	int n_errors = 0;
	int n = scandir(dir, &entries, name_is_conf, alphasort);
	if (n < 0) {
		if (errno == ENOENT)
			return 0;
		report(arg, dir, strerror(errno));
		return 1;
	}
	for (int i = 0; i < n; i++) {
		char path[512];
		snprintf(path, sizeof path, "%s/%s", dir, entries[i]->d_name);
		if (has_runtime || !config_is_runtime(path))
			n_errors += config_read_file(config, path, report, arg);
		free(entries[i]);
	}
	free(entries);
	return n_errors;
}

static int
default_read(
    struct config *config, bool has_runtime, config_report_fn report, void *arg)
{
	int n_errors = 0;
	FILE *probe = fopen(CONFIG_FILE_DEFAULT, "re");
	if (probe != NULL)
		fclose(probe);
	if (probe != NULL || errno != ENOENT)
		n_errors +=
		    config_read_file(config, CONFIG_FILE_DEFAULT, report, arg);
	return n_errors +
	    dir_read(config, CONFIG_DIR_DEFAULT, has_runtime, report, arg);
}

int
config_read_default(struct config *config, config_report_fn report, void *arg)
{
	return default_read(config, true, report, arg);
}

int
config_read_admin(struct config *config, config_report_fn report, void *arg)
{
	return default_read(config, false, report, arg);
}

/* ---- Writing --------------------------------------------------------- */

static void
line_write(FILE *out, const struct shm_param_info *info, uint64_t number,
    const char *text, enum config_source source)
{
	char value[VALUE_LEN];
	if (strcmp(info->unit, "mode") == 0)
		snprintf(value, sizeof value, "%04" PRIo64, number);
	else if (strcmp(info->unit, "user") == 0 ||
	    strcmp(info->unit, "group") == 0)
		snprintf(value, sizeof value, "%" PRIu64, number);
	else
		value_format(info->unit, number, value);
	bool is_text = strcmp(info->unit, "text") == 0;
	bool is_nobody = info->max == UINT32_MAX && number == CONFIG_NOBODY;
	fprintf(out, "%s%s = %s\n", source == CONFIG_DEFAULT ? "# " : "",
	    info->name,
	    is_text && text != NULL    ? text
		: is_text || is_nobody ? ""
				       : value);
}

void
config_write_param(FILE *out, enum shm_param param, uint64_t value)
{
	line_write(out, &shm_params[param], value, NULL, CONFIG_FILE);
}

static void
base_dump(const struct config *config, FILE *out)
{
	for (int i = 0; i < CONFIG_KEYS; i++)
		line_write(out, &config_keys[i].info,
		    config_number(config, NULL, (enum config_key)i),
		    config->base.key[i].text, config->base.key[i].source);
	for (int i = 0; i < SHM_PARAMS; i++) {
		enum config_source source;
		uint64_t number =
		    config_param(config, NULL, (enum shm_param)i, &source);
		line_write(out, &shm_params[i], number, NULL, source);
	}
}

static void
section_dump(const struct config_section *section, FILE *out)
{
	fprintf(out, "\n[segment %s]\n", section->name);
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (section->key[i].source != CONFIG_DEFAULT)
			line_write(out, &config_keys[i].info,
			    section->key[i].number, section->key[i].text,
			    section->key[i].source);
	for (int i = 0; i < SHM_PARAMS; i++)
		if (section->param[i].source != CONFIG_DEFAULT)
			line_write(out, &shm_params[i],
			    section->param[i].number, NULL,
			    section->param[i].source);
}

void
config_dump(const struct config *config, FILE *out)
{
	base_dump(config, out);
	for (size_t i = 0; i < config->n_segments; i++)
		section_dump(config->segments[i], out);
}
