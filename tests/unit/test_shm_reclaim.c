/*
 * Reclaim: what the dead held goes back as its state says, locks they held are
 * repaired, and their slots are free again.
 */
#include <criterion/criterion.h>

#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/epoch.h"
#include "shm/tally.h"
#include "shm/thread.h"
#include "tests/unit/fixture.h"

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;
static struct shm_reclaimed sum;

static void
begin(void)
{
	fixture_begin(&fixture, FIXTURE_LIMIT, 4);
	sum = (struct shm_reclaimed){ 0 };
}

static void
end(void)
{
	fixture_end(&fixture);
}

TestSuite(reclaim, .init = begin, .fini = end);

/* The other client dies; the last step's result. */
static int
reclaim(void)
{
	int result = 0;

	shm_client_death(seg, fixture.other.slot);
	for (int i = 0; i < 100 && result == 0; i++)
		result = shm_reclaim_step(seg, fixture.other.slot, 100, &sum);
	return result;
}

static uint64_t
take(enum shm_state state)
{
	uint64_t off = fixture_take(&fixture.other, 64);

	fixture_tag(seg, off, &fixture.other, state);
	return off;
}

Test(reclaim, frees_what_the_dead_had_to_itself)
{
	uint64_t owned = take(SHM_OWNED), cached = take(SHM_CACHED);
	uint64_t mine = fixture_take(&fixture.self, 64);

	cr_assert_eq(reclaim(), 1);
	cr_expect_eq(fixture_state(seg, owned), SHM_FREE);
	cr_expect_eq(fixture_state(seg, cached), SHM_FREE);
	cr_expect_eq(fixture_state(seg, mine), SHM_CACHED);
	cr_expect_eq(sum.chunks, 2);
	cr_expect_eq(sum.bytes, 128);
	cr_expect_eq(
	    shm_load(&seg->clients[fixture.other.slot].state), SHM_CLIENT_FREE);
}

Test(reclaim, leaves_what_was_published)
{
	uint64_t off = fixture_take(&fixture.other, 64);

	fixture_tag(seg, off, NULL, SHM_SHARED);
	cr_assert_eq(reclaim(), 1);
	cr_expect_eq(fixture_state(seg, off), SHM_SHARED);
	cr_expect_eq(sum.chunks, 0);
}

Test(reclaim, waits_with_what_readers_may_see_until_they_have_left)
{
	struct shm_pin *pin = &seg->threads[fixture.self.thread].pin;
	uint64_t unlinked = take(SHM_UNLINKED), retired = take(SHM_RETIRED);
	uint64_t owned = take(SHM_OWNED);

	shm_epoch_enter(seg, pin);
	cr_assert_eq(reclaim(), SHM_ERETRY);
	cr_expect_eq(fixture_state(seg, owned), SHM_FREE);
	cr_expect_eq(fixture_state(seg, unlinked), SHM_UNLINKED);
	cr_expect_eq(fixture_state(seg, retired), SHM_RETIRED);
	shm_epoch_exit(pin);
	cr_assert_eq(reclaim(), 1);
	cr_expect_eq(fixture_state(seg, unlinked), SHM_FREE);
	cr_expect_eq(fixture_state(seg, retired), SHM_FREE);
}

Test(reclaim, does_not_wait_for_readers_that_entered_after_it_began)
{
	struct shm_pin *before = &seg->threads[fixture.self.thread].pin;
	struct shm_pin *after = &seg->pins->pin[SHM_DAEMON_THREAD + 1];
	uint64_t retired = take(SHM_RETIRED);

	shm_epoch_enter(seg, before);
	cr_assert_eq(reclaim(), SHM_ERETRY);
	shm_put(&seg->pins->high, SHM_DAEMON_THREAD + 1);
	shm_epoch_enter(seg, after);
	shm_epoch_exit(before);
	cr_assert_eq(reclaim(), 1);
	cr_expect_eq(fixture_state(seg, retired), SHM_FREE);
	shm_epoch_exit(after);
}

Test(reclaim, frees_extents_and_their_runs_stay_whole)
{
	uint64_t a = shm_heap_take_extent(&fixture.other, 700);
	uint64_t b = shm_heap_take_extent(&fixture.self, 40);

	cr_assert(a && b);
	cr_assert_eq(reclaim(), 1);
	cr_expect_eq(fixture_state(seg, a), SHM_FREE);
	cr_expect_eq(fixture_state(seg, b), SHM_CACHED);
	cr_expect_eq(sum.bytes, 700 * SHM_PAGE);
}

