/*
 * Huge pages: for regions that stay whole, without a change of what is in them.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/huge.h"
#include "shm/region.h"
#include "tests/unit/fixture.h"

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;
static struct shm_huge huge;

static void
begin(void)
{
	fixture_begin(&fixture, FIXTURE_LIMIT, 4);
	memset(&huge, 0, sizeof(huge));
}

static void
end(void)
{
	shm_huge_forget(&huge);
	fixture_end(&fixture);
}

TestSuite(huge, .init = begin, .fini = end);

/* Take so many bytes as N regions have, and write to them. */
static void
regions_fill(uint32_t n)
{
	uint64_t bytes = 0;

	while (bytes < (uint64_t)n * SHM_REGION) {
		uint64_t off = fixture_take(&fixture.self, 1024);

		memset(seg->base + off, (int)(off >> 8),
		    shm_heap_usable(seg, off));
		bytes += shm_heap_size(seg, off);
	}
}

static bool
is_whole(uint32_t region)
{
	return shm_committed_pages(seg, shm_region_off(seg, region),
		   SHM_REGION) == SHM_REGION_PAGES;
}

/* KiB of this process's mappings that are huge. */
static unsigned long
huge_kib(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	unsigned long sum = 0, kib;
	char line[128];

	cr_assert_not_null(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "ShmemPmdMapped: %lu kB", &kib) == 1)
			sum += kib;
	(void)fclose(file);
	return sum;
}

/* Look, and collapse what is wanted, as the timer does. */
static uint32_t
ticks(void)
{
	for (int i = 0; i < 3; i++) {
		(void)shm_huge_look(seg, &huge);
		shm_huge_collapse(seg, &huge, 8);
	}
	(void)shm_huge_look(seg, &huge);
	return huge.n;
}

Test(huge, a_region_is_wanted_when_it_was_whole_for_two_looks_more)
{
	regions_fill(2);
	cr_assert(is_whole(0));
	cr_expect(!shm_huge_look(seg, &huge));
	cr_expect(shm_huge_look(seg, &huge));
	cr_expect(shm_huge_look(seg, &huge));
}

Test(huge, a_region_that_lacks_a_page_is_not_wanted)
{
	(void)fixture_take(&fixture.self, 30000);
	cr_assert(!is_whole(0));
	for (int i = 0; i < 4; i++)
		cr_expect(!shm_huge_look(seg, &huge));
}

Test(huge, what_is_in_a_region_and_what_it_takes_stay_as_they_were)
{
	uint64_t off = shm_region_off(seg, 0), committed;
	static char before[SHM_REGION];
	struct stat first, then;

	regions_fill(2);
	memcpy(before, seg->base + off, SHM_REGION);
	committed = shm_committed_total(seg);
	cr_assert_eq(fstat(seg->fd, &first), 0);
	(void)ticks();
	if (huge.is_denied)
		cr_skip_test("the kernel has no MADV_COLLAPSE for memfds");
	cr_expect_geq(huge.n, 1);
	cr_expect_geq(huge_kib(), huge.n * 2048);
	cr_expect_eq(memcmp(before, seg->base + off, SHM_REGION), 0);
	cr_expect_eq(shm_committed_total(seg), committed);
	cr_assert_eq(fstat(seg->fd, &then), 0);
	cr_expect_eq(first.st_blocks, then.st_blocks);
}

Test(huge, a_punched_region_gets_one_again_when_it_is_whole)
{
	uint64_t off = fixture_take(&fixture.self, 300000);
	uint32_t n;

	off = (off / SHM_PAGE + 10) * SHM_PAGE;
	regions_fill(2);
	n = ticks();
	if (huge.is_denied)
		cr_skip_test("the kernel has no MADV_COLLAPSE for memfds");
	cr_assert_geq(n, 1);
	cr_expect_eq(shm_uncommit(&fixture.self, off, SHM_PAGE), SHM_PAGE);
	(void)shm_huge_look(seg, &huge);
	cr_expect_eq(huge.n, n - 1);
	cr_assert_eq(shm_commit(&fixture.self, off, SHM_PAGE), 0);
	cr_expect_eq(ticks(), n);
}

/* ---- Regions that are punched at the wrong moment ------------------------ */

#define HOLE_SIZE 300000

static void (*meanwhile)(void);
static uint64_t hole;

