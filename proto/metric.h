/*
 * What the fields of the daemon's answers mean: the table of proto/metric.def,
 * found by a field's descriptor, and walked as a tree.
 *
 * Its texts are this program's: what a newer daemon knows besides is as unknown
 * to the descriptors as it is here.
 */
#ifndef PROTO_METRIC_H
#define PROTO_METRIC_H

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

enum proto_kind {
	PROTO_COUNTER, /* only rises */
	PROTO_GAUGE,
	PROTO_KEY,  /* tells the records of a list apart */
	PROTO_INFO, /* describes */
	PROTO_RECORD,
	PROTO_KINDS,
};

/* "counter" and so on. */
extern const char *const proto_kind_names[PROTO_KINDS];

struct proto_metric {
	const char *message; /* the short name of its type */
	const char *field;
	enum proto_kind kind;
	const char *unit;   /* "" of a record */
	const char *series; /* of a record: see proto/metric.def */
	const char *label;
	const char *text;
};

extern const struct proto_metric proto_metrics[];
extern const size_t proto_metrics_n;

/* The entry of the field NAME of the message TYPE, or NULL. */
const struct proto_metric *proto_metric_find(
    const ProtobufCMessageDescriptor *type, const char *name);

#define PROTO_SERIES_LEN 128u
#define PROTO_PATH_LEN   256u

/* "A_B"; or that which isn't empty. */
void proto_series_join(
    char buf[PROTO_SERIES_LEN], const char *prefix, const char *name);

/*
 * The name in Prometheus of the value METRIC in a record whose values' names
 * begin with PREFIX ("" none), which is what its RECORD entries say, joined.
 * LABEL is that of the record's entry.
 */
void proto_series_name(char buf[PROTO_SERIES_LEN], const char *prefix,
    const char *label, const struct proto_metric *metric);

/* An entry where it stands in an answer. */
struct proto_place {
	const char *path;   /* arenas[].lock.busy */
	const char *series; /* in Prometheus; NULL: it isn't there */
	const struct proto_metric *metric;
};

typedef void (*proto_place_fn)(void *arg, const struct proto_place *place);

/*
 * Call FN for every value and record that the answer REPLY, a name of the body
 * of Reply, can have, in order.  false: there is no such answer.
 */
bool proto_schema_walk(const char *reply, proto_place_fn fn, void *arg);

#endif
