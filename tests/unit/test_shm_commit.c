/*
 * Committed pages: limit, accounting, recount.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/memory.h"
#include "tests/unit/fixture.h"

#define RESERVED 7u /* pages */

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;
static uint64_t off; /* of a region that `self` has claimed */

/* What a look at the system says, in the place of shm/memory.c. */
static uint64_t memory_left = SHM_MEMORY_UNKNOWN;

uint64_t
shm_memory_pages(const char *root)
{
	(void)root;
	return memory_left;
}

/* What happens just before the next fallocate. */
static void (*meanwhile)(void);
static bool is_refused; /* that fails */

int
fallocate(int fd, int mode, off_t from, off_t len)
{
	void (*act)(void) = meanwhile;

	meanwhile = NULL;
	if (act)
		act();
	if (is_refused)
		return errno = ENOSPC, -1;
	return (int)syscall(SYS_fallocate, fd, mode, from, len);
}

static void
begin(void)
{
	uint32_t region;

	fixture_begin(&fixture, FIXTURE_LIMIT, 4);
	cr_assert_eq(shm_region_claim(&fixture.self, 4, false, &region), 0);
	off = shm_region_off(seg, region);
	/* The bitmap's page for these comes, and stays. */
	cr_assert_eq(shm_commit(&fixture.self, off, 1), 0);
	cr_assert_eq(shm_uncommit(&fixture.self, off, SHM_PAGE), SHM_PAGE);
}

static void
end(void)
{
	shm_region_return(&fixture.self, shm_region_of(seg, off), 4);
	fixture_end(&fixture);
}

TestSuite(commit, .init = begin, .fini = end);

