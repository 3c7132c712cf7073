/*
 * Chunks of an arena: take, put, coalesce, split, grow, shrink, fastbins.
 */
#include <criterion/criterion.h>

#include "shm/commit.h"
#include "tests/unit/fixture.h"

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;
static uint64_t off[8]; /* neighbours, in order of address */

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

TestSuite(arena, .init = begin, .fini = end);

/* N neighbours of SIZE bytes each. */
static void
row_take(int n, uint32_t size)
{
	cr_assert_eq(
	    shm_heap_take(&fixture.self, size, (uint32_t)n, off), (uint32_t)n);
	for (int i = 1; i < n; i++)
		cr_assert_eq(off[i], off[i - 1] + size);
}

static void
put(uint64_t o)
{
	shm_heap_put(&fixture.self, 1, &o);
}

static uint64_t
size_of(uint64_t o)
{
	return shm_heap_size(seg, o);
}

Test(arena, carves_a_batch_of_neighbours_from_the_top)
{
	row_take(8, 64);
	for (int i = 0; i < 8; i++) {
		cr_expect_eq(fixture_state(seg, off[i]), SHM_CACHED);
		cr_expect_eq(size_of(off[i]), 64);
	}
	cr_expect_eq(shm_load(&fixture.arena->binned_chunks), 0);
}

Test(arena, takes_the_exact_bin_before_it_carves)
{
	uint64_t got;

	row_take(4, 64);
	put(off[1]);
	got = fixture_take(&fixture.self, 64);
	cr_expect_eq(got, off[1]);
}

Test(arena, free_between_two_used_neighbours_stays_alone)
{
	row_take(3, 64);
	put(off[1]);
	cr_expect_eq(size_of(off[1]), 64);
	cr_expect_eq(shm_load(&fixture.arena->binned_chunks), 1);
}

Test(arena, free_behind_a_free_neighbour_becomes_part_of_it)
{
	row_take(4, 64);
	put(off[1]);
	put(off[2]);
	cr_expect_eq(size_of(off[1]), 128);
	cr_expect_eq(shm_load(&fixture.arena->binned_chunks), 1);
	cr_expect_eq(shm_load(&fixture.arena->counters.coalesced_back), 1);
}

Test(arena, free_before_a_free_neighbour_takes_it_in)
{
	row_take(4, 64);
	put(off[2]);
	put(off[1]);
	cr_expect_eq(size_of(off[1]), 128);
	cr_expect_eq(shm_load(&fixture.arena->binned_chunks), 1);
	cr_expect_eq(shm_load(&fixture.arena->counters.coalesced_forward), 1);
}

Test(arena, free_between_two_free_neighbours_leaves_one_chunk)
{
	row_take(5, 64);
	put(off[1]);
	put(off[3]);
	put(off[2]);
	cr_expect_eq(size_of(off[1]), 192);
	cr_expect_eq(shm_load(&fixture.arena->binned_chunks), 1);
	cr_expect_eq(shm_load(&fixture.arena->binned_bytes), 192);
}

Test(arena, free_next_to_the_top_becomes_the_top)
{
	uint64_t before;

	row_take(2, 64);
	before = shm_load(&fixture.arena->top_bytes);
	put(off[1]);
	cr_expect_eq(shm_load(&fixture.arena->top), off[1] - SHM_CHUNK_HEAD);
	cr_expect_eq(shm_load(&fixture.arena->top_bytes), before + 64);
	put(off[0]);
	cr_expect_eq(shm_load(&fixture.arena->top_bytes), SHM_CHUNK_MAX);
}

/* ---- Batches ------------------------------------------------------------- */

/* Put N of the row back at once, in the order of WHICH. */
static void
row_put(int n, const int which[])
{
	uint64_t batch[8];

	for (int i = 0; i < n; i++)
		batch[i] = off[which[i]];
	shm_heap_put(&fixture.self, (size_t)n, batch);
}

Test(arena, a_batch_of_neighbours_leaves_one_chunk_in_any_order)
{
	static const int orders[][4] = { { 1, 2, 3, 4 }, { 4, 3, 2, 1 },
		{ 2, 3, 1, 4 }, { 1, 3, 2, 4 }, { 4, 1, 3, 2 } };

	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		uint32_t first;

		row_take(6, 64);
		row_put(4, orders[i]);
		cr_expect_eq(size_of(off[1]), 256);
		cr_expect_eq(shm_load(&fixture.arena->binned_chunks), 1);
		cr_expect_eq(fixture_check(&fixture, &first), 0);
		put(off[0]);
		put(off[5]);
	}
}

