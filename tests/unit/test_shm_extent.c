/*
 * Extents: take, put, coalesce, split, grow, shrink.
 */
#include <criterion/criterion.h>

#include "shm/commit.h"
#include "tests/unit/fixture.h"

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;
static uint64_t off[4]; /* neighbours of 40 pages each */

static void
begin(void)
{
	fixture_begin(&fixture, FIXTURE_LIMIT, 4);
	for (int i = 0; i < 4; i++) {
		off[i] = shm_heap_take_extent(&fixture.self, 40);
		cr_assert(i == 0 || off[i] == off[i - 1] + 40 * SHM_PAGE);
	}
}

static void
end(void)
{
	fixture_end(&fixture);
}

TestSuite(extent, .init = begin, .fini = end);

static void
put(uint64_t o)
{
	shm_heap_put(&fixture.self, 1, &o);
}

static uint64_t
pages_of(uint64_t o)
{
	return shm_heap_size(seg, o) / SHM_PAGE;
}

Test(extent, all_of_it_is_committed_and_usable)
{
	cr_expect_eq(shm_heap_usable(seg, off[1]), 40 * SHM_PAGE);
	cr_expect_eq(shm_committed_pages(seg, off[0], 160 * SHM_PAGE), 160);
	cr_expect_eq(off[1] % SHM_PAGE, 0);
	cr_expect_eq(fixture_state(seg, off[1]), SHM_CACHED);
}

Test(extent, free_between_two_free_neighbours_leaves_one)
{
	uint64_t last = shm_heap_take_extent(&fixture.self, 352);

	cr_assert_eq(last, off[3] + 40 * SHM_PAGE);
	put(off[0]);
	put(off[2]);
	cr_expect_eq(shm_load(&fixture.arena->extent_free_n), 2);
	put(off[1]);
	cr_expect_eq(shm_load(&fixture.arena->extent_free_n), 1);
	cr_expect_eq(pages_of(off[0]), 120);
	cr_expect_eq(shm_load(&fixture.arena->extent_free_pages), 120);
	put(off[3]);
	put(last);
	cr_expect_eq(pages_of(off[0]), 512);
}

Test(extent, takes_the_shortest_that_fits)
{
	put(off[1]);
	cr_expect_eq(shm_heap_take_extent(&fixture.self, 30), off[1]);
	cr_expect_eq(pages_of(off[1]), 30);
	cr_expect_eq(
	    shm_heap_take_extent(&fixture.self, 10), off[1] + 30 * SHM_PAGE);
}

Test(extent, single_pages_are_found_from_behind)
{
	put(off[1]);
	for (int i = 0; i < 40; i++)
		cr_assert_eq(shm_heap_take_extent(&fixture.self, 1),
		    off[1] + (uint64_t)i * SHM_PAGE);
	for (int i = 0; i < 40; i += 2)
		put(off[1] + (uint64_t)i * SHM_PAGE);
	for (int i = 1; i < 40; i += 2)
		put(off[1] + (uint64_t)i * SHM_PAGE);
	cr_expect_eq(pages_of(off[1]), 40);
}

Test(extent, shrinks_in_place)
{
	cr_assert(shm_heap_resize(&fixture.self, off[0], 10 * SHM_PAGE));
	cr_expect_eq(pages_of(off[0]), 10);
	cr_expect_eq(pages_of(off[0] + 10 * SHM_PAGE), 30);
	cr_expect_eq(fixture_state(seg, off[0] + 10 * SHM_PAGE), SHM_FREE);
}

Test(extent, grows_into_what_is_free_behind_and_commits_it)
{
	put(off[1]);
	cr_assert_eq(
	    shm_uncommit(&fixture.self, off[1], 40 * SHM_PAGE), 40 * SHM_PAGE);
	seg->pages[shm_page_of(seg, off[1])].head.size |= SHM_HOLES;
	cr_assert(shm_heap_resize(&fixture.self, off[0], 60 * SHM_PAGE));
	cr_expect_eq(pages_of(off[0]), 60);
	cr_expect_eq(shm_committed_pages(seg, off[0], 60 * SHM_PAGE), 60);
	cr_expect_eq(pages_of(off[0] + 60 * SHM_PAGE), 20);
	cr_expect_not(shm_heap_resize(&fixture.self, off[0], 81 * SHM_PAGE));
}

