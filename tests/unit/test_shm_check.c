/*
 * The check: each invariant broken on purpose is found, and what is an index
 * is repaired.
 */
#include <criterion/criterion.h>

#include "shm/check.h"
#include "shm/commit.h"
#include "tests/unit/fixture.h"

static struct fixture fixture;
/* Payload offsets: in use, in an exact bin, in a large bin, in a fastbin. */
static uint64_t used[8], small, large, fast, extent_used, extent_free;

static struct shm_chunk *
chunk(uint64_t off)
{
	return shm_chunk(&fixture.seg, off - SHM_CHUNK_HEAD);
}

static uint64_t
take(uint32_t size)
{
	uint64_t off = fixture_take(&fixture.self, size);

	fixture_tag(&fixture.seg, off, &fixture.self, SHM_OWNED);
	return off;
}

static void
put(uint64_t off)
{
	fixture_tag(&fixture.seg, off, &fixture.self, SHM_CACHED);
	shm_heap_put(&fixture.self, 1, &off);
}

/* A heap with something of everything. */
static void
begin(void)
{
	fixture_begin(&fixture, FIXTURE_LIMIT, 4);
	for (int i = 0; i < 6; i++)
		used[i] = take(160);
	small = take(160);
	used[6] = take(12000);
	large = take(4096);
	used[7] = take(160);
	fast = take(64);
	(void)take(160);
	put(small);
	put(large);
	fixture_tune(&fixture, SHM_PARAM_fastbin_max, 128);
	put(fast);
	fixture_tune(&fixture, SHM_PARAM_fastbin_max, 0);
	extent_free = shm_heap_take_extent(&fixture.self, 40);
	extent_used = shm_heap_take_extent(&fixture.self, 40);
	cr_assert(extent_free && extent_used);
	shm_heap_put(&fixture.self, 1, &(uint64_t){ extent_free });
	cr_assert_eq(fixture_state(&fixture.seg, small), SHM_FREE);
	cr_assert_eq(fixture_state(&fixture.seg, fast), SHM_FAST);
}

static void
end(void)
{
	fixture_end(&fixture);
}

TestSuite(check, .init = begin, .fini = end);

static void
finding_mark(void *arg, const struct shm_finding *finding)
{
	uint32_t *seen = arg;

	cr_expect(finding->text && *finding->text);
	*seen |= 1u << finding->invariant;
}

/* Which invariants the check finds broken, as bits. */
static uint32_t
seen(void)
{
	uint32_t bits = 0;

	cr_assert_geq(shm_check(&fixture.seg, false, finding_mark, &bits), 0);
	return bits;
}

static void
repaired_count(void *arg, const struct shm_finding *finding)
{
	int *n = arg;

	*n += finding->is_repaired;
}

/* The check finds INVARIANT broken, a repairing check says that it repaired all
 * that it found, and then nothing is left. */
static void
expect_repair(enum shm_invariant invariant)
{
	int n = 0, all;

	cr_expect(seen() & 1u << invariant, "I%d is not found", invariant);
	all = shm_check(&fixture.seg, true, repaired_count, &n);
	cr_expect_gt(all, 0);
	cr_expect_eq(n, all);
	cr_expect_eq(seen(), 0);
}

/* It finds just INVARIANT, and no rebuild of an index helps. */
static void
expect_damage(enum shm_invariant invariant)
{
	fixture.is_damaged = true;
	cr_expect_eq(seen(), 1u << invariant);
}

Test(check, finds_nothing_in_a_heap_with_something_of_everything)
{
	cr_expect_eq(seen(), 0);
}

Test(check, finds_a_size_that_leaves_its_region)
{
	fixture.is_damaged = true;
	shm_store(&chunk(used[3])->head.size, UINT32_MAX);
	cr_expect(seen() & 1u << SHM_I_TILES);
}

