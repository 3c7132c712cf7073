/* `clients`: who holds what. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/stats.h"
#include "client/ctl/table.h"
#include "client/ctl/text.h"

static void
user_cell(struct table *table, const struct shmalloc_record *client)
{
	uint64_t uid;
	struct passwd *user = NULL;

	if (shmalloc_control_uint(client, "uid", &uid) == 0)
		user = getpwuid((uid_t)uid);
	if (user == NULL)
		table_uint(table, client, "uid");
	else
		table_text(table, user->pw_name);
}

static void
state_cell(struct table *table, const struct shmalloc_record *client)
{
	const char *state = shmalloc_control_string(client, "state");
	const char *color = NULL;

	if (state == NULL)
		state = "-";
	if (strcmp(state, "alive") == 0)
		color = "green";
	else if (strcmp(state, "reclaimed") != 0)
		color = "brown";
	table_color(table, state, color);
}

/* What a client holds; of one that is gone, what came back. */
static bool
is_gone(const struct shmalloc_record *client)
{
	return look_uint(client, "reclaimed_bytes", UINT64_MAX) != UINT64_MAX;
}

static void
fails_cell(struct table *table, const struct shmalloc_record *client)
{
	static const char *const reasons[] = { "full", "fragmented", "quota",
		"too_large", "reader", "system" };
	const struct shmalloc_record *failures =
	    shmalloc_control_object(client, "failures");
	uint64_t sum = 0;
	char buf[QUANTITY_LEN];

	for (size_t i = 0; i < 6; i++)
		sum += look_uint(failures, reasons[i], 0);
	snprintf(buf, sizeof(buf), "%llu", (unsigned long long)sum);
	table_text(table, failures == NULL ? "-" : buf);
}

static void
client_line(
    struct table *table, const struct shmalloc_record *client, double now)
{
	bool gone = is_gone(client);

	table_uint(table, client, "pid");
	user_cell(table, client);
	table_string(table, client, "command");
	table_string(table, client, "label");
	state_cell(table, client);
	table_age(table, client, gone ? "ended" : "since", now);
	table_bytes(table, client, gone ? "reclaimed_bytes" : "held_bytes");
	table_uint(table, client, gone ? "reclaimed_chunks" : "held_chunks");
	table_bytes(table, client, "cached_bytes");
	table_uint(table, client, "threads");
	fails_cell(table, client);
	table_uint(table, client, "reader_lag");
}

void
clients_table(const struct ctl *ctl, const struct shmalloc_record *list)
{
	struct table *table = table_new(&ctl->look, !ctl->opt.no_headings);
	size_t n = shmalloc_control_count(list, "clients");
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	table_column(table, "PID", TABLE_RIGHT);
	table_column(table, "USER", TABLE_HIDE_4);
	table_column(table, "COMMAND", 0);
	table_column(table, "LABEL", TABLE_HIDE_3);
	table_column(table, "STATE", 0);
	table_column(table, "SINCE", TABLE_RIGHT);
	table_column(table, "HELD", TABLE_RIGHT);
	table_column(table, "CHUNKS", TABLE_RIGHT);
	table_column(table, "CACHED", TABLE_RIGHT);
	table_column(table, "THREADS", TABLE_RIGHT | TABLE_HIDE_1);
	table_column(table, "FAILS", TABLE_RIGHT);
	table_column(table, "LAG", TABLE_RIGHT | TABLE_HIDE_2);
	for (size_t i = 0; i < n; i++)
		client_line(table, shmalloc_control_item(list, "clients", i),
		    (double)now.tv_sec + (double)now.tv_nsec / 1e9);
	table_print(table);
}

int
clients_run(struct ctl *ctl, int argc, char **argv)
{
	const struct shmalloc_record *list;
	struct shmalloc_reply *reply;
	uint64_t pid = 0;
	int r;

	if (argc == 1 &&
	    (!quantity_parse_count(argv[0], INT32_MAX, &pid) || pid == 0)) {
		text_error("clients: '%s' is no PID", argv[0]);
		return EXIT_USAGE;
	}
	r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_clients(
	    ctl->control, ctl->opt.segment, (uint32_t)pid, &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	list = shmalloc_control_root(reply);
	r = EXIT_OK;
	if (pid != 0 && shmalloc_control_count(list, "clients") == 0)
		r = EXIT_FALSE;
	if (ctl->opt.json)
		json_show(list, "clients");
	else if (r == EXIT_OK)
		clients_table(ctl, list);
	if (r == EXIT_FALSE)
		text_error("no client has the PID %s", argv[0]);
	shmalloc_control_free(reply);
	return r;
}
