/*
 * Committed pages: the commit word and the bits agree, whoever dies.
 */
#include <criterion/criterion.h>

#include "shm/commit.h"
#include "shm/daemon.h"
#include "tests/unit/fixture.h"

#define RESERVED 7u /* pages */

static struct fixture fixture;

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

TestSuite(commit, .init = begin, .fini = end);

static uint64_t
pages_by_bits(void)
{
	return shm_committed_pages(&fixture.seg, 0, fixture.seg.len);
}

/* Leave the other client as a kill between reservation and bits does. */
static void
die_while_committing(void)
{
	shm_add(&fixture.other.client->commit_pending, RESERVED);
	shm_add(&fixture.seg.super->commit, RESERVED);
	shm_client_death(&fixture.seg, fixture.other.slot);
}

static void
reclaim(void)
{
	struct shm_reclaimed sum = { 0, 0, 0 };

	cr_assert_eq(
	    shm_reclaim_step(&fixture.seg, fixture.other.slot, 1000, &sum), 1);
}

Test(commit, what_the_dead_had_reserved_is_free_again)
{
	die_while_committing();
	cr_assert_eq(
	    shm_committed_total(&fixture.seg), pages_by_bits() + RESERVED);
	reclaim();
	cr_expect_eq(shm_committed_total(&fixture.seg), pages_by_bits());
}

Test(commit, what_the_dead_had_reserved_is_free_again_after_others_have_done)
{
	die_while_committing();
	shm_add(&fixture.self.client->commit_pending, 1);
	reclaim();
	cr_expect_eq(
	    shm_committed_total(&fixture.seg), pages_by_bits() + RESERVED);
	(void)shm_tick(&fixture.seg, UINT64_MAX);
	cr_expect_eq(
	    shm_committed_total(&fixture.seg), pages_by_bits() + RESERVED);
	shm_sub(&fixture.self.client->commit_pending, 1);
	(void)shm_tick(&fixture.seg, UINT64_MAX);
	cr_expect_eq(shm_committed_total(&fixture.seg), pages_by_bits());
}
