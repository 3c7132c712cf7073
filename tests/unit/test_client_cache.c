/*
 * What a thread's cache keeps, and for how long.
 */
#include <criterion/criterion.h>

#include "client/cache.h"
#include "shm/daemon.h"
#include "tests/unit/attachment.h"
#include "tests/unit/fixture.h"

#define N 200

static struct shmalloc heap;
static struct shm_client *client;

static void
begin(void)
{
	attachment_make(&heap);
	client = &heap.seg.clients[heap.slot];
}

TestSuite(client_cache, .init = begin);

/* Many of SIZE bytes are allocated and freed. */
static void
class_fill(size_t size)
{
	shmalloc_off off[N];

	cr_assert_eq(shmalloc_alloc_batch(&heap, size, N, off), N);
	shmalloc_free_batch(&heap, N, off);
}

/* The daemon's clock goes on by as much as unused chunks may rest. */
static void
time_pass(void)
{
	const struct shm_tunables *tunables = heap.seg.tunables;

	shm_store(&heap.seg.super->clock_ms,
	    shm_load(&heap.seg.super->clock_ms) +
		(uint32_t)shm_load(&tunables->value[SHM_PARAM_decay_ms]));
}

/* A call that comes to a slow path and leaves no chunk in a class. */
static void
slow_call(void)
{
	shmalloc_free(&heap, shmalloc_alloc(&heap, 400000));
}

static uint32_t
held(size_t size)
{
	return cache_current->class[shm_class(shm_cached_size(size))].n;
}

Test(client_cache, an_unused_class_gives_back_half_each_decay_ms)
{
	uint32_t before;

	class_fill(64);
	before = held(64);
	cr_assert_gt(before, 16);
	time_pass(); /* it was used in that time */
	slow_call();
	cr_expect_eq(held(64), before);
	time_pass();
	slow_call();
	cr_expect_eq(held(64), before / 2);
	for (int i = 0; i < 10; i++) {
		time_pass();
		slow_call();
	}
	cr_expect_eq(held(64), 0);
	cr_expect_eq(shm_load(&client->cached_bytes), 0);
}

Test(client_cache, a_class_in_use_keeps_what_it_has)
{
	uint32_t before;

	class_fill(64);
	class_fill(128);
	before = held(64);
	for (int i = 0; i < 10; i++) {
		shmalloc_free(&heap, shmalloc_alloc(&heap, 64));
		time_pass();
		slow_call();
	}
	cr_expect_eq(held(64), before);
	cr_expect_eq(held(128), 0);
}

Test(client_cache, nothing_goes_back_before_its_time)
{
	uint32_t before;

	class_fill(64);
	before = held(64);
	for (int i = 0; i < 10; i++)
		slow_call();
	cr_expect_eq(held(64), before);
}

/* The threshold of extents grows when one is freed; below it, caches serve. */
Test(client_cache, keeps_what_was_an_extent_before_the_threshold_grew)
{
	shmalloc_off off;

	cr_assert_eq(held(150000), 0);
	shmalloc_free(&heap, shmalloc_alloc(&heap, 200000));
	off = shmalloc_alloc(&heap, 150000);
	cr_assert_neq(off, 0);
	shmalloc_free(&heap, off);
	cr_expect_eq(held(150000), 1);
	cr_expect_eq(shmalloc_alloc(&heap, 150000), off);
}

/* What was freed of a client that has gone is not counted off the one that has
 * its slot now. */
Test(client_cache, owes_nothing_to_who_came_after)
{
	const struct shm_identity who = { .pid = 2 };
	uint32_t slot, generation;
	struct shm_client *other;

	cr_assert_eq(shm_client_open(&heap.seg, &who, &slot, &generation), 0);
	other = &heap.seg.clients[slot];
	shm_store(&other->held_bytes, 1000);
	class_fill(64);
	cache_owe(cache_current, shm_tag_base(slot, generation, SHM_OWNED), 0);
	shm_store(&other->generation, generation + 1);
	cache_count_all(cache_current);
	cr_expect_eq(shm_load(&other->held_bytes), 1000);
	cache_owe(
	    cache_current, shm_tag_base(slot, generation + 1, SHM_OWNED), 0);
	cache_count_all(cache_current);
	cr_expect_lt(shm_load(&other->held_bytes), 1000);
}

/* ---- Counters ------------------------------------------------------------ */

#define LIVE 2000

static uint32_t
class_of(uint64_t off)
{
	return shm_class((uint32_t)shm_heap_size(&heap.seg, off));
}

/* Do the client's counters say that the objects in OFF are what it holds? */
static void
counters_expect(const shmalloc_off off[LIVE])
{
	uint64_t live[SHM_COUNTED] = { 0 }, bytes = 0, chunks = 0, misses = 0;

	cache_count_all(cache_current);
	for (int i = 0; i < LIVE; i++) {
		if (off[i] == 0)
			continue;
		live[class_of(off[i])]++;
		bytes += shm_class_size(class_of(off[i]));
		chunks++;
	}
	cr_expect_eq(shm_load(&client->held_chunks), (int64_t)chunks);
	cr_expect_eq(shm_load(&client->held_bytes), (int64_t)bytes);
	cr_expect_eq(
	    shm_load(&client->allocs) - shm_load(&client->frees), chunks);
	for (uint32_t i = 0; i < SHM_COUNTED; i++) {
		cr_expect_eq(shm_load(&client->class_allocs[i]) -
			shm_load(&client->class_frees[i]),
		    live[i]);
		cr_expect_leq(shm_load(&client->class_misses[i]),
		    shm_load(&client->class_allocs[i]));
		misses += shm_load(&client->class_misses[i]);
	}
	cr_expect_eq(shm_load(&client->cache_misses), misses);
}

/*
 * Where the rest of what was carved is too small for a chunk the last one is
 * larger than asked for: it comes and goes as what it is.
 */
Test(client_cache, what_is_held_is_what_is_there_whatever_was_carved)
{
	static shmalloc_off off[LIVE];
	uint64_t seed = fixture_seed();

	for (int i = 0; i < 200000; i++) {
		uint32_t at = fixture_random(&seed) % LIVE;
		uint32_t size = fixture_random(&seed) %
		    (fixture_random(&seed) % 8 ? 500 : 3000);

		shmalloc_free(&heap, off[at]);
		off[at] = shmalloc_alloc(&heap, size);
		cr_assert_neq(off[at], 0);
		if (i % 50000 == 0)
			counters_expect(off);
	}
	counters_expect(off);
	for (int i = 0; i < LIVE; i++) {
		shmalloc_free(&heap, off[i]);
		off[i] = 0;
	}
	counters_expect(off);
	cache_flush_all(cache_current);
	cr_expect_eq(shm_load(&client->cached_bytes), 0);
	cr_expect_eq(shm_load(&client->cached_chunks), 0);
}
