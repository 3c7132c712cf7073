/*
 * Decay and trim: free pages go back, used ones stay.
 */
#include <criterion/criterion.h>

#include <sys/stat.h>

#include "shm/commit.h"
#include "shm/daemon.h"
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

TestSuite(decay, .init = begin, .fini = end);

/* A free chunk of SIZE bytes between two used ones. */
static uint64_t
hole_make(uint32_t size)
{
	uint64_t off;

	(void)fixture_take(&fixture.self, 64);
	off = fixture_take(&fixture.self, size);
	(void)fixture_take(&fixture.self, 64);
	shm_heap_put(&fixture.self, 1, &(uint64_t){ off });
	return off;
}

Test(decay, trim_gives_back_the_whole_pages_inside_a_free_chunk)
{
	uint64_t off = hole_make(100000), bytes;

	bytes = shm_committed_pages(seg, off, 100000);
	cr_expect_gt(bytes, 20);
	(void)shm_trim(seg, -1, false);
	cr_expect_eq(shm_committed_pages(seg, off + 4096, 90000), 0);
	cr_expect_eq(fixture_state(seg, off), SHM_FREE);
	cr_expect_eq(fixture_take(&fixture.self, 100000), off);
	cr_expect_eq(
	    shm_committed_prefix(seg, off - SHM_CHUNK_HEAD, 100000), 100000);
}

Test(decay, a_dry_trim_says_what_a_trim_gives_back)
{
	uint64_t dry, before = shm_committed_total(seg);

	(void)hole_make(100000);
	before = shm_committed_total(seg);
	dry = shm_trim(seg, -1, true);
	cr_expect_eq(shm_committed_total(seg), before);
	cr_expect_gt(dry, 0);
	cr_expect_eq(shm_trim(seg, -1, false), dry);
	cr_expect_eq((before - shm_committed_total(seg)) * SHM_PAGE, dry);
	cr_expect_eq(shm_trim(seg, -1, true), 0);
}

Test(decay, an_empty_heap_goes_back_to_metadata_alone)
{
	uint64_t off[3], chunk;
	struct shm_stats stats;

	for (int i = 0; i < 3; i++)
		off[i] = shm_heap_take_extent(
		    &fixture.self, 400 * ((uint64_t)i + 1));
	chunk = fixture_take(&fixture.self, 500000);
	shm_heap_put(&fixture.self, 1, &chunk);
	shm_heap_put(&fixture.self, 3, off);
	(void)shm_trim(seg, -1, false);
	cr_assert_eq(shm_stats_read(seg, true, &stats), 0);
	cr_expect_eq(
	    stats.bytes.unused, stats.bytes.size - stats.bytes.metadata);
	cr_expect_eq(stats.bytes.committed, stats.bytes.metadata);
	shm_stats_release(&stats);
}

/* The clients write those numbers: they may be any. */
Test(decay, what_waits_for_readers_is_summed_up_whatever_it_says)
{
	struct shm_client *one = &seg->clients[fixture.self.slot];
	struct shm_client *two = &seg->clients[fixture.other.slot];

	shm_store(&one->retired_bytes, 5);
	shm_store(&two->retired_bytes, 7);
	(void)shm_tick(seg);
	cr_expect_eq(shm_load(&seg->super->retired_bytes), 12);
	shm_store(&one->retired_bytes, INT64_MIN);
	shm_store(&two->retired_bytes, -7);
	(void)shm_tick(seg);
	shm_store(&two->retired_bytes, INT64_MIN);
	(void)shm_tick(seg);
	cr_expect_eq(shm_load(&seg->super->retired_bytes), 0);
	shm_store(&one->retired_bytes, 0);
	shm_store(&two->retired_bytes, 0);
}

Test(decay, a_tick_leaves_what_was_freed_just_now)
{
	uint64_t off = hole_make(100000), before;

	before = shm_committed_pages(seg, off, 100000);
	(void)shm_tick(seg);
	cr_expect_eq(shm_committed_pages(seg, off, 100000), before);
}