Test(check, finds_a_size_of_zero)
{
	fixture.is_damaged = true;
	shm_store(&chunk(used[3])->head.size, SHM_PREV_INUSE);
	cr_expect(seen() & 1u << SHM_I_TILES);
}

Test(check, finds_an_extent_that_leaves_its_run)
{
	uint32_t page = shm_page_of(&fixture.seg, extent_used);

	fixture.is_damaged = true;
	shm_store(&fixture.seg.pages[page].head.size, UINT32_MAX);
	cr_expect(seen() & 1u << SHM_I_TILES);
}

Test(check, finds_check_bits_that_are_wrong)
{
	shm_store(
	    &chunk(used[1])->head.tag, shm_load(&chunk(used[1])->head.tag) ^ 1);
	expect_damage(SHM_I_TAG);
}

Test(check, finds_an_owner_of_what_is_free)
{
	shm_store(&chunk(small)->head.tag,
	    shm_load(&chunk(small)->head.tag) | 5u << 16);
	expect_damage(SHM_I_TAG);
}

Test(check, finds_a_wrong_prev_inuse)
{
	struct shm_chunk *next = chunk(used[6]);

	shm_store(
	    &next->head.size, shm_load(&next->head.size) | SHM_PREV_INUSE);
	expect_repair(SHM_I_PREV);
}

Test(check, finds_a_wrong_prev_size)
{
	shm_store(&chunk(used[6])->prev_size, 176);
	expect_repair(SHM_I_PREV);
}

Test(check, finds_an_extents_wrong_footer)
{
	uint32_t page = shm_page_of(&fixture.seg, extent_used) - 1;

	shm_store(&fixture.seg.pages[page].head.size, 7 << 4);
	expect_repair(SHM_I_PREV);
}

Test(check, finds_free_neighbours)
{
	uint64_t off = used[5];

	fixture_tag(&fixture.seg, off, NULL, SHM_FREE);
	fixture_lock(&fixture);
	shm_bin_link_locked(&fixture.self, fixture.arena, off - SHM_CHUNK_HEAD);
	fixture_unlock(&fixture);
	expect_repair(SHM_I_COALESCED);
}

Test(check, finds_a_free_chunk_that_is_not_linked)
{
	shm_store(&chunk(small)->head.size,
	    shm_load(&chunk(small)->head.size) & ~(uint32_t)SHM_LINKED);
	expect_repair(SHM_I_LINKED);
}

Test(check, finds_a_used_chunk_that_is_linked)
{
	shm_store(&chunk(used[2])->head.size,
	    shm_load(&chunk(used[2])->head.size) | SHM_LINKED);
	expect_repair(SHM_I_LINKED);
}

Test(check, finds_a_free_chunk_in_no_bin)
{
	shm_store(&fixture.arena->bin[shm_bin(160)], 0);
	expect_repair(SHM_I_BIN);
}

Test(check, finds_a_chunk_in_the_wrong_bin)
{
	uint64_t c = shm_load(&fixture.arena->bin[shm_bin(160)]);

	shm_store(&fixture.arena->bin[shm_bin(160)], 0);
	shm_store(&fixture.arena->bin[shm_bin(176)], c);
	expect_repair(SHM_I_BIN);
}

Test(check, finds_a_chunk_that_is_twice_in_its_bin)
{
	shm_store(&chunk(small)->next, small - SHM_CHUNK_HEAD);
	expect_repair(SHM_I_BIN);
}

Test(check, finds_a_chunk_of_nowhere_in_a_bin)
{
	shm_store(&fixture.arena->bin[shm_bin(320)], UINT64_MAX / 2 & ~15ull);
	expect_repair(SHM_I_BIN);
}

Test(check, finds_a_wrong_backward_link)
{
	shm_store(&chunk(large)->prev, used[0]);
	expect_repair(SHM_I_BIN);
}

Test(check, finds_a_free_extent_in_no_bin)
{
	shm_store(&fixture.arena->extent_bin[shm_extent_bin(40)], 0);
	expect_repair(SHM_I_BIN);
}