Test(arena, a_batch_becomes_part_of_what_is_free_on_both_sides)
{
	row_take(7, 64);
	put(off[1]);
	put(off[5]);
	row_put(3, (const int[]){ 2, 3, 4 });
	cr_expect_eq(size_of(off[1]), 5 * 64);
	cr_expect_eq(shm_load(&fixture.arena->binned_chunks), 1);
	cr_expect_eq(shm_load(&fixture.arena->counters.coalesced_back), 3);
	cr_expect_eq(shm_load(&fixture.arena->counters.coalesced_forward), 1);
}

Test(arena, a_batch_with_gaps_leaves_a_chunk_for_each_of_its_parts)
{
	row_take(8, 64);
	row_put(4, (const int[]){ 1, 2, 4, 6 });
	cr_expect_eq(size_of(off[1]), 128);
	cr_expect_eq(size_of(off[4]), 64);
	cr_expect_eq(size_of(off[6]), 64);
	cr_expect_eq(shm_load(&fixture.arena->binned_chunks), 3);
}

Test(arena, an_object_that_comes_twice_in_a_batch_is_put_back_once)
{
	row_take(4, 64);
	row_put(4, (const int[]){ 1, 2, 1, 2 });
	cr_expect_eq(size_of(off[1]), 128);
	cr_expect_eq(shm_load(&fixture.arena->binned_chunks), 1);
	cr_expect_eq(shm_load(&fixture.self.client->misuses), 2);
}

Test(arena, a_rebuild_finds_the_piece_that_a_batch_had_open)
{
	uint64_t open = 0;

	row_take(4, 64);
	cr_assert(shm_arena_trylock(fixture.arena, &fixture.self));
	for (int i = 1; i < 3; i++)
		cr_assert_eq(shm_arena_put_next_locked(&fixture.self,
				 fixture.arena, off[i] - SHM_CHUNK_HEAD, &open),
		    0);
	cr_expect_eq(open, off[1] - SHM_CHUNK_HEAD);
	cr_expect_eq(shm_load(&fixture.arena->binned_chunks), 0);
	cr_assert_eq(shm_arena_rebuild_locked(&fixture.self, fixture.arena), 0);
	shm_arena_unlock(fixture.arena);
	cr_expect_eq(size_of(off[1]), 128);
	cr_expect_eq(shm_load(&fixture.arena->binned_chunks), 1);
}

Test(arena, takes_the_best_of_a_large_bin)
{
	uint64_t big[3], gap, got;

	for (int i = 0; i < 3; i++) {
		static const uint32_t size[] = { 2096, 2064, 2080 };

		big[i] = fixture_take(&fixture.self, size[i]);
		gap = fixture_take(&fixture.self, 32);
	}
	(void)gap;
	for (int i = 0; i < 3; i++)
		put(big[i]);
	got = fixture_take(&fixture.self, 2064);
	cr_expect_eq(got, big[1]);
	got = fixture_take(&fixture.self, 2064);
	cr_expect_eq(got, big[2]);
}

Test(arena, a_rest_too_small_for_a_chunk_stays_with_the_front)
{
	uint64_t got;

	row_take(3, 4096);
	put(off[1]);
	got = fixture_take(&fixture.self, 4096 - 16);
	cr_expect_eq(got, off[1]);
	cr_expect_eq(size_of(got), 4096);
}

Test(arena, splits_what_is_left_into_a_free_chunk)
{
	uint64_t got;

	row_take(3, 4096);
	put(off[1]);
	got = fixture_take(&fixture.self, 1024);
	cr_expect_eq(got, off[1]);
	cr_expect_eq(size_of(got), 1024);
	cr_expect_eq(size_of(got + 1024), 3072);
	cr_expect_eq(fixture_state(seg, got + 1024), SHM_FREE);
}

Test(arena, the_last_chunk_of_a_region_ends_before_its_tail)
{
	uint64_t all = fixture_take(&fixture.self, SHM_CHUNK_MAX);

	cr_expect_eq(size_of(all), SHM_CHUNK_MAX);
	cr_expect_eq(
	    all - SHM_CHUNK_HEAD, shm_region_off(seg, shm_region_of(seg, all)));
	cr_expect_eq(shm_load(&fixture.arena->top), 0);
	/* Its last usable byte is the region's last but eight. */
	seg->base[all + shm_heap_usable(seg, all) - 1] = 1;
	put(all);
	cr_expect_eq(shm_load(&fixture.arena->binned_bytes), SHM_CHUNK_MAX);
}

