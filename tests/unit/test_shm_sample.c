/*
 * Samples of the heap profile: in it while their objects are allocated, and
 * nothing to free after that.
 */
#include <criterion/criterion.h>

#include <string.h>

#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/sample.h"
#include "tests/unit/fixture.h"

/* As many records as a segment may use at least. */
#define RECORDS 128

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;

static void
begin(void)
{
	fixture_begin(&fixture, FIXTURE_LIMIT, 4);
	fixture_tune(&fixture, SHM_PARAM_profile_sample_bytes, FIXTURE_LIMIT);
}

static void
end(void)
{
	fixture_end(&fixture);
}

TestSuite(sample, .init = begin, .fini = end);

/* An object of SIZE bytes of WHO's, sampled; *RET_INDEX is its record, plus
 * one. */
static uint64_t
take(struct shm_self *who, uint64_t size, uint32_t *ret_index)
{
	struct shm_sample_copy sample = { .rate = 4096,
		.unit = 64,
		.slot = who->slot,
		.generation = who->generation,
		.pid = 7,
		.n_frames = 2,
		.command = "taker",
		.frame = { 11, 12 } };
	uint64_t off = shm_heap_take_extent(who, shm_pages_for(size));

	cr_assert_neq(off, 0);
	shm_extent_note(seg, off, size);
	*ret_index = shm_sample_claim(who, off);
	if (*ret_index)
		shm_sample_publish(who, *ret_index - 1, &sample);
	fixture_tag(seg, off, who, SHM_OWNED);
	return off;
}

static void
put(struct shm_self *who, uint64_t off)
{
	fixture_tag(seg, off, who, SHM_CACHED);
	shm_heap_put(who, 1, &off);
}

static bool
is_there(uint32_t plus_one)
{
	struct shm_sample_copy sample;

	return shm_sample_read(seg, plus_one - 1, &sample);
}

static uint32_t
count(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SHM_SAMPLES; i++)
		n += is_there(i + 1);
	return n;
}

Test(sample, what_was_published_is_read_again)
{
	struct shm_sample_copy sample;
	uint32_t index;
	uint64_t off = take(&fixture.self, 5000, &index);

	cr_assert(shm_sample_read(seg, index - 1, &sample));
	cr_expect_eq(sample.off, off);
	cr_expect_eq(sample.size, 5000);
	cr_expect_eq(sample.rate, 4096);
	cr_expect_eq(sample.unit, 64);
	cr_expect_eq(sample.slot, fixture.self.slot);
	cr_expect_eq(sample.pid, 7);
	cr_expect_str_eq(sample.command, "taker");
	cr_expect_eq(sample.n_frames, 2);
	cr_expect_eq(sample.frame[1], 12);
	cr_expect_eq(sample.arena, 0);
	cr_expect_not(sample.is_shared);
	cr_expect_eq(count(), 1);
	put(&fixture.self, off);
}

Test(sample, it_is_in_the_profile_while_its_object_is_allocated)
{
	static const struct {
		enum shm_state state;
		bool is_in;
	} states[] = { { SHM_OWNED, true }, { SHM_SHARED, true },
		{ SHM_UNLINKED, true }, { SHM_RETIRED, false },
		{ SHM_CACHED, false }, { SHM_REMOTE, false } };
	struct shm_self *self = &fixture.self;
	uint32_t index;
	uint64_t off = take(self, 100, &index);

	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
		fixture_tag(seg, off,
		    states[i].state == SHM_SHARED ? NULL : self,
		    states[i].state);
		cr_expect_eq(is_there(index), states[i].is_in, "%d",
		    (int)states[i].state);
	}
	put(self, off);
	cr_expect_not(is_there(index));
}

Test(sample, an_object_that_is_resized_keeps_its_sample)
{
	struct shm_sample_copy sample;
	uint32_t index;
	uint64_t off = take(&fixture.self, 9000, &index);

	cr_assert(shm_heap_resize(&fixture.self, off, 30000));
	shm_extent_note_again(seg, off, 30000);
	cr_assert(shm_sample_read(seg, index - 1, &sample));
	cr_expect_eq(sample.size, 30000);
	put(&fixture.self, off);
}

Test(sample, an_extent_that_is_allocated_again_is_in_no_profile)
{
	uint32_t index;
	uint64_t off = take(&fixture.self, 5000, &index), again;

	put(&fixture.self, off);
	again = shm_heap_take_extent(&fixture.self, 2);
	cr_assert_eq(again, off);
	shm_extent_note(seg, again, 5000);
	fixture_tag(seg, again, &fixture.self, SHM_OWNED);
	cr_expect_eq(count(), 0);
	put(&fixture.self, again);
}