Test(extent, growing_beyond_the_limit_leaves_it_as_it_was)
{
	uint64_t last = off[3] + 40 * SHM_PAGE;

	/* limit.hard is at least 1 MiB. */
	cr_assert_neq(shm_heap_take_extent(&fixture.self, 512), 0);
	fixture_tune(&fixture, SHM_PARAM_limit_hard,
	    (shm_committed_total(seg) + 4) * SHM_PAGE);
	cr_expect_eq(pages_of(last), 352);
	cr_expect_not(shm_heap_resize(&fixture.self, off[3], 100 * SHM_PAGE));
	cr_expect_eq(pages_of(off[3]), 40);
	cr_expect_eq(pages_of(last), 352);
	fixture_tune(&fixture, SHM_PARAM_limit_hard, FIXTURE_LIMIT);
}

Test(extent, longer_than_a_region_is_a_run)
{
	uint64_t run = shm_heap_take_extent(&fixture.self, 1300);
	uint32_t first, n;

	cr_assert_neq(run, 0);
	cr_assert(shm_region_run(seg, shm_region_of(seg, run) + 2, &first, &n));
	cr_expect_eq(n, 3);
	cr_expect_eq(pages_of(run + 1300 * SHM_PAGE), 3 * 512 - 1300);
	put(run);
	cr_expect_eq(pages_of(run), 3 * 512);
}

Test(extent, neighbours_of_another_run_are_not_merged)
{
	uint64_t a = shm_heap_take_extent(&fixture.self, 512);
	uint64_t b = shm_heap_take_extent(&fixture.self, 512);

	cr_assert_eq(b, a + SHM_REGION);
	put(a);
	put(b);
	cr_expect_eq(pages_of(a), 512);
	cr_expect_eq(pages_of(b), 512);
}

Test(extent, more_than_a_head_can_say_is_too_large)
{
	cr_expect_eq(shm_heap_take_extent(&fixture.self, UINT64_MAX), 0);
	cr_expect_eq(fixture.self.failure, SHM_FAIL_TOO_LARGE);
}

Test(extent, a_second_put_changes_nothing_and_is_counted)
{
	put(off[1]);
	put(off[1]);
	cr_expect_eq(shm_load(&fixture.self.client->misuses), 1);
	cr_expect_eq(shm_load(&fixture.arena->extent_free_n), 2);
}

/* The first extent of a segment begins where the heap does. */
Test(extent, at_the_heaps_first_byte_has_a_tag)
{
	cr_expect_eq(off[0], seg->heap);
	cr_expect_not_null(shm_tag_at(seg, off[0]));
	put(off[0]);
	cr_expect_eq(fixture_state(seg, off[0]), SHM_FREE);
	cr_expect_eq(shm_load(&fixture.self.client->misuses), 0);
}

static void
grow_without_memory(uint32_t pages)
{
	uint32_t page = shm_page_of(seg, off[0]);

	put(off[1]);
	(void)shm_uncommit(&fixture.self, off[1], 40 * SHM_PAGE);
	fixture_lock(&fixture);
	cr_assert_eq(
	    shm_extent_grow_locked(&fixture.self, &seg->arenas[0], page, pages),
	    1);
	fixture_unlock(&fixture);
	cr_expect_eq(pages_of(off[0]), pages);
	cr_expect_eq(shm_heap_usable(seg, off[0]), 40 * SHM_PAGE);
}

Test(extent, that_lacks_pages_is_not_shrunk_to_more_than_it_has)
{
	grow_without_memory(60);
	shm_store(&seg->super->system_pages, 0);
	cr_expect_not(shm_heap_resize(&fixture.self, off[0], 50 * SHM_PAGE));
	cr_assert(shm_arena_trylock(fixture.arena, &fixture.other));
	cr_expect_not(shm_heap_resize(&fixture.self, off[0], 45 * SHM_PAGE));
	shm_store(&seg->super->system_pages, UINT64_MAX);
	cr_expect(shm_heap_resize(&fixture.self, off[0], 45 * SHM_PAGE));
	shm_arena_unlock(fixture.arena);
	cr_expect_geq(shm_heap_usable(seg, off[0]), 45 * SHM_PAGE);
	put(off[0]);
}

/* It grew, got no memory, and the lock stayed away when it was to shrink. */
Test(extent, has_what_is_there_when_it_grew_without_memory)
{
	grow_without_memory(60);
	shm_store(&seg->super->system_pages, 0);
	cr_expect_not(shm_heap_resize(&fixture.self, off[0], 60 * SHM_PAGE));
	shm_store(&seg->super->system_pages, UINT64_MAX);
	cr_expect(shm_heap_resize(&fixture.self, off[0], 60 * SHM_PAGE));
	cr_expect_eq(shm_heap_usable(seg, off[0]), 60 * SHM_PAGE);
	put(off[0]);
}