Test(decay, a_tick_gives_back_what_has_been_free_for_decay_ms)
{
	uint64_t off = hole_make(100000);
	_Atomic uint32_t *stamp =
	    &shm_chunk(seg, off - SHM_CHUNK_HEAD)->stamp_ms;

	/* The first look found nothing older; then time goes by. */
	(void)shm_tick(seg);
	shm_store(stamp, shm_load(&seg->super->clock_ms) - 10001);
	shm_store(&seg->arenas[0].free_since_ms, shm_load(stamp));
	cr_expect_gt(shm_tick(seg), 0);
	cr_expect_eq(shm_committed_pages(seg, off + 4096, 90000), 0);
}

static uint64_t
resident(void)
{
	struct stat status;

	cr_assert_eq(fstat(seg->fd, &status), 0);
	return (uint64_t)status.st_blocks * 512;
}

/* Clear the bits of the N pages at OFF, and be killed before they are punched;
 * whose arena is locked then is rebuilt. */
static void
bits_lose(uint64_t off, uint64_t n)
{
	uint64_t page = off / SHM_PAGE;

	for (uint64_t i = page; i < page + n; i++)
		atomic_fetch_and(
		    &seg->committed[i / 64], ~(UINT64_C(1) << i % 64));
	cr_assert(shm_commit_recount(seg));
	fixture_lock(&fixture);
	cr_assert_eq(shm_arena_rebuild_locked(&fixture.self, fixture.arena), 0);
	fixture_unlock(&fixture);
}

Test(decay, what_a_trim_gave_back_is_not_committed_ahead_again)
{
	uint64_t off, before;

	(void)fixture_take(&fixture.self, 64);
	off = fixture_take(&fixture.self, 100000);
	shm_heap_put(&fixture.self, 1, &off);
	(void)shm_tick(seg);
	(void)shm_trim(seg, -1, false);
	before = shm_committed_total(seg);
	(void)shm_tick(seg);
	cr_expect_eq(shm_committed_total(seg), before);
}

Test(decay, memory_without_bits_goes_back)
{
	uint64_t off = hole_make(100000), chunk, two, many, before;

	chunk = (off + 48 + SHM_PAGE) / SHM_PAGE * SHM_PAGE;
	two = shm_heap_take_extent(&fixture.self, 2);
	cr_assert_neq(shm_heap_take_extent(&fixture.self, 1), 0);
	many = shm_heap_take_extent(&fixture.self, 30);
	cr_assert_neq(shm_heap_take_extent(&fixture.self, 1), 0);
	shm_heap_put(&fixture.self, 1, &(uint64_t){ two });
	shm_heap_put(&fixture.self, 1, &(uint64_t){ many });
	bits_lose(chunk, 20);
	bits_lose(two, 2);
	bits_lose(many, 30);
	before = resident();
	(void)shm_trim(seg, -1, false);
	cr_expect_leq(resident(), before - 52 * SHM_PAGE);
	/* Once. */
	before = shm_load(&fixture.arena->locked);
	(void)shm_trim(seg, -1, false);
	cr_expect_eq(shm_load(&fixture.arena->locked), before + 1);
}

Test(decay, a_locked_arena_is_left_alone)
{
	(void)hole_make(100000);
	fixture_lock(&fixture);
	cr_expect_eq(shm_trim(seg, -1, false), 0);
	fixture_unlock(&fixture);
}

/* ---- More free pieces than are looked at under one lock ------------------ */

#define MANY      9000
#define MANY_SIZE 8448 /* a whole page in each, wherever it lies */

static void
many_begin(void)
{
	fixture_begin(&fixture, UINT64_C(256) << 20, 1);
}

TestSuite(decay_many, .init = many_begin, .fini = end);

static uint64_t hole[MANY];

