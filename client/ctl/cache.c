/* `cache list` and `cache stats`: the caches that libshmalloc-cache keeps in
 * the segment, as the statistics have them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/latency.h"
#include "client/ctl/look.h"
#include "client/ctl/suggest.h"
#include "client/ctl/table.h"
#include "client/ctl/text.h"

/* ---- Asking -------------------------------------------------------------- */

static int
stats_ask(struct ctl *ctl, struct shmalloc_reply **ret_reply)
{
	int r = ctl_connect(ctl);

	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_stats(
	    ctl->control, ctl->opt.segment, 0, ret_reply);
	return r < 0 ? ctl_fail(ctl, r) : EXIT_OK;
}

/* The cache NAME of STATS, or NULL after saying that there is none. */
static const struct shmalloc_record *
cache_find(const struct shmalloc_record *stats, const char *name)
{
	size_t n = shmalloc_control_count(stats, "caches");
	char text[SUGGEST_LEN + 32];
	struct suggest suggest;

	suggest_init(&suggest, name);
	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *cache =
		    shmalloc_control_item(stats, "caches", i);
		const char *is = shmalloc_control_string(cache, "cache");

		if (is != NULL && strcmp(is, name) == 0)
			return cache;
		suggest_offer(&suggest, is == NULL ? "" : is);
	}
	text_error("there is no cache '%s'%s", name,
	    suggest_text(&suggest, text, sizeof(text)));
	return NULL;
}

static uint64_t
evicted_sum(const struct shmalloc_record *cache)
{
	const struct shmalloc_record *evicted =
	    shmalloc_control_object(cache, "evicted");

	return look_uint(evicted, "limit", 0) +
	    look_uint(evicted, "memory", 0) + look_uint(evicted, "place", 0);
}

/* ---- list ---------------------------------------------------------------- */

static void
count_cell(struct table *table, const struct look *look, uint64_t n)
{
	char text[QUANTITY_LEN];

	table_text(table, look_count(look, text, n));
}

static void
limit_cell(struct table *table, const struct shmalloc_record *cache)
{
	if (look_uint(cache, "limit_bytes", 0) == 0)
		table_text(table, "-");
	else
		table_bytes(table, cache, "limit_bytes");
}

static void
list_line(struct table *table, const struct look *look,
    const struct shmalloc_record *cache)
{
	static const char *const before[] = { "hits", "misses", "stores" };
	static const char *const after[] = { "expired", "failed" };

	table_string(table, cache, "cache");
	count_cell(table, look, look_uint(cache, "entries", 0));
	table_bytes(table, cache, "used_bytes");
	limit_cell(table, cache);
	table_percent(table, cache, "hit_ratio");
	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++)
		count_cell(table, look, look_uint(cache, before[i], 0));
	count_cell(table, look, evicted_sum(cache));
	for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++)
		count_cell(table, look, look_uint(cache, after[i], 0));
}

static void
list_table(const struct ctl *ctl, const struct shmalloc_record *stats)
{
	struct table *table = table_new(&ctl->look, !ctl->opt.no_headings);
	size_t n = shmalloc_control_count(stats, "caches");

	table_column(table, "NAME", 0);
	table_column(table, "ENTRIES", TABLE_RIGHT);
	table_column(table, "USED", TABLE_RIGHT);
	table_column(table, "LIMIT", TABLE_RIGHT);
	table_column(table, "HIT%", TABLE_RIGHT);
	table_column(table, "HITS", TABLE_RIGHT);
	table_column(table, "MISSES", TABLE_RIGHT);
	table_column(table, "STORES", TABLE_RIGHT | TABLE_HIDE_1);
	table_column(table, "EVICTED", TABLE_RIGHT);
	table_column(table, "EXPIRED", TABLE_RIGHT | TABLE_HIDE_2);
	table_column(table, "FAILED", TABLE_RIGHT | TABLE_HIDE_3);
	for (size_t i = 0; i < n; i++)
		list_line(table, &ctl->look,
		    shmalloc_control_item(stats, "caches", i));
	table_print(table);
}

int
cache_list_run(struct ctl *ctl, int argc, char **argv)
{
	struct shmalloc_reply *reply;
	int r = stats_ask(ctl, &reply);

	(void)argc, (void)argv;
	if (r != EXIT_OK)
		return r;
	if (ctl->opt.json)
		json_show(shmalloc_control_root(reply), "caches");
	else
		list_table(ctl, shmalloc_control_root(reply));
	shmalloc_control_free(reply);
	return EXIT_OK;
}

/* ---- stats --------------------------------------------------------------- */

/* "of 8M", or that there is no limit. */
static char *
limit_text(const struct look *look, char buf[QUANTITY_LEN],
    const struct shmalloc_record *cache)
{
	char limit[QUANTITY_LEN];

	if (look_uint(cache, "limit_bytes", 0) == 0)
		return strcpy(buf, "no limit");
	snprintf(buf, QUANTITY_LEN, "limit %s",
	    look_bytes_of(look, limit, cache, "limit_bytes"));
	return buf;
}

static void
sizes_say(
    const struct look *look, const struct shmalloc_record *cache, double now)
{
	char name[128], entries[QUANTITY_LEN], used[QUANTITY_LEN];
	char limit[QUANTITY_LEN], tables[QUANTITY_LEN], len[QUANTITY_LEN];
	char places[QUANTITY_LEN], since[QUANTITY_LEN];

	text_line(look->width,
	    "cache %s  made %s ago  entries %s  used %s, %s  tables %s (%s, "
	    "%s places)",
	    look_string(name, sizeof(name), cache, "cache"),
	    quantity_duration(since, now - look_double(cache, "created", now)),
	    look_count_of(look, entries, cache, "entries"),
	    look_bytes_of(look, used, cache, "used_bytes"),
	    limit_text(look, limit, cache), look_id_of(tables, cache, "tables"),
	    look_bytes_of(look, len, cache, "table_bytes"),
	    look_count_of(look, places, cache, "places"));
}

