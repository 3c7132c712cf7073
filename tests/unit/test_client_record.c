/* Records of a reply: access by key, and the walk. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "client/control_internal.h"

/* A reply with one arena, a known and an unknown byte count. */
struct sample {
	Proto__Reply message;
	Proto__Stats stats;
	Proto__Bytes bytes;
	Proto__ArenaStats arena;
	Proto__ArenaStats *arenas[1];
	struct shmalloc_reply reply;
	char schema[32];
};

static struct sample sample;
static const struct shmalloc_record *root;

static void
sample_make(void)
{
	proto__reply__init(&sample.message);
	proto__stats__init(&sample.stats);
	proto__bytes__init(&sample.bytes);
	proto__arena_stats__init(&sample.arena);
	strcpy(sample.schema, "shmalloc.stats/1");
	sample.stats.schema = sample.schema;
	sample.stats.has_time = 1;
	sample.stats.time = 1.5;
	sample.stats.has_exact = 1;
	sample.stats.exact = 1;
	sample.bytes.has_allocated = 1;
	sample.bytes.allocated = UINT64_C(1) << 40;
	sample.stats.bytes = &sample.bytes;
	sample.arena.has_id = 1;
	sample.arena.id = 3;
	sample.arenas[0] = &sample.arena;
	sample.stats.n_arenas = 1;
	sample.stats.arenas = sample.arenas;
	sample.message.body_case = PROTO__REPLY__BODY_STATS;
	sample.message.stats = &sample.stats;
	sample.reply.message = &sample.message;
	root = shmalloc_control_root(&sample.reply);
}

TestSuite(client_record, .init = sample_make);

Test(client_record, values_are_found_by_key_and_type)
{
	uint64_t value = 7;
	double number = 7;
	int truth = 0;

	cr_assert_eq(
	    shmalloc_control_uint(
		shmalloc_control_object(root, "bytes"), "allocated", &value),
	    0);
	cr_assert_eq(value, UINT64_C(1) << 40);
	cr_assert_eq(
	    shmalloc_control_uint(
		shmalloc_control_item(root, "arenas", 0), "id", &value),
	    0);
	cr_assert_eq(value, 3);
	cr_assert_eq(shmalloc_control_double(root, "time", &number), 0);
	cr_assert_eq(number, 1.5);
	cr_assert_eq(shmalloc_control_bool(root, "exact", &truth), 0);
	cr_assert_eq(truth, 1);
	cr_assert_str_eq(
	    shmalloc_control_string(root, "schema"), "shmalloc.stats/1");
}

Test(client_record, absent_values_are_unknown_and_nothing_is_written)
{
	uint64_t value = 7;
	double number = 7;

	cr_assert_eq(
	    shmalloc_control_uint(
		shmalloc_control_object(root, "bytes"), "cached", &value),
	    SHMALLOC_EUNKNOWN);
	cr_assert_eq(shmalloc_control_uint(root, "no such key", &value),
	    SHMALLOC_EUNKNOWN);
	cr_assert_eq(
	    shmalloc_control_uint(NULL, "time", &value), SHMALLOC_EUNKNOWN);
	cr_assert_eq(value, 7);
	cr_assert_null(shmalloc_control_object(root, "daemon"));
	cr_assert_null(shmalloc_control_string(root, "no such key"));
	cr_assert_eq(
	    shmalloc_control_double(root, "exact", &number), SHMALLOC_EUNKNOWN);
}

Test(client_record, values_of_another_type_are_not_misread)
{
	uint64_t value = 7;
	double number = 7;
	int truth = 7;

	cr_assert_eq(
	    shmalloc_control_uint(root, "time", &value), SHMALLOC_EUNKNOWN);
	cr_assert_eq(
	    shmalloc_control_uint(root, "arenas", &value), SHMALLOC_EUNKNOWN);
	cr_assert_eq(shmalloc_control_double(root, "objects", &number),
	    SHMALLOC_EUNKNOWN);
	cr_assert_eq(
	    shmalloc_control_bool(root, "time", &truth), SHMALLOC_EUNKNOWN);
	cr_assert_null(shmalloc_control_string(root, "bytes"));
	cr_assert_null(shmalloc_control_object(root, "schema"));
	cr_assert_null(shmalloc_control_object(root, "arenas"));
}