Test(reclaim, returns_regions_on_their_way_in)
{
	uint64_t before = shm_committed_total(seg);
	uint32_t region;

	cr_assert_eq(shm_region_claim(&fixture.other, 2, false, &region), 0);
	cr_assert_eq(
	    shm_commit(&fixture.other, shm_region_off(seg, region), SHM_PAGE),
	    0);
	cr_assert_eq(reclaim(), 1);
	cr_expect_eq(shm_region_get(seg, region), 0);
	cr_expect_eq(shm_region_get(seg, region + 1), 0);
	cr_expect_leq(shm_committed_total(seg), before + 2);
}

/* Killed before the front was written: no run covers what is MORE. */
Test(reclaim, returns_a_run_without_its_front)
{
	uint32_t region;

	cr_assert_eq(shm_region_claim(&fixture.other, 3, true, &region), 0);
	for (uint32_t i = 1; i < 3; i++)
		shm_put(&seg->regions[region + i],
		    shm_region_entry(SHM_REGION_MORE, 0, fixture.other.slot,
			fixture.other.generation));
	cr_assert_eq(reclaim(), 1);
	for (uint32_t i = 0; i < 3; i++)
		cr_expect_eq(shm_region_get(seg, region + i), 0);
}

Test(reclaim, repairs_the_arena_whose_lock_the_dead_held)
{
	uint64_t off = take(SHM_OWNED), got;
	uint64_t c = off - SHM_CHUNK_HEAD;

	/* As a kill in the middle of a put leaves it. */
	cr_assert(shm_arena_trylock(fixture.arena, &fixture.other));
	fixture_tag(seg, off, NULL, SHM_FREE);
	cr_expect_eq(shm_repair_dead_locks(seg), 0);
	cr_assert_eq(reclaim(), 1);
	cr_expect_eq(shm_load(&fixture.arena->lock), 0);
	cr_expect_eq(shm_load(&fixture.arena->owner_deaths), 1);
	cr_expect_eq(shm_load(&seg->super->recovered_locks), 1);
	cr_expect_eq(shm_load(&fixture.arena->top), c);
	got = fixture_take(&fixture.self, 64);
	cr_expect_eq(got, off);
}

Test(reclaim, goes_on_where_a_killed_reclaim_stopped)
{
	uint64_t before;

	for (int i = 0; i < 1000; i++)
		(void)take(SHM_OWNED);
	(void)fixture_take(&fixture.other, SHM_CHUNK_MAX);
	shm_client_death(seg, fixture.other.slot);
	cr_expect_eq(shm_reclaim_step(seg, fixture.other.slot, 1, &sum), 0);
	cr_expect_lt(sum.chunks, 1001);
	cr_expect_eq(
	    shm_load(&seg->clients[fixture.other.slot].state), SHM_CLIENT_DEAD);
	before = sum.chunks;
	/* The next daemon. */
	cr_assert_eq(shm_daemon_start(seg), 0);
	cr_expect_eq(reclaim(), 1);
	cr_expect_eq(before + sum.chunks, 1001);
}

#define RUN     8u  /* regions */
#define EXTENTS 200 /* in it */

/* A run of extents, every second of which is the other client's. */
static uint32_t
run_make(void)
{
	uint64_t off[EXTENTS], all;
	uint32_t n = 0;

	all = shm_heap_take_extent(&fixture.self, RUN * SHM_REGION_PAGES);
	cr_assert_neq(all, 0);
	shm_heap_put(&fixture.self, 1, &(uint64_t){ all });
	for (int i = 0; i < EXTENTS; i++) {
		off[i] = shm_heap_take_extent(
		    i % 2 ? &fixture.other : &fixture.self, 20);
		n += off[i] >= all && off[i] < all + RUN * SHM_REGION;
	}
	cr_assert_eq(n, EXTENTS);
	return shm_region_of(seg, all);
}

static bool
has_bits(uint32_t slot, uint32_t first, uint32_t n)
{
	bool has = false;

	for (uint32_t i = first; i < first + n; i++)
		has |=
		    shm_load(
			&seg->client_bits[slot * seg->n_bit_words + i / 64]) >>
			i % 64 &
		    1;
	return has;
}

