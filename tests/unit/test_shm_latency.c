/* How long operations take: the histogram's buckets, and what is read of it. */
#include <criterion/criterion.h>

#include "shm/latency.h"
#include "tests/unit/fixture.h"

Test(shm_latency, buckets_tile_all_times_without_a_gap)
{
	uint64_t begin = 0;

	for (uint32_t i = 0; i < SHM_LATENCY_BUCKETS; i++) {
		uint64_t end = shm_latency_end(i);

		cr_assert_gt(end, begin);
		cr_assert_eq(shm_latency_bucket(begin), i);
		cr_assert_eq(shm_latency_bucket(end - 1), i);
		begin = end;
	}
	/* From 8.5 seconds on they share the last one. */
	cr_assert_eq(begin, UINT64_C(8) << 30);
	cr_assert_eq(shm_latency_bucket(begin), SHM_LATENCY_BUCKETS - 1);
	cr_assert_eq(shm_latency_bucket(UINT64_MAX), SHM_LATENCY_BUCKETS - 1);
}

Test(shm_latency, a_bucket_is_at_most_a_quarter_as_wide_as_its_values)
{
	for (uint32_t i = SHM_LATENCY_STEPS; i < SHM_LATENCY_BUCKETS; i++) {
		uint64_t begin = shm_latency_end(i - 1);

		cr_assert_leq((shm_latency_end(i) - begin) * 4, begin);
	}
}

Test(shm_latency, each_power_of_two_ends_a_bucket)
{
	for (uint64_t ns = 1; ns < UINT64_C(8) << 30; ns *= 2)
		cr_assert_eq(shm_latency_end(shm_latency_bucket(ns) - 1), ns);
}

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;
static struct shm_latency_stats stats;

static void
begin(void)
{
	fixture_begin(&fixture, FIXTURE_LIMIT, 4);
}

static void
end(void)
{
	fixture_end(&fixture);
}

TestSuite(shm_latency_seg, .init = begin, .fini = end);

Test(shm_latency_seg, quantiles_are_the_ends_of_their_buckets)
{
	struct shm_super *super = seg->super;

	shm_latency_reset(seg, 0);
	for (int i = 0; i < 90; i++)
		shm_latency_add(super, SHM_LATENCY_FREE, 100);
	for (int i = 0; i < 9; i++)
		shm_latency_add(super, SHM_LATENCY_FREE, 5000);
	shm_latency_add(super, SHM_LATENCY_FREE, 1000000);
	shm_latency_read(seg, SHM_LATENCY_FREE, &stats);
	cr_assert_eq(stats.count, 100);
	cr_assert_eq(stats.sum_ns, 90 * 100 + 9 * 5000 + 1000000);
	cr_assert_eq(shm_latency_quantile(&stats, 0.5), 112);
	cr_assert_eq(shm_latency_quantile(&stats, 0.9), 112);
	cr_assert_eq(shm_latency_quantile(&stats, 0.91), 5120);
	cr_assert_eq(shm_latency_quantile(&stats, 0.99), 5120);
	cr_assert_eq(shm_latency_quantile(&stats, 1), 1048576);
	shm_latency_read(seg, SHM_LATENCY_REFILL, &stats);
	cr_assert_eq(stats.count, 0);
	cr_assert_eq(shm_latency_quantile(&stats, 0.5), 0);
}

Test(shm_latency_seg, a_reset_forgets_all_and_says_since_when)
{
	struct shm_super *super = seg->super;

	for (uint32_t what = 0; what < SHM_LATENCIES; what++)
		shm_latency_add(super, (enum shm_latency)what, 77);
	shm_latency_reset(seg, 1234);
	for (uint32_t what = 0; what < SHM_LATENCIES; what++) {
		shm_latency_read(seg, (enum shm_latency)what, &stats);
		cr_assert_eq(stats.count, 0);
		cr_assert_eq(stats.sum_ns, 0);
	}
	cr_assert_eq(shm_load(&super->latency_since), 1234);
}

Test(shm_latency_seg, getting_pages_from_the_system_is_timed)
{
	shm_latency_read(seg, SHM_LATENCY_EXTEND, &stats);
	cr_assert_gt(stats.count, 0);
	cr_assert_gt(stats.sum_ns, 0);
}

Test(shm_latency_seg, numbers_that_make_no_sense_are_read_to_an_end)
{
	struct shm_super *super = seg->super;

	for (uint32_t i = 0; i < SHM_LATENCY_BUCKETS; i++)
		shm_store(&super->latency[SHM_LATENCY_FREE][i], UINT64_MAX);
	shm_latency_read(seg, SHM_LATENCY_FREE, &stats);
	cr_assert_gt(shm_latency_quantile(&stats, 0.5), 0);
	cr_assert_eq(shm_latency_quantile(&stats, 1),
	    shm_latency_end(SHM_LATENCY_BUCKETS - 1));
}
