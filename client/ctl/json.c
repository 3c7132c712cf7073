/*
 * JSON from replies: a visitor that builds a jansson value, with a stack of the
 * objects and arrays that are open.
 */
#include "client/ctl/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ctl/text.h"

#define DEPTH 16

struct builder {
	json_t *open[DEPTH]; /* owned by the outermost */
	size_t n;
	json_t *result;
};

static void
memory_fail(void)
{
	text_error("out of memory");
	exit(EXIT_INTERNAL);
}

/* Put VALUE where the walk is. */
static void
value_add(struct builder *builder, const char *key, json_t *value)
{
	json_t *in = builder->n == 0 ? NULL : builder->open[builder->n - 1];
	int r = 0;

	if (value == NULL)
		memory_fail();
	if (in == NULL)
		builder->result = value;
	else if (json_is_object(in))
		r = json_object_set_new(in, key, value);
	else
		r = json_array_append_new(in, value);
	if (r != 0)
		memory_fail();
}

static void
container_begin(struct builder *builder, const char *key, json_t *container)
{
	value_add(builder, key, container);
	if (builder->n == DEPTH)
		memory_fail();
	builder->open[builder->n++] = container;
}

static void
object_begin(void *arg, const char *key)
{
	container_begin(arg, key, json_object());
}

static void
array_begin(void *arg, const char *key)
{
	container_begin(arg, key, json_array());
}

static void
container_end(void *arg)
{
	struct builder *builder = arg;

	builder->n--;
}

static void
uint_add(void *arg, const char *key, uint64_t value)
{
	value_add(arg, key,
	    value <= INT64_MAX ? json_integer((json_int_t)value)
			       : json_real((double)value));
}

static void
int_add(void *arg, const char *key, int64_t value)
{
	value_add(arg, key, json_integer(value));
}

static void
double_add(void *arg, const char *key, double value)
{
	json_t *number = json_real(value);

	/* Not a number, or infinite: JSON has neither. */
	value_add(arg, key, number == NULL ? json_null() : number);
}

static void
bool_add(void *arg, const char *key, int value)
{
	value_add(arg, key, json_boolean(value));
}

static void
string_add(void *arg, const char *key, const char *value)
{
	char *safe;
	size_t len = strlen(value) + 1;

	if (text_is_utf8(value)) {
		value_add(arg, key, json_string(value));
		return;
	}
	safe = malloc(len + 1);
	if (safe == NULL)
		memory_fail();
	value_add(arg, key, json_string(text_safe(safe, len + 1, value)));
	free(safe);
}

static void
null_add(void *arg, const char *key)
{
	value_add(arg, key, json_null());
}

json_t *
json_make(const struct shmalloc_record *record, const char *key)
{
	static const struct shmalloc_visitor visitor = {
		.size = sizeof(visitor),
		.begin_object = object_begin,
		.end_object = container_end,
		.begin_array = array_begin,
		.end_array = container_end,
		.value_uint = uint_add,
		.value_int = int_add,
		.value_double = double_add,
		.value_bool = bool_add,
		.value_string = string_add,
		.value_null = null_add,
	};
	struct builder builder = { .n = 0 };

	if (shmalloc_control_walk(record, key, &visitor, &builder) < 0)
		return json_null();
	return builder.result;
}

/* A terminal may obey what JSON need not escape: the controls from U+0080 on,
 * of a cache's key or value. */
void
json_print(json_t *value, bool is_line)
{
	size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(15) |
	    (is_line ? JSON_COMPACT : JSON_INDENT(2)) |
	    (isatty(STDOUT_FILENO) ? JSON_ENSURE_ASCII : 0);

	if (json_dumpf(value, stdout, flags) != 0)
		text_error("writing JSON failed");
	putchar('\n');
	json_decref(value);
}

int
json_show(const struct shmalloc_record *record, const char *key)
{
	json_print(json_make(record, key), false);
	return EXIT_OK;
}
