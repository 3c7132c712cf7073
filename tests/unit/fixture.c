/*
 * See fixture.h.
 */
#include "tests/unit/fixture.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shm/daemon.h"
#include "shm/thread.h"

static void
client_begin(struct fixture *fixture, struct shm_self *self, const char *label)
{
	struct shm_identity who = { .pid = 1, .label = label };
	uint32_t slot, generation;

	cr_assert_eq(
	    shm_client_open(&fixture->seg, &who, &slot, &generation), 0);
	shm_self_init(self, &fixture->seg, slot, generation, 0, 0);
	cr_assert_eq(shm_thread_claim(self), 0);
}

void
fixture_begin(struct fixture *fixture, uint64_t limit, uint32_t arenas)
{
	const struct shm_seg_options options = {
		.name = "test", .limit = limit, .mode = 0600, .arenas = arenas
	};
	int fd, pins_fd;

	*fixture = (struct fixture){ 0 };
	cr_assert_eq(shm_seg_create(&options, &fd, &pins_fd), 0);
	cr_assert_eq(shm_seg_map(fd, pins_fd, false, &fixture->seg), 0);
	cr_assert_eq(shm_daemon_start(&fixture->seg), 0);
	shm_daemon_self(&fixture->seg, &fixture->daemon);
	client_begin(fixture, &fixture->self, "self");
	client_begin(fixture, &fixture->other, "other");
	fixture->arena = &fixture->seg.arenas[0];
}

static void
finding_print(void *arg, const struct shm_finding *finding)
{
	uint32_t *first = arg;

	if (*first == 0)
		*first = finding->invariant;
	fprintf(stderr, "I%u: %s (arena %d, offset %#llx)\n",
	    finding->invariant, finding->text, finding->arena,
	    (unsigned long long)finding->off);
}

int
fixture_check(struct fixture *fixture, uint32_t *ret_first)
{
	*ret_first = 0;
	return shm_check(&fixture->seg, false, finding_print, ret_first);
}

uint64_t
fixture_sum(const struct shm_bytes *bytes)
{
	return bytes->in_use_chunks + bytes->cached + bytes->pending +
	    bytes->free_binned + bytes->free_fast + bytes->free_top +
	    bytes->extents_used + bytes->extents_free + bytes->metadata +
	    bytes->unused;
}

/* Both ways of reading agree on what both know, and the identity holds. */
static void
identity_check(struct shm_seg *seg)
{
	struct shm_stats quick, exact;

	cr_assert_eq(shm_stats_read(seg, true, &exact), 0);
	cr_assert_eq(shm_stats_read(seg, false, &quick), 0);
	cr_expect_eq(fixture_sum(&exact.bytes), exact.bytes.size);
	cr_expect_eq(fixture_sum(&quick.bytes), quick.bytes.size);
	cr_expect_eq(quick.bytes.size, exact.bytes.size);
	cr_expect_eq(quick.bytes.free_binned, exact.bytes.free_binned);
	cr_expect_eq(quick.bytes.free_fast, exact.bytes.free_fast);
	cr_expect_eq(quick.bytes.free_top, exact.bytes.free_top);
	cr_expect_eq(quick.bytes.extents_free, exact.bytes.extents_free);
	cr_expect_eq(quick.bytes.metadata, exact.bytes.metadata);
	cr_expect_eq(quick.bytes.unused, exact.bytes.unused);
	cr_expect_eq(quick.bytes.largest_free, exact.bytes.largest_free);
	shm_stats_release(&exact);
	shm_stats_release(&quick);
}

void
fixture_end(struct fixture *fixture)
{
	uint32_t first;

	if (!fixture->is_damaged) {
		cr_expect_eq(fixture_check(fixture, &first), 0);
		identity_check(&fixture->seg);
	}
	shm_seg_unmap(&fixture->seg);
}

void
fixture_tune(struct fixture *fixture, enum shm_param param, uint64_t value)
{
	const struct shm_tunable_change change = { param, value };
	uint32_t bad;

	cr_assert_eq(shm_tunables_set(&fixture->seg, 1, &change, &bad), 0);
	(void)shm_self_refresh(&fixture->daemon);
	(void)shm_self_refresh(&fixture->self);
	(void)shm_self_refresh(&fixture->other);
}

void
fixture_lock(struct fixture *fixture)
{
	cr_assert(shm_arena_trylock(fixture->arena, &fixture->self));
}

void
fixture_unlock(struct fixture *fixture)
{
	shm_arena_unlock(fixture->arena);
}

uint64_t
fixture_take(struct shm_self *who, uint32_t size)
{
	uint64_t off = 0;

	cr_assert_eq(shm_heap_take(who, size, 1, &off), 1);
	return off;
}

void
fixture_tag(struct shm_seg *seg, uint64_t off, const struct shm_self *who,
    enum shm_state state)
{
	uint32_t owner = who ? who->slot : 0;
	uint32_t generation = who ? who->generation : 0;

	if (shm_state_is_thread(state)) {
		owner = who->thread;
		generation = who->thread_generation;
	}
	shm_put(shm_tag_at(seg, off),
	    shm_tag_base(owner, generation, state) |
		shm_tag_check(seg->key, off));
}

enum shm_state
fixture_state(struct shm_seg *seg, uint64_t off)
{
	return shm_tag_state(shm_get(shm_tag_at(seg, off)));
}

/* splitmix64 */
uint32_t
fixture_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)(z >> 32);
}

uint64_t
fixture_seed(void)
{
	const char *text = getenv("SHMALLOC_SEED");
	struct timespec now = { 0, 0 };
	uint64_t seed;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	seed = text ? strtoull(text, NULL, 0)
		    : (uint64_t)now.tv_sec * 1000000007 + (uint64_t)now.tv_nsec;
	fprintf(stderr, "SHMALLOC_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}
