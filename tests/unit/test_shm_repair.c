/*
 * What a repairing check does beyond the index: what nobody has goes back.
 */
#include <criterion/criterion.h>

#include "shm/check.h"
#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/epoch.h"
#include "shm/thread.h"
#include "tests/unit/fixture.h"

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;
static struct shm_reclaimed sum;

static void
begin(void)
{
	fixture_begin(&fixture, FIXTURE_LIMIT, 3);
	sum = (struct shm_reclaimed){ 0 };
}

static void
end(void)
{
	fixture_end(&fixture);
}

TestSuite(repair, .init = begin, .fini = end);

static uint64_t
take(enum shm_state state)
{
	uint64_t off = fixture_take(&fixture.other, 64);

	fixture_tag(seg, off, &fixture.other, state);
	return off;
}

static void
finding_count(void *arg, const struct shm_finding *finding)
{
	*(int *)arg += !finding->is_repaired;
}

/* How many findings a repairing check leaves. */
static int
repair(void)
{
	int left = 0;

	cr_assert_geq(shm_check(seg, true, finding_count, &left), 0);
	return left;
}

/* The arena's lock is held from the first slice to the last. */
Test(repair, of_a_run_goes_on_inside_of_it)
{
	uint64_t all =
	    shm_heap_take_extent(&fixture.self, 8 * SHM_REGION_PAGES);
	uint64_t off[200];
	int slices = 0;

	cr_assert_neq(all, 0);
	shm_heap_put(&fixture.self, 1, &(uint64_t){ all });
	for (int i = 0; i < 200; i++)
		off[i] = shm_heap_take_extent(&fixture.self, 16);
	for (int i = 0; i < 200; i += 2)
		shm_heap_put(&fixture.self, 1, &off[i]);
	cr_assert(shm_arena_trylock(fixture.arena, &fixture.other));
	shm_client_death(seg, fixture.other.slot);
	while (shm_repair_step(seg, 1) != 0)
		slices++;
	cr_expect_geq(slices, 6);
	cr_expect_eq(shm_load(&fixture.arena->lock), 0);
	cr_expect_eq(repair(), 0);
}

static void
other_dies(void)
{
	int result;

	shm_client_death(seg, fixture.other.slot);
	do
		result = shm_reclaim_step(seg, fixture.other.slot, 1000, &sum);
	while (result == 0);
	cr_assert_eq(result, 1);
}

/* The head of a chunk between others is overwritten, and mended later. */
Test(repair, gives_back_what_a_dead_client_had_in_a_sick_arena)
{
	uint64_t owned = take(SHM_OWNED), damaged = take(SHM_OWNED);
	uint64_t unlinked = take(SHM_UNLINKED), shared = take(SHM_OWNED);
	struct shm_chunk *chunk = shm_chunk(seg, damaged - SHM_CHUNK_HEAD);
	uint32_t word = shm_load(&chunk->head.size);

	fixture_tag(seg, shared, NULL, SHM_SHARED);
	shm_store(&chunk->head.size, 0);
	cr_expect_gt(repair(), 0);
	cr_assert_eq(shm_load(&fixture.arena->state), SHM_ARENA_SICK);
	other_dies();
	cr_expect_eq(fixture_state(seg, owned), SHM_OWNED);
	shm_store(&chunk->head.size, word);
	cr_expect_eq(repair(), 0);
	cr_expect_eq(shm_load(&fixture.arena->state), SHM_ARENA_ACTIVE);
	cr_expect_eq(fixture_state(seg, owned), SHM_FREE);
	cr_expect_eq(fixture_state(seg, damaged), SHM_FREE);
	cr_expect_eq(fixture_state(seg, unlinked), SHM_FREE);
	cr_expect_eq(fixture_state(seg, shared), SHM_SHARED);
}

