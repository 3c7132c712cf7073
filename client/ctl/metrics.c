/* `metrics`: the statistics of all segments, or of one, for Prometheus. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/file.h"
#include "client/ctl/text.h"

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
		code = file_replace(ctl->opt.textfile, text, strlen(text));
	} else {
		fputs(text, stdout);
	}
	free(text);
	replies_release(&replies);
	return code;
}
