/*
 * Rebuild: after any sequence of operations, the index made from heads alone is
 * equivalent to the one that the operations had kept.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/daemon.h"
#include "tests/unit/fixture.h"

#define LIVE    1500
#define PATTERN 64 /* bytes checked at both ends of an object */

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;
static uint64_t seed;

static struct live {
	uint64_t off, len;
	unsigned char pattern;
	struct shm_self *who;
} live[LIVE];
static uint32_t n_live, n_failed;
static uint32_t put_share; /* of 100 operations */

static void
begin(void)
{
	fixture_begin(&fixture, UINT64_C(192) << 20, 3);
	seed = fixture_seed();
	n_live = n_failed = 0;
	put_share = 45;
}

static void
end(void)
{
	fixture_end(&fixture);
}

TestSuite(rebuild, .init = begin, .fini = end, .timeout = 120);

/* ---- Operations ---------------------------------------------------------- */

static uint32_t
below(uint32_t n)
{
	return fixture_random(&seed) % n;
}

/* Log-uniform from 16 bytes to 1 MiB. */
static uint64_t
size_choose(void)
{
	uint32_t log = 4 + below(16);

	return (UINT64_C(1) << log) + below(1u << log);
}

static size_t
edge(const struct live *l)
{
	return l->len < PATTERN ? l->len : PATTERN;
}

static void
pattern_write(struct live *l)
{
	l->pattern = (unsigned char)below(256);
	memset(seg->base + l->off, l->pattern, edge(l));
	memset(seg->base + l->off + l->len - edge(l), l->pattern, edge(l));
}

static void
pattern_check(const struct live *l)
{
	for (size_t i = 0; i < edge(l); i++) {
		cr_assert_eq((unsigned char)seg->base[l->off + i], l->pattern);
		cr_assert_eq((unsigned char)seg->base[l->off + l->len - 1 - i],
		    l->pattern);
	}
}

static void
object_take(struct shm_self *who)
{
	uint64_t size = size_choose(), off = 0;

	if (size >= 131072)
		off = shm_heap_take_extent(who, shm_pages_for(size));
	else if (below(8) == 0 && size < 65536)
		off = shm_heap_take_aligned(
		    who, shm_chunk_size(size), 32u << below(8));
	else if (shm_heap_take(who, shm_chunk_size(size), 1, &off) == 0)
		off = 0;
	if (off == 0) {
		n_failed++;
		return;
	}
	live[n_live] = (struct live){ off, shm_heap_usable(seg, off), 0, who };
	cr_assert_geq(live[n_live].len, size);
	pattern_write(&live[n_live]);
	n_live++;
}

static void
object_put(uint32_t i)
{
	struct live l = live[i];
	bool is_extent;
	struct shm_arena *arena = shm_arena_of(seg, l.off, &is_extent);
	struct shm_self *holder =
	    l.who == &fixture.self ? &fixture.other : &fixture.self;

	pattern_check(&l);
	live[i] = live[--n_live];
	/* Now and then the other one holds the lock. */
	if (below(16) == 0) {
		cr_assert(shm_arena_trylock(arena, holder));
		shm_heap_put(l.who, 1, &l.off);
		shm_arena_unlock(arena);
	} else {
		shm_heap_put(l.who, 1, &l.off);
	}
}

static void
object_resize(uint32_t i)
{
	struct live *l = &live[i];
	uint64_t size = l->len / 2 + below((uint32_t)l->len + 1);

	pattern_check(l);
	if (!shm_heap_resize(l->who, l->off, size))
		return;
	l->len = shm_heap_usable(seg, l->off);
	cr_assert_geq(l->len, size);
	pattern_write(l);
}

static void
operate(void)
{
	struct shm_self *who = below(2) ? &fixture.self : &fixture.other;
	uint32_t what = below(100);

	if (n_live == LIVE || (n_live && what < put_share))
		object_put(below(n_live));
	else if (n_live && what < put_share + 10)
		object_resize(below(n_live));
	else if (what == 99 && below(8) == 0)
		(void)shm_trim(seg, -1, false);
	else
		object_take(who);
}

/* ---- What must not change ------------------------------------------------ */

struct list {
	uint64_t *v;
	size_t n, room;
};

static void
list_add(struct list *list, uint64_t v)
{
	if (list->n == list->room) {
		list->room = list->room ? list->room * 2 : 4096;
		list->v = realloc(list->v, list->room * sizeof(*list->v));
		cr_assert_not_null(list->v);
	}
	list->v[list->n++] = v;
}

static int
number_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The pieces in order of address; then what is in each bin; then the bin, or
 * the top, that serves each size class. */
struct picture {
	struct list pieces, bins, answers;
	struct shm_bytes bytes;
};

static void
piece_add(void *arg, const struct shm_piece *piece)
{
	struct list *list = arg;

	list_add(list, piece->off);
	list_add(list, piece->len);
	list_add(list,
	    (uint64_t)piece->state << 48 | (uint64_t)piece->kind << 32 |
		(uint64_t)piece->owner << 1 | piece->is_top);
}

