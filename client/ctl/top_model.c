/* What `top` shows: see client/ctl/top.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/look.h"
#include "client/ctl/text.h"
#include "client/ctl/top.h"

const struct top_view top_views[TOP_VIEWS] = {
	{ "arena", 'a', "arenas", 3,
	    { { "ARENA", "id", TOP_COUNT, 0 },
		{ "STATE", "state", TOP_TEXT, 0 },
		{ "SIZE", "size_bytes", TOP_BYTES, 0 },
		{ "USED", "used_bytes", TOP_BYTES, 0 },
		{ "FREE", "free_bytes", TOP_BYTES, 0 },
		{ "LARGEST", "largest_free_bytes", TOP_BYTES, 0 },
		{ "UNUSABLE", "unusable_ratio", TOP_RATIO, 0 },
		{ "TAKE/S", "activity.allocs", TOP_RATE, 0 },
		{ "PUT/S", "activity.frees", TOP_RATE, 1 },
		{ "LOCK/S", "lock.acquisitions", TOP_RATE, 2 },
		{ "BUSY/S", "lock.busy", TOP_RATE, 3 },
		{ "PEAK", "peak_used_bytes", TOP_BYTES, 4 },
		{ "FAILS", "fails", TOP_COUNT, 0 } } },
	{ "client", 'c', "clients", 4,
	    { { "PID", "pid", TOP_COUNT, 0 },
		{ "COMMAND", "command", TOP_TEXT, 0 },
		{ "LABEL", "label", TOP_TEXT, 4 },
		{ "STATE", "state", TOP_TEXT, 0 },
		{ "HELD", "held_bytes", TOP_BYTES, 0 },
		{ "CHUNKS", "held_chunks", TOP_COUNT, 2 },
		{ "CACHED", "cached_bytes", TOP_BYTES, 0 },
		{ "ALLOC/S", "allocs", TOP_RATE, 0 },
		{ "FREE/S", "frees", TOP_RATE, 1 },
		{ "REFILL/S", "refills", TOP_RATE, 3 },
		{ "THREADS", "threads", TOP_COUNT, 5 },
		{ "LAG", "reader_lag", TOP_COUNT, 0 },
		{ "WAITS", "lock_waits", TOP_COUNT, 6 } } },
	{ "bin", 'b', "bins", 3,
	    { { "BIN", "id", TOP_COUNT, 0 },
		{ "SIZE", "size_bytes", TOP_BYTES, 0 },
		{ "ALLOCS", "allocs", TOP_COUNT, 0 },
		{ "ALLOC/S", "allocs", TOP_RATE, 0 },
		{ "FREE/S", "frees", TOP_RATE, 0 },
		{ "MISS/S", "cache_misses", TOP_RATE, 0 },
		{ "REQUESTED", "requested_bytes", TOP_BYTES, 0 },
		{ "REQUESTED/S", "requested_bytes", TOP_BYTES_RATE, 1 } } },
	{ "lock", 'l', "locks", 6,
	    { { "ARENA", "arena", TOP_COUNT, 0 },
		{ "HOLDER", "holder_state", TOP_TEXT, 0 },
		{ "PID", "holder_pid", TOP_COUNT, 0 },
		{ "COMMAND", "holder_command", TOP_TEXT, 3 },
		{ "HELD", "held_seconds", TOP_SECONDS, 0 },
		{ "TAKEN/S", "acquisitions", TOP_RATE, 0 },
		{ "BUSY/S", "busy", TOP_RATE, 0 },
		{ "WAITS", "waits", TOP_COUNT, 0 },
		{ "WAITED", "waited_seconds", TOP_SECONDS, 1 },
		{ "LONGEST", "longest_wait_seconds", TOP_SECONDS, 2 },
		{ "DEATHS", "owner_deaths", TOP_COUNT, 0 },
		{ "REPAIRS", "repairs", TOP_COUNT, 4 } } },
};

/* ---- Asking -------------------------------------------------------------- */

static void
moment_release(struct top_moment *moment)
{
	shmalloc_control_free(moment->stats);
	shmalloc_control_free(moment->list);
	*moment = (struct top_moment){ NULL, NULL };
}

void
top_choose(struct top *top, const struct top_view *view)
{
	top->view = view;
	top->sort = view->sort;
	top->is_reversed = false;
	/* They are of another view. */
	moment_release(&top->before);
}

void
top_init(struct top *top, struct ctl *ctl)
{
	*top = (struct top){ .ctl = ctl,
		.delay = ctl->opt.delay > 0 ? ctl->opt.delay : 1 };
	top_choose(top, &top_views[0]);
	for (size_t i = 0; i < TOP_VIEWS && ctl->opt.by != NULL; i++)
		if (strcmp(top_views[i].name, ctl->opt.by) == 0)
			top_choose(top, &top_views[i]);
}