/* The C library's, with something that happens just before it. */
int
madvise(void *at, size_t len, int advice)
{
	if (advice == 25 && meanwhile) /* MADV_COLLAPSE */
		meanwhile();
	return (int)syscall(SYS_madvise, at, len, advice);
}

static uint64_t
resident(void)
{
	struct stat status;

	cr_assert_eq(fstat(seg->fd, &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

/* A chunk between used ones, in a region that is whole. */
static void
hole_take(void)
{
	hole = fixture_take(&fixture.self, HOLE_SIZE);
	regions_fill(2);
	cr_assert(is_whole(0));
}

static void
hole_free(void)
{
	shm_heap_put(&fixture.self, 1, &hole);
	meanwhile = NULL;
	cr_assert_gt(shm_trim(seg, -1, false), HOLE_SIZE / 2);
}

/* As the kernel does: with pages that have been written to. */
static void
hole_fill(void)
{
	uint64_t first = (hole + 2 * SHM_PAGE) / SHM_PAGE * SHM_PAGE;

	memset(seg->base + first, 0, 60 * SHM_PAGE);
}

/* The decay of all that has been punched before. */
static void
sweep(void)
{
	shm_huge_settle(seg, &huge);
	shm_store(&fixture.arena->free_since_ms,
	    shm_load(&seg->super->clock_ms) - 10001);
	(void)shm_tick(seg);
	shm_huge_settle(seg, &huge);
}

Test(huge, what_was_punched_since_the_look_stays_so)
{
	uint64_t before;

	hole_take();
	(void)shm_huge_look(seg, &huge);
	cr_assert(shm_huge_look(seg, &huge));
	hole_free();
	before = resident();
	shm_huge_collapse(seg, &huge, 1);
	cr_expect_leq(resident(), before);
}

Test(huge, what_is_punched_while_it_gets_a_page_goes_back)
{
	uint64_t full, before;

	hole_take();
	shm_huge_settle(seg, &huge);
	(void)shm_huge_look(seg, &huge);
	cr_assert(shm_huge_look(seg, &huge));
	full = resident();
	meanwhile = hole_free;
	shm_huge_collapse(seg, &huge, 1);
	cr_assert_null(meanwhile);
	if (huge.is_denied)
		cr_skip_test("the kernel has no MADV_COLLAPSE for memfds");
	before = resident();
	/* A kernel that refuses to fill holes has nothing to give back. */
	sweep();
	cr_expect_leq(resident(), before);
	cr_expect_lt(resident(), full - HOLE_SIZE / 2);
	cr_expect_eq(seg->filled[0], SHM_FILLED_NOT);
}

Test(huge, a_new_daemon_gives_back_what_the_one_before_had_filled)
{
	uint64_t before;

	hole_take();
	hole_free();
	(void)shm_tick(seg); /* commits ahead */
	before = resident();
	hole_fill();
	cr_assert_eq(resident(), before + 60 * SHM_PAGE);
	sweep();
	cr_expect_leq(resident(), before);
	cr_expect_eq(seg->filled[0], SHM_FILLED_NOT);
}

Test(huge, an_extent_of_one_page_that_was_filled_goes_back)
{
	uint64_t off = shm_heap_take_extent(&fixture.self, 1), before;

	cr_assert_neq(shm_heap_take_extent(&fixture.self, 1), 0);
	shm_heap_put(&fixture.self, 1, &off);
	(void)shm_trim(seg, -1, false);
	(void)shm_tick(seg);
	before = resident();
	memset(seg->base + off, 0, SHM_PAGE);
	cr_assert_eq(resident(), before + SHM_PAGE);
	sweep();
	cr_expect_leq(resident(), before);
}

Test(huge, a_free_region_that_was_filled_is_emptied)
{
	uint64_t off, before;
	uint32_t region;

	hole_take();
	cr_assert_eq(shm_region_claim(&fixture.self, 1, false, &region), 0);
	shm_region_return(&fixture.self, region, 1);
	off = shm_region_off(seg, region);
	before = resident();
	memset(seg->base + off, 0, SHM_REGION);
	cr_assert_eq(resident(), before + SHM_REGION);
	shm_huge_settle(seg, &huge);
	cr_expect_eq(resident(), before);
	cr_expect_eq(shm_region_get(seg, region), 0);
}
