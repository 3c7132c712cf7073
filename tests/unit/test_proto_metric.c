/* The table of what the answers' fields mean: whole, and of sense. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "proto/metric.h"
#include "proto/shmalloc.pb-c.h"

typedef void (*field_fn)(const ProtobufCMessageDescriptor *type,
    const ProtobufCFieldDescriptor *field);

static size_t n_fields;

static void
type_walk(const ProtobufCMessageDescriptor *type, field_fn fn)
{
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];

		fn(type, field);
		if (field->type == PROTOBUF_C_TYPE_MESSAGE)
			type_walk(field->descriptor, fn);
	}
}

/* Call FN for each field of each answer, as often as it can be met. */
static void
replies_walk(field_fn fn)
{
	const ProtobufCMessageDescriptor *reply = &proto__reply__descriptor;

	for (unsigned i = 0; i < reply->n_fields; i++)
		if (reply->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			type_walk(reply->fields[i].descriptor, fn);
}

static void
entry_expect(const ProtobufCMessageDescriptor *type,
    const ProtobufCFieldDescriptor *field)
{
	cr_expect_not_null(proto_metric_find(type, field->name),
	    "%s.%s has no entry in proto/metric.def", type->short_name,
	    field->name);
	n_fields++;
}

Test(proto_metric, every_field_of_every_answer_has_an_entry)
{
	replies_walk(entry_expect);
	cr_expect_gt(n_fields, 200);
}

static const struct proto_metric *wanted;
static const ProtobufCFieldDescriptor *found;

static void
field_look(const ProtobufCMessageDescriptor *type,
    const ProtobufCFieldDescriptor *field)
{
	if (strcmp(type->short_name, wanted->message) == 0 &&
	    strcmp(field->name, wanted->field) == 0)
		found = field;
}

static const ProtobufCFieldDescriptor *
field_of(const struct proto_metric *metric)
{
	wanted = metric;
	found = NULL;
	replies_walk(field_look);
	return found;
}

Test(proto_metric, every_entry_has_a_field_and_is_the_only_one)
{
	for (size_t i = 0; i < proto_metrics_n; i++) {
		const struct proto_metric *one = &proto_metrics[i];

		cr_expect_not_null(field_of(one), "%s.%s is no field",
		    one->message, one->field);
		for (size_t j = 0; j < i; j++)
			cr_expect(strcmp(one->message,
				      proto_metrics[j].message) != 0 ||
				strcmp(one->field, proto_metrics[j].field) != 0,
			    "%s.%s is there twice", one->message, one->field);
	}
}

/* A sentence that Prometheus and a manual page can take as it is. */
static bool
is_sentence(const char *text)
{
	size_t len = strlen(text);

	return len > 3 && text[len - 1] == '.' &&
	    strpbrk(text, "\n\t\\\"") == NULL;
}

Test(proto_metric, every_entry_has_a_sentence)
{
	for (size_t i = 0; i < proto_metrics_n; i++)
		cr_expect(is_sentence(proto_metrics[i].text), "%s.%s: '%s'",
		    proto_metrics[i].message, proto_metrics[i].field,
		    proto_metrics[i].text);
}

/* The units that a value of TYPE can have. */
static const char *
units_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_UINT32:
		return " bytes count number ";
	case PROTOBUF_C_TYPE_DOUBLE:
		return " seconds timestamp ratio ";
	case PROTOBUF_C_TYPE_BOOL:
		return " flag ";
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
		return " text ";
	default:
		return "";
	}
}

Test(proto_metric, every_value_has_a_unit_that_fits_its_type)
{
	for (size_t i = 0; i < proto_metrics_n; i++) {
		const struct proto_metric *one = &proto_metrics[i];
		const ProtobufCFieldDescriptor *field = field_of(one);
		char word[32];

		cr_assert_not_null(field);
		cr_expect_eq(one->kind == PROTO_RECORD,
		    field->type == PROTOBUF_C_TYPE_MESSAGE);
		if (one->kind == PROTO_RECORD)
			continue;
		snprintf(word, sizeof(word), " %s ", one->unit);
		cr_expect_not_null(strstr(units_of(field->type), word),
		    "%s.%s: unit '%s'", one->message, one->field, one->unit);
	}
}

Test(proto_metric, only_numbers_are_counters_and_gauges)
{
	for (size_t i = 0; i < proto_metrics_n; i++) {
		const struct proto_metric *one = &proto_metrics[i];

		if (one->kind == PROTO_COUNTER || one->kind == PROTO_GAUGE)
			cr_expect_str_neq(one->unit, "text", "%s.%s",
			    one->message, one->field);
	}
}

/* ---- Names ----------------------------------------------------------------
 */

static char places[65536];

static void
place_add(void *arg, const struct proto_place *place)
{
	size_t len = strlen(places);

	(void)arg;
	snprintf(places + len, sizeof(places) - len, "%s=%s\n", place->path,
	    place->series == NULL ? "-" : place->series);
}

Test(proto_metric, a_series_is_named_by_its_place_unit_and_kind)
{
	static const char *const expected[] = {
		"bytes=-\n",
		"\nbytes.allocated=shmalloc_allocated_bytes\n",
		"\npeak.allocated=shmalloc_peak_allocated_bytes\n",
		"\nfailures.full=shmalloc_failures_total\n",
		"\nfailures.quota=shmalloc_failures_total\n",
		"\nclients.alive=shmalloc_clients_alive\n",
		"\nclients.reclaimed_total=shmalloc_clients_reclaimed_total\n",
		"\nrecoveries.bytes=shmalloc_recovered_bytes_total\n",
		"\nactivity.punched_bytes=shmalloc_punched_bytes_total\n",
		"\ndaemon.uptime_seconds=shmalloc_daemon_uptime_seconds\n",
		"\nsegment.created="
		"shmalloc_segment_created_timestamp_seconds\n",
		"\nfragmentation.unusable[].ratio="
		"shmalloc_fragmentation_unusable_ratio\n",
		"\nfragmentation.free_sizes[].n="
		"shmalloc_fragmentation_free_pieces\n",
		"\narenas[].lock.busy=shmalloc_arena_lock_busy_total\n",
		"\narenas[].id=-\n",
		"\narenas[].state=-\n",
	};

	cr_assert(proto_schema_walk("stats", place_add, NULL));
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		cr_expect_not_null(strstr(places, expected[i]), "no %s in %s",
		    expected[i], places);
}

Test(proto_metric, only_what_stats_has_is_in_prometheus)
{
	cr_assert(proto_schema_walk("locks", place_add, NULL));
	cr_expect_not_null(strstr(places, "\nlocks[].arena=-\n"));
	cr_expect_null(strstr(places, "shmalloc_"));
	cr_expect_not(proto_schema_walk("nothing", place_add, NULL));
	cr_expect_not(proto_schema_walk("message", place_add, NULL));
}