void
top_release(struct top *top)
{
	moment_release(&top->now);
	moment_release(&top->before);
	free(top->row);
}

int
top_ask(struct top *top)
{
	struct ctl *ctl = top->ctl;
	struct top_moment moment = { NULL, NULL };
	int r = shmalloc_control_stats(
	    ctl->control, ctl->opt.segment, 0, &moment.stats);

	if (r == 0 && top->view->key == 'c')
		r = shmalloc_control_clients(
		    ctl->control, ctl->opt.segment, 0, &moment.list);
	if (r == 0 && top->view->key == 'l')
		r = shmalloc_control_locks(
		    ctl->control, ctl->opt.segment, &moment.list);
	if (r < 0) {
		moment_release(&moment);
		return r;
	}
	moment_release(&top->before);
	top->before = top->now;
	top->now = moment;
	return 0;
}

/* ---- Values -------------------------------------------------------------- */

static const struct shmalloc_record *
moment_stats(const struct top_moment *moment)
{
	return moment->stats == NULL ? NULL
				     : shmalloc_control_root(moment->stats);
}

static const struct shmalloc_record *
moment_list(const struct top_moment *moment)
{
	return moment->list == NULL ? moment_stats(moment)
				    : shmalloc_control_root(moment->list);
}

/* The record that PATH, "key" or "record.key", leads to, and the key. */
static const struct shmalloc_record *
path_follow(const struct shmalloc_record *record, const char *path,
    const char **ret_key)
{
	const char *point = strchr(path, '.');
	char name[32];

	*ret_key = path;
	if (point == NULL)
		return record;
	snprintf(name, sizeof(name), "%.*s", (int)(point - path), path);
	*ret_key = point + 1;
	return shmalloc_control_object(record, name);
}

/* Seconds between the two moments; 0: there is no earlier one. */
static double
seconds_between(const struct top *top)
{
	double now = look_double(moment_stats(&top->now), "time", 0);
	double before = look_double(moment_stats(&top->before), "time", now);

	return now > before ? now - before : 0;
}

/* How fast the counter under KEY rose from BEFORE to NOW; < 0: not known. */
static double
rate_of(const struct top *top, const struct shmalloc_record *now,
    const struct shmalloc_record *before, const char *key)
{
	double seconds = seconds_between(top);
	uint64_t a, b;

	if (seconds <= 0 || shmalloc_control_uint(now, key, &b) != 0 ||
	    shmalloc_control_uint(before, key, &a) != 0)
		return -1;
	return b > a ? (double)(b - a) / seconds : 0;
}

/* The record of before that is of the same arena, client or bin as NOW. */
static const struct shmalloc_record *
record_before(const struct top *top, const struct shmalloc_record *now)
{
	const struct shmalloc_record *list = moment_list(&top->before);
	const char *key = top->view->column[0].path;
	size_t n = shmalloc_control_count(list, top->view->list);
	uint64_t id = look_uint(now, key, UINT64_MAX);

	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *record =
		    shmalloc_control_item(list, top->view->list, i);

		if (look_uint(record, key, 0) == id &&
		    look_double(record, "since", 0) ==
			look_double(now, "since", 0))
			return record;
	}
	return NULL;
}

/* ---- Cells --------------------------------------------------------------- */

static void
number_cell(
    const struct top *top, struct top_cell *cell, double number, bool is_bytes)
{
	const struct look *look = &top->ctl->look;
	char buf[QUANTITY_LEN];
	uint64_t n = (uint64_t)(number + 0.5);

	cell->number = number;
	snprintf(cell->text, sizeof(cell->text), "%.23s",
	    is_bytes ? look_bytes(look, buf, n) : look_count(look, buf, n));
}