Test(arena, a_full_region_is_followed_by_another)
{
	uint64_t first = fixture_take(&fixture.self, SHM_CHUNK_MAX);
	uint64_t next = fixture_take(&fixture.self, 64);

	cr_expect_neq(shm_region_of(seg, first), shm_region_of(seg, next));
	cr_expect_eq(shm_load(&fixture.arena->n_regions), 2);
}

Test(arena, of_two_tops_the_larger_stays_and_the_other_is_binned)
{
	uint64_t first = fixture_take(&fixture.self, SHM_CHUNK_MAX - 4096);
	uint64_t next = fixture_take(&fixture.self, 8192);

	cr_expect_eq(shm_load(&fixture.arena->binned_bytes), 4096);
	cr_expect_eq(shm_load(&fixture.arena->top_bytes), SHM_CHUNK_MAX - 8192);
	put(first);
	cr_expect_eq(shm_load(&fixture.arena->binned_bytes), SHM_CHUNK_MAX);
	put(next);
}

/* ---- Pages --------------------------------------------------------------- */

Test(arena, what_is_taken_has_its_pages)
{
	for (uint32_t size = 32; size < 200000; size = size * 3 / 16 * 16) {
		uint64_t got = fixture_take(&fixture.self, size);

		cr_assert_eq(shm_committed_prefix(seg, got - SHM_CHUNK_HEAD,
				 size + SHM_CHUNK_OVER),
		    size + SHM_CHUNK_OVER);
	}
}

Test(arena, at_the_limit_it_fails_and_what_was_taken_out_is_back)
{
	uint64_t got, n = 0;

	fixture_tune(&fixture, SHM_PARAM_limit_hard, 4 << 20);
	while (shm_heap_take(&fixture.self, 65536, 1, &got))
		n++;
	cr_expect_eq(fixture.self.failure, SHM_FAIL_FULL);
	cr_expect_gt(n, 20);
	cr_expect_leq(shm_committed_total(seg) * SHM_PAGE, 4 << 20);
}

Test(arena, free_bytes_in_small_pieces_fail_as_fragmented)
{
	static uint64_t piece[8192];
	uint32_t n = 0;
	uint64_t got;

	fixture_tune(&fixture, SHM_PARAM_limit_hard, 4 << 20);
	while (n < 8192 && shm_heap_take(&fixture.self, 1024, 1, &piece[n]))
		n++;
	for (uint32_t i = 0; i < n; i += 2)
		put(piece[i]);
	cr_expect_eq(shm_heap_take(&fixture.self, 65536, 1, &got), 0);
	cr_expect_eq(fixture.self.failure, SHM_FAIL_FRAGMENTED);
}

/* ---- Resizing ------------------------------------------------------------ */

Test(arena, shrinks_in_place_and_frees_what_is_behind)
{
	row_take(2, 4096);
	cr_assert(shm_heap_resize(&fixture.self, off[0], 1000));
	cr_expect_eq(size_of(off[0]), 1008);
	cr_expect_eq(fixture_state(seg, off[0] + 1008), SHM_FREE);
	cr_expect_eq(fixture_state(seg, off[0]), SHM_CACHED);
}

Test(arena, does_not_shrink_by_less_than_a_chunk)
{
	row_take(2, 4096);
	cr_assert(shm_heap_resize(&fixture.self, off[0], 4096 - 32));
	cr_expect_eq(size_of(off[0]), 4096);
}

Test(arena, grows_into_the_free_chunk_behind)
{
	row_take(3, 4096);
	put(off[1]);
	cr_assert(shm_heap_resize(&fixture.self, off[0], 6000));
	cr_expect_eq(size_of(off[0]), shm_chunk_size(6000));
	cr_assert(shm_heap_resize(&fixture.self, off[0], 8192 - 8));
	cr_expect_eq(size_of(off[0]), 8192);
	cr_expect_not(shm_heap_resize(&fixture.self, off[0], 8192));
}

Test(arena, does_not_grow_into_a_used_chunk)
{
	row_take(2, 4096);
	cr_expect_not(shm_heap_resize(&fixture.self, off[0], 5000));
	cr_expect_eq(size_of(off[0]), 4096);
}

Test(arena, does_not_grow_into_pages_that_are_absent)
{
	uint64_t got = fixture_take(&fixture.self, 4096);

	cr_expect_not(shm_heap_resize(&fixture.self, got, 1 << 20));
	cr_expect_eq(size_of(got), 4096);
}

Test(arena, aligned_payloads_are_aligned_and_give_back_the_rest)
{
	for (uint32_t align = 32; align <= SHM_PAGE; align *= 2) {
		uint64_t got = shm_heap_take_aligned(&fixture.self, 160, align);

		cr_assert_neq(got, 0);
		cr_expect_eq(got % align, 0);
		cr_expect_lt(size_of(got), 160 + SHM_CHUNK_MIN);
		cr_expect_eq(fixture_state(seg, got), SHM_CACHED);
		(void)fixture_take(&fixture.self, 48);
	}
}

