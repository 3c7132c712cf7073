/* `metrics`: the statistics of all segments, or of one, for Prometheus. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ctl/command.h"
#include "client/ctl/text.h"

#define FILE_MODE 0644 /* other users' collectors read it */

/* ---- The replies --------------------------------------------------------- */

struct replies {
	struct shmalloc_reply **stats;
	size_t n;
};

static void
replies_release(struct replies *replies)
{
	for (size_t i = 0; i < replies->n; i++)
		shmalloc_control_free(replies->stats[i]);
	free(replies->stats);
}

static int
replies_room(struct replies *replies, size_t n)
{
	replies->stats = calloc(n + 1, sizeof(*replies->stats));
	return replies->stats == NULL ? SHMALLOC_ESYSTEM : 0;
}

static int
segment_add(struct ctl *ctl, struct replies *replies, const char *name)
{
	int r = shmalloc_control_stats(
	    ctl->control, name, 0, &replies->stats[replies->n]);

	/* It may have been destroyed since the list was made. */
	if (r == SHMALLOC_ENOSEGMENT && ctl->opt.segment == NULL)
		return 0;
	if (r == 0)
		replies->n++;
	return r;
}

static int
segments_add(struct ctl *ctl, struct replies *replies)
{
	const struct shmalloc_record *list;
	struct shmalloc_reply *reply;
	int r = shmalloc_control_segment_list(ctl->control, &reply);
	size_t n;

	if (r < 0)
		return r;
	list = shmalloc_control_root(reply);
	n = shmalloc_control_count(list, "segments");
	r = replies_room(replies, n);
	for (size_t i = 0; i < n && r == 0; i++)
		r = segment_add(ctl, replies,
		    shmalloc_control_string(
			shmalloc_control_item(list, "segments", i), "name"));
	shmalloc_control_free(reply);
	return r;
}

static int
replies_ask(struct ctl *ctl, struct replies *replies)
{
	int r;

	if (ctl->opt.segment == NULL)
		return segments_add(ctl, replies);
	r = replies_room(replies, 1);
	return r < 0 ? r : segment_add(ctl, replies, ctl->opt.segment);
}

/* ---- The file ------------------------------------------------------------ */

static int
file_fail(const char *path)
{
	text_error("%s: %s", path, strerror(errno));
	return EXIT_INTERNAL;
}

/* Write TEXT to the descriptor FD, which is closed; false: errno. */
static bool
file_fill(int fd, const char *text)
{
	FILE *file = fdopen(fd, "w");
	bool is_written;

	if (file == NULL) {
		close(fd);
		return false;
	}
	is_written = fchmod(fd, FILE_MODE) == 0 && fputs(text, file) != EOF;
	return fclose(file) == 0 && is_written;
}

/* Replace PATH by a file that has TEXT; who reads it meanwhile sees the old
 * one or the new one, whole. */
static int
file_replace(const char *path, const char *text)
{
	char name[4096];
	int fd;

	if ((size_t)snprintf(name, sizeof(name), "%s.XXXXXX", path) >=
	    sizeof(name)) {
		errno = ENAMETOOLONG;
		return file_fail(path);
	}
	fd = mkstemp(name);
	if (fd < 0)
		return file_fail(name);
	if (!file_fill(fd, text) || rename(name, path) != 0) {
		int saved = errno;

		unlink(name);
		errno = saved;
		return file_fail(path);
	}
	return EXIT_OK;
}

int
metrics_run(struct ctl *ctl, int argc, char **argv)
{
	struct replies replies = { NULL, 0 };
	int code = ctl_connect(ctl), r;
	char *text = NULL;

	(void)argc, (void)argv;
	if (code != EXIT_OK)
		return code;
	r = replies_ask(ctl, &replies);
	if (r < 0) {
		code = ctl_fail(ctl, r);
	} else if (shmalloc_control_prometheus(
		       replies.n, replies.stats, &text) < 0) {
		text_error("out of memory");
		code = EXIT_INTERNAL;
	} else if (ctl->opt.textfile != NULL) {
		code = file_replace(ctl->opt.textfile, text);
	} else {
		fputs(text, stdout);
	}
	free(text);
	replies_release(&replies);
	return code;
}