static bool
word_is_bad(const char *word)
{
	static const char *const bad[] = { "sick", "fragmented", "stopped",
		"dead", "orphaned", "reclaiming" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (strcmp(word, bad[i]) == 0)
			return true;
	return false;
}

static void
text_cell(struct top_cell *cell, const char *text)
{
	if (text == NULL || text[0] == '\0')
		return;
	text_safe(cell->text, sizeof(cell->text), text);
	cell->is_bad = word_is_bad(cell->text);
}

static void
value_cell(struct top_cell *cell, const struct shmalloc_record *record,
    const char *key, enum top_kind kind)
{
	double value;

	if (shmalloc_control_double(record, key, &value) != 0)
		return;
	cell->number = value;
	if (kind == TOP_RATIO)
		snprintf(cell->text, sizeof(cell->text), "%.0f%%", value * 100);
	else
		snprintf(cell->text, sizeof(cell->text), "%.1fs", value);
}

static void
cell_make(const struct top *top, const struct top_column *column,
    const struct shmalloc_record *now, const struct shmalloc_record *before,
    struct top_cell *cell)
{
	const char *key;
	double rate;
	uint64_t n;

	*cell = (struct top_cell){ .text = "-", .number = -1 };
	now = path_follow(now, column->path, &key);
	before = path_follow(before, column->path, &key);
	switch (column->kind) {
	case TOP_COUNT:
	case TOP_BYTES:
		if (shmalloc_control_uint(now, key, &n) == 0)
			number_cell(
			    top, cell, (double)n, column->kind == TOP_BYTES);
		break;
	case TOP_RATE:
	case TOP_BYTES_RATE:
		rate = rate_of(top, now, before, key);
		if (rate >= 0)
			number_cell(
			    top, cell, rate, column->kind == TOP_BYTES_RATE);
		break;
	case TOP_RATIO:
	case TOP_SECONDS:
		value_cell(cell, now, key, column->kind);
		break;
	case TOP_TEXT:
		text_cell(cell, shmalloc_control_string(now, key));
		break;
	}
	/* What names a row is no quantity. */
	if (column == &top->view->column[0] || strcmp(key, "holder_pid") == 0)
		snprintf(cell->text, sizeof(cell->text), "%.0f", cell->number);
	if (cell->number < 0 && strcmp(key, "holder_pid") == 0)
		strcpy(cell->text, "-");
}

void
top_rows(struct top *top)
{
	const struct shmalloc_record *list = moment_list(&top->now);
	size_t n = shmalloc_control_count(list, top->view->list);
	struct top_row *row = realloc(top->row, (n + 1) * sizeof(*row));

	if (row == NULL) {
		text_error("out of memory");
		exit(EXIT_INTERNAL);
	}
	top->row = row;
	top->n_rows = n;
	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *now =
		    shmalloc_control_item(list, top->view->list, i);
		const struct shmalloc_record *before = record_before(top, now);

		for (const struct top_column *column = top->view->column;
		     column->head != NULL; column++)
			cell_make(top, column, now, before,
			    &row[i].cell[column - top->view->column]);
	}
	top_sort(top);
}

/* ---- Order --------------------------------------------------------------- */

static int
rows_compare(const void *a, const void *b, void *arg)
{
	const struct top *top = arg;
	const struct top_cell *x =
	    &((const struct top_row *)a)->cell[top->sort];
	const struct top_cell *y =
	    &((const struct top_row *)b)->cell[top->sort];
	int order;

	if (top->view->column[top->sort].kind == TOP_TEXT)
		order = strcmp(x->text, y->text);
	else
		order = (x->number < y->number) - (x->number > y->number);
	if (top->is_reversed)
		order = -order;
	if (order != 0)
		return order;
	/* Else rows would change places for nothing. */
	x = &((const struct top_row *)a)->cell[0];
	y = &((const struct top_row *)b)->cell[0];
	return (x->number > y->number) - (x->number < y->number);
}

void
top_sort(struct top *top)
{
	qsort_r(top->row, top->n_rows, sizeof(*top->row), rows_compare, top);
}

/* ---- The lines on top ---------------------------------------------------- */

/* The counter KEY of the segment's RECORD, a second; "-" if not known. */
static const char *
total_rate(const struct top *top, char buf[QUANTITY_LEN], const char *record,
    const char *key)
{
	double rate = rate_of(top,
	    shmalloc_control_object(moment_stats(&top->now), record),
	    shmalloc_control_object(moment_stats(&top->before), record), key);

	return rate < 0
	    ? "-"
	    : look_count(&top->ctl->look, buf, (uint64_t)(rate + 0.5));
}

static uint64_t
failures_sum(const struct top_moment *moment)
{
	static const char *const reasons[] = { "full", "fragmented", "quota",
		"too_large", "reader", "system" };
	const struct shmalloc_record *failures =
	    shmalloc_control_object(moment_stats(moment), "failures");
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		sum += look_uint(failures, reasons[i], 0);
	return sum;
}

/* Of the allocations since the last look, those that a cache served. */
static void
hits_text(const struct top *top, char buf[QUANTITY_LEN])
{
	const struct shmalloc_record *now =
	    shmalloc_control_object(moment_stats(&top->now), "activity");
	const struct shmalloc_record *before =
	    shmalloc_control_object(moment_stats(&top->before), "activity");
	double hits = rate_of(top, now, before, "cache_hits");
	double allocs = rate_of(top, now, before, "allocs");

	snprintf(buf, QUANTITY_LEN, "-");
	if (hits >= 0 && allocs > 0)
		snprintf(buf, QUANTITY_LEN, "%.1f%%", 100 * hits / allocs);
}

