/*
 * `cache keys`: which keys a cache has.
 *
 * Inside a walk nobody may wait, for what others retire waits for us; so keys
 * are kept, and printed when it has ended.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/escape.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/opened.h"
#include "client/ctl/table.h"

struct found {
	char *key; /* as it is printed */
	struct shmalloc_bytes bytes;
	uint64_t len, age_ms;
	int64_t ttl_ms;
	uint32_t flags;
};

struct finding {
	const char *pattern; /* NULL: all */
	uint64_t most;       /* 0: as many as there are */
	struct found *found;
	size_t n, room;
};

static void
found_add(struct finding *finding, char *key,
    const struct shmalloc_cache_entry *entry)
{
	struct found *to;
	void *copy = opened_memory(malloc(entry->key.len));

	if (finding->n == finding->room) {
		finding->room = finding->room * 2 + 64;
		finding->found = opened_memory(realloc(
		    finding->found, finding->room * sizeof(*finding->found)));
	}
	to = &finding->found[finding->n++];
	memcpy(copy, entry->key.data, entry->key.len);
	*to = (struct found){ .key = key,
		.bytes = { copy, entry->key.len },
		.len = entry->view.len,
		.age_ms = entry->age_ms,
		.ttl_ms = entry->view.ttl_ms,
		.flags = entry->view.flags };
}

/* What is escaped is matched, so that a pattern says what is seen. */
static int
entry_visit(void *arg, const struct shmalloc_cache_entry *entry)
{
	struct finding *finding = arg;
	char *key = escape_make(entry->key.data, entry->key.len);

	if (finding->pattern != NULL &&
	    fnmatch(finding->pattern, key, FNM_NOESCAPE) != 0) {
		free(key);
		return 0;
	}
	found_add(finding, key, entry);
	return finding->n == finding->most;
}

static int
found_compare(const void *a, const void *b)
{
	return strcmp(
	    ((const struct found *)a)->key, ((const struct found *)b)->key);
}

/* A walk may show what is moved meanwhile twice. */
static void
found_sort(struct finding *finding)
{
	size_t kept = 0;

	if (finding->n != 0)
		qsort(finding->found, finding->n, sizeof(*finding->found),
		    found_compare);
	for (size_t i = 0; i < finding->n; i++) {
		struct found *it = &finding->found[i];

		if (kept != 0 &&
		    strcmp(finding->found[kept - 1].key, it->key) == 0) {
			free(it->key);
			opened_key_free(it->bytes);
			continue;
		}
		finding->found[kept++] = *it;
	}
	finding->n = kept;
}

static void
finding_free(struct finding *finding)
{
	for (size_t i = 0; i < finding->n; i++) {
		free(finding->found[i].key);
		opened_key_free(finding->found[i].bytes);
	}
	free(finding->found);
}

static void
found_json(const struct finding *finding)
{
	json_t *list = opened_memory(json_array());

	for (size_t i = 0; i < finding->n; i++) {
		const struct found *it = &finding->found[i];
		json_t *object =
		    opened_memory(json_pack("{s:I, s:I, s:o, s:f}", "bytes",
			(json_int_t)it->len, "flags", (json_int_t)it->flags,
			"ttl_seconds", opened_ttl_json(it->ttl_ms),
			"age_seconds", (double)it->age_ms / 1e3));

		escape_json(object, "key", it->bytes.data, it->bytes.len);
		if (json_array_append_new(list, object) != 0)
			opened_memory(NULL);
	}
	json_print(list, false);
}

static void
ms_cell(struct table *table, const struct look *look, int64_t ms)
{
	char text[QUANTITY_LEN];

	if (look->is_human)
		quantity_duration(text, (double)ms / 1e3);
	else
		snprintf(text, sizeof(text), "%.3f", (double)ms / 1e3);
	table_text(table, text);
}

static void
found_table(const struct ctl *ctl, const struct finding *finding)
{
	struct table *table = table_new(&ctl->look, !ctl->opt.no_headings);
	char text[QUANTITY_LEN];

	table_column(table, "BYTES", TABLE_RIGHT);
	table_column(table, "AGE", TABLE_RIGHT);
	table_column(table, "TTL", TABLE_RIGHT);
	table_column(table, "FLAGS", TABLE_RIGHT | TABLE_HIDE_1);
	table_column(table, "KEY", TABLE_CUT);
	for (size_t i = 0; i < finding->n; i++) {
		const struct found *it = &finding->found[i];

		table_text(table, look_bytes(&ctl->look, text, it->len));
		ms_cell(table, &ctl->look, (int64_t)it->age_ms);
		if (it->ttl_ms == -1)
			table_text(table, "-");
		else
			ms_cell(table, &ctl->look, it->ttl_ms);
		snprintf(text, sizeof(text), "0x%x", it->flags);
		table_text(table, text);
		table_text(table, it->key);
	}
	table_print(table);
}

static void
found_print(const struct ctl *ctl, const struct finding *finding)
{
	if (ctl->opt.json) {
		found_json(finding);
	} else if (ctl->opt.is_long) {
		found_table(ctl, finding);
	} else {
		for (size_t i = 0; i < finding->n; i++)
			puts(finding->found[i].key);
	}
}

int
cache_keys_run(struct ctl *ctl, int argc, char **argv)
{
	struct finding finding = {
		.pattern = argc > 1 ? argv[1] : NULL,
		.most = ctl->opt.count,
	};
	struct opened opened;
	int r = opened_see(ctl, argv[0], &opened);

	if (r != EXIT_OK)
		return r;
	r = shmalloc_cache_walk(opened.cache, entry_visit, &finding);
	opened_close(&opened);
	if (r < 0)
		return opened_fail(argv[0], r);
	found_sort(&finding);
	found_print(ctl, &finding);
	r = finding.n == 0 && finding.pattern != NULL ? EXIT_FALSE : EXIT_OK;
	finding_free(&finding);
	return r;
}