/* ---- Fastbins ------------------------------------------------------------ */

Test(arena, fastbins_keep_small_chunks_uncoalesced)
{
	fixture_tune(&fixture, SHM_PARAM_fastbin_max, 64);
	row_take(8, 64);
	put(off[1]);
	put(off[2]);
	cr_expect_eq(size_of(off[1]), 64);
	cr_expect_eq(fixture_state(seg, off[1]), SHM_FAST);
	cr_expect_eq(shm_load(&fixture.arena->fast_bytes), 128);
	cr_expect_eq(fixture_take(&fixture.self, 64), off[2]);
	cr_expect_eq(fixture_take(&fixture.self, 64), off[1]);
}

Test(arena, fastbins_take_nothing_larger_than_their_limit)
{
	fixture_tune(&fixture, SHM_PARAM_fastbin_max, 64);
	row_take(4, 80);
	put(off[1]);
	cr_expect_eq(fixture_state(seg, off[1]), SHM_FREE);
}

Test(arena, fastbins_beyond_fastbin_limit_are_coalesced)
{
	fixture_tune(&fixture, SHM_PARAM_fastbin_max, 64);
	fixture_tune(&fixture, SHM_PARAM_fastbin_limit, 128);
	row_take(8, 64);
	put(off[1]);
	put(off[2]);
	cr_expect_eq(shm_load(&fixture.arena->fast_chunks), 2);
	put(off[3]);
	cr_expect_eq(shm_load(&fixture.arena->fast_chunks), 0);
	cr_expect_eq(size_of(off[1]), 192);
	cr_expect_eq(shm_load(&fixture.arena->counters.consolidations), 1);
}

Test(arena, fastbins_are_coalesced_when_nothing_else_fits)
{
	uint64_t all, part, got;

	fixture_tune(&fixture, SHM_PARAM_fastbin_max, 512);
	row_take(8, 512);
	all = shm_load(&fixture.arena->top_bytes);
	part = fixture_take(&fixture.self, (uint32_t)all);
	for (int i = 0; i < 8; i++)
		put(off[i]);
	got = fixture_take(&fixture.self, 4096);
	cr_expect_eq(got, off[0]);
	put(part);
}

/* ---- Misuse -------------------------------------------------------------- */

Test(arena, a_second_put_changes_nothing_and_is_counted)
{
	row_take(3, 64);
	put(off[1]);
	put(off[1]);
	cr_expect_eq(shm_load(&fixture.self.client->misuses), 1);
	cr_expect_eq(shm_load(&fixture.arena->binned_chunks), 1);
}

Test(arena, a_put_of_what_another_client_has_changes_nothing)
{
	uint64_t theirs = fixture_take(&fixture.other, 64);

	put(theirs);
	cr_expect_eq(shm_load(&fixture.self.client->misuses), 1);
	cr_expect_eq(fixture_state(seg, theirs), SHM_CACHED);
}

Test(arena, offsets_that_are_none_are_refused)
{
	uint64_t used = fixture_take(&fixture.self, 64);
	const uint64_t bad[] = { 0, 16, used + 8, used + 16, seg->heap,
		seg->heap + SHM_CHUNK_MAX + 16, seg->len - 16, seg->len,
		UINT64_MAX, UINT64_MAX & ~15ull, used + SHM_REGION };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		put(bad[i]);
	cr_expect_eq(shm_load(&fixture.self.client->misuses),
	    sizeof(bad) / sizeof(*bad));
}

/* ---- Locks --------------------------------------------------------------- */

Test(arena, a_locked_arena_means_another_one)
{
	uint64_t got;

	fixture_lock(&fixture);
	got = fixture_take(&fixture.other, 64);
	cr_expect_eq(
	    shm_entry_arena(shm_region_get(seg, shm_region_of(seg, got))), 1);
	cr_expect_eq(shm_load(&fixture.arena->slept), 0);
	fixture_unlock(&fixture);
}

Test(arena, a_put_into_a_locked_arena_goes_to_its_remote_list)
{
	uint64_t got = fixture_take(&fixture.other, 64);

	fixture_lock(&fixture);
	shm_heap_put(&fixture.other, 1, &(uint64_t){ got });
	cr_expect_eq(fixture_state(seg, got), SHM_REMOTE);
	cr_expect_eq(shm_load(&fixture.arena->remote), got);
	fixture_unlock(&fixture);
}