static void
segment_line(const struct top *top, char line[TOP_LINE_LEN])
{
	const struct shmalloc_record *stats = moment_stats(&top->now);
	const struct shmalloc_record *daemon =
	    shmalloc_control_object(stats, "daemon");
	const struct shmalloc_record *clients =
	    shmalloc_control_object(stats, "clients");
	char name[64], up[QUANTITY_LEN], mode[16];

	quantity_duration(up, look_double(daemon, "uptime_seconds", 0));
	snprintf(line, TOP_LINE_LEN,
	    "segment %s  up %s, %s  pid %llu  clients %llu, dying %llu  "
	    "failures %llu",
	    look_string(name, sizeof(name),
		shmalloc_control_object(stats, "segment"), "name"),
	    up, look_string(mode, sizeof(mode), daemon, "start_mode"),
	    (unsigned long long)look_uint(daemon, "pid", 0),
	    (unsigned long long)look_uint(clients, "alive", 0),
	    (unsigned long long)look_uint(clients, "dying", 0),
	    (unsigned long long)failures_sum(&top->now));
}

static void
rates_line(const struct top *top, char line[TOP_LINE_LEN])
{
	char allocs[QUANTITY_LEN], frees[QUANTITY_LEN], hits[QUANTITY_LEN];
	char refills[QUANTITY_LEN], flushes[QUANTITY_LEN];
	char remote[QUANTITY_LEN];

	hits_text(top, hits);
	snprintf(line, TOP_LINE_LEN,
	    "a second: alloc %s  free %s  hit %s  refill %s  flush %s  "
	    "remote %s",
	    total_rate(top, allocs, "activity", "allocs"),
	    total_rate(top, frees, "activity", "frees"), hits,
	    total_rate(top, refills, "activity", "refills"),
	    total_rate(top, flushes, "activity", "flushes"),
	    total_rate(top, remote, "activity", "remote_pushed"));
}

static void
bytes_line(const struct top *top, char line[TOP_LINE_LEN])
{
	static const char *const keys[] = { "allocated", "cached", "pending",
		"resident", "retained", "largest_free" };
	const struct shmalloc_record *bytes =
	    shmalloc_control_object(moment_stats(&top->now), "bytes");
	size_t len = 0;
	char buf[QUANTITY_LEN];

	/* By the first word of each, to fit into 80 columns. */
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		len += (size_t)snprintf(line + len, TOP_LINE_LEN - len,
		    "%s%.*s %s", i == 0 ? "" : "  ", (int)strcspn(keys[i], "_"),
		    keys[i],
		    look_bytes_of(&top->ctl->look, buf, bytes, keys[i]));
}

static void
fragmentation_line(const struct top *top, char line[TOP_LINE_LEN])
{
	const struct shmalloc_record *frag =
	    shmalloc_control_object(moment_stats(&top->now), "fragmentation");
	size_t n = shmalloc_control_count(frag, "unusable");
	size_t len = (size_t)snprintf(
	    line, TOP_LINE_LEN, "free memory of no use to requests of");
	char size[QUANTITY_LEN];

	/* The last is frag.reference_size, which the arenas' column has. */
	for (size_t i = 0; i + 1 < n && len < TOP_LINE_LEN - 32; i++) {
		const struct shmalloc_record *one =
		    shmalloc_control_item(frag, "unusable", i);
		double ratio = look_double(one, "ratio", -1);

		quantity_bytes(size, look_uint(one, "size_bytes", 0));
		len += (size_t)snprintf(line + len, TOP_LINE_LEN - len,
		    ratio < 0 ? "%s %s: ?" : "%s %s: %.0f%%", i == 0 ? "" : ",",
		    size, ratio * 100);
	}
}

size_t
top_summary(const struct top *top, char line[TOP_SUMMARY][TOP_LINE_LEN])
{
	segment_line(top, line[0]);
	rates_line(top, line[1]);
	bytes_line(top, line[2]);
	fragmentation_line(top, line[3]);
	return 4;
}

double
top_used(const struct top *top, double *ret_cached)
{
	const struct shmalloc_record *stats = moment_stats(&top->now);
	const struct shmalloc_record *bytes =
	    shmalloc_control_object(stats, "bytes");
	double limit = (double)look_uint(
	    shmalloc_control_object(stats, "segment"), "limit_bytes", 0);
	double active = (double)look_uint(bytes, "active", 0);

	*ret_cached =
	    limit <= 0 ? 0 : (double)look_uint(bytes, "cached", 0) / limit;
	return limit <= 0 ? 0 : active / limit;
}