static uint64_t
resident(void)
{
	struct stat status;

	cr_assert_eq(fstat(seg->fd, &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

Test(commit, counts_the_pages_that_an_odd_range_touches)
{
	uint64_t before = shm_committed_total(seg);

	cr_assert_eq(shm_commit(&fixture.self, off + 4095, 2), 0);
	cr_expect_eq(shm_committed_total(seg), before + 2);
	cr_expect_eq(shm_committed_prefix(seg, off, 3 * SHM_PAGE), 8192);
	cr_expect_eq(shm_committed_prefix(seg, off + 8191, 4096), 1);
	cr_expect_eq(shm_committed_pages(seg, off + 1, 8191), 1);
	cr_expect_eq(shm_committed_pages(seg, off + 1, 8190), 0);
}

Test(commit, of_what_is_there_changes_nothing)
{
	uint64_t before;

	cr_assert_eq(shm_commit(&fixture.self, off, 65536), 0);
	before = shm_load(&seg->super->commit);
	cr_assert_eq(shm_commit(&fixture.self, off + 4096, 8192), 0);
	cr_expect_eq(shm_load(&seg->super->commit), before);
}

Test(commit, makes_pages_resident_and_uncommit_gives_them_back)
{
	uint64_t before = resident(), total = shm_committed_total(seg);

	cr_assert_eq(shm_commit(&fixture.self, off, 1 << 20), 0);
	cr_expect_eq(resident(), before + (1 << 20));
	cr_expect_eq(shm_uncommit(&fixture.self, off, 1 << 20), 1 << 20);
	cr_expect_eq(resident(), before);
	cr_expect_eq(shm_committed_total(seg), total);
	cr_expect_eq(shm_uncommit(&fixture.self, off, 1 << 20), 0);
}

Test(commit, uncommit_leaves_pages_that_lie_partly_outside)
{
	cr_assert_eq(shm_commit(&fixture.self, off, 4 * SHM_PAGE), 0);
	cr_expect_eq(
	    shm_uncommit(&fixture.self, off + 1, 3 * SHM_PAGE), 2 * SHM_PAGE);
	cr_expect_eq(shm_committed_prefix(seg, off, SHM_PAGE), SHM_PAGE);
	cr_expect_eq(shm_committed_prefix(seg, off + SHM_PAGE, SHM_PAGE), 0);
	cr_expect_eq(shm_committed_prefix(seg, off + 3 * SHM_PAGE, 1), 1);
}

Test(commit, stops_at_the_hard_limit_and_changes_nothing)
{
	uint64_t total;

	cr_assert_eq(
	    shm_commit(&fixture.self, off + SHM_REGION, SHM_REGION), 0);
	total = shm_committed_total(seg);
	fixture_tune(&fixture, SHM_PARAM_limit_hard, total * SHM_PAGE + 8192);
	cr_expect_eq(shm_commit(&fixture.self, off, 3 * SHM_PAGE), SHM_ENOMEM);
	cr_expect_eq(fixture.self.failure, SHM_FAIL_FULL);
	cr_expect_eq(shm_committed_total(seg), total);
	cr_expect_eq(shm_committed_prefix(seg, off, 1), 0);
	cr_expect_eq(shm_commit(&fixture.self, off, 2 * SHM_PAGE), 0);
	cr_expect_eq(
	    shm_commit(&fixture.self, off + 2 * SHM_PAGE, 1), SHM_ENOMEM);
	fixture_tune(&fixture, SHM_PARAM_limit_hard, FIXTURE_LIMIT);
}

Test(commit, of_a_record_counts_but_does_not_stop_at_the_hard_limit)
{
	uint64_t total;

	cr_assert_eq(
	    shm_commit(&fixture.self, off + SHM_REGION, SHM_REGION), 0);
	total = shm_committed_total(seg);
	fixture_tune(&fixture, SHM_PARAM_limit_hard, SHM_REGION);
	cr_expect_eq(shm_commit(&fixture.self, off, 1), SHM_ENOMEM);
	cr_expect_eq(shm_commit_record(&fixture.self, off, 1), 0);
	cr_expect_eq(shm_committed_total(seg), total + 1);
	shm_store(&seg->super->system_pages, 0);
	cr_expect_eq(
	    shm_commit_record(&fixture.self, off + SHM_PAGE, 1), SHM_ENOMEM);
	shm_store(&seg->super->system_pages, UINT64_MAX);
	fixture_tune(&fixture, SHM_PARAM_limit_hard, FIXTURE_LIMIT);
}

Test(commit, stops_when_the_system_has_no_pages_left)
{
	shm_store(&seg->super->system_pages, 1);
	cr_expect_eq(shm_commit(&fixture.self, off, 2 * SHM_PAGE), SHM_ENOMEM);
	cr_expect_eq(fixture.self.failure, SHM_FAIL_SYSTEM);
	cr_expect_eq(shm_commit(&fixture.self, off, SHM_PAGE), 0);
	shm_store(&seg->super->system_pages, UINT64_MAX);
}

Test(commit, what_fails_takes_nothing_from_the_others)
{
	shm_system_set(seg, 1000);
	shm_store(&seg->own_ms, shm_clock_ms() - 100000);
	memory_left = 7;
	cr_expect_eq(shm_commit(&fixture.self, off, 8 * SHM_PAGE), SHM_ENOMEM);
	cr_expect_eq(shm_load(&seg->super->system_pages), 1000);
	memory_left = SHM_MEMORY_UNKNOWN;
	is_refused = true;
	cr_expect_eq(shm_commit(&fixture.self, off, 8 * SHM_PAGE), SHM_ENOMEM);
	cr_expect_eq(fixture.self.failure, SHM_FAIL_SYSTEM);
	cr_expect_eq(shm_load(&seg->super->system_pages), 1000);
	is_refused = false;
	cr_expect_eq(shm_commit(&fixture.self, off, 8 * SHM_PAGE), 0);
	cr_expect_eq(shm_load(&seg->super->system_pages), 992);
	(void)shm_tick(seg);
	cr_expect_eq(shm_load(&seg->super->system_pages), 992);
	shm_system_set(seg, SHM_MEMORY_UNKNOWN);
}

Test(commit, all_clients_together_take_a_part_of_what_each_has_seen)
{
	struct shm_identity who = { .pid = 1 };
	uint32_t slot[61], generation;

	for (size_t i = 0; i < sizeof(slot) / sizeof(*slot); i++)
		cr_assert_eq(
		    shm_client_open(seg, &who, &slot[i], &generation), 0);
	memory_left = 64000;
	shm_store(&seg->own_ms, shm_clock_ms() - 100000);
	cr_assert_eq(shm_commit(&fixture.self, off, SHM_PAGE), 0);
	cr_expect_leq(shm_load(&seg->own_pages) * 64, memory_left / 4);
	cr_expect_gt(shm_load(&seg->own_pages), 0);
	memory_left = SHM_MEMORY_UNKNOWN;
}

Test(commit, recount_finds_what_a_killed_process_left_in_the_word)
{
	uint64_t total = shm_committed_total(seg);

	shm_add(&seg->super->commit, 5);
	cr_expect_eq(shm_committed_total(seg), total + 5);
	cr_expect(shm_commit_recount(seg));
	cr_expect_eq(shm_committed_total(seg), total);
}

Test(commit, recount_leaves_the_word_while_a_client_is_between_the_two)
{
	uint64_t total = shm_committed_total(seg);

	shm_add(&seg->super->commit, 5);
	shm_store(&fixture.self.client->commit_pending, 5);
	cr_expect_not(shm_commit_recount(seg));
	cr_expect_eq(shm_committed_total(seg), total + 5);
	shm_store(&fixture.self.client->commit_pending, 0);
	cr_expect(shm_commit_recount(seg));
	cr_expect_eq(shm_committed_total(seg), total);
}

Test(commit, far_away_commits_the_bitmaps_own_page_too)
{
	uint64_t far = shm_region_off(seg, seg->n_regions - 1);
	uint64_t total = shm_committed_total(seg);

	cr_expect_eq(shm_committed_prefix(seg, far, 1), 0);
	cr_assert_eq(shm_commit(&fixture.self, far, 1), 0);
	cr_expect_eq(shm_committed_total(seg), total + 2);
	cr_expect_eq(shm_committed_prefix(seg, far, SHM_PAGE), SHM_PAGE);
	cr_expect_eq(shm_uncommit(&fixture.self, far, SHM_PAGE), SHM_PAGE);
}

/* Absent pages are not touched by those who only look. */
Test(commit, looking_allocates_nothing)
{
	uint64_t before = resident();

	for (uint32_t i = 0; i < seg->n_regions; i++)
		(void)shm_committed_prefix(
		    seg, shm_region_off(seg, i), SHM_REGION);
	(void)shm_committed_pages(seg, 0, seg->len);
	cr_expect_eq(resident(), before);
}

/* ---- Meanwhile ----------------------------------------------------------- */

static uint64_t
pages_by_bits(void)
{
	return shm_committed_pages(seg, 0, seg->len);
}

static void
recount_and_check(void)
{
	uint32_t first;

	cr_expect_gt(shm_committed_total(seg), pages_by_bits());
	cr_expect_not(shm_commit_recount(seg));
	cr_expect_eq(fixture_check(&fixture, &first), 0);
}

Test(commit, a_recount_while_pages_are_punched_leaves_the_word)
{
	cr_assert_eq(shm_commit(&fixture.self, off, 8 * SHM_PAGE), 0);
	meanwhile = recount_and_check;
	cr_expect_eq(
	    shm_uncommit(&fixture.self, off, 8 * SHM_PAGE), 8 * SHM_PAGE);
	cr_expect_eq(shm_committed_total(seg), pages_by_bits());
}

Test(commit, a_recount_while_pages_are_allocated_leaves_the_word)
{
	meanwhile = recount_and_check;
	cr_expect_eq(shm_commit(&fixture.self, off, 8 * SHM_PAGE), 0);
	cr_expect_eq(shm_committed_total(seg), pages_by_bits());
}

static sigjmp_buf away;

static void
on_signal(int signal)
{
	(void)signal;
	siglongjmp(away, 1);
}

static void
signal_oneself(void)
{
	(void)raise(SIGUSR1);
}

Test(commit, a_jump_out_of_a_handler_leaves_nothing_half_counted)
{
	(void)signal(SIGUSR1, on_signal);
	if (sigsetjmp(away, 1) == 0) {
		meanwhile = signal_oneself;
		if (shm_commit(&fixture.self, off, 8 * SHM_PAGE) != 0)
			cr_expect_fail("the commit");
	}
	cr_expect_eq(shm_load(&fixture.self.client->commit_pending), 0);
	cr_expect_eq(shm_committed_total(seg), pages_by_bits());
	if (sigsetjmp(away, 1) == 0) {
		meanwhile = signal_oneself;
		(void)shm_uncommit(&fixture.self, off, 8 * SHM_PAGE);
	}
	cr_expect_eq(shm_load(&fixture.self.client->commit_pending), 0);
	cr_expect_eq(shm_committed_total(seg), pages_by_bits());
}

/* ---- Deaths -------------------------------------------------------------- */

/* Leave the other client as a kill between reservation and bits does. */
static void
die_while_committing(void)
{
	shm_add(&fixture.other.client->commit_pending, RESERVED);
	shm_add(&seg->super->commit, RESERVED);
	shm_client_death(seg, fixture.other.slot);
}

static void
reclaim(void)
{
	struct shm_reclaimed sum = { 0 };

	cr_assert_eq(shm_reclaim_step(seg, fixture.other.slot, 1000, &sum), 1);
}

Test(commit, what_the_dead_had_reserved_is_free_again)
{
	die_while_committing();
	cr_assert_eq(shm_committed_total(seg), pages_by_bits() + RESERVED);
	reclaim();
	cr_expect_eq(shm_committed_total(seg), pages_by_bits());
}

Test(commit, what_the_dead_had_reserved_is_free_again_after_others_have_done)
{
	die_while_committing();
	shm_add(&fixture.self.client->commit_pending, 1);
	reclaim();
	cr_expect_eq(shm_committed_total(seg), pages_by_bits() + RESERVED);
	(void)shm_tick(seg);
	cr_expect_eq(shm_committed_total(seg), pages_by_bits() + RESERVED);
	shm_sub(&fixture.self.client->commit_pending, 1);
	(void)shm_tick(seg);
	cr_expect_eq(shm_committed_total(seg), pages_by_bits());
}

static void
die(void)
{
	_exit(0);
}

Test(commit, what_the_dead_were_giving_back_is_free_again)
{
	pid_t child;

	cr_assert_eq(shm_commit(&fixture.other, off, 8 * SHM_PAGE), 0);
	child = fork();
	if (child == 0) {
		meanwhile = die;
		(void)shm_uncommit(&fixture.other, off, 8 * SHM_PAGE);
		_exit(1);
	}
	cr_assert_eq(waitpid(child, NULL, 0), child);
	cr_assert_eq(shm_committed_total(seg), pages_by_bits() + 8);
	shm_client_death(seg, fixture.other.slot);
	reclaim();
	cr_expect_eq(shm_committed_total(seg), pages_by_bits());
}
