/*
 * Regions: claim, return, runs.
 */
#include <criterion/criterion.h>

#include "shm/commit.h"
#include "tests/unit/fixture.h"

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;

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

TestSuite(region, .init = begin, .fini = end);

static uint32_t
claim(struct shm_self *who, uint32_t n)
{
	uint32_t first;

	cr_assert_eq(shm_region_claim(who, n, false, &first), 0);
	return first;
}

Test(region, a_claim_names_the_claimant_and_raises_the_watermark)
{
	uint32_t first = claim(&fixture.self, 3);
	uint64_t entry = shm_region_get(seg, first + 2);

	cr_expect_eq(first, 0);
	cr_expect_eq(shm_regions_used(seg), 3);
	cr_expect_eq(shm_entry_kind(entry), SHM_REGION_CLAIMED);
	cr_expect_eq(shm_entry_slot(entry), fixture.self.slot);
	cr_expect_eq(shm_entry_generation(entry), fixture.self.generation);
	shm_region_return(&fixture.self, first, 3);
}

Test(region, a_claim_sets_the_claimants_bits_first)
{
	uint32_t first = claim(&fixture.other, 2);

	cr_expect_eq(shm_load(&seg->client_bits[(uint64_t)fixture.other.slot *
			 seg->n_bit_words]),
	    3u << first);
	shm_region_return(&fixture.self, first, 2);
}

Test(region, two_claimants_never_get_the_same)
{
	uint32_t a = claim(&fixture.self, 1), b = claim(&fixture.other, 1);

	cr_expect_neq(a, b);
	shm_region_return(&fixture.self, a, 1);
	shm_region_return(&fixture.self, b, 1);
}

Test(region, what_was_returned_is_claimed_again_below_the_watermark)
{
	uint32_t a = claim(&fixture.self, 1), b = claim(&fixture.self, 1);

	shm_region_return(&fixture.self, a, 1);
	cr_expect_eq(claim(&fixture.other, 1), a);
	cr_expect_eq(shm_regions_used(seg), 2);
	shm_region_return(&fixture.self, a, 1);
	shm_region_return(&fixture.self, b, 1);
}

Test(region, a_run_uses_free_regions_at_the_watermark)
{
	uint32_t a = claim(&fixture.self, 1), b = claim(&fixture.self, 1);

	shm_region_return(&fixture.self, b, 1);
	cr_expect_eq(claim(&fixture.self, 3), b);
	shm_region_return(&fixture.self, a, 1);
	shm_region_return(&fixture.self, b, 3);
}

Test(region, more_than_there_are_is_refused)
{
	uint32_t first;

	cr_expect_eq(
	    shm_region_claim(&fixture.self, seg->n_regions + 1, false, &first),
	    SHM_ENOMEM);
	cr_expect_eq(fixture.self.failure, SHM_FAIL_FULL);
}

Test(region, a_return_gives_the_pages_back)
{
	uint32_t first = claim(&fixture.self, 1);
	uint64_t total;

	/* The bitmap's page for these comes, and stays. */
	cr_assert_eq(
	    shm_commit(&fixture.self, shm_region_off(seg, first), 1), 0);
	total = shm_committed_total(seg) - 1;
	cr_assert_eq(
	    shm_commit(&fixture.self, shm_region_off(seg, first), SHM_REGION),
	    0);
	shm_region_return(&fixture.self, first, 1);
	cr_expect_eq(shm_committed_total(seg), total);
	cr_expect_eq(shm_region_get(seg, first), 0);
}

Test(region, a_run_is_found_from_its_middle_and_ends_at_the_next)
{
	uint64_t off = shm_heap_take_extent(&fixture.self, 3 * 512);
	uint64_t next = shm_heap_take_extent(&fixture.self, 2 * 512);
	uint32_t region = shm_region_of(seg, off), first, n;

	cr_assert(off && next);
	cr_expect_eq(shm_region_of(seg, next), region + 3);
	cr_assert(shm_region_run(seg, region + 1, &first, &n));
	cr_expect_eq(first, region);
	cr_expect_eq(n, 3);
	cr_assert(shm_region_run(seg, region + 4, &first, &n));
	cr_expect_eq(first, region + 3);
	cr_expect_eq(n, 2);
	cr_expect_not(shm_region_run(seg, region + 5, &first, &n));
	cr_expect_not(shm_region_run(seg, UINT32_MAX, &first, &n));
}

Test(region, a_piece_behind_a_claimed_front_is_no_run)
{
	uint32_t region = claim(&fixture.self, 2), first, n;

	shm_put(&seg->regions[region + 1],
	    shm_region_entry(SHM_REGION_MORE, 0, fixture.self.slot,
		fixture.self.generation));
	cr_expect_not(shm_region_run(seg, region + 1, &first, &n));
	shm_region_return(&fixture.self, region, 2);
}
