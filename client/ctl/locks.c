/* `locks`: who holds the arenas' locks, and who waited for them. */
#include <stdio.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/stats.h"
#include "client/ctl/table.h"

static void
state_cell(struct table *table, const struct shmalloc_record *lock)
{
	const char *state = shmalloc_control_string(lock, "holder_state");
	const char *arena = shmalloc_control_string(lock, "arena_state");

	if (arena != NULL && strcmp(arena, "sick") == 0)
		table_color(table, "sick", "red");
	else if (state == NULL)
		table_text(table, "free");
	else if (strcmp(state, "stopped") == 0 || strcmp(state, "dead") == 0)
		table_color(table, state, "brown");
	else
		table_text(table, state);
}

/* A duration, "-" if it is absent. */
static void
seconds_cell(
    struct table *table, const struct shmalloc_record *lock, const char *key)
{
	double seconds = look_double(lock, key, -1);
	char text[32];

	snprintf(text, sizeof(text), "%.3fs", seconds);
	table_text(table, seconds < 0 ? "-" : text);
}

static void
lock_line(struct table *table, const struct shmalloc_record *lock)
{
	table_uint(table, lock, "arena");
	state_cell(table, lock);
	table_uint(table, lock, "holder_pid");
	table_string(table, lock, "holder_command");
	table_string(table, lock, "holder_label");
	seconds_cell(table, lock, "held_seconds");
	table_uint(table, lock, "acquisitions");
	table_uint(table, lock, "busy");
	table_uint(table, lock, "waits");
	seconds_cell(table, lock, "waited_seconds");
	seconds_cell(table, lock, "longest_wait_seconds");
	table_uint(table, lock, "owner_deaths");
	table_uint(table, lock, "repairs");
}

void
locks_table(const struct ctl *ctl, const struct shmalloc_record *list)
{
	struct table *table = table_new(&ctl->look, !ctl->opt.no_headings);
	size_t n = shmalloc_control_count(list, "locks");

	table_column(table, "ARENA", TABLE_RIGHT);
	table_column(table, "HOLDER", 0);
	table_column(table, "PID", TABLE_RIGHT);
	table_column(table, "COMMAND", TABLE_HIDE_3);
	table_column(table, "LABEL", TABLE_HIDE_3);
	table_column(table, "HELD", TABLE_RIGHT);
	table_column(table, "TAKEN", TABLE_RIGHT);
	table_column(table, "BUSY", TABLE_RIGHT);
	table_column(table, "WAITS", TABLE_RIGHT);
	table_column(table, "WAITED", TABLE_RIGHT | TABLE_HIDE_2);
	table_column(table, "LONGEST", TABLE_RIGHT | TABLE_HIDE_1);
	table_column(table, "DEATHS", TABLE_RIGHT);
	table_column(table, "REPAIRS", TABLE_RIGHT);
	for (size_t i = 0; i < n; i++)
		lock_line(table, shmalloc_control_item(list, "locks", i));
	table_print(table);
}

int
locks_run(struct ctl *ctl, int argc, char **argv)
{
	struct shmalloc_reply *reply;
	int r = ctl_connect(ctl);

	(void)argc, (void)argv;
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_locks(ctl->control, ctl->opt.segment, &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	if (ctl->opt.json)
		json_show(shmalloc_control_root(reply), NULL);
	else
		locks_table(ctl, shmalloc_control_root(reply));
	shmalloc_control_free(reply);
	return EXIT_OK;
}