/* MANY free chunks, each between used ones. */
static void
holes_make(void)
{
	for (int i = 0; i < MANY; i++) {
		hole[i] = fixture_take(&fixture.self, MANY_SIZE);
		(void)fixture_take(&fixture.self, MANY_SIZE);
	}
	/* The first that is freed becomes the last of its bin. */
	for (int i = 0; i < MANY; i++)
		shm_heap_put(&fixture.self, 1, &hole[i]);
	cr_assert_geq(shm_load(&fixture.arena->binned_chunks), MANY - 100);
}

static void
stamp_age(uint64_t off)
{
	_Atomic uint32_t *stamp =
	    &shm_chunk(seg, off - SHM_CHUNK_HEAD)->stamp_ms;

	shm_store(stamp, shm_load(&seg->super->clock_ms) - 8751);
	shm_store(&seg->arenas[0].free_since_ms, shm_load(stamp));
}

/* Tick until nothing is due; how often that took the lock. */
static uint64_t
ticks(void)
{
	uint64_t before = shm_load(&fixture.arena->locked), last;

	do {
		last = shm_load(&fixture.arena->locked);
		(void)shm_tick(seg);
	} while (
	    shm_load(&fixture.arena->locked) != last && last - before < 1000);
	return last - before;
}

Test(decay_many, one_trim_gives_back_all)
{
	uint64_t dry;

	holes_make();
	dry = shm_trim(seg, -1, true);
	cr_expect_geq(dry, (uint64_t)MANY * SHM_PAGE);
	cr_expect_eq(shm_trim(seg, -1, false), dry);
	cr_expect_eq(shm_load(&fixture.arena->counters.punched), dry);
	for (int i = 0; i < MANY; i++)
		cr_assert_eq(
		    shm_committed_pages(seg, hole[i] + 32, MANY_SIZE - 40), 0);
	cr_expect_eq(shm_trim(seg, -1, true), 0);
}

/*
 * Nine tenths of a heap are freed, in more pieces than a tick takes: after
 * decay_ms one tick, and one call for each batch, leave less than 1.3 times
 * what is live.
 */
Test(decay_many, what_was_nine_tenths_of_a_heap_has_gone_after_decay_ms)
{
	enum { RUNS = 1000, LIVE = 28 << 10, FREE = 180 << 10, BATCH = 32 };
	uint64_t off[RUNS], metadata = resident(), calls = 0, limit;

	for (int i = 0; i < RUNS; i++) {
		(void)fixture_take(&fixture.self, LIVE);
		off[i] = fixture_take(&fixture.self, FREE);
	}
	(void)fixture_take(&fixture.self, LIVE);
	cr_assert_gt(resident() - metadata, (uint64_t)RUNS * (LIVE + FREE));
	for (int i = 0; i < RUNS; i++)
		shm_heap_put(&fixture.self, 1, &off[i]);
	limit = shm_load(&fixture.arena->binned_chunks) / BATCH + 2;
	for (int i = 0; i < RUNS; i++)
		stamp_age(off[i]);
	(void)shm_tick(seg);
	while (shm_tick_has_more(seg) && calls++ < limit)
		(void)shm_tick_more(seg);
	cr_expect_leq(calls, limit);
	cr_expect_lt((resident() - metadata) * 10, (uint64_t)RUNS * LIVE * 13);
}

Test(decay_many, an_old_piece_behind_many_young_ones_goes_back)
{
	uint64_t pages;

	holes_make();
	pages = shm_committed_pages(seg, hole[0] + 32, MANY_SIZE - 40);
	cr_assert_gt(pages, 0);
	stamp_age(hole[0]);
	cr_expect_lt(ticks(), 10);
	cr_expect_eq(shm_committed_pages(seg, hole[0] + 32, MANY_SIZE - 40), 0);
	cr_expect_eq(
	    shm_committed_pages(seg, hole[1] + 32, MANY_SIZE - 40), pages);
}

Test(decay_many, an_old_piece_behind_many_punched_ones_goes_back)
{
	uint64_t off;

	holes_make();
	(void)shm_trim(seg, -1, false);
	off = hole_make(MANY_SIZE - 1024);
	stamp_age(off);
	cr_expect_lt(ticks(), 10);
	cr_expect_eq(shm_committed_pages(seg, off + 32, MANY_SIZE - 1064), 0);
}