Test(reclaim, walks_a_run_once_whatever_its_bits_say)
{
	uint32_t first = run_make();

	for (uint32_t i = 0; i < RUN; i++)
		shm_self_visit(&fixture.other, first + i);
	shm_client_death(seg, fixture.other.slot);
	cr_assert_eq(
	    shm_reclaim_step(seg, fixture.other.slot, 100000, &sum), 1);
	cr_expect_eq(sum.chunks, EXTENTS / 2);
	cr_expect_eq(sum.regions, 1);
	cr_expect_not(has_bits(fixture.other.slot, first, RUN));
}

Test(reclaim, of_a_run_goes_on_inside_of_it)
{
	int result = 0, slices = 0;

	(void)run_make();
	shm_client_death(seg, fixture.other.slot);
	for (; result == 0; slices++) {
		uint64_t before = sum.chunks;

		result = shm_reclaim_step(seg, fixture.other.slot, 16, &sum);
		cr_expect_leq(sum.chunks - before, 16);
	}
	cr_expect_eq(result, 1);
	cr_expect_geq(slices, EXTENTS / 2 / 16);
	cr_expect_eq(sum.chunks, EXTENTS / 2);
}

/* What must wait for readers in one slice is not forgotten in the next. */
Test(reclaim, of_a_run_in_slices_waits_for_readers)
{
	struct shm_pin *pin = &seg->threads[fixture.self.thread].pin;
	uint64_t first = shm_heap_take_extent(&fixture.other, 20);

	fixture_tag(seg, first, &fixture.other, SHM_RETIRED);
	for (int i = 0; i < 50; i++)
		(void)shm_heap_take_extent(&fixture.other, 5);
	shm_epoch_enter(seg, pin);
	shm_client_death(seg, fixture.other.slot);
	for (int i = 0; i < 100; i++)
		cr_assert_neq(
		    shm_reclaim_step(seg, fixture.other.slot, 8, &sum), 1);
	cr_expect_eq(fixture_state(seg, first), SHM_RETIRED);
	shm_epoch_exit(pin);
	cr_assert_eq(reclaim(), 1);
	cr_expect_eq(fixture_state(seg, first), SHM_FREE);
}

/* A client may have written whatever it likes over the table of regions. */
Test(reclaim, of_regions_in_no_run_looks_for_its_beginning_once)
{
	uint64_t used = shm_load(&seg->super->watermark);
	uint32_t n = 3000, first = shm_regions_used(seg);

	shm_store(&seg->super->watermark, (uint64_t)(first + n) * SHM_REGION);
	for (uint32_t i = first; i < first + n; i++) {
		shm_store(&seg->regions[i],
		    shm_region_entry(SHM_REGION_MORE, 0, 2 + i % 2, 0));
		shm_self_visit(&fixture.other, i);
	}
	shm_client_death(seg, fixture.other.slot);
	cr_assert_eq(
	    shm_reclaim_step(seg, fixture.other.slot, 100000, &sum), 1);
	cr_expect_eq(sum.regions, 1);
	cr_expect_not(has_bits(fixture.other.slot, first, n));
	for (uint32_t i = first; i < first + n; i++)
		shm_store(&seg->regions[i], 0);
	shm_store(&seg->super->watermark, used);
}

/* Both clients die, and the turn of fixture.self has come before. */
static void
both_die(void)
{
	shm_client_death(seg, fixture.self.slot);
	shm_client_death(seg, fixture.other.slot);
	cr_assert_eq(shm_reclaim_step(seg, fixture.self.slot, 0, &sum), 0);
}

Test(reclaim, of_one_gives_back_what_the_other_dead_had_there)
{
	uint64_t off[10];

	for (int i = 0; i < 10; i++) {
		off[i] = fixture_take(&fixture.self, 64);
		(void)take(SHM_OWNED);
	}
	both_die();
	cr_assert_eq(
	    shm_reclaim_step(seg, fixture.other.slot, 100000, &sum), 1);
	cr_expect_eq(sum.chunks, 10);
	for (int i = 0; i < 10; i++)
		cr_expect_eq(fixture_state(seg, off[i]), SHM_FREE);
	cr_expect_not(
	    has_bits(fixture.self.slot, shm_region_of(seg, off[0]), 1));
	cr_assert_eq(shm_reclaim_step(seg, fixture.self.slot, 1, &sum), 1);
	cr_expect_eq(sum.chunks, 10);
	cr_expect_eq(sum.regions, 0);
	cr_expect_eq(shm_load(&seg->super->recovered_chunks), 20);
}

