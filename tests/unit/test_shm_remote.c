/*
 * Remote lists: push, drain, and what a kill between the steps leaves.
 */
#include <criterion/criterion.h>

#include "tests/unit/fixture.h"

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;
static uint64_t off[8];

static void
begin(void)
{
	fixture_begin(&fixture, FIXTURE_LIMIT, 4);
	cr_assert_eq(shm_heap_take(&fixture.self, 64, 8, off), 8);
}

static void
end(void)
{
	fixture_end(&fixture);
}

TestSuite(remote, .init = begin, .fini = end);

static size_t
push(size_t n, const uint64_t o[])
{
	return shm_remote_push(&fixture.self, fixture.arena, n, o);
}

static void
drain(void)
{
	fixture_lock(&fixture);
	cr_expect_eq(shm_remote_drain_locked(&fixture.self, fixture.arena), 0);
	fixture_unlock(&fixture);
}

Test(remote, a_push_tags_what_it_pushes)
{
	cr_expect_eq(push(3, off), 3);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(fixture_state(seg, off[i]), SHM_REMOTE);
	cr_expect_eq(fixture_state(seg, off[3]), SHM_CACHED);
	cr_expect_eq(shm_load(&fixture.arena->remote_pushed), 3);
	cr_expect_eq(shm_load(&fixture.self.client->remote_pushed), 3);
}

Test(remote, a_push_leaves_out_what_is_not_the_pushers)
{
	fixture_tag(seg, off[1], &fixture.self, SHM_OWNED);
	shm_self_visit(&fixture.other, shm_region_of(seg, off[2]));
	fixture_tag(seg, off[2], &fixture.other, SHM_CACHED);
	cr_expect_eq(push(4, off), 2);
	cr_expect_eq(fixture_state(seg, off[1]), SHM_OWNED);
	cr_expect_eq(fixture_state(seg, off[2]), SHM_CACHED);
	drain();
	cr_expect_eq(shm_load(&fixture.arena->counters.drained), 2);
}

Test(remote, a_second_push_of_the_same_is_left_out)
{
	cr_expect_eq(push(1, off), 1);
	cr_expect_eq(push(1, off), 0);
	drain();
	cr_expect_eq(fixture_state(seg, off[0]), SHM_FREE);
}

Test(remote, a_drain_frees_and_coalesces_all_of_it)
{
	cr_expect_eq(push(8, off), 8);
	drain();
	cr_expect_eq(shm_load(&fixture.arena->remote), 0);
	cr_expect_eq(shm_load(&fixture.arena->top_bytes), SHM_CHUNK_MAX);
}

Test(remote, extents_go_on_the_same_list)
{
	uint64_t extent = shm_heap_take_extent(&fixture.self, 40);

	cr_expect_eq(push(2, (uint64_t[]){ off[0], extent }), 2);
	cr_expect_eq(fixture_state(seg, extent), SHM_REMOTE);
	drain();
	cr_expect_eq(fixture_state(seg, extent), SHM_FREE);
	cr_expect_eq(shm_load(&fixture.arena->extent_free_pages), 512);
}

/* Killed after the mark, or after the cut: a rebuild links what is FREE. */
Test(remote, a_rebuild_ends_what_a_killed_drain_began)
{
	uint64_t cut;

	cr_expect_eq(push(4, off), 4);
	fixture_lock(&fixture);
	fixture_tag(seg, off[3], NULL, SHM_FREE);
	fixture_tag(seg, off[2], NULL, SHM_FREE);
	cr_expect_eq(shm_arena_rebuild_locked(&fixture.self, fixture.arena), 0);
	fixture_unlock(&fixture);
	cr_expect_eq(shm_load(&fixture.arena->remote), 0);
	cr_expect_eq(shm_heap_size(seg, off[0]), 256);
	cr_expect_eq(push(2, off + 4), 2);
	fixture_lock(&fixture);
	cr_expect_eq(
	    shm_remote_cut_locked(&fixture.self, fixture.arena, false, &cut),
	    0);
	cr_expect_neq(cut, 0);
	cr_expect_eq(shm_arena_rebuild_locked(&fixture.self, fixture.arena), 0);
	fixture_unlock(&fixture);
	cr_expect_eq(shm_heap_size(seg, off[0]), 384);
}

Test(remote, a_list_that_leads_nowhere_is_refused)
{
	const uint64_t bad[] = { 16, UINT64_MAX, off[0] + 8, off[0], seg->heap,
		seg->len };

	fixture.is_damaged = true;
	fixture_lock(&fixture);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		shm_store(&fixture.arena->remote, bad[i]);
		cr_expect_eq(
		    shm_remote_drain_locked(&fixture.self, fixture.arena),
		    SHM_ECORRUPT);
	}
	fixture_unlock(&fixture);
}

Test(remote, a_list_that_is_a_cycle_ends)
{
	uint64_t head;

	fixture.is_damaged = true;
	cr_expect_eq(push(2, off), 2);
	head = shm_load(&fixture.arena->remote);
	shm_store((_Atomic uint64_t *)(void *)(seg->base + off[0]), head);
	shm_store((_Atomic uint64_t *)(void *)(seg->base + off[1]), head);
	fixture_lock(&fixture);
	cr_expect_eq(shm_remote_drain_locked(&fixture.self, fixture.arena),
	    SHM_ECORRUPT);
	cr_expect_eq(shm_arena_rebuild_locked(&fixture.self, fixture.arena),
	    SHM_ECORRUPT);
	fixture_unlock(&fixture);
	cr_expect_eq(shm_load(&fixture.arena->state), SHM_ARENA_SICK);
}