static void
use_say(const struct look *look, const struct shmalloc_record *cache)
{
	char hits[QUANTITY_LEN], misses[QUANTITY_LEN], ratio[16] = "-";
	char stores[QUANTITY_LEN], failed[QUANTITY_LEN], deletes[QUANTITY_LEN];
	double share = look_double(cache, "hit_ratio", -1);

	if (share >= 0)
		snprintf(ratio, sizeof(ratio), "%.1f%%", share * 100);
	text_line(look->width,
	    "hit ratio %s  hits %s  misses %s  stores %s  failed %s  "
	    "deletes %s",
	    ratio, look_count_of(look, hits, cache, "hits"),
	    look_count_of(look, misses, cache, "misses"),
	    look_count_of(look, stores, cache, "stores"),
	    look_count_of(look, failed, cache, "failed"),
	    look_count_of(look, deletes, cache, "deletes"));
}

static void
losses_say(const struct look *look, const struct shmalloc_record *cache)
{
	const struct shmalloc_record *by =
	    shmalloc_control_object(cache, "evicted");
	char all[QUANTITY_LEN], limit[QUANTITY_LEN], memory[QUANTITY_LEN];
	char place[QUANTITY_LEN], expired[QUANTITY_LEN], moved[QUANTITY_LEN];

	text_line(look->width,
	    "evicted %s (limit %s, memory %s, place %s)  expired %s  moved %s",
	    look_count(look, all, evicted_sum(cache)),
	    look_count_of(look, limit, by, "limit"),
	    look_count_of(look, memory, by, "memory"),
	    look_count_of(look, place, by, "place"),
	    look_count_of(look, expired, cache, "expired"),
	    look_count_of(look, moved, cache, "moved"));
}

/* The duration under KEY; "-" if it is absent. */
static char *
age_text(char buf[QUANTITY_LEN], const struct shmalloc_record *cache,
    const char *key)
{
	double age = look_double(cache, key, -1);

	return age < 0 ? strcpy(buf, "-") : quantity_duration(buf, age);
}

static void
ages_say(const struct look *look, const struct shmalloc_record *cache)
{
	char median[QUANTITY_LEN], oldest[QUANTITY_LEN], seen[QUANTITY_LEN];
	char mean[QUANTITY_LEN] = "-";
	uint64_t evicted = evicted_sum(cache);

	if (evicted != 0)
		quantity_duration(mean,
		    look_double(cache, "evicted_age_seconds", 0) /
			(double)evicted);
	text_line(look->width,
	    "ages of %s entries: median %s, oldest %s  when evicted %s on "
	    "average",
	    look_count_of(look, seen, cache, "aged_entries"),
	    age_text(median, cache, "age_median_seconds"),
	    age_text(oldest, cache, "age_oldest_seconds"), mean);
}

static void
leases_say(const struct look *look, const struct shmalloc_record *cache)
{
	char given[QUANTITY_LEN], broken[QUANTITY_LEN], waits[QUANTITY_LEN];
	char stale[QUANTITY_LEN];

	text_line(look->width,
	    "leases %s  broken %s  waits %s  stale values given %s",
	    look_count_of(look, given, cache, "leases"),
	    look_count_of(look, broken, cache, "leases_broken"),
	    look_count_of(look, waits, cache, "waits"),
	    look_count_of(look, stale, cache, "stale"));
}

static void
cache_say(
    const struct ctl *ctl, const struct shmalloc_record *cache, double now)
{
	sizes_say(&ctl->look, cache, now);
	use_say(&ctl->look, cache);
	losses_say(&ctl->look, cache);
	ages_say(&ctl->look, cache);
	leases_say(&ctl->look, cache);
	latency_table(ctl, cache);
}

/* All of STATS, or only ONE if it isn't NULL. */
static void
stats_say(const struct ctl *ctl, const struct shmalloc_record *stats,
    const struct shmalloc_record *one)
{
	double now = look_double(stats, "time", 0);
	size_t n = shmalloc_control_count(stats, "caches");

	if (one != NULL) {
		cache_say(ctl, one, now);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (i != 0)
			putchar('\n');
		cache_say(ctl, shmalloc_control_item(stats, "caches", i), now);
	}
}

/* A list, as of all. */
static void
one_json(const struct shmalloc_record *cache)
{
	json_t *list = json_array();

	if (json_array_append_new(list, json_make(cache, NULL)) != 0) {
		text_error("out of memory");
		exit(EXIT_INTERNAL);
	}
	json_print(list, false);
}

int
cache_stats_run(struct ctl *ctl, int argc, char **argv)
{
	const struct shmalloc_record *stats, *one = NULL;
	struct shmalloc_reply *reply;
	int r = stats_ask(ctl, &reply);

	if (r != EXIT_OK)
		return r;
	stats = shmalloc_control_root(reply);
	if (argc == 1)
		one = cache_find(stats, argv[0]);
	if (argc == 1 && one == NULL)
		r = EXIT_REJECTED;
	else if (!ctl->opt.json)
		stats_say(ctl, stats, one);
	else if (one != NULL)
		one_json(one);
	else
		json_show(stats, "caches");
	shmalloc_control_free(reply);
	return r;
}