/* The other's turn must not make anybody forget what waits for a reader. */
Test(reclaim, of_one_leaves_what_the_other_dead_had_unlinked_to_readers)
{
	struct shm_identity who = { .pid = 1, .label = "reader" };
	uint64_t off = fixture_take(&fixture.self, 64);
	uint32_t slot, generation;
	struct shm_self reader;
	struct shm_pin *pin;

	cr_assert_eq(shm_client_open(seg, &who, &slot, &generation), 0);
	shm_self_init(&reader, seg, slot, generation, 0, 0);
	cr_assert_eq(shm_thread_claim(&reader), 0);
	pin = &seg->threads[reader.thread].pin;
	(void)take(SHM_OWNED);
	fixture_tag(seg, off, &fixture.self, SHM_RETIRED);
	shm_epoch_enter(seg, pin);
	both_die();
	cr_assert_eq(
	    shm_reclaim_step(seg, fixture.other.slot, 100000, &sum), 1);
	cr_expect_eq(fixture_state(seg, off), SHM_RETIRED);
	cr_expect(has_bits(fixture.self.slot, shm_region_of(seg, off), 1));
	shm_epoch_exit(pin);
	cr_assert_eq(shm_reclaim_step(seg, fixture.self.slot, 100000, &sum), 1);
	cr_expect_eq(fixture_state(seg, off), SHM_FREE);
}

/* The beginning of a run was walked before the other's turn had come. */
Test(reclaim, in_the_middle_of_a_run_knows_nothing_of_others)
{
	uint32_t first = run_make();

	shm_client_death(seg, fixture.other.slot);
	cr_assert_eq(shm_reclaim_step(seg, fixture.other.slot, 16, &sum), 0);
	shm_client_death(seg, fixture.self.slot);
	cr_assert_eq(shm_reclaim_step(seg, fixture.self.slot, 0, &sum), 0);
	cr_assert_eq(
	    shm_reclaim_step(seg, fixture.other.slot, 100000, &sum), 1);
	cr_expect_eq(sum.chunks, EXTENTS / 2);
	cr_expect(has_bits(fixture.self.slot, first, RUN));
	cr_assert_eq(shm_reclaim_step(seg, fixture.self.slot, 100000, &sum), 1);
	cr_expect_eq(sum.chunks, EXTENTS / 2);
}

Test(reclaim, what_a_dead_daemon_visited_is_visited_once)
{
	uint32_t first = run_make();
	uint64_t off = fixture_take(&fixture.daemon, 64);

	for (uint32_t i = 0; i < RUN; i++)
		shm_self_visit(&fixture.daemon, first + i);
	cr_assert_eq(shm_daemon_start(seg), 0);
	cr_expect_not(has_bits(SHM_DAEMON_SLOT, first, RUN));
	cr_expect_not(has_bits(SHM_DAEMON_SLOT, shm_region_of(seg, off), 1));
	/* But what the daemon of now has is found by the next. */
	shm_daemon_self(seg, &fixture.daemon);
	off = fixture_take(&fixture.daemon, 64);
	cr_expect_eq(shm_reclaim_leftovers(seg, 1000), 1);
	cr_assert_eq(shm_daemon_start(seg), 0);
	cr_expect_eq(fixture_state(seg, off), SHM_FREE);
}

Test(reclaim, a_daemon_starts_with_one_slice_of_what_is_left)
{
	uint64_t pieces = 0;

	fixture_tune(&fixture, SHM_PARAM_limit_hard, UINT64_C(1) << 30);
	while (pieces < 150000) {
		uint64_t off[64];
		uint32_t n = shm_heap_take(&fixture.daemon, 32, 64, off);

		cr_assert_gt(n, 0);
		pieces += n;
	}
	cr_assert_eq(shm_daemon_start(seg), 0);
	cr_expect(seg->has_leftovers);
	for (int i = 0; i < 1000 && seg->has_leftovers; i++)
		(void)shm_tick(seg);
	cr_expect_not(seg->has_leftovers);
	cr_expect_geq(seg->leftovers.chunks, 1);
}

