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
	char name[32];
};

static struct sample sample[2];
static Proto__Stats *list[2] = { &sample[0].stats, &sample[1].stats };
static char ok_word[] = "ok";
static char *text;

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
