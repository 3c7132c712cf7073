/* `doctor`: ask for everything, apply the rules, print what they find. */
#include "client/ctl/doctor.h"

#include <stdio.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/text.h"

#define RULES_MAX 32

struct replies {
	struct shmalloc_reply *stats, *clients, *locks, *parameters;
};

static void
replies_release(struct replies *replies)
{
	shmalloc_control_free(replies->stats);
	shmalloc_control_free(replies->clients);
	shmalloc_control_free(replies->locks);
	shmalloc_control_free(replies->parameters);
}

static int
replies_ask(struct ctl *ctl, struct replies *replies)
{
	const char *segment = ctl->opt.segment;
	int r =
	    shmalloc_control_stats(ctl->control, segment, 0, &replies->stats);

	if (r == 0)
		r = shmalloc_control_clients(
		    ctl->control, segment, 0, &replies->clients);
	if (r == 0)
		r = shmalloc_control_locks(
		    ctl->control, segment, &replies->locks);
	if (r == 0)
		r = shmalloc_control_tune_list(
		    ctl->control, segment, NULL, 0, &replies->parameters);
	return r;
}

/* The findings, the worst first, and how many. */
static size_t
rules_apply(const struct ctl *ctl, const struct replies *replies,
    struct doctor_finding finding[RULES_MAX])
{
	struct doctor_facts facts = {
		.stats = shmalloc_control_root(replies->stats),
		.clients = shmalloc_control_root(replies->clients),
		.locks = shmalloc_control_root(replies->locks),
		.parameters = shmalloc_control_root(replies->parameters),
	};
	struct doctor_finding one;
	size_t n = 0;

	for (int level = DOCTOR_CRITICAL; level > DOCTOR_OK; level--)
		for (size_t i = 0; i < doctor_rules() && n < RULES_MAX; i++)
			if ((int)doctor_rule(i, &ctl->look, &facts, &one) ==
			    level)
				finding[n++] = one;
	return n;
}

/* ---- Output -------------------------------------------------------------- */

static void
findings_json(
    enum doctor_level level, size_t n, const struct doctor_finding finding[])
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:s, s:s, s:s}", "rule",
			finding[i].rule, "level",
			doctor_level_names[finding[i].level], "evidence",
			finding[i].evidence, "why", finding[i].why, "run",
			finding[i].run));
	json_print(json_pack("{s:s, s:s, s:i, s:o}", "schema",
		       "shmalloc.doctor/1", "level", doctor_level_names[level],
		       "rules", (int)doctor_rules(), "findings", list),
	    false);
}

static void
finding_print(const struct look *look, const struct doctor_finding *finding)
{
	bool is_critical = finding->level == DOCTOR_CRITICAL;
	unsigned width =
	    look->width == 0 || look->width > 80 ? 80 : look->width;
	char text[512];

	printf("%s%s%s: %s\n",
	    look_color(look, is_critical ? LOOK_RED : LOOK_YELLOW),
	    doctor_level_names[finding->level], look_color(look, LOOK_RESET),
	    finding->rule);
	snprintf(text, sizeof(text), "found: %s", finding->evidence);
	text_wrap(text, width, 4);
	snprintf(text, sizeof(text), "means: %s", finding->why);
	text_wrap(text, width, 4);
	printf("    run: %s\n", finding->run);
}

static void
findings_print(
    const struct look *look, size_t n, const struct doctor_finding finding[])
{
	if (n == 0)
		printf("ok: %zu rules, nothing found\n", doctor_rules());
	for (size_t i = 0; i < n; i++)
		finding_print(look, &finding[i]);
}

int
doctor_run(struct ctl *ctl, int argc, char **argv)
{
	struct doctor_finding finding[RULES_MAX];
	struct replies replies = { NULL, NULL, NULL, NULL };
	int r = ctl_connect(ctl);
	enum doctor_level level;
	size_t n;

	(void)argc, (void)argv;
	if (r != EXIT_OK)
		return r;
	r = replies_ask(ctl, &replies);
	if (r < 0) {
		replies_release(&replies);
		return ctl_fail(ctl, r);
	}
	n = rules_apply(ctl, &replies, finding);
	level = n == 0 ? DOCTOR_OK : finding[0].level;
	if (ctl->opt.json)
		findings_json(level, n, finding);
	else
		findings_print(&ctl->look, n, finding);
	replies_release(&replies);
	ctl->is_judged = true;
	return (int)level;
}
