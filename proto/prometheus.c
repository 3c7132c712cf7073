/*
 * See proto/prometheus.h.
 *
 * The format wants all samples of a series behind its HELP and TYPE, while the
 * messages have all values of an arena beside each other.  So the walk goes
 * down the schema with the set of all records that are there: of each field
 * the header, then a sample for every record of the set; and for a field of
 * records, the set of those.
 *
 * A record of a list has its KEY fields as labels (`id` by the name of the
 * series of the list, so arena="0"), and what describes it in words makes up a
 * series of its own, NAME_info, whose value is 1.  Latencies are histograms.
 */
#include "proto/prometheus.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/metric.h"

/* A record and its labels, as `a="b",c="d"`. */
struct member {
	const ProtobufCMessage *message;
	char *labels; /* owned */
};

/* Records of one type at one place of the schema. */
struct set {
	const ProtobufCMessageDescriptor *type;
	const struct proto_metric *record; /* NULL: the outermost */
	char prefix[PROTO_SERIES_LEN];
	size_t n;
	struct member *member;
};

/* ---- Values of messages -------------------------------------------------- */

static const void *
member_at(const ProtobufCMessage *message, unsigned offset)
{
	return (const char *)message + offset;
}

/* The value of FIELD, which is no list; NULL: it is absent. */
static const void *
field_value(
    const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const void *value = member_at(message, field->offset);
	const protobuf_c_boolean *has =
	    member_at(message, field->quantifier_offset);

	if (field->type == PROTOBUF_C_TYPE_STRING ||
	    field->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(const void *const *)value;
	return *has ? value : NULL;
}

/* The records of FIELD: how many, and the first of their pointers. */
static size_t
field_records(const ProtobufCMessage *message,
    const ProtobufCFieldDescriptor *field,
    ProtobufCMessage *const **ret_records)
{
	const void *value = member_at(message, field->offset);

	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		*ret_records = *(ProtobufCMessage *const *const *)value;
		return *(const size_t *)member_at(
		    message, field->quantifier_offset);
	}
	*ret_records = value;
	return **ret_records != NULL;
}

static void
value_write(FILE *out, ProtobufCType type, const void *value)
{
	if (type == PROTOBUF_C_TYPE_UINT64)
		fprintf(out, "%" PRIu64, *(const uint64_t *)value);
	else if (type == PROTOBUF_C_TYPE_UINT32)
		fprintf(out, "%" PRIu32, *(const uint32_t *)value);
	else if (type == PROTOBUF_C_TYPE_SINT32)
		fprintf(out, "%" PRId32, *(const int32_t *)value);
	else if (type == PROTOBUF_C_TYPE_DOUBLE)
		fprintf(out, "%.15g", *(const double *)value);
	else if (type == PROTOBUF_C_TYPE_BOOL)
		fputc(*(const protobuf_c_boolean *)value ? '1' : '0', out);
}

/* TEXT with what the format gives a meaning to escaped. */
static void
text_write(FILE *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n') {
			fputs("\\n", out);
			continue;
		}
		if (*text == '\\' || *text == '"')
			fputc('\\', out);
		fputc(*text, out);
	}
}

static void
label_write(FILE *out, const char *name, ProtobufCType type, const void *value)
{
	fprintf(out, ",%s=\"", name);
	if (type == PROTOBUF_C_TYPE_STRING)
		text_write(out, value);
	else
		value_write(out, type, value);
	fputc('"', out);
}

/* ---- Samples ------------------------------------------------------------- */

/* HELP has no quotes to escape. */
static void
head_write(FILE *out, const char *series, const char *type, const char *help)
{
	fprintf(
	    out, "# HELP %s %s\n# TYPE %s %s\n", series, help, series, type);
}

static void
sample_write(FILE *out, const struct set *set, const struct member *member,
    const ProtobufCFieldDescriptor *field, const char *series)
{
	const void *value = field_value(member->message, field);
	const char *label = set->record == NULL ? "" : set->record->label;

	if (value == NULL)
		return;
	fprintf(out, "%s{%s", series, member->labels);
	if (label[0] != '\0')
		label_write(out, label, PROTOBUF_C_TYPE_STRING, field->name);
	fputs("} ", out);
	value_write(out, field->type, value);
	fputc('\n', out);
}

