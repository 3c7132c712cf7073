#include "server/tune_save.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/log.h"
#include "server/server.h"
#include "server/tune_timed.h"

#define FILE_MODE 0644

bool
tune_is_skipped(const struct server *server, const struct segment *segment)
{
	return config_section(&server->config, segment->name) == NULL;
}

/* The value of PARAM that stays. */
static uint64_t
value_lasting(const struct server *server, const struct segment *segment,
    enum shm_param param)
{
	return tune_timed_until(segment, param) != 0
	    ? tune_timed_then(server, segment, param)
	    : tune_value(segment, param);
}

/* Write what SEGMENT has and CONFIG, to which it is added, does not give. */
static uint32_t
segment_write(const struct server *server, const struct segment *segment,
    struct config *config, FILE *out)
{
	bool is_base = strcmp(segment->name, "default") == 0;
	uint32_t n = 0;
	for (int i = 0; i < SHM_PARAMS; i++) {
		enum shm_param param = (enum shm_param)i;
		enum config_source source;
		char text[VALUE_LEN], reason[CONFIG_REASON_LEN];
		uint64_t value = value_lasting(server, segment, param);
		if (tune_configured(config, segment, param, &source) == value)
			continue;
		value_format(shm_params[i].unit, value, text);
		/* Other segments inherit it. */
		if (config_set(config, is_base ? NULL : segment->name,
			shm_params[i].name, text, CONFIG_FILE, reason) != 0)
			log_error("segment %s: %s", segment->name, reason);
		if (n++ == 0 && !is_base)
			fprintf(out, "\n[segment %s]\n", segment->name);
		config_write_param(out, param, value);
	}
	return n;
}

static uint32_t
all_write(const struct server *server, struct config *config, FILE *out)
{
	const struct segment *segment;
	uint32_t n = 0;
	fprintf(out,
	    "# What operators set while shmallocd ran; written by `shmallocctl "
	    "tune save`,\n# which replaces it.\n");
	/* The top level of the file comes first. */
	TAILQ_FOREACH(segment, &server->segments, link)
	if (strcmp(segment->name, "default") == 0)
		n += segment_write(server, segment, config, out);
	TAILQ_FOREACH(segment, &server->segments, link)
	if (strcmp(segment->name, "default") != 0 &&
	    !tune_is_skipped(server, segment))
		n += segment_write(server, segment, config, out);
	return n;
}

/* Write the file behind FD, which is closed. */
static int
file_fill(
    const struct server *server, struct config *config, int fd, uint32_t *ret_n)
{
	FILE *out = fdopen(fd, "w");
	if (out == NULL) {
		close(fd);
		return SHM_ESYSTEM;
	}
	*ret_n = all_write(server, config, out);
	bool is_written = fchmod(fd, FILE_MODE) == 0 && fflush(out) == 0 &&
	    fsync(fd) == 0 && !ferror(out);
	return fclose(out) == 0 && is_written ? 0 : SHM_ESYSTEM;
}

/* Who reads it meanwhile sees the old one or the new one, whole. */
static int
file_replace(const struct server *server, struct config *config,
    const char *path, uint32_t *ret_n)
{
	char name[4096];
	if ((size_t)snprintf(name, sizeof name, "%s.XXXXXX", path) >=
	    sizeof name) {
		errno = ENAMETOOLONG;
		return SHM_ESYSTEM;
	}
	int fd = mkstemp(name);
	if (fd < 0)
		return SHM_ESYSTEM;
	if (file_fill(server, config, fd, ret_n) == 0 &&
	    rename(name, path) == 0)
		return 0;
	int saved = errno;
	unlink(name);
	errno = saved;
	return SHM_ESYSTEM;
}

int
tune_save(struct server *server, struct tune_saved *ret_saved,
    char reason[TUNE_REASON_LEN])
{
	struct config config;
	const char *path;
	int error = SHM_EINVAL;
	if (server_configure_admin(
		server->options, &config, &path, server_report_log, NULL) != 0)
		snprintf(reason, TUNE_REASON_LEN,
		    "the configuration has errors, see the log; nothing was "
		    "saved");
	else if (path == NULL)
		snprintf(reason, TUNE_REASON_LEN,
		    "this daemon reads no file for it: start it with --config "
		    "DIR/" CONFIG_FILE_RUNTIME ", after the others");
	else
		error = file_replace(server, &config, path, &ret_saved->n);
	if (error == SHM_ESYSTEM)
		snprintf(reason, TUNE_REASON_LEN, "%.160s: %s", path,
		    strerror(errno));
	ret_saved->path = path;
	config_release(&config);
	return error;
}
