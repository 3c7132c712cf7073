/* `fit`: would it fit, where, and if not why. */
#include <stdio.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/table.h"
#include "client/ctl/text.h"

/* What stands in the way of more, and what to do. */
static const struct {
	const char *name, *why, *hint;
} reasons[] = {
	{ "full", "limit.hard leaves no room for more",
	    "raise it with `shmallocctl tune set limit.hard=SIZE`, or see who "
	    "holds what with `shmallocctl clients`" },
	{ "fragmented", "enough is free, but in no one piece",
	    "see what lies between the free pieces with `shmallocctl map`" },
	{ "quota", "one client may not hold so much (limit.client)",
	    "see `shmallocctl tune get limit.client`" },
	{ "too_large", "no segment of this size can serve it",
	    "make one with a larger reserve: `shmallocctl segment create`" },
	{ "reader", "more than retire.limit waits for readers",
	    "see LAG in `shmallocctl clients`: who reads for so long" },
	{ "system", "the system, or a memory cgroup, has no more memory",
	    "give back what is free: `shmallocctl trim`" },
};

#define REASONS (sizeof(reasons) / sizeof(reasons[0]))

/* The row of the reason in FIT, REASONS if it is another. */
static size_t
reason_find(const struct shmalloc_record *fit)
{
	const char *name = shmalloc_control_string(fit, "reason");
	size_t i;

	for (i = 0; i < REASONS && name != NULL; i++)
		if (strcmp(reasons[i].name, name) == 0)
			break;
	return name == NULL ? REASONS : i;
}

static void
answer_print(const struct look *look, const struct shmalloc_record *fit)
{
	char size[QUANTITY_LEN], n[QUANTITY_LEN], count[QUANTITY_LEN];
	char in_free[QUANTITY_LEN], in_new[QUANTITY_LEN], kind[32];

	text_line(look->width,
	    "%s: %s of %s wanted, %s fit  %s in free pieces, %s in new regions",
	    look_bool(fit, "fits") ? "yes" : "no",
	    look_count_of(look, count, fit, "count"),
	    look_bytes_of(look, size, fit, "size_bytes"),
	    look_count_of(look, n, fit, "objects"),
	    look_count_of(look, in_free, fit, "in_free"),
	    look_count_of(look, in_new, fit, "in_new"));
	if (look_uint(fit, "piece_bytes", 0) != 0)
		text_line(look->width,
		    "each takes %s as %s  %s more may be committed  thread "
		    "caches hold %s",
		    look_bytes_of(look, size, fit, "piece_bytes"),
		    strcmp(look_string(kind, sizeof(kind), fit, "kind"),
			"extent") == 0
			? "an extent"
			: "a chunk",
		    look_bytes_of(look, n, fit, "room_bytes"),
		    look_bytes_of(look, count, fit, "cached_bytes"));
}

static void
reason_print(const struct look *look, const struct shmalloc_record *fit)
{
	size_t i = reason_find(fit);
	char name[32], all[QUANTITY_LEN], largest[QUANTITY_LEN];

	printf("why: %s: %s\n", look_string(name, sizeof(name), fit, "reason"),
	    i == REASONS ? "?" : reasons[i].why);
	if (i != REASONS && strcmp(reasons[i].name, "fragmented") == 0)
		printf("%s are free\n",
		    look_bytes_of(look, all, fit, "free_bytes"));
	if (i != REASONS && strcmp(reasons[i].name, "too_large") != 0)
		printf("the largest free piece has %s\n",
		    look_bytes_of(look, largest, fit, "largest_free_bytes"));
	if (i != REASONS)
		text_hint("%s", reasons[i].hint);
}

static void
arenas_table(const struct ctl *ctl, const struct shmalloc_record *fit)
{
	struct table *table = table_new(&ctl->look, !ctl->opt.no_headings);
	size_t n = shmalloc_control_count(fit, "arenas");

	table_column(table, "ARENA", TABLE_RIGHT);
	table_column(table, "FIT", TABLE_RIGHT);
	table_column(table, "PIECES", TABLE_RIGHT);
	table_column(table, "FREE", TABLE_RIGHT);
	table_column(table, "LARGEST", TABLE_RIGHT);
	table_column(table, "STATE", 0);
	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *arena =
		    shmalloc_control_item(fit, "arenas", i);

		table_uint(table, arena, "id");
		table_uint(table, arena, "objects");
		table_uint(table, arena, "pieces");
		table_bytes(table, arena, "free_bytes");
		table_bytes(table, arena, "largest_free_bytes");
		table_string(table, arena, "state");
	}
	table_print(table);
}

int
fit_run(struct ctl *ctl, int argc, char **argv)
{
	const struct shmalloc_record *fit;
	struct shmalloc_reply *reply;
	uint64_t size;
	bool fits;
	int r;

	(void)argc;
	if (!quantity_parse_bytes(argv[0], &size)) {
		text_error("fit: '%s' is no size", argv[0]);
		return EXIT_USAGE;
	}
	r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_fit(
	    ctl->control, ctl->opt.segment, size, ctl->opt.count, &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	fit = shmalloc_control_root(reply);
	fits = look_bool(fit, "fits");
	if (ctl->opt.json) {
		json_show(fit, NULL);
	} else {
		answer_print(&ctl->look, fit);
		arenas_table(ctl, fit);
		if (!fits)
			reason_print(&ctl->look, fit);
	}
	shmalloc_control_free(reply);
	return fits ? EXIT_OK : EXIT_FALSE;
}
