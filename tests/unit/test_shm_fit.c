/* Would it fit: what is foretold is what can be taken. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "shm/fit.h"
#include "tests/unit/fixture.h"

#define LIMIT (UINT64_C(16) << 20)
#define MANY  400000

static struct fixture fixture;
static struct shm_fit fit;
static uint64_t taken[MANY];

static void
begin(void)
{
	fixture_begin(&fixture, LIMIT, 2);
}

static void
end(void)
{
	free(fit.arenas);
	fixture_end(&fixture);
}

TestSuite(fit, .init = begin, .fini = end);

static void
ask(uint64_t size)
{
	free(fit.arenas);
	cr_assert_eq(shm_fit(&fixture.seg, size, &fit), 0);
	cr_expect_eq(fit.objects, fit.in_free + fit.in_new);
}

/* Take objects as long as there are any; how many. */
static size_t
take_all(bool is_extent, uint64_t len)
{
	size_t n = 0;

	for (; n < MANY; n++) {
		if (is_extent)
			taken[n] =
			    shm_heap_take_extent(&fixture.self, len / SHM_PAGE);
		else if (shm_heap_take(
			     &fixture.self, (uint32_t)len, 1, &taken[n]) == 0)
			taken[n] = 0;
		if (taken[n] == 0)
			return n;
	}
	return n;
}

/* Ask for SIZE, then take what there is: the two are no further apart than
 * some pages of tables, and the rests of commits. */
static void
expect_truth(uint64_t size)
{
	uint64_t got, slack;

	ask(size);
	got = take_all(fit.is_extent, fit.len);
	slack = fit.objects / 32 + (UINT64_C(128) << 10) / fit.len + 1;
	cr_expect(got + slack >= fit.objects && got <= fit.objects + slack,
	    "size %lu: %lu foretold, %lu taken", (unsigned long)size,
	    (unsigned long)fit.objects, (unsigned long)got);
}

Test(fit, an_empty_segment_serves_up_to_its_limit_64)
{
	expect_truth(64);
}

Test(fit, an_empty_segment_serves_up_to_its_limit_5000)
{
	expect_truth(5000);
}

Test(fit, an_empty_segment_serves_up_to_its_limit_100K)
{
	expect_truth(100000);
}

Test(fit, an_empty_segment_serves_up_to_its_limit_extents)
{
	expect_truth(300000);
	cr_expect(fit.is_extent);
}

Test(fit, an_empty_segment_serves_up_to_its_limit_large_extents)
{
	expect_truth(5 << 20);
}

/* Fill the segment with chunks of LEN bytes, and free all that are not at a
 * multiple of EVERY. */
static size_t
fill_and_sieve(uint32_t len, size_t every)
{
	size_t n = take_all(false, len), freed = 0;

	for (size_t i = 0; i < n; i++)
		if (i % every != 0) {
			shm_heap_put(&fixture.self, 1, &taken[i]);
			freed++;
		}
	return freed;
}

Test(fit, free_pieces_are_found_where_they_are)
{
	size_t freed = fill_and_sieve(1024, 2);

	ask(1016);
	cr_expect_geq(fit.in_free, freed);
	cr_expect_eq(fit.n_arenas, 1);
	/* And the top. */
	cr_expect_geq(fit.arenas[0].pieces, freed);
	cr_expect_leq(fit.arenas[0].pieces, freed + 1);
	cr_expect_lt(fit.in_new, 300);
	expect_truth(1016);
}

Test(fit, what_is_free_in_pieces_too_small_is_fragmented)
{
	(void)fill_and_sieve(1024, 2);
	ask(4000);
	cr_expect_eq(fit.objects, 0);
	cr_expect_eq(fit.reason, SHM_FAIL_FRAGMENTED);
	cr_expect_gt(fit.free, LIMIT / 3);
	cr_expect_eq(take_all(false, fit.len), 0);
	cr_expect_eq(fixture.self.failure, SHM_FAIL_FRAGMENTED);
}

Test(fit, whole_pages_in_pieces_too_small_make_room_elsewhere)
{
	(void)fill_and_sieve(1024, 64);
	ask(100000);
	cr_expect_gt(fit.objects, 50);
	expect_truth(100000);
}

Test(fit, a_full_segment_says_so)
{
	(void)take_all(false, 1024);
	ask(100000);
	cr_expect_eq(fit.objects, 0);
	cr_expect_eq(fit.reason, SHM_FAIL_FULL);
}

Test(fit, rules_refuse_what_would_fit)
{
	ask(UINT64_MAX);
	cr_expect_eq(fit.reason, SHM_FAIL_TOO_LARGE);
	fixture_tune(&fixture, SHM_PARAM_limit_client, 65536);
	ask(65537);
	cr_expect_eq(fit.objects, 0);
	cr_expect_eq(fit.reason, SHM_FAIL_QUOTA);
	ask(1000);
	cr_expect_gt(fit.objects, 0);
	fixture_tune(&fixture, SHM_PARAM_retire_limit, 4096);
	shm_store(&fixture.seg.super->retired_bytes, 4097);
	ask(1000);
	cr_expect_eq(fit.reason, SHM_FAIL_READER);
	shm_store(&fixture.seg.super->retired_bytes, 0);
}

Test(fit, a_system_without_memory_is_named)
{
	shm_store(&fixture.seg.super->system_pages, 3);
	ask(100000);
	cr_expect_eq(fit.objects, 0);
	cr_expect_eq(fit.reason, SHM_FAIL_SYSTEM);
	shm_store(&fixture.seg.super->system_pages, UINT64_MAX);
}

Test(fit, a_size_is_measured_as_an_allocation_would)
{
	ask(1);
	cr_expect_eq(fit.len, SHM_CHUNK_MIN);
	ask(10000);
	cr_expect_eq(fit.len, 10240);
	fixture_tune(&fixture, SHM_PARAM_tcache_count, 0);
	ask(10000);
	cr_expect_eq(fit.len, 10016);
	ask(131072);
	cr_expect(fit.is_extent);
	cr_expect_eq(fit.len, 131072);
}