Test(check, finds_an_extent_of_nowhere_in_a_bin)
{
	shm_store(&fixture.arena->extent_bin[7], UINT32_MAX);
	expect_repair(SHM_I_BIN);
}

Test(check, finds_a_map_that_misses_a_bin)
{
	for (int i = 0; i < (int)SHM_BIN_WORDS; i++)
		shm_store(&fixture.arena->binmap[i], 0);
	expect_repair(SHM_I_MAP);
}

Test(check, finds_a_map_that_names_an_empty_bin)
{
	shm_store(&fixture.arena->extent_map[0],
	    shm_load(&fixture.arena->extent_map[0]) | 1u << 7);
	expect_repair(SHM_I_MAP);
}

Test(check, finds_a_chunk_in_no_fastbin)
{
	for (uint32_t i = 0; i < SHM_FASTBINS; i++)
		shm_store(&fixture.arena->fast[i], 0);
	expect_repair(SHM_I_FAST);
}

Test(check, finds_a_chunk_in_the_wrong_fastbin)
{
	uint32_t i = (64 - SHM_CHUNK_MIN) / SHM_GRANULE;

	shm_store(
	    &fixture.arena->fast[i + 1], shm_load(&fixture.arena->fast[i]));
	shm_store(&fixture.arena->fast[i], 0);
	expect_repair(SHM_I_FAST);
}

Test(check, finds_a_fastbin_that_is_a_cycle)
{
	shm_store(&chunk(fast)->next, fast - SHM_CHUNK_HEAD);
	expect_repair(SHM_I_FAST);
}

Test(check, finds_a_top_that_the_arena_forgot)
{
	shm_store(&fixture.arena->top, 0);
	expect_repair(SHM_I_TOP);
}

Test(check, finds_a_top_of_nowhere)
{
	shm_store(&fixture.arena->top, UINT64_C(0xdeadbeef0));
	expect_repair(SHM_I_TOP);
}

Test(check, finds_each_counter_that_is_wrong)
{
	_Atomic uint64_t *counter[] = { &fixture.arena->n_regions,
		&fixture.arena->n_extent_regions, &fixture.arena->binned_bytes,
		&fixture.arena->binned_chunks, &fixture.arena->fast_bytes,
		&fixture.arena->fast_chunks, &fixture.arena->top_bytes,
		&fixture.arena->extent_free_pages,
		&fixture.arena->extent_free_n };

	for (size_t i = 0; i < sizeof(counter) / sizeof(*counter); i++) {
		shm_store(counter[i], shm_load(counter[i]) + 1);
		expect_repair(SHM_I_COUNTERS);
	}
}

Test(check, finds_a_used_chunk_without_its_pages)
{
	cr_assert_gt(shm_uncommit(&fixture.self, used[6], 12000), 0);
	expect_damage(SHM_I_PAGES);
}

Test(check, finds_a_used_extent_without_its_pages)
{
	fixture_tag(&fixture.seg, extent_used, NULL, SHM_SHARED);
	cr_assert_gt(shm_uncommit(&fixture.self, extent_used, SHM_PAGE), 0);
	expect_damage(SHM_I_PAGES);
}

Test(check, finds_the_tag_of_a_client_that_is_not_there)
{
	shm_store(&fixture.self.client->state, SHM_CLIENT_FREE);
	expect_damage(SHM_I_OWNER);
}

Test(check, finds_the_tag_of_a_client_in_another_life)
{
	shm_store(&fixture.self.client->generation,
	    shm_load(&fixture.self.client->generation) + 1);
	expect_damage(SHM_I_OWNER);
}

Test(check, finds_the_tag_of_a_thread_that_is_not_there)
{
	struct shm_self nobody = fixture.self;

	nobody.thread = 999;
	fixture_tag(&fixture.seg, used[0], &nobody, SHM_PUBLISHING);
	expect_damage(SHM_I_OWNER);
}