/* The members of a list, in order of address, behind a separator. */
static void
members_sort(struct list *list, size_t first)
{
	if (list->n > first)
		qsort(list->v + first, list->n - first, sizeof(*list->v),
		    number_compare);
	list_add(list, UINT64_MAX);
}

static void
bins_add(struct list *list, const struct shm_arena *arena)
{
	size_t first;

	for (uint32_t i = 0; i < SHM_BINS + SHM_FASTBINS; i++) {
		uint64_t c = shm_load(
		    i < SHM_BINS ? &arena->bin[i] : &arena->fast[i - SHM_BINS]);

		for (first = list->n; c; c = shm_load(&shm_chunk(seg, c)->next))
			list_add(list, c);
		members_sort(list, first);
	}
	for (uint32_t i = 0; i < SHM_EXTENT_BINS; i++) {
		uint32_t next = shm_load(&arena->extent_bin[i]);

		for (first = list->n; next;
		     next = shm_load(&seg->pages[next - 1].next))
			list_add(list, next);
		members_sort(list, first);
	}
	list_add(list, shm_load(&arena->top));
	for (uint32_t i = 0; i < SHM_BIN_WORDS; i++)
		list_add(list, shm_load(&arena->binmap[i]));
	for (uint32_t i = 0; i < SHM_EXTENT_WORDS; i++)
		list_add(list, shm_load(&arena->extent_map[i]));
}

static void
answers_add(struct list *list, struct shm_arena *arena)
{
	for (uint32_t class = 0; class < SHM_CLASSES - 1; class ++) {
		uint32_t size = shm_class_size(class);
		uint64_t c = shm_bin_find_locked(&fixture.self, arena, size);

		list_add(list, c ? shm_bin(shm_size(shm_chunk(seg, c))) : 0);
	}
}

static void
picture_take(struct picture *picture)
{
	struct shm_stats stats;

	*picture = (struct picture){ 0 };
	cr_assert_eq(shm_stats_read(seg, true, &stats), 0);
	cr_assert_eq(fixture_sum(&stats.bytes), stats.bytes.size);
	picture->bytes = stats.bytes;
	cr_assert_eq(shm_walk(seg, -1, piece_add, &picture->pieces), 0);
	for (uint32_t i = 0; i < stats.n_arenas; i++) {
		bins_add(&picture->bins, &seg->arenas[i]);
		answers_add(&picture->answers, &seg->arenas[i]);
	}
	shm_stats_release(&stats);
}

static void
list_compare(struct list *a, struct list *b)
{
	cr_assert_eq(a->n, b->n);
	cr_assert_arr_eq(a->v, b->v, a->n * sizeof(*a->v));
	free(a->v);
	free(b->v);
}

static void
pictures_compare(struct picture *a, struct picture *b)
{
	list_compare(&a->pieces, &b->pieces);
	list_compare(&a->bins, &b->bins);
	list_compare(&a->answers, &b->answers);
	cr_assert_eq(a->bytes.size, b->bytes.size);
	cr_assert_eq(a->bytes.allocated, b->bytes.allocated);
	cr_assert_eq(a->bytes.free_binned, b->bytes.free_binned);
	cr_assert_eq(a->bytes.free_top, b->bytes.free_top);
	cr_assert_eq(a->bytes.extents_free, b->bytes.extents_free);
}

/* ---- Tests --------------------------------------------------------------- */

/* Everything of an arena that is an index, replaced by noise. */
static void
index_spoil(struct shm_arena *arena)
{
	unsigned char *first =
	    (unsigned char *)arena + offsetof(struct shm_arena, top);
	unsigned char *end = (unsigned char *)(void *)(arena + 1);
	struct shm_arena_counters counters = arena->counters;

	while (first < end)
		*first++ = (unsigned char)below(256);
	arena->counters = counters;
}

static void
rebuild_all(bool is_spoilt)
{
	struct picture before, after;
	uint32_t n = shm_get(&seg->super->n_arenas);

	picture_take(&before);
	for (uint32_t i = 0; i < n; i++) {
		struct shm_arena *arena = &seg->arenas[i];

		cr_assert(shm_arena_trylock(arena, &fixture.self));
		if (is_spoilt)
			index_spoil(arena);
		cr_assert_eq(shm_arena_rebuild_locked(&fixture.self, arena), 0);
		shm_arena_unlock(arena);
	}
	picture_take(&after);
	pictures_compare(&before, &after);
}

static void
operations_run(int rounds, int operations)
{
	uint32_t first;

	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < operations; i++)
			operate();
		rebuild_all(round % 2);
		cr_assert_eq(fixture_check(&fixture, &first), 0);
	}
	while (n_live)
		object_put(n_live - 1);
	rebuild_all(true);
}

static int
rounds(void)
{
	return getenv("SHMALLOC_CHECK_ALL") ? 400 : 20;
}

Test(rebuild, gives_an_equivalent_heap_after_any_operations)
{
	operations_run(rounds(), 1000);
	cr_expect_gt(shm_load(&fixture.arena->remote_pushed), 0);
}

Test(rebuild, gives_an_equivalent_heap_with_fastbins)
{
	fixture_tune(&fixture, SHM_PARAM_fastbin_max, 512);
	operations_run(rounds(), 1000);
}