/* The series of FIELD; IS_FIRST: of those that share it. */
static void
series_write(FILE *out, const struct set *set,
    const ProtobufCFieldDescriptor *field, const struct proto_metric *metric,
    bool is_first)
{
	const char *label = set->record == NULL ? "" : set->record->label;
	char series[PROTO_SERIES_LEN];

	proto_series_name(series, set->prefix, label, metric);
	if (label[0] == '\0')
		head_write(
		    out, series, proto_kind_names[metric->kind], metric->text);
	else if (is_first)
		head_write(out, series, proto_kind_names[metric->kind],
		    set->record->text);
	for (size_t i = 0; i < set->n; i++)
		sample_write(out, set, &set->member[i], field, series);
}

/* What describes the records of SET in words. */
static bool
is_word(const struct set *set, const ProtobufCFieldDescriptor *field)
{
	const struct proto_metric *metric =
	    proto_metric_find(set->type, field->name);

	return metric != NULL && metric->kind == PROTO_INFO &&
	    field->type == PROTOBUF_C_TYPE_STRING &&
	    field->label != PROTOBUF_C_LABEL_REPEATED;
}

static bool
set_has_words(const struct set *set)
{
	for (unsigned i = 0; i < set->type->n_fields; i++)
		if (is_word(set, &set->type->fields[i]))
			return true;
	return false;
}

static void
info_write(FILE *out, const struct set *set)
{
	static const struct proto_metric info = {
		.field = "info", .kind = PROTO_GAUGE, .unit = ""
	};
	char series[PROTO_SERIES_LEN];

	if (!set_has_words(set))
		return;
	proto_series_name(series, set->prefix, "", &info);
	head_write(out, series, "gauge",
	    set->record == NULL ? "The segment's statistics."
				: set->record->text);
	for (size_t i = 0; i < set->n; i++) {
		fprintf(out, "%s{%s", series, set->member[i].labels);
		for (unsigned j = 0; j < set->type->n_fields; j++) {
			const ProtobufCFieldDescriptor *field =
			    &set->type->fields[j];
			const char *word = is_word(set, field)
			    ? field_value(set->member[i].message, field)
			    : NULL;

			if (word != NULL)
				label_write(
				    out, field->name, field->type, word);
		}
		fputs("} 1\n", out);
	}
}

/* ---- Sets ---------------------------------------------------------------- */

static void
set_release(struct set *set)
{
	for (size_t i = 0; i < set->n; i++)
		free(set->member[i].labels);
	free(set->member);
}

/* The labels of MESSAGE, of the list RECORD in something labelled PARENT. */
static char *
labels_make(const char *parent, const ProtobufCMessage *message,
    const struct proto_metric *record, bool is_list)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;
	char *labels = NULL;
	size_t len;
	FILE *out = open_memstream(&labels, &len);

	if (out == NULL)
		return NULL;
	fputs(parent, out);
	for (unsigned i = 0; is_list && i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		const struct proto_metric *metric =
		    proto_metric_find(type, field->name);
		const void *value = field_value(message, field);
		bool is_id = strcmp(field->name, "id") == 0;

		if (metric != NULL && metric->kind == PROTO_KEY &&
		    value != NULL)
			label_write(out, is_id ? record->series : field->name,
			    field->type, value);
	}
	if (fclose(out) == 0)
		return labels;
	free(labels);
	return NULL;
}

/* The records under FIELD of all records of ABOVE. */
static int
set_make(const struct set *above, const ProtobufCFieldDescriptor *field,
    const struct proto_metric *record, struct set *ret_set)
{
	bool is_list = field->label == PROTOBUF_C_LABEL_REPEATED;
	ProtobufCMessage *const *records;
	size_t n = 0;

	*ret_set = (struct set){ field->descriptor, record, "", 0, NULL };
	proto_series_join(ret_set->prefix, above->prefix, record->series);
	for (size_t i = 0; i < above->n; i++)
		n += field_records(above->member[i].message, field, &records);
	ret_set->member = calloc(n + 1, sizeof(*ret_set->member));
	if (ret_set->member == NULL)
		return PROTO_ESYSTEM;
	for (size_t i = 0; i < above->n; i++) {
		const struct member *from = &above->member[i];

		n = field_records(from->message, field, &records);
		for (size_t j = 0; j < n; j++) {
			struct member *to = &ret_set->member[ret_set->n];

			to->message = records[j];
			to->labels = labels_make(
			    from->labels, records[j], record, is_list);
			if (to->labels == NULL)
				return PROTO_ESYSTEM;
			ret_set->n++;
		}
	}
	return 0;
}

