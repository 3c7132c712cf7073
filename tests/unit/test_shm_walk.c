/*
 * The walk: its pieces tile the heap.
 */
#include <criterion/criterion.h>

#include "shm/commit.h"
#include "shm/daemon.h"
#include "tests/unit/fixture.h"

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;

struct sum {
	uint64_t next; /* where the next piece must begin */
	uint64_t len;
	uint32_t n[SHM_PIECE_UNUSED + 1], tops;
	bool has_gap;
};

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

TestSuite(walk, .init = begin, .fini = end);

static void
piece_sum(void *arg, const struct shm_piece *piece)
{
	struct sum *sum = arg;

	sum->has_gap |= sum->next && piece->off != sum->next;
	sum->next = piece->off + piece->len;
	sum->len += piece->len;
	sum->n[piece->kind]++;
	sum->tops += piece->is_top;
}

static struct sum
walk(int32_t arena)
{
	struct sum sum = { 0 };

	cr_assert_eq(shm_walk(seg, arena, piece_sum, &sum), 0);
	return sum;
}

static void
heap_make(void)
{
	uint32_t region;

	(void)fixture_take(&fixture.self, 64);
	cr_assert_neq(shm_heap_take_extent(&fixture.self, 700), 0);
	cr_assert_eq(shm_region_claim(&fixture.self, 1, false, &region), 0);
	fixture_lock(&fixture);
	(void)fixture_take(&fixture.other, 64);
	fixture_unlock(&fixture);
}

Test(walk, of_an_empty_heap_has_no_piece)
{
	cr_expect_eq(walk(-1).len, 0);
}

Test(walk, tiles_the_heap_up_to_the_watermark)
{
	struct sum sum;

	heap_make();
	sum = walk(-1);
	cr_expect_not(sum.has_gap);
	cr_expect_eq(sum.len, shm_load(&seg->super->watermark));
	cr_expect_eq(sum.next, seg->heap + sum.len);
	cr_expect_eq(sum.n[SHM_PIECE_CHUNK], 4);
	cr_expect_eq(sum.n[SHM_PIECE_TAIL], 2);
	cr_expect_eq(sum.n[SHM_PIECE_EXTENT], 2);
	cr_expect_eq(sum.n[SHM_PIECE_UNUSED], 1);
	cr_expect_eq(sum.tops, 2);
}

Test(walk, of_one_arena_has_its_pieces_only)
{
	heap_make();
	cr_expect_eq(walk(0).len, 3 * SHM_REGION);
	cr_expect_eq(walk(1).len, SHM_REGION);
	cr_expect_eq(walk(2).len, 0);
}

static void
owner_look(void *arg, const struct shm_piece *piece)
{
	if (piece->state == SHM_CACHED)
		*(struct shm_piece *)arg = *piece;
}

Test(walk, says_whose_a_piece_is)
{
	uint64_t off = fixture_take(&fixture.other, 64);
	struct shm_piece piece = { 0 };

	cr_assert_eq(shm_walk(seg, 0, owner_look, &piece), 0);
	cr_expect_eq(piece.off, off - SHM_CHUNK_HEAD);
	cr_expect_eq(piece.len, 64);
	cr_expect_eq(piece.owner, fixture.other.slot);
	cr_expect_eq(piece.generation, fixture.other.generation);
}

static void
lock_look(void *arg, const struct shm_piece *piece)
{
	*(uint32_t *)arg |= shm_load(&seg->arenas[piece->arena].lock);
}

Test(walk, holds_no_lock_while_it_reports)
{
	uint32_t word = 0;

	heap_make();
	cr_assert_eq(shm_walk(seg, -1, lock_look, &word), 0);
	cr_expect_eq(word, 0);
}

Test(walk, gives_up_on_an_arena_that_stays_locked)
{
	struct sum sum = { 0 };

	heap_make();
	fixture_lock(&fixture);
	cr_expect_eq(shm_walk(seg, -1, piece_sum, &sum), SHM_ERETRY);
	cr_expect_eq(shm_walk(seg, 1, piece_sum, &sum), 0);
	fixture_unlock(&fixture);
}

Test(walk, ends_when_it_is_cancelled)
{
	struct sum sum = { 0 };

	heap_make();
	atomic_store(&seg->is_cancelled, true);
	cr_expect_eq(shm_walk(seg, -1, piece_sum, &sum), SHM_EBUSY);
	cr_expect_eq(shm_check(seg, false, NULL, NULL), SHM_EBUSY);
	cr_expect_eq(shm_trim(seg, -1, false), 0);
	atomic_store(&seg->is_cancelled, false);
}

Test(walk, puts_an_arena_with_a_damaged_head_out_of_service)
{
	uint64_t off = fixture_take(&fixture.self, 64);
	struct sum sum = { 0 };

	fixture.is_damaged = true;
	shm_store(shm_tag_at(seg, off), 0);
	cr_expect_eq(shm_walk(seg, -1, piece_sum, &sum), SHM_ECORRUPT);
	cr_expect_eq(shm_load(&fixture.arena->state), SHM_ARENA_SICK);
	cr_expect_eq(shm_load(&fixture.arena->lock), 0);
}
