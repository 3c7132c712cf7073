/* `stats`: ask, once or again and again, and print what --by says. */
#include "client/ctl/stats.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/text.h"

/* What one round asked for; the others only with --by client and lock. */
struct round {
	struct shmalloc_reply *stats, *clients, *locks;
};

static void
round_free(struct round *round)
{
	shmalloc_control_free(round->stats);
	shmalloc_control_free(round->clients);
	shmalloc_control_free(round->locks);
}

static bool
is_by(const struct ctl *ctl, const char *word)
{
	return ctl->opt.by != NULL && strcmp(ctl->opt.by, word) == 0;
}

static int
round_ask(struct ctl *ctl, struct round *round)
{
	int r;

	*round = (struct round){ NULL, NULL, NULL };
	r = shmalloc_control_stats(ctl->control, ctl->opt.segment,
	    ctl->opt.exact ? SHMALLOC_EXACT : 0, &round->stats);
	if (r == 0 && is_by(ctl, "client"))
		r = shmalloc_control_clients(
		    ctl->control, ctl->opt.segment, 0, &round->clients);
	if (r == 0 && is_by(ctl, "lock"))
		r = shmalloc_control_locks(
		    ctl->control, ctl->opt.segment, &round->locks);
	return r;
}

static void
round_json(const struct ctl *ctl, const struct round *round)
{
	json_t *value = json_make(shmalloc_control_root(round->stats), NULL);

	if (round->clients != NULL)
		json_object_set_new(value, "by_client",
		    json_make(
			shmalloc_control_root(round->clients), "clients"));
	if (round->locks != NULL)
		json_object_set_new(value, "by_lock",
		    json_make(shmalloc_control_root(round->locks), "locks"));
	json_print(value, ctl->opt.watch > 0);
}

static void
round_text(const struct ctl *ctl, const struct round *round)
{
	const struct shmalloc_record *stats =
	    shmalloc_control_root(round->stats);

	if (ctl->opt.is_long) {
		stats_long(ctl, stats);
		return;
	}
	stats_head(&ctl->look, stats);
	if (is_by(ctl, "bin"))
		stats_by_bin(ctl, stats);
	else if (round->clients != NULL)
		clients_table(ctl, shmalloc_control_root(round->clients));
	else if (round->locks != NULL)
		locks_table(ctl, shmalloc_control_root(round->locks));
	else
		stats_by_arena(ctl, stats);
	stats_foot(&ctl->look, stats);
	stats_hint(&ctl->look, stats);
}

static void
seconds_sleep(double seconds)
{
	struct timespec left = { .tv_sec = (time_t)seconds };

	left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
	nanosleep(&left, NULL);
}

/* Between two rounds: a clean screen, an empty line, or nothing in JSON. */
static void
round_separate(const struct ctl *ctl, uint64_t i)
{
	if (ctl->opt.json)
		return;
	if (ctl->look.is_terminal)
		printf("\033[H\033[J");
	else if (i != 0)
		putchar('\n');
}

static int
rounds_run(struct ctl *ctl, uint64_t rounds)
{
	struct round round;

	for (uint64_t i = 0; i < rounds; i++) {
		int r;

		if (i != 0)
			seconds_sleep(ctl->opt.watch);
		r = round_ask(ctl, &round);
		if (r < 0) {
			round_free(&round);
			return ctl_fail(ctl, r);
		}
		if (ctl->opt.watch > 0)
			round_separate(ctl, i);
		if (ctl->opt.json)
			round_json(ctl, &round);
		else
			round_text(ctl, &round);
		round_free(&round);
		if (fflush(stdout) != 0)
			break;
	}
	return EXIT_OK;
}

int
stats_run(struct ctl *ctl, int argc, char **argv)
{
	bool is_watch = ctl->opt.watch > 0;
	int code;

	(void)argc, (void)argv;
	if (ctl->opt.count != 0 && !is_watch) {
		text_error("stats: --count goes with --watch");
		return EXIT_USAGE;
	}
	if (ctl->opt.is_long && ctl->opt.by != NULL) {
		text_error("stats: --long has everything; --by goes without");
		return EXIT_USAGE;
	}
	code = ctl_connect(ctl);
	if (code != EXIT_OK)
		return code;
	if (!is_watch)
		return rounds_run(ctl, 1);
	return rounds_run(
	    ctl, ctl->opt.count == 0 ? UINT64_MAX : ctl->opt.count);
}
