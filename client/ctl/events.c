/*
 * `events`: what happened last, and with -f what happens next.
 *
 * To follow is to ask again for what came after the last number seen; a daemon
 * that was killed is followed by its successor, which knows the events of
 * before and goes on with their numbers, if the keeper lives.  Else they begin
 * anew.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/text.h"

#define POLL_MS   250
#define STAMP_LEN 40
#define WORD_LEN  256

/* Where a follower is. */
struct follow {
	double began;  /* of these numbers */
	uint64_t last; /* seen */
	uint64_t pid;  /* of the daemon */
};

/* 2026-01-31T12:00:00.250 */
static void
stamp_write(char buf[STAMP_LEN], double time)
{
	time_t second = (time_t)time;
	struct tm tm;
	char day[STAMP_LEN - 8] = "?";

	if (localtime_r(&second, &tm) != NULL)
		strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, STAMP_LEN, "%s.%03u", day,
	    (unsigned)((time - (double)second) * 1000) % 1000);
}

/* The kinds that somebody should look at. */
static const char *
kind_color(const char *kind)
{
	static const char *const alarms[] = { "quarantine", "failure", "misuse",
		"evict", "orphan" };

	for (size_t i = 0; i < sizeof(alarms) / sizeof(alarms[0]); i++)
		if (strcmp(kind, alarms[i]) == 0)
			return LOOK_YELLOW;
	return "";
}

static void
event_print(const struct look *look, const struct shmalloc_record *event)
{
	char stamp[STAMP_LEN], kind[WORD_LEN], segment[WORD_LEN];
	char command[WORD_LEN], text[WORD_LEN];
	uint64_t pid = look_uint(event, "pid", 0);
	const char *color;

	stamp_write(stamp, look_double(event, "time", 0));
	look_string(kind, sizeof(kind), event, "kind");
	color = look_color(look, kind_color(kind));
	printf("%s %s%s%s", stamp, color, kind,
	    color[0] != '\0' ? LOOK_RESET : "");
	if (shmalloc_control_string(event, "segment") != NULL)
		printf(" %s",
		    look_string(segment, sizeof(segment), event, "segment"));
	if (shmalloc_control_string(event, "command") != NULL)
		printf(" pid %" PRIu64 " (%s)", pid,
		    look_string(command, sizeof(command), event, "command"));
	printf(": %s\n", look_string(text, sizeof(text), event, "text"));
}

/* Print what is in LIST; with -f an object a line. */
static void
list_print(const struct ctl *ctl, const struct shmalloc_record *list)
{
	uint64_t lost = look_uint(list, "lost", 0);
	size_t n = shmalloc_control_count(list, "events");

	/* What was before anybody asked is not missed. */
	if (lost > 0 && ctl->opt.follow)
		text_error("%" PRIu64 " events are lost: the daemon keeps the "
			   "last ones only",
		    lost);
	if (ctl->opt.json && !ctl->opt.follow) {
		json_show(list, NULL);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *event =
		    shmalloc_control_item(list, "events", i);

		if (ctl->opt.json)
			json_print(json_make(event, NULL), true);
		else
			event_print(&ctl->look, event);
	}
}

static void
poll_sleep(void)
{
	struct timespec wait = { .tv_nsec = POLL_MS * 1000000L };

	nanosleep(&wait, NULL);
}

/* Say so if LIST is of another daemon than the one followed. */
static void
another_tell(struct follow *follow, const struct shmalloc_record *list)
{
	uint64_t pid = look_uint(list, "pid", 0);

	if (follow->pid != 0 && pid != follow->pid)
		text_hint("another daemon goes on, pid %" PRIu64, pid);
	follow->pid = pid;
}

/*
 * Ask for what FOLLOW has not seen, and print it.  With other numbers all
 * events are new: it is asked again.
 */
static int
follow_turn(struct ctl *ctl, struct follow *follow)
{
	const struct shmalloc_record *list;
	struct shmalloc_reply *reply;
	double began;
	int r = shmalloc_control_events(
	    ctl->control, ctl->opt.segment, follow->last, 0, &reply);

	if (r < 0)
		return r;
	list = shmalloc_control_root(reply);
	another_tell(follow, list);
	began = look_double(list, "began", 0);
	if (follow->began != 0 && began != follow->began) {
		follow->began = began;
		follow->last = 0;
		shmalloc_control_free(reply);
		return 0;
	}
	follow->began = began;
	follow->last = look_uint(list, "last", follow->last);
	list_print(ctl, list);
	shmalloc_control_free(reply);
	return 0;
}

/* The connection has ended: the next daemon, if there is one, answers at the
 * same socket. */
static int
follow_again(struct ctl *ctl)
{
	text_hint("the daemon has ended; waiting for the next");
	shmalloc_control_disconnect(ctl->control);
	ctl->control = NULL;
	return ctl_connect(ctl);
}

static int
follow_run(struct ctl *ctl)
{
	struct follow follow = { 0 };
	bool is_again = false;

	for (;;) {
		int r = follow_turn(ctl, &follow);

		if (fflush(stdout) != 0)
			return EXIT_OK;
		if (r < 0 && (is_again || follow.began == 0))
			return ctl_fail(ctl, r);
		is_again = r < 0;
		if (is_again && (r = follow_again(ctl)) != EXIT_OK)
			return r;
		if (!is_again)
			poll_sleep();
	}
}

int
events_run(struct ctl *ctl, int argc, char **argv)
{
	struct shmalloc_reply *reply;
	int r = ctl_connect(ctl);

	(void)argc, (void)argv;
	if (r != EXIT_OK)
		return r;
	if (ctl->opt.follow)
		return follow_run(ctl);
	r = shmalloc_control_events(
	    ctl->control, ctl->opt.segment, 0, 0, &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	list_print(ctl, shmalloc_control_root(reply));
	shmalloc_control_free(reply);
	return EXIT_OK;
}