Test(decay_many, ticks_leave_alone_what_a_whole_pass_found_too_young)
{
	uint64_t before;

	holes_make();
	shm_store(&fixture.arena->free_since_ms,
	    shm_load(&seg->super->clock_ms) - 10001);
	cr_expect_gt(ticks(), 1);
	before = shm_load(&fixture.arena->locked);
	(void)shm_tick(seg);
	cr_expect_eq(shm_load(&fixture.arena->locked), before);
}

Test(decay_many, a_pass_goes_on_although_the_next_pieces_are_taken)
{
	uint64_t got;

	holes_make();
	stamp_age(hole[0]);
	(void)shm_tick(seg);
	cr_assert_gt(shm_committed_pages(seg, hole[0] + 32, MANY_SIZE - 40), 0);
	/* The next slice began with one of these. */
	for (int i = MANY - 8192 - 4; i < MANY - 8192 + 4; i++) {
		fixture_lock(&fixture);
		cr_assert_eq(shm_bin_unlink_locked(&fixture.self, fixture.arena,
				 hole[i] - SHM_CHUNK_HEAD),
		    0);
		fixture_unlock(&fixture);
		fixture_tag(seg, hole[i], &fixture.self, SHM_OWNED);
	}
	cr_expect_lt(ticks(), 10);
	cr_expect_eq(shm_committed_pages(seg, hole[0] + 32, MANY_SIZE - 40), 0);
	got = fixture_take(&fixture.self, MANY_SIZE);
	cr_expect_neq(got, 0);
}

Test(decay_many, at_the_limit_all_that_is_free_can_be_used)
{
	uint64_t off, last = 0, n = 0, got = 0, free_bytes, mib = 256;

	/* Every second chunk, linked through the first word of each. */
	while (shm_heap_take(&fixture.self, MANY_SIZE, 1, &off)) {
		if (n++ % 2) {
			*(uint64_t *)(void *)(seg->base + off) = last;
			last = off;
		}
	}
	cr_assert_gt(n / 2, 2 * 8192 - 2000);
	while (last) {
		off = last;
		last = *(uint64_t *)(void *)(seg->base + off);
		shm_heap_put(&fixture.self, 1, &off);
	}
	free_bytes = n / 2 * SHM_PAGE;
	while (shm_heap_take_extent(&fixture.self, mib))
		got += mib * SHM_PAGE;
	cr_expect_gt(got + mib * SHM_PAGE + (128 << 10), free_bytes);
	cr_expect_lt(shm_trim(seg, -1, true), mib * SHM_PAGE);
}

Test(decay, above_the_soft_limit_a_tick_takes_what_is_younger_and_tells_caches)
{
	uint64_t off = hole_make(100000);
	uint32_t pressure = shm_load(&seg->super->pressure);
	_Atomic uint32_t *stamp =
	    &shm_chunk(seg, off - SHM_CHUNK_HEAD)->stamp_ms;

	(void)shm_tick(seg);
	shm_store(stamp, shm_load(&seg->super->clock_ms) - 200);
	shm_store(&seg->arenas[0].free_since_ms, shm_load(stamp));
	cr_expect_eq(shm_tick(seg), 0);
	cr_expect_eq(shm_load(&seg->super->pressure), pressure);
	fixture_tune(&fixture, SHM_PARAM_limit_soft, SHM_PAGE);
	cr_expect_gt(shm_tick(seg), 0);
	cr_expect_eq(shm_committed_pages(seg, off + 4096, 90000), 0);
	cr_expect_neq(shm_load(&seg->super->pressure), pressure);
	/* Once each time that it comes to that. */
	cr_expect_eq(seg->n_above_soft, 1);
	(void)shm_tick(seg);
	cr_expect_eq(seg->n_above_soft, 1);
}
