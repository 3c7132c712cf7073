/*
 * Huge pages: for regions that stay whole, without a change of what is in them.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "shm/commit.h"
#include "shm/huge.h"
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
