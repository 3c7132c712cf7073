/* `stats` for people: the lines above and below the table, and the tables. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/look.h"
#include "client/ctl/stats.h"
#include "client/ctl/table.h"
#include "client/ctl/text.h"

static void
daemon_line(const struct look *look, const struct shmalloc_record *stats)
{
	const struct shmalloc_record *daemon =
	    shmalloc_control_object(stats, "daemon");
	const struct shmalloc_record *segment =
	    shmalloc_control_object(stats, "segment");
	char version[64], name[128], mode[32];
	char up[QUANTITY_LEN], pid[QUANTITY_LEN], limit[QUANTITY_LEN];
	char starts[QUANTITY_LEN], crashes[QUANTITY_LEN];

	text_line(look->width,
	    "shmalloc %s  segment %s  pid %s  up %s  %s memfd  "
	    "started %s (restarts %s, crash recoveries %s)",
	    look_string(version, sizeof(version), daemon, "version"),
	    look_string(name, sizeof(name), segment, "name"),
	    look_id_of(pid, daemon, "pid"),
	    look_duration_of(up, daemon, "uptime_seconds"),
	    look_bytes_of(look, limit, segment, "limit_bytes"),
	    look_string(mode, sizeof(mode), daemon, "start_mode"),
	    look_count_of(look, starts, daemon, "restarts"),
	    look_count_of(look, crashes, daemon, "crash_recoveries"));
}

/* A text that grows by parts, and is cut where it ends. */
struct parts {
	char text[512];
	size_t len;
};

