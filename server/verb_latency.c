/*
 * latency: how long operations take, by histograms that all processes add to;
 * see shm/latency.h.
 */
#include "server/control.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/server.h"
#include "shm/access.h"
#include "shm/latency.h"

static void
buckets_put(
    struct call *call, const struct shm_latency_stats *from, Proto__Latency *to)
{
	to->buckets =
	    pool_array(call->pool, SHM_LATENCY_BUCKETS, sizeof(*to->buckets));
	for (uint32_t i = 0; i < SHM_LATENCY_BUCKETS; i++) {
		if (from->n[i] == 0)
			continue;
		Proto__LatencyBucket *bucket =
		    pool_alloc(call->pool, sizeof *bucket);
		proto__latency_bucket__init(bucket);
		CALL_PUT(
		    bucket, below_seconds, (double)shm_latency_end(i) / 1e9);
		CALL_PUT(bucket, n, from->n[i]);
		to->buckets[to->n_buckets++] = bucket;
	}
}

static double
quantile(const struct shm_latency_stats *stats, double q)
{
	return (double)shm_latency_quantile(stats, q) / 1e9;
}

/* All allocations and frees that miss are too many to time. */
static uint32_t
sampled_every(enum shm_latency what)
{
	return what <= SHM_LATENCY_REFILL ? SHM_LATENCY_SAMPLE : 1;
}

Proto__Latency *
verb_latency_put(struct call *call, const char *operation,
    const struct shm_latency_stats *stats, uint32_t every)
{
	Proto__Latency *to = pool_alloc(call->pool, sizeof *to);
	proto__latency__init(to);
	to->operation = pool_strdup(call->pool, operation);
	CALL_PUT(to, count, stats->count);
	CALL_PUT(to, sum_seconds, (double)stats->sum_ns / 1e9);
	CALL_PUT(to, sampled_every, every);
	if (stats->count == 0)
		return to;
	CALL_PUT(to, p50_seconds, quantile(stats, 0.5));
	CALL_PUT(to, p90_seconds, quantile(stats, 0.9));
	CALL_PUT(to, p99_seconds, quantile(stats, 0.99));
	CALL_PUT(to, p999_seconds, quantile(stats, 0.999));
	CALL_PUT(to, most_seconds, quantile(stats, 1));
	buckets_put(call, stats, to);
	return to;
}

static Proto__Latency *
latency_put(struct call *call, enum shm_latency what)
{
	struct shm_latency_stats stats;
	shm_latency_read(&call->segment->seg, what, &stats);
	return verb_latency_put(
	    call, shm_latency_names[what], &stats, sampled_every(what));
}

Proto__Latency **
verb_latencies(struct call *call, size_t *ret_n)
{
	Proto__Latency **list =
	    pool_array(call->pool, SHM_LATENCIES, sizeof(*list));
	for (size_t i = 0; i < SHM_LATENCIES; i++)
		list[i] = latency_put(call, (enum shm_latency)i);
	*ret_n = SHM_LATENCIES;
	return list;
}

int
verb_latency(struct call *call)
{
	struct shm_seg *seg = &call->segment->seg;
	Proto__LatencyList *list = pool_alloc(call->pool, sizeof *list);
	uint64_t since = shm_load(&seg->super->latency_since);
	proto__latency_list__init(list);
	list->schema = pool_strdup(call->pool, "shmalloc.latency/1");
	CALL_PUT(list, time, server_time());
	if (since > 0)
		CALL_PUT(list, since, (double)since);
	list->latency = verb_latencies(call, &list->n_latency);
	if (call->request->latency->reset) {
		shm_latency_reset(seg, (uint64_t)server_time());
		journal_note(JOURNAL_OPERATOR, call->segment, NULL,
		    "latencies counted anew by %s", call->who);
		log_info("segment %s: latencies are counted anew, by order of "
			 "%s",
		    call->segment->name, call->who);
	}
	call->reply->latency = list;
	call->reply->body_case = PROTO__REPLY__BODY_LATENCY;
	return 0;
}
