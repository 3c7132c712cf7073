/* `latency`: how long operations take. */
#include "client/ctl/latency.h"

#include <stdio.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/table.h"

/* A duration, short on a terminal; "-" if it is absent. */
static void
seconds_cell(struct table *table, const struct look *look,
    const struct shmalloc_record *record, const char *key)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double value = look_double(record, key, -1) * 1e9;
	size_t unit = 0;
	char text[32];

	if (!look->is_human) {
		snprintf(text, sizeof(text), "%.9f", value / 1e9);
	} else {
		while (value >= 1000 && unit < 3) {
			value /= 1000;
			unit++;
		}
		snprintf(text, sizeof(text), "%.3g%s", value, units[unit]);
	}
	table_text(table, value < 0 ? "-" : text);
}

static void
latency_line(struct table *table, const struct look *look,
    const struct shmalloc_record *latency)
{
	static const char *const keys[] = { "p50_seconds", "p90_seconds",
		"p99_seconds", "p999_seconds", "most_seconds", "sum_seconds" };

	table_string(table, latency, "operation");
	table_uint(table, latency, "count");
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		seconds_cell(table, look, latency, keys[i]);
	table_uint(table, latency, "sampled_every");
}

void
latency_table(const struct ctl *ctl, const struct shmalloc_record *list)
{
	struct table *table = table_new(&ctl->look, !ctl->opt.no_headings);
	size_t n = shmalloc_control_count(list, "latency");

	table_column(table, "OPERATION", 0);
	table_column(table, "TIMED", TABLE_RIGHT);
	table_column(table, "P50", TABLE_RIGHT);
	table_column(table, "P90", TABLE_RIGHT | TABLE_HIDE_2);
	table_column(table, "P99", TABLE_RIGHT);
	table_column(table, "P99.9", TABLE_RIGHT);
	table_column(table, "MOST", TABLE_RIGHT);
	table_column(table, "SUM", TABLE_RIGHT | TABLE_HIDE_1);
	table_column(table, "1/N", TABLE_RIGHT | TABLE_HIDE_3);
	for (size_t i = 0; i < n; i++)
		latency_line(table, &ctl->look,
		    shmalloc_control_item(list, "latency", i));
	table_print(table);
}

int
latency_run(struct ctl *ctl, int argc, char **argv)
{
	struct shmalloc_reply *reply;
	int r = ctl_connect(ctl);

	(void)argc, (void)argv;
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_latency(ctl->control, ctl->opt.segment,
	    ctl->opt.reset ? SHMALLOC_RESET : 0, &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	if (ctl->opt.json)
		json_show(shmalloc_control_root(reply), NULL);
	else
		latency_table(ctl, shmalloc_control_root(reply));
	shmalloc_control_free(reply);
	return EXIT_OK;
}