static void part_add(struct parts *parts, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
part_add(struct parts *parts, const char *format, ...)
{
	size_t room = sizeof(parts->text) - parts->len;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(parts->text + parts->len, room, format, args);
	va_end(args);
	if (n > 0)
		parts->len += (size_t)n < room ? (size_t)n : room - 1;
}

static void
clients_add(struct parts *parts, const struct look *look,
    const struct shmalloc_record *stats)
{
	const struct shmalloc_record *clients =
	    shmalloc_control_object(stats, "clients");
	uint64_t alive = look_uint(clients, "alive", 0);
	uint64_t dying = look_uint(clients, "dying", 0);
	uint64_t gone = look_uint(clients, "reclaimed_total", 0);
	double last = look_double(clients, "last_reclaimed", 0);
	char n[QUANTITY_LEN];

	part_add(
	    parts, "clients %s", look_count(look, n, alive + dying + gone));
	part_add(parts, " (%s alive", look_count(look, n, alive));
	if (dying != 0)
		part_add(parts, ", %s dying", look_count(look, n, dying));
	if (gone != 0)
		part_add(parts, ", %s reclaimed", look_count(look, n, gone));
	if (gone != 0 && last > 0)
		part_add(parts, " %s ago",
		    quantity_duration(
			n, look_double(stats, "time", last) - last));
	part_add(parts, ")");
}

static void
failures_add(struct parts *parts, const struct look *look,
    const struct shmalloc_record *stats)
{
	/* The first three always, the others if there are any. */
	static const char *const reasons[] = { "fragmented", "full", "quota",
		"too_large", "reader", "system" };
	const struct shmalloc_record *failures =
	    shmalloc_control_object(stats, "failures");
	uint64_t sum = 0;
	char n[QUANTITY_LEN];

	for (size_t i = 0; i < 6; i++)
		sum += look_uint(failures, reasons[i], 0);
	part_add(parts, "failed %s (", look_count(look, n, sum));
	for (size_t i = 0; i < 6; i++) {
		uint64_t count = look_uint(failures, reasons[i], 0);

		if (i < 3 || count != 0)
			part_add(parts, "%s%s %s", i == 0 ? "" : ", ",
			    reasons[i], look_count(look, n, count));
	}
	part_add(parts, ")");
}

void
stats_head(const struct look *look, const struct shmalloc_record *stats)
{
	const struct shmalloc_record *activity =
	    shmalloc_control_object(stats, "activity");
	struct parts parts = { .len = 0 };
	char n[QUANTITY_LEN];

	daemon_line(look, stats);
	clients_add(&parts, look, stats);
	part_add(
	    &parts, "  allocs %s", look_count_of(look, n, activity, "allocs"));
	part_add(
	    &parts, "  frees %s  ", look_count_of(look, n, activity, "frees"));
	failures_add(&parts, look, stats);
	text_line(look->width, "%s", parts.text);
}

void
stats_foot(const struct look *look, const struct shmalloc_record *stats)
{
	static const char *const keys[] = { "allocated", "cached", "pending",
		"metadata", "resident", "retained" };
	const struct shmalloc_record *bytes =
	    shmalloc_control_object(stats, "bytes");
	struct parts parts = { .len = 0 };
	char n[QUANTITY_LEN];

	part_add(&parts, "bytes");
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		part_add(&parts, "%s %s %s", i == 0 ? "" : " ", keys[i],
		    look_bytes_of(look, n, bytes, keys[i]));
	part_add(&parts, "  (%s)",
	    look_bool(stats, "exact") ? "exact"
				      : "as of the caches' last refills");
	text_line(look->width, "%s", parts.text);
}

/* ---- Tables -------------------------------------------------------------- */

static const char *
state_color(const char *state)
{
	if (state == NULL || strcmp(state, "ok") == 0)
		return "green";
	return strcmp(state, "sick") == 0 ? "red" : "brown";
}

static void
arena_line(struct table *table, const struct shmalloc_record *arena)
{
	const char *state = shmalloc_control_string(arena, "state");

	table_uint(table, arena, "id");
	table_bytes(table, arena, "size_bytes");
	table_bytes(table, arena, "used_bytes");
	table_bytes(table, arena, "overhead_bytes");
	table_bytes(table, arena, "cached_bytes");
	table_bytes(table, arena, "free_bytes");
	table_bytes(table, arena, "largest_free_bytes");
	table_uint(table, arena, "chunks");
	table_uint(table, arena, "free_chunks");
	table_bytes(table, arena, "peak_used_bytes");
	table_percent(table, arena, "unusable_ratio");
	table_uint(table, arena, "fails");
	table_color(table, state == NULL ? "-" : state, state_color(state));
}

static uint64_t
reference_bytes(const struct shmalloc_record *stats)
{
	return look_uint(shmalloc_control_object(stats, "fragmentation"),
	    "reference_bytes", 65536);
}

void
stats_by_arena(const struct ctl *ctl, const struct shmalloc_record *stats)
{
	struct table *table = table_new(&ctl->look, !ctl->opt.no_headings);
	char size[QUANTITY_LEN], unusable[64];
	size_t n = shmalloc_control_count(stats, "arenas");

	snprintf(unusable, sizeof(unusable), "UNUSABLE@%s",
	    quantity_bytes(size, reference_bytes(stats)));
	table_column(table, "ARENA", TABLE_RIGHT);
	table_column(table, "SIZE", TABLE_RIGHT);
	table_column(table, "USED", TABLE_RIGHT);
	table_column(table, "OVERHEAD", TABLE_RIGHT | TABLE_HIDE_2);
	table_column(table, "CACHED", TABLE_RIGHT | TABLE_HIDE_4);
	table_column(table, "FREE", TABLE_RIGHT);
	table_column(table, "LARGEST", TABLE_RIGHT);
	table_column(table, "CHUNKS", TABLE_RIGHT | TABLE_HIDE_3);
	table_column(table, "FREECHK", TABLE_RIGHT | TABLE_HIDE_1);
	table_column(table, "PEAK", TABLE_RIGHT | TABLE_HIDE_4);
	table_column(table, unusable, TABLE_RIGHT);
	table_column(table, "FAILS", TABLE_RIGHT);
	table_column(table, "STATE", 0);
	for (size_t i = 0; i < n; i++)
		arena_line(table, shmalloc_control_item(stats, "arenas", i));
	table_print(table);
}

void
stats_by_bin(const struct ctl *ctl, const struct shmalloc_record *stats)
{
	struct table *table = table_new(&ctl->look, !ctl->opt.no_headings);
	size_t n = shmalloc_control_count(stats, "bins");

	table_column(table, "BIN", TABLE_RIGHT);
	table_column(table, "SIZE", TABLE_RIGHT);
	table_column(table, "ALLOCS", TABLE_RIGHT);
	table_column(table, "FREES", TABLE_RIGHT);
	table_column(table, "MISSES", TABLE_RIGHT);
	table_column(table, "REQUESTED", TABLE_RIGHT | TABLE_HIDE_1);
	table_column(table, "LIVE", TABLE_RIGHT);
	table_column(table, "LIVEBYTES", TABLE_RIGHT);
	table_column(table, "FREECHK", TABLE_RIGHT);
	table_column(table, "FREE", TABLE_RIGHT);
	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *bin =
		    shmalloc_control_item(stats, "bins", i);

		table_uint(table, bin, "id");
		table_bytes(table, bin, "size_bytes");
		table_uint(table, bin, "allocs");
		table_uint(table, bin, "frees");
		table_uint(table, bin, "cache_misses");
		table_bytes(table, bin, "requested_bytes");
		table_uint(table, bin, "live");
		table_bytes(table, bin, "live_bytes");
		table_uint(table, bin, "free_chunks");
		table_bytes(table, bin, "free_bytes");
	}
	table_print(table);
	if (!look_bool(stats, "exact") && n != 0 && ctl->look.is_terminal)
		text_hint("live and free objects are counted with --exact");
}

/* ---- Hints --------------------------------------------------------------- */

/* ARENA has enough free for a request of SIZE, but not in one piece. */
static bool
arena_is_fragmented(const struct shmalloc_record *arena, uint64_t size)
{
	const char *state = shmalloc_control_string(arena, "state");

	return state != NULL && strcmp(state, "fragmented") == 0 &&
	    look_uint(arena, "free_bytes", 0) >= size &&
	    look_uint(arena, "largest_free_bytes", size) < size;
}

void
stats_hint(const struct look *look, const struct shmalloc_record *stats)
{
	uint64_t size = reference_bytes(stats);
	size_t n = shmalloc_control_count(stats, "arenas");

	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *arena =
		    shmalloc_control_item(stats, "arenas", i);
		unsigned long long id = look_uint(arena, "id", 0);
		char asked[QUANTITY_LEN], left[QUANTITY_LEN];

		if (!arena_is_fragmented(arena, size))
			continue;
		text_hint("arena %llu cannot serve %s although %s are free; "
			  "see `shmallocctl map --arena %llu`",
		    id, look_bytes(look, asked, size),
		    look_bytes_of(look, left, arena, "free_bytes"), id);
		return;
	}
}
