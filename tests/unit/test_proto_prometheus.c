/* Statistics in Prometheus' text format. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/prometheus.h"

/* Two segments with two arenas each. */
struct sample {
	Proto__Stats stats;
	Proto__SegmentInfo segment;
	Proto__Bytes bytes;
	Proto__Failures failures;
	Proto__ArenaStats arena[2];
	Proto__ArenaStats *arenas[2];
	Proto__Lock lock;
	Proto__Latency latency, *latencies[1];
	Proto__LatencyBucket bucket[2], *buckets[2];
	char name[32];
};

static struct sample sample[2];
static Proto__Stats *list[2] = { &sample[0].stats, &sample[1].stats };
static char ok_word[] = "ok", free_word[] = "free";
static char *text;

/* Seven of less than 80 ns, two of less than 1 us. */
static void
latency_make(struct sample *s)
{
	proto__latency__init(&s->latency);
	for (int i = 0; i < 2; i++) {
		proto__latency_bucket__init(&s->bucket[i]);
		s->bucket[i].has_below_seconds = s->bucket[i].has_n = 1;
		s->bucket[i].below_seconds = i == 0 ? 80e-9 : 1024e-9;
		s->bucket[i].n = i == 0 ? 7 : 2;
		s->buckets[i] = &s->bucket[i];
	}
	s->latency.operation = free_word;
	s->latency.has_count = s->latency.has_sum_seconds = 1;
	s->latency.count = 9;
	s->latency.sum_seconds = 2.5e-6;
	s->latency.n_buckets = 2;
	s->latency.buckets = s->buckets;
	s->latencies[0] = &s->latency;
	s->stats.n_latency = 1;
	s->stats.latency = s->latencies;
}

static void
sample_make(struct sample *s, const char *name, uint64_t allocated)
{
	proto__stats__init(&s->stats);
	proto__segment_info__init(&s->segment);
	proto__bytes__init(&s->bytes);
	proto__failures__init(&s->failures);
	proto__lock__init(&s->lock);
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->segment.name = s->name;
	s->stats.segment = &s->segment;
	s->bytes.has_allocated = 1;
	s->bytes.allocated = allocated;
	s->stats.bytes = &s->bytes;
	s->failures.has_full = s->failures.has_quota = 1;
	s->failures.full = 3;
	s->failures.quota = 4;
	s->stats.failures = &s->failures;
	for (uint32_t i = 0; i < 2; i++) {
		proto__arena_stats__init(&s->arena[i]);
		s->arena[i].has_id = 1;
		s->arena[i].id = i;
		s->arena[i].state = ok_word;
		s->arena[i].has_unusable_ratio = 1;
		s->arena[i].unusable_ratio = 0.25;
		s->arenas[i] = &s->arena[i];
	}
	s->lock.has_busy = 1;
	s->lock.busy = 9;
	s->arena[1].lock = &s->lock;
	s->stats.n_arenas = 2;
	s->stats.arenas = s->arenas;
	latency_make(s);
}

static void
samples_write(void)
{
	size_t len;
	FILE *out = open_memstream(&text, &len);

	sample_make(&sample[0], "default", UINT64_MAX);
	sample_make(&sample[1], "a\"b\\c\nd", 7);
	cr_assert_not_null(out);
	cr_assert_eq(proto_prometheus_write(out, 2, list), 0);
	cr_assert_eq(fclose(out), 0);
}

static void
text_free(void)
{
	free(text);
}

TestSuite(proto_prometheus, .init = samples_write, .fini = text_free);

/* How often PART is in the text. */
static size_t
count_of(const char *part)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
		n++;
	return n;
}

Test(proto_prometheus, all_samples_of_a_series_follow_its_head)
{
	cr_expect_not_null(strstr(text,
	    "# HELP shmalloc_allocated_bytes Usable bytes of live objects.\n"
	    "# TYPE shmalloc_allocated_bytes gauge\n"
	    "shmalloc_allocated_bytes{segment=\"default\"} "
	    "18446744073709551615\n"
	    "shmalloc_allocated_bytes{segment=\"a\\\"b\\\\c\\nd\"} 7\n"));
	cr_expect_eq(count_of("# TYPE shmalloc_allocated_bytes "), 1);
}

Test(proto_prometheus, an_absent_value_has_no_sample)
{
	cr_expect_eq(count_of("shmalloc_cached_bytes{"), 0);
	cr_expect_eq(count_of("shmalloc_failures_total{"), 4);
	cr_expect_eq(count_of("shmalloc_peak_"), 0);
}

Test(proto_prometheus, reasons_of_failures_are_labels_of_one_series)
{
	cr_expect_eq(count_of("# TYPE shmalloc_failures_total counter\n"), 1);
	cr_expect_eq(count_of("shmalloc_failures_total{segment=\"default\","
			      "reason=\"quota\"} 4\n"),
	    1);
}

Test(proto_prometheus, a_list_s_records_are_told_apart_by_their_keys)
{
	cr_expect_eq(count_of("shmalloc_arena_unusable_ratio{"
			      "segment=\"default\",arena=\"1\"} 0.25\n"),
	    1);
	cr_expect_eq(count_of("shmalloc_arena_lock_busy_total{"
			      "segment=\"default\",arena=\"1\"} 9\n"),
	    1);
	cr_expect_eq(count_of("shmalloc_arena_lock_busy_total{"), 2);
}

Test(proto_prometheus, latencies_are_histograms)
{
	static const char *const lines[] = {
		"_bucket{segment=\"default\",operation=\"free\",le=\"6.4e-08\"}"
		" "
		"0\n",
		"_bucket{segment=\"default\",operation=\"free\","
		"le=\"2.56e-07\"} 7\n",
		"_bucket{segment=\"default\",operation=\"free\","
		"le=\"1.024e-06\"} 9\n",
		"_bucket{segment=\"default\",operation=\"free\",le=\"+Inf\"} "
		"9\n",
		"_sum{segment=\"default\",operation=\"free\"} 2.5e-06\n",
		"_count{segment=\"default\",operation=\"free\"} 9\n",
	};
	char line[256];

	cr_expect_eq(
	    count_of("# TYPE shmalloc_latency_seconds histogram\n"), 1);
	cr_expect_eq(count_of("shmalloc_latency_"), 2 + 2 * (15 + 2));
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		snprintf(
		    line, sizeof(line), "shmalloc_latency_seconds%s", lines[i]);
		cr_expect_eq(count_of(line), 1, "%s", line);
	}
}

Test(proto_prometheus, words_are_labels_of_an_info_series)
{
	cr_expect_eq(count_of("shmalloc_arena_info{segment=\"default\","
			      "arena=\"0\",state=\"ok\"} 1\n"),
	    1);
}

Test(proto_prometheus, a_stream_that_is_full_is_an_error)
{
	FILE *full = fopen("/dev/full", "w");
	int r;

	cr_assert_not_null(full);
	setvbuf(full, NULL, _IONBF, 0);
	r = proto_prometheus_write(full, 2, list);
	cr_expect_eq(r, PROTO_ESYSTEM);
	fclose(full);
}
