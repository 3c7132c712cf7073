/* See proto/metric.h. */
#include "proto/metric.h"

#include <stdio.h>
#include <string.h>

#include "proto/shmalloc.pb-c.h"

const char *const proto_kind_names[PROTO_KINDS] = {
	[PROTO_COUNTER] = "counter",
	[PROTO_GAUGE] = "gauge",
	[PROTO_KEY] = "key",
	[PROTO_INFO] = "info",
	[PROTO_RECORD] = "record",
};

const struct proto_metric proto_metrics[] = {
#define METRIC(message, field, kind, unit, text)                               \
	{ #message, #field, PROTO_##kind, #unit, "", "", text },
#define RECORD(message, field, series, label, text)                            \
	{ #message, #field, PROTO_RECORD, "", series, label, text },
#include "proto/metric.def"
#undef METRIC
#undef RECORD
};

const size_t proto_metrics_n = sizeof(proto_metrics) / sizeof(proto_metrics[0]);

const struct proto_metric *
proto_metric_find(const ProtobufCMessageDescriptor *type, const char *name)
{
	for (size_t i = 0; i < proto_metrics_n; i++)
		if (strcmp(proto_metrics[i].field, name) == 0 &&
		    strcmp(proto_metrics[i].message, type->short_name) == 0)
			return &proto_metrics[i];
	return NULL;
}

/* ---- Names in Prometheus ------------------------------------------------- */

/* The unit's base unit, as names of series end. */
static const char *
unit_suffix(const char *unit)
{
	static const char *const suffixes[][2] = {
		{ "bytes", "_bytes" },
		{ "seconds", "_seconds" },
		{ "timestamp", "_timestamp_seconds" },
		{ "ratio", "_ratio" },
	};

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (strcmp(suffixes[i][0], unit) == 0)
			return suffixes[i][1];
	return "";
}

/* Let what is in BUF end in SUFFIX. */
static void
suffix_add(char buf[PROTO_SERIES_LEN], const char *suffix)
{
	size_t len = strlen(buf), more = strlen(suffix);

	if (len >= more && strcmp(buf + len - more, suffix) == 0)
		return;
	snprintf(buf + len, PROTO_SERIES_LEN - len, "%s", suffix);
}

void
proto_series_join(
    char buf[PROTO_SERIES_LEN], const char *prefix, const char *name)
{
	bool is_two = prefix[0] != '\0' && name[0] != '\0';

	snprintf(
	    buf, PROTO_SERIES_LEN, "%s%s%s", prefix, is_two ? "_" : "", name);
}

void
proto_series_name(char buf[PROTO_SERIES_LEN], const char *prefix,
    const char *label, const struct proto_metric *metric)
{
	/* Its name is in the label, or it is the number of those. */
	bool is_nameless = label[0] != '\0' || strcmp(metric->field, "n") == 0;

	snprintf(buf, PROTO_SERIES_LEN, "shmalloc%s%s%s%s",
	    prefix[0] == '\0' ? "" : "_", prefix, is_nameless ? "" : "_",
	    is_nameless ? "" : metric->field);
	suffix_add(buf, unit_suffix(metric->unit));
	if (metric->kind == PROTO_COUNTER)
		suffix_add(buf, "_total");
}

/* ---- The walk ------------------------------------------------------------ */

struct walk {
	proto_place_fn fn;
	void *arg;
	bool is_exported; /* to Prometheus */
};

/* Where a walk is. */
struct level {
	const char *path;
	const char *prefix; /* of series */
	const char *label;
};

static void level_walk(const struct walk *walk, const struct level *level,
    const ProtobufCMessageDescriptor *type);

static void
record_walk(const struct walk *walk, const struct level *level,
    const struct proto_metric *metric, const char *path,
    const ProtobufCMessageDescriptor *type)
{
	char prefix[PROTO_SERIES_LEN];
	struct level below = { path, prefix, metric->label };

	proto_series_join(prefix, level->prefix, metric->series);
	level_walk(walk, &below, type);
}

static void
field_walk(const struct walk *walk, const struct level *level,
    const ProtobufCFieldDescriptor *field, const struct proto_metric *metric)
{
	bool is_list = field->label == PROTOBUF_C_LABEL_REPEATED;
	char path[PROTO_PATH_LEN], series[PROTO_SERIES_LEN];
	struct proto_place place = { path, NULL, metric };

	snprintf(path, sizeof(path), "%s%s%s%s", level->path,
	    level->path[0] == '\0' ? "" : ".", field->name,
	    is_list ? "[]" : "");
	if (walk->is_exported &&
	    (metric->kind == PROTO_COUNTER || metric->kind == PROTO_GAUGE)) {
		proto_series_name(series, level->prefix, level->label, metric);
		place.series = series;
	}
	walk->fn(walk->arg, &place);
	if (metric->kind == PROTO_RECORD)
		record_walk(walk, level, metric, path, field->descriptor);
}

static void
level_walk(const struct walk *walk, const struct level *level,
    const ProtobufCMessageDescriptor *type)
{
	for (unsigned i = 0; i < type->n_fields; i++) {
		const struct proto_metric *metric =
		    proto_metric_find(type, type->fields[i].name);

		if (metric != NULL)
			field_walk(walk, level, &type->fields[i], metric);
	}
}

bool
proto_schema_walk(const char *reply, proto_place_fn fn, void *arg)
{
	const ProtobufCFieldDescriptor *field =
	    protobuf_c_message_descriptor_get_field_by_name(
		&proto__reply__descriptor, reply);
	struct walk walk = { fn, arg, strcmp(reply, "stats") == 0 };
	struct level level = { "", "", "" };

	if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE)
		return false;
	level_walk(&walk, &level, field->descriptor);
	return true;
}