Test(check, finds_region_bits_that_miss_an_object)
{
	shm_store(
	    &fixture.seg
		 .client_bits[fixture.self.slot * fixture.seg.n_bit_words],
	    0);
	expect_damage(SHM_I_BITS);
}

Test(check, finds_a_remote_list_of_what_is_not_remote)
{
	shm_store(&fixture.arena->remote, used[0]);
	expect_damage(SHM_I_REMOTE);
}

Test(check, finds_a_remote_list_that_is_a_cycle)
{
	fixture_tag(&fixture.seg, used[0], &fixture.self, SHM_REMOTE);
	fixture_tag(&fixture.seg, used[1], &fixture.self, SHM_REMOTE);
	shm_store(&chunk(used[0])->next, used[1]);
	shm_store(&chunk(used[1])->next, used[0]);
	shm_store(&fixture.arena->remote, used[0]);
	expect_damage(SHM_I_REMOTE);
}

/* A region in use loses its chunks, of which the counters know. */
Test(check, finds_a_region_of_no_kind)
{
	shm_store(&fixture.seg.regions[0], SHM_REGION_KINDS);
	fixture.is_damaged = true;
	cr_expect(seen() & 1u << SHM_I_REGION);
}

Test(check, finds_a_region_that_nobody_claims)
{
	uint32_t region;

	cr_assert_eq(shm_region_claim(&fixture.self, 1, false, &region), 0);
	shm_store(&fixture.seg.regions[region],
	    shm_region_entry(SHM_REGION_CLAIMED, 0, 99, 1));
	expect_damage(SHM_I_REGION);
}

Test(check, finds_a_piece_of_no_run)
{
	uint32_t region;

	cr_assert_eq(shm_region_claim(&fixture.self, 2, false, &region), 0);
	shm_store(&fixture.seg.regions[region + 1],
	    shm_region_entry(SHM_REGION_MORE, 0, 99, 1));
	expect_damage(SHM_I_REGION);
}

Test(check, finds_pages_in_a_free_region)
{
	uint32_t region;

	cr_assert_eq(shm_region_claim(&fixture.self, 1, false, &region), 0);
	shm_region_return(&fixture.self, region, 1);
	cr_assert_eq(shm_commit(&fixture.daemon,
			 shm_region_off(&fixture.seg, region), SHM_PAGE),
	    0);
	expect_damage(SHM_I_UNUSED);
}

Test(check, finds_pages_above_the_watermark)
{
	cr_assert_eq(
	    shm_commit(&fixture.daemon,
		fixture.seg.heap + shm_load(&fixture.seg.super->watermark), 1),
	    0);
	expect_damage(SHM_I_UNUSED);
}

Test(check, finds_a_commit_word_that_is_wrong)
{
	shm_store(&fixture.seg.super->commit,
	    shm_load(&fixture.seg.super->commit) + 1);
	cr_expect_eq(seen(), 1u << SHM_I_COMMIT);
	cr_expect(shm_commit_recount(&fixture.seg));
	cr_expect_eq(seen(), 0);
}

Test(check, finds_an_arena_that_is_out_of_service)
{
	shm_arena_quarantine(fixture.arena);
	expect_repair(SHM_I_SERVICE);
}

Test(check, says_so_when_an_arena_stays_locked)
{
	fixture_lock(&fixture);
	cr_expect_eq(shm_check(&fixture.seg, false, NULL, NULL), SHM_ERETRY);
	fixture_unlock(&fixture);
}

Test(check, counts_more_findings_than_it_reports)
{
	static uint64_t off[1000];
	uint32_t bits = 0;

	for (int i = 0; i < 1000; i++)
		off[i] = take(48);
	for (int i = 0; i < 1000; i++)
		shm_store(&chunk(off[i])->head.tag, 0);
	fixture.is_damaged = true;
	cr_expect_geq(
	    shm_check(&fixture.seg, false, finding_mark, &bits), 1000);
	cr_expect_eq(bits, 1u << SHM_I_TAG);
}