Test(repair, gives_back_what_a_dead_daemon_had_in_a_sick_arena)
{
	uint64_t damaged = take(SHM_OWNED), off, ours;
	struct shm_chunk *chunk = shm_chunk(seg, damaged - SHM_CHUNK_HEAD);
	uint32_t word = shm_load(&chunk->head.size);

	off = fixture_take(&fixture.daemon, 64);
	shm_store(&chunk->head.size, 0);
	cr_expect_gt(repair(), 0);
	cr_assert_eq(shm_daemon_start(seg), 0);
	shm_daemon_self(seg, &fixture.daemon);
	cr_expect_not(seg->has_leftovers);
	cr_expect_eq(fixture_state(seg, off), SHM_CACHED);
	shm_store(&chunk->head.size, word);
	cr_expect_eq(repair(), 0);
	cr_expect_eq(fixture_state(seg, off), SHM_FREE);
	ours = fixture_take(&fixture.daemon, 64);
	cr_expect_eq(repair(), 0);
	cr_expect_eq(fixture_state(seg, ours), SHM_CACHED);
	shm_heap_put(&fixture.daemon, 1, &ours);
}

Test(repair, leaves_what_readers_may_see_until_they_have_left)
{
	struct shm_pin *pin = shm_thread_pin(seg, fixture.self.thread);
	uint64_t unlinked = take(SHM_UNLINKED);

	shm_put(shm_tag_at(seg, unlinked),
	    shm_tag_base(fixture.other.slot, fixture.other.generation + 1,
		SHM_UNLINKED) |
		shm_tag_check(seg->key, unlinked));
	shm_epoch_enter(seg, pin);
	cr_expect_eq(repair(), 1);
	cr_expect_eq(fixture_state(seg, unlinked), SHM_UNLINKED);
	shm_epoch_exit(pin);
	cr_expect_eq(repair(), 0);
	cr_expect_eq(fixture_state(seg, unlinked), SHM_FREE);
}

Test(repair, shares_what_a_thread_that_is_not_there_was_publishing)
{
	uint64_t off = take(SHM_OWNED);

	shm_put(shm_tag_at(seg, off),
	    shm_tag_base(SHM_THREADS - 1, 1, SHM_PUBLISHING) |
		shm_tag_check(seg->key, off));
	cr_expect_eq(repair(), 0);
	cr_expect_eq(fixture_state(seg, off), SHM_SHARED);
}

Test(repair, covers_a_live_clients_objects_with_its_region_bits)
{
	uint64_t off = take(SHM_OWNED);
	_Atomic uint64_t *word = seg->client_bits +
	    (uint64_t)fixture.other.slot * seg->n_bit_words +
	    shm_region_of(seg, off) / 64;

	shm_store(word, 0);
	cr_expect_eq(repair(), 0);
	cr_expect_eq(fixture_state(seg, off), SHM_OWNED);
	other_dies();
	cr_expect_eq(fixture_state(seg, off), SHM_FREE);
}

Test(repair, returns_regions_that_nobody_has)
{
	uint32_t region;
	uint64_t entry;

	cr_assert_eq(shm_region_claim(&fixture.other, 3, false, &region), 0);
	entry = shm_region_entry(SHM_REGION_CLAIMED, 0, 4000, 1);
	shm_put(&seg->regions[region], entry);
	shm_put(&seg->regions[region + 1],
	    shm_region_entry(SHM_REGION_FREE, 0, 7, 1));
	shm_put(&seg->regions[region + 2], 0);
	cr_assert_eq(shm_commit(&fixture.other, shm_region_off(seg, region + 2),
			 SHM_PAGE),
	    0);
	cr_expect_eq(repair(), 0);
	for (uint32_t i = 0; i < 3; i++) {
		cr_expect_eq(shm_get(&seg->regions[region + i]), 0);
		cr_expect_eq(shm_committed_pages(seg,
				 shm_region_off(seg, region + i), SHM_REGION),
		    0);
	}
}

Test(repair, counts_the_committed_pages_again)
{
	shm_add(&seg->super->commit, 5);
	cr_expect_eq(repair(), 0);
}

/* It says free, but only the whole word can be claimed. */
Test(repair, a_claim_passes_over_a_free_entry_that_names_somebody)
{
	uint32_t region, next;

	cr_assert_eq(shm_region_claim(&fixture.other, 1, false, &region), 0);
	shm_put(
	    &seg->regions[region], shm_region_entry(SHM_REGION_FREE, 0, 7, 1));
	cr_assert_eq(shm_region_claim(&fixture.other, 1, false, &next), 0);
	cr_expect_neq(next, region);
	shm_region_return(&fixture.self, next, 1);
	shm_put(&seg->regions[region], 0);
}
