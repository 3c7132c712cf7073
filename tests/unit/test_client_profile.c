/*
 * The heap profile's estimates, and that it leaves the counters right.  Draws
 * are repeatable, so the bounds, several standard deviations wide, either hold
 * or don't.
 */
#include <criterion/criterion.h>

#include <math.h>

#include "client/cache.h"
#include "shm/daemon.h"
#include "shm/sample.h"
#include "shm/stats.h"
#include "tests/unit/attachment.h"

static struct shmalloc heap;
static struct shm_seg *const seg = &heap.seg;

static void
tune(uint64_t rate)
{
	struct shm_tunable_change change = { SHM_PARAM_profile_sample_bytes,
		rate };
	uint32_t bad;

	cr_assert_eq(shm_tunables_set(seg, 1, &change, &bad), 0);
}

static void
begin(void)
{
	attachment_make(&heap);
}

TestSuite(client_profile, .init = begin);

struct estimate {
	uint32_t samples;
	double objects, bytes;
};

static struct estimate
estimate(void)
{
	struct estimate sum = { 0 };

	for (uint32_t i = 0; i < SHM_SAMPLES; i++) {
		struct shm_sample_copy sample;
		double n;

		if (!shm_sample_read(seg, i, &sample))
			continue;
		n = -1 / expm1(-(double)sample.unit / (double)sample.rate);
		sum.samples++;
		sum.objects += n;
		sum.bytes += n * (double)sample.size;
	}
	return sum;
}

static bool
is_near(double value, double expected)
{
	return fabs(value / expected - 1) < 0.15;
}

Test(client_profile, small_objects_are_estimated_by_number_and_bytes)
{
	const int n = 400000;
	struct estimate found;

	tune(16384);
	for (int i = 0; i < n; i++)
		cr_assert_neq(shmalloc_alloc(&heap, 60), 0);
	found = estimate();
	/* 1500 samples, or so. */
	cr_expect(is_near(found.objects, n), "%f", found.objects);
	cr_expect(is_near(found.bytes, 60. * n), "%f", found.bytes);
	cr_expect_eq(shm_load(&seg->super->sampled), found.samples);
	cr_expect_eq(shm_load(&seg->super->samples_lost), 0);
}

Test(client_profile, objects_of_every_way_to_allocate_are_estimated)
{
	static const size_t sizes[] = { 1500, 20000, 200000, 700000 };

	tune(65536);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		/* From 30 to 600 samples. */
		size_t n = 40000000 / sizes[i];
		struct estimate before = estimate(), after;

		for (size_t j = 0; j < n; j++)
			cr_assert_neq(shmalloc_alloc(&heap, sizes[i]), 0);
		after = estimate();
		cr_expect(is_near(after.objects - before.objects, (double)n),
		    "%zu: %f of %zu", sizes[i], after.objects - before.objects,
		    n);
	}
}

Test(client_profile, hits_of_a_cache_are_sampled_as_misses_are)
{
	enum { LIVE = 4000, TURNS = 100 };
	static shmalloc_off live[LIVE];
	struct estimate found;

	tune(4096);
	for (int turn = 0; turn < TURNS; turn++)
		for (int i = 0; i < LIVE; i++) {
			shmalloc_free(&heap, live[i]);
			live[i] = shmalloc_alloc(&heap, 1000);
			cr_assert_neq(live[i], 0);
		}
	found = estimate();
	/* 890 samples of those that live, 100 times as many in all. */
	cr_expect(is_near(found.objects, LIVE), "%f", found.objects);
	cr_expect(
	    is_near(
		(double)shm_load(&seg->super->sampled) / found.samples, TURNS),
	    "%lu", (unsigned long)shm_load(&seg->super->sampled));
	for (int i = 0; i < LIVE; i++)
		shmalloc_free(&heap, live[i]);
	cr_expect_eq(estimate().samples, 0);
}

Test(client_profile, counters_count_what_was_asked_for_and_no_more)
{
	enum { N = 1000 };
	static shmalloc_off off[N];
	const struct shm_client *client = &seg->clients[heap.slot];
	struct cache *cache;

	/* Each is sampled. */
	tune(1);
	for (int i = 0; i < N; i++)
		off[i] = shmalloc_alloc(&heap, (size_t)i);
	cache = cache_find(&heap);
	cache_count_all(cache);
	cr_expect_eq(estimate().samples, N);
	cr_expect_eq(shm_load(&client->held_chunks), N);
	cr_expect_eq(shm_load(&client->requested), N * (N - 1) / 2);
	for (int i = 0; i < N; i++)
		shmalloc_free(&heap, off[i]);
	cache_count_all(cache);
	cr_expect_eq(shm_load(&client->held_chunks), 0);
	cr_expect_eq(shm_load(&client->held_bytes), 0);
	cr_expect_eq(shm_load(&client->allocs) - shm_load(&client->frees), 0);
}

Test(client_profile, without_a_rate_nothing_is_sampled_and_it_can_be_changed)
{
	for (int i = 0; i < 10000; i++)
		cr_assert_neq(shmalloc_alloc(&heap, 1000), 0);
	cr_expect_eq(shm_load(&seg->super->sampled), 0);
	tune(4096);
	/* As with all tunables, at the next refill. */
	for (int i = 0; i < 10000; i++)
		cr_assert_neq(shmalloc_alloc(&heap, 1000), 0);
	cr_expect(is_near(estimate().objects, 10000));
	tune(0);
	for (int i = 0; i < 1000; i++)
		cr_assert_neq(shmalloc_alloc(&heap, 1000), 0);
	uint64_t sampled = shm_load(&seg->super->sampled);
	for (int i = 0; i < 10000; i++)
		cr_assert_neq(shmalloc_alloc(&heap, 1000), 0);
	cr_expect_eq(shm_load(&seg->super->sampled), sampled);
}