/* ---- Histograms -----------------------------------------------------------
 */

/* Their buckets' ends in ns, powers of 4: those of the messages are finer, and
 * each power of 2 is one of them. */
#define BUCKET_FIRST 64
#define BUCKETS      14

/* How many took less than NS. */
static uint64_t
latency_below(const Proto__Latency *latency, double ns)
{
	uint64_t n = 0;

	for (size_t i = 0; i < latency->n_buckets; i++)
		if (latency->buckets[i]->below_seconds * 1e9 <= ns * 1.001)
			n += latency->buckets[i]->n;
	return n;
}

static void
histogram_write(FILE *out, const struct set *set)
{
	char series[PROTO_SERIES_LEN];

	snprintf(series, sizeof(series), "shmalloc_%s_seconds", set->prefix);
	head_write(out, series, "histogram", set->record->text);
	for (size_t i = 0; i < set->n; i++) {
		const Proto__Latency *latency =
		    (const Proto__Latency *)set->member[i].message;
		const char *labels = set->member[i].labels;
		double ns = BUCKET_FIRST;

		for (int j = 0; j < BUCKETS; j++, ns *= 4)
			fprintf(out, "%s_bucket{%s,le=\"%.10g\"} %" PRIu64 "\n",
			    series, labels, ns / 1e9,
			    latency_below(latency, ns));
		fprintf(out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", series,
		    labels, latency->count);
		fprintf(out, "%s_sum{%s} %.10g\n", series, labels,
		    latency->sum_seconds);
		fprintf(out, "%s_count{%s} %" PRIu64 "\n", series, labels,
		    latency->count);
	}
}

static int set_write(FILE *out, const struct set *set);

static int
records_write(FILE *out, const struct set *set,
    const ProtobufCFieldDescriptor *field, const struct proto_metric *record)
{
	struct set below;
	int r = set_make(set, field, record, &below);

	if (r == 0 && below.type == &proto__latency__descriptor)
		histogram_write(out, &below);
	else if (r == 0)
		r = set_write(out, &below);
	set_release(&below);
	return r;
}

static int
set_write(FILE *out, const struct set *set)
{
	bool is_first = true;

	if (set->n == 0)
		return 0;
	info_write(out, set);
	for (unsigned i = 0; i < set->type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &set->type->fields[i];
		const struct proto_metric *metric =
		    proto_metric_find(set->type, field->name);

		if (metric == NULL)
			continue;
		if (metric->kind == PROTO_RECORD) {
			int r = records_write(out, set, field, metric);

			if (r < 0)
				return r;
		} else if (metric->kind == PROTO_COUNTER ||
		    metric->kind == PROTO_GAUGE) {
			series_write(out, set, field, metric, is_first);
			is_first = false;
		}
	}
	return 0;
}

/* The label of the segment that STATS are of. */
static char *
segment_label(const Proto__Stats *stats)
{
	char *label = NULL;
	size_t len;
	FILE *out = open_memstream(&label, &len);

	if (out == NULL)
		return NULL;
	fputs("segment=\"", out);
	if (stats->segment != NULL && stats->segment->name != NULL)
		text_write(out, stats->segment->name);
	fputc('"', out);
	if (fclose(out) == 0)
		return label;
	free(label);
	return NULL;
}

int
proto_prometheus_write(FILE *out, size_t n, Proto__Stats *const stats[])
{
	struct set set = { &proto__stats__descriptor, NULL, "", 0, NULL };
	int r = PROTO_ESYSTEM;

	set.member = calloc(n + 1, sizeof(*set.member));
	if (set.member == NULL)
		return r;
	for (; set.n < n; set.n++) {
		struct member *member = &set.member[set.n];

		member->message = &stats[set.n]->base;
		member->labels = segment_label(stats[set.n]);
		if (member->labels == NULL)
			break;
	}
	if (set.n == n)
		r = set_write(out, &set);
	set_release(&set);
	return r == 0 && ferror(out) ? PROTO_ESYSTEM : r;
}