Test(reclaim, of_a_dead_daemons_pieces_begins_with_the_next)
{
	uint64_t off = fixture_take(&fixture.daemon, 64);

	cr_assert_eq(shm_daemon_start(seg), 0);
	cr_expect_eq(fixture_state(seg, off), SHM_FREE);
	cr_expect_not(seg->has_leftovers);
}

Test(reclaim, counters_of_the_dead_are_kept)
{
	struct shm_stats stats;

	shm_store(&fixture.other.client->allocs, 5);
	shm_store(&fixture.other.client->class_allocs[7], 3);
	shm_store(&fixture.other.client->class_requested[8], 4);
	shm_store(&fixture.other.client->class_frees[9], 1);
	shm_store(&fixture.other.client->class_misses[7], 2);
	shm_store(&fixture.other.client->cache_misses, 2);
	shm_store(&fixture.other.client->refills, 11);
	shm_store(&fixture.other.client->flushes, 12);
	shm_store(&fixture.other.client->remote_pushed, 13);
	cr_assert_eq(reclaim(), 1);
	cr_assert_eq(shm_stats_read(seg, false, &stats), 0);
	cr_expect_eq(stats.allocs, 5);
	cr_expect_eq(stats.cache_misses, 2);
	cr_expect_eq(stats.cache_hits, 3);
	cr_expect_eq(stats.refills, 11);
	cr_expect_eq(stats.flushes, 12);
	cr_expect_eq(stats.remote_pushed, 13);
	cr_expect_eq(stats.bins[7].allocs, 3);
	cr_expect_eq(stats.bins[8].requested, 4);
	cr_expect_eq(stats.bins[9].frees, 1);
	cr_expect_eq(stats.bins[7].cache_misses, 2);
	cr_expect_eq(stats.bins[7].cache_hits, 1);
	cr_expect_eq(stats.recovered_clients, 1);
	shm_stats_release(&stats);
}

/* Take all that there is below the limit. */
static void
take_all(struct shm_self *who)
{
	uint64_t off;

	fixture_tune(&fixture, SHM_PARAM_limit_hard, 4 << 20);
	for (uint32_t size = 65536; size >= 32; size /= 2)
		while (shm_heap_take(who, size, 1, &off) == 1)
			;
}

Test(reclaim, newcomers_are_admitted_to_a_full_segment)
{
	const struct shm_identity who = { .pid = 1 };
	uint64_t total;
	uint32_t slot, generation;

	cr_assert_eq(reclaim(), 1);
	take_all(&fixture.self);
	total = shm_committed_total(seg);
	for (int i = 0; i < 40; i++) {
		cr_assert_eq(shm_client_open(seg, &who, &slot, &generation), 0);
		cr_expect_neq(slot, fixture.other.slot, "it rests");
	}
	/* A few pages each, and they count. */
	cr_expect_gt(shm_committed_total(seg), total);
	cr_expect_lt(shm_committed_total(seg), total + 40 * 4);
}

/* A daemon was killed as it moved one counter, before or after each store. */
Test(reclaim, counters_of_the_dead_are_added_once_whatever_is_killed)
{
	struct shm_client *client = &seg->clients[fixture.other.slot];
	const uint64_t note = (uint64_t)fixture.other.slot << 32 | 1;

	for (int killed = 0; killed < 4; killed++) {
		shm_store(&client->allocs, killed < 3 ? 5 : 0);
		shm_store(&client->frees, 3);
		shm_store(&seg->super->allocs, killed < 2 ? 7 : 12);
		shm_store(&seg->super->frees, 1);
		shm_store(&seg->super->fold_sum, 12);
		shm_store(&seg->super->fold, killed == 0 ? 0 : note);
		shm_counters_fold(seg, client);
		cr_expect_eq(shm_load(&seg->super->allocs), 12, "%d", killed);
		cr_expect_eq(shm_load(&seg->super->frees), 4, "%d", killed);
		cr_expect_eq(shm_load(&client->allocs), 0);
		cr_expect_eq(shm_load(&seg->super->fold), 0);
	}
}
