/*
 * What the values of a reply mean, and statistics for Prometheus: see
 * <shmalloc/control.h>, proto/metric.def and proto/prometheus.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include "client/control_internal.h"
#include "proto/metric.h"
#include "proto/prometheus.h"

struct schema {
	shmalloc_metric_fn fn;
	void *arg;
};

static void
place_tell(void *arg, const struct proto_place *place)
{
	const struct schema *schema = arg;
	struct shmalloc_metric metric = {
		.path = place->path,
		.kind = proto_kind_names[place->metric->kind],
		.unit = place->metric->unit,
		.series = place->series,
		.text = place->metric->text,
	};

	schema->fn(schema->arg, &metric);
}

int
shmalloc_control_schema(const char *reply, shmalloc_metric_fn fn, void *arg)
{
	struct schema schema = { fn, arg };

	return proto_schema_walk(reply, place_tell, &schema)
	    ? 0
	    : SHMALLOC_EUNKNOWN;
}

static int
text_make(size_t n, Proto__Stats *const stats[], char **ret_text)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int r;

	if (out == NULL)
		return SHMALLOC_ESYSTEM;
	r = proto_prometheus_write(out, n, stats);
	if (fclose(out) != 0)
		r = PROTO_ESYSTEM;
	if (r < 0) {
		free(text);
		return SHMALLOC_ESYSTEM;
	}
	*ret_text = text;
	return 0;
}

int
shmalloc_control_prometheus(
    size_t n, struct shmalloc_reply *const stats[], char **ret_text)
{
	Proto__Stats **list = calloc(n + 1, sizeof(*list));
	int r = 0;

	if (list == NULL)
		return SHMALLOC_ESYSTEM;
	for (size_t i = 0; i < n && r == 0; i++) {
		list[i] = stats[i]->message->stats;
		if (stats[i]->message->body_case != PROTO__REPLY__BODY_STATS)
			r = SHMALLOC_EINVAL;
	}
	if (r == 0)
		r = text_make(n, list, ret_text);
	free(list);
	return r;
}