Test(client_record, lists_end_where_they_end)
{
	cr_assert_eq(shmalloc_control_count(root, "arenas"), 1);
	cr_assert_eq(shmalloc_control_count(root, "bins"), 0);
	cr_assert_eq(shmalloc_control_count(root, "bytes"), 0);
	cr_assert_eq(shmalloc_control_count(NULL, "arenas"), 0);
	cr_assert_null(shmalloc_control_item(root, "arenas", 1));
	cr_assert_null(shmalloc_control_string_item(root, "arenas", 0));
	cr_assert_null(shmalloc_control_item(root, "schema", 0));
}

Test(client_record, lists_of_strings_give_strings)
{
	Proto__Parameter parameter = PROTO__PARAMETER__INIT;
	const struct shmalloc_record *record =
	    (const struct shmalloc_record *)(const void *)&parameter;
	char ignore[] = "ignore", warn[] = "warn";
	char *words[] = { ignore, warn };

	parameter.n_words = 2;
	parameter.words = words;
	cr_assert_eq(shmalloc_control_count(record, "words"), 2);
	cr_assert_str_eq(
	    shmalloc_control_string_item(record, "words", 1), "warn");
	cr_assert_null(shmalloc_control_string_item(record, "words", 2));
	cr_assert_null(shmalloc_control_item(record, "words", 0));
}

/* ---- The walk ------------------------------------------------------------ */

static char seen[8192];

static void
note(const char *key, const char *what)
{
	size_t len = strlen(seen);

	snprintf(seen + len, sizeof(seen) - len, "%s%s%s ",
	    key == NULL ? "" : key, key == NULL ? "" : "=", what);
}

static void
on_object(void *arg, const char *key)
{
	(void)arg;
	note(key, "{");
}

static void
on_end_object(void *arg)
{
	(void)arg;
	note(NULL, "}");
}

static void
on_array(void *arg, const char *key)
{
	(void)arg;
	note(key, "[");
}

static void
on_end_array(void *arg)
{
	(void)arg;
	note(NULL, "]");
}

static void
on_uint(void *arg, const char *key, uint64_t value)
{
	char text[32];

	(void)arg;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	note(key, text);
}

static void
on_bool(void *arg, const char *key, int value)
{
	(void)arg;
	note(key, value != 0 ? "true" : "false");
}

static void
on_string(void *arg, const char *key, const char *value)
{
	(void)arg;
	note(key, value);
}

static void
on_null(void *arg, const char *key)
{
	(void)arg;
	note(key, "null");
}

static const struct shmalloc_visitor visitor = {
	.size = sizeof(visitor),
	.begin_object = on_object,
	.end_object = on_end_object,
	.begin_array = on_array,
	.end_array = on_end_array,
	.value_uint = on_uint,
	.value_bool = on_bool,
	.value_string = on_string,
	.value_null = on_null,
};

Test(client_record, a_walk_visits_everything_in_order_and_absent_as_null)
{
	cr_assert_eq(shmalloc_control_walk(root, NULL, &visitor, NULL), 0);
	cr_assert_eq(strncmp(seen, "{ schema=shmalloc.stats/1 daemon=null", 37),
	    0, "%s", seen);
	cr_assert_not_null(strstr(seen,
	    "exact=true bytes={ requested=null "
	    "allocated=1099511627776 "));
	cr_assert_not_null(strstr(seen, "arenas=[ { id=3 state=null "));
	cr_assert_not_null(strstr(seen, "bins=[ ] "));
}

Test(client_record, a_walk_of_a_key_has_no_key_at_its_top)
{
	cr_assert_eq(shmalloc_control_walk(root, "arenas", &visitor, NULL), 0);
	cr_assert_eq(strncmp(seen, "[ { id=3", 8), 0, "%s", seen);
	seen[0] = '\0';
	cr_assert_eq(shmalloc_control_walk(root, "peak", &visitor, NULL), 0);
	cr_assert_str_eq(seen, "null ");
	cr_assert_eq(shmalloc_control_walk(root, "no such key", &visitor, NULL),
	    SHMALLOC_EUNKNOWN);
	cr_assert_eq(shmalloc_control_walk(NULL, NULL, &visitor, NULL),
	    SHMALLOC_EUNKNOWN);
}

Test(client_record, a_visitor_of_an_older_program_is_not_read_past_its_end)
{
	struct shmalloc_visitor old = visitor;

	old.size = offsetof(struct shmalloc_visitor, value_null);
	cr_assert_eq(shmalloc_control_walk(root, NULL, &old, NULL), 0);
	cr_assert_null(strstr(seen, "null"));
	cr_assert_not_null(strstr(seen, "id=3"));
}