Test(rebuild, gives_an_equivalent_heap_at_the_limit)
{
	fixture_tune(&fixture, SHM_PARAM_limit_hard, 16 << 20);
	put_share = 30;
	operations_run(rounds() / 2, 1000);
	cr_expect_gt(n_failed, 0);
}

/* What a merge that was killed leaves: neighbours, both FREE. */
Test(rebuild, coalesces_what_a_killed_merge_left)
{
	uint64_t off[4];

	cr_assert_eq(shm_heap_take(&fixture.self, 64, 4, off), 4);
	fixture_lock(&fixture);
	fixture_tag(seg, off[0], NULL, SHM_FREE);
	fixture_tag(seg, off[1], NULL, SHM_FREE);
	fixture_tag(seg, off[2], NULL, SHM_FREE);
	cr_assert_eq(shm_arena_rebuild_locked(&fixture.self, fixture.arena), 0);
	fixture_unlock(&fixture);
	cr_expect_eq(shm_heap_size(seg, off[0]), 192);
}

/* A split that was killed before the front's size shrank: the inner head is in
 * the payload of a chunk that covers it. */
Test(rebuild, does_not_see_the_inner_heads_of_a_killed_split)
{
	uint64_t off = fixture_take(&fixture.self, 4096);
	uint32_t word =
	    shm_load(&shm_chunk(seg, off - SHM_CHUNK_HEAD)->head.size);

	fixture_lock(&fixture);
	shm_chunk_split_locked(
	    &fixture.self, off - SHM_CHUNK_HEAD, off - SHM_CHUNK_HEAD + 1024);
	shm_store(&shm_chunk(seg, off - SHM_CHUNK_HEAD)->head.size, word);
	cr_assert_eq(shm_arena_rebuild_locked(&fixture.self, fixture.arena), 0);
	fixture_unlock(&fixture);
	cr_expect_eq(shm_heap_size(seg, off), 4096);
}

Test(rebuild, puts_an_arena_with_damaged_heads_out_of_service)
{
	uint64_t off = fixture_take(&fixture.self, 64);
	uint64_t next;

	fixture.is_damaged = true;
	shm_store(&shm_chunk(seg, off - SHM_CHUNK_HEAD)->head.size, 24);
	fixture_lock(&fixture);
	cr_expect_eq(shm_arena_rebuild_locked(&fixture.self, fixture.arena),
	    SHM_ECORRUPT);
	fixture_unlock(&fixture);
	cr_expect_eq(shm_load(&fixture.arena->state), SHM_ARENA_SICK);
	/* Others go on in another arena. */
	next = fixture_take(&fixture.other, 64);
	cr_expect_neq(shm_region_of(seg, next), shm_region_of(seg, off));
}

/* Free N neighbours by SELF, the first and the last of them first; those
 * between go onto the remote list, as the lock is taken: then a rebuild joins
 * all. */
static void
neighbours_join(size_t n, const uint64_t off[])
{
	bool is_extent;
	struct shm_arena *arena = shm_arena_of(seg, off[0], &is_extent);

	shm_heap_put(&fixture.self, 1, &(uint64_t){ off[0] });
	shm_heap_put(&fixture.self, 1, &(uint64_t){ off[n - 1] });
	cr_assert(shm_arena_trylock(arena, &fixture.other));
	for (size_t i = 1; i < n - 1; i++)
		shm_heap_put(&fixture.self, 1, &(uint64_t){ off[i] });
	cr_assert_eq(shm_arena_rebuild_locked(&fixture.other, arena), 0);
	shm_arena_unlock(arena);
}

/* What a sweep has remembered may be inside now: it must see that. */
Test(rebuild, a_chunk_that_it_joins_to_another_is_not_linked)
{
	uint64_t off[5];
	const struct shm_chunk *last;

	cr_assert_eq(shm_heap_take(&fixture.self, 2048, 5, off), 5);
	last = shm_chunk(seg, off[3] - SHM_CHUNK_HEAD);
	neighbours_join(4, off);
	cr_assert_eq(
	    shm_size(shm_chunk(seg, off[0] - SHM_CHUNK_HEAD)), 4 * 2048);
	cr_expect_eq(shm_flags(last) & SHM_LINKED, 0);
	shm_heap_put(&fixture.self, 1, &off[4]);
}

Test(rebuild, an_extent_that_it_joins_to_another_is_not_linked)
{
	uint64_t off[4];
	const struct shm_page *first, *last;

	for (int i = 0; i < 4; i++) {
		off[i] = shm_heap_take_extent(&fixture.self, 40);
		cr_assert_neq(off[i], 0);
		cr_assert_eq(off[i], off[0] + (uint64_t)i * 40 * SHM_PAGE);
	}
	first = &seg->pages[shm_page_of(seg, off[0])];
	last = &seg->pages[shm_page_of(seg, off[2])];
	neighbours_join(3, off);
	cr_assert_eq(shm_pages(first), 3 * 40);
	cr_expect_eq(shm_load(&last->head.size) & SHM_LINKED, 0);
	shm_heap_put(&fixture.self, 1, &off[3]);
}