Test(sample, records_of_what_was_freed_are_used_again)
{
	uint32_t index;

	for (int i = 0; i < 20 * RECORDS; i++) {
		uint64_t off = take(&fixture.self, 100, &index);

		cr_assert(is_there(index));
		put(&fixture.self, off);
	}
	cr_expect_eq(shm_samples_used(seg), RECORDS);
	cr_expect_eq(shm_load(&seg->super->samples_lost), 0);
}

Test(sample, when_all_records_are_in_use_a_sample_is_lost_and_counted)
{
	static uint64_t off[4 * RECORDS];
	uint32_t index[4 * RECORDS], n = 0, lost = 0;

	for (; n < 4 * RECORDS; n++) {
		off[n] = take(&fixture.self, 100, &index[n]);
		lost += index[n] == 0;
	}
	cr_expect_eq(lost, 3 * RECORDS);
	cr_expect_eq(count(), RECORDS);
	cr_expect_eq(shm_load(&seg->super->samples_lost), lost);
	for (n = 0; n < 4 * RECORDS; n++)
		put(&fixture.self, off[n]);
	off[0] = take(&fixture.self, 100, &index[0]);
	cr_expect_eq(count(), 1);
	put(&fixture.self, off[0]);
}

Test(sample, one_that_was_not_made_ready_is_in_no_profile)
{
	uint64_t off = shm_heap_take_extent(&fixture.self, 1);
	uint32_t index;

	shm_extent_note(seg, off, 100);
	index = shm_sample_claim(&fixture.self, off);
	cr_assert_neq(index, 0);
	fixture_tag(seg, off, &fixture.self, SHM_OWNED);
	cr_expect_eq(count(), 0);
	put(&fixture.self, off);
}

Test(sample, a_dead_clients_are_gone_with_what_it_held_and_others_stay)
{
	struct shm_reclaimed sum = { 0 };
	uint32_t dead, shared, mine;
	uint64_t off[3];

	off[0] = take(&fixture.other, 100, &dead);
	off[1] = take(&fixture.other, 100, &shared);
	off[2] = take(&fixture.self, 100, &mine);
	fixture_tag(seg, off[1], NULL, SHM_SHARED);
	shm_client_death(seg, fixture.other.slot);
	while (shm_reclaim_step(seg, fixture.other.slot, 1000, &sum) != 1)
		;
	cr_expect_not(is_there(dead));
	cr_expect(is_there(shared));
	cr_expect(is_there(mine));
	fixture_tag(seg, off[1], &fixture.self, SHM_OWNED);
	put(&fixture.self, off[1]);
	put(&fixture.self, off[2]);
}

/* ---- Modules ------------------------------------------------------------- */

static struct shm_module_copy
module(const char *name)
{
	struct shm_module_copy copy = {
		.start = 4096, .end = 8192, .id_len = 2, .id = { 1, 2 }
	};

	strncpy(copy.name, name, sizeof(copy.name) - 1);
	return copy;
}

Test(sample, a_module_has_one_record_whoever_asks)
{
	struct shm_module_copy one = module("one"), two = module("two"), found;
	uint32_t first = shm_module_find(&fixture.self, &one);

	cr_assert_neq(first, 0);
	cr_expect_neq(shm_module_find(&fixture.self, &two), first);
	cr_expect_eq(shm_module_find(&fixture.other, &one), first);
	one.id[1] = 3;
	cr_expect_neq(shm_module_find(&fixture.other, &one), first);
	cr_assert(shm_module_read(seg, first - 1, &found));
	cr_expect_str_eq(found.name, "one");
	cr_expect_eq(found.end, 8192);
	cr_expect_eq(found.id_len, 2);
	cr_expect_not(shm_module_read(seg, SHM_MODULES, &found));
}

Test(
    sample, a_module_that_is_being_written_is_left_to_its_writer_while_it_lives)
{
	struct shm_module_copy one = module("one"), two = module("two"), found;
	uint32_t first = shm_module_find(&fixture.self, &one);
	uint64_t claim = ((uint64_t)fixture.other.slot + 1) |
	    (uint64_t)fixture.other.generation << 32;

	shm_store(&seg->modules[first - 1].state, claim);
	cr_expect_not(shm_module_read(seg, first - 1, &found));
	cr_expect_neq(shm_module_find(&fixture.self, &one), first);
	shm_client_death(seg, fixture.other.slot);
	cr_expect_eq(shm_module_find(&fixture.self, &two), first);
	cr_assert(shm_module_read(seg, first - 1, &found));
	cr_expect_str_eq(found.name, "two");
}
