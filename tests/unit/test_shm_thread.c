/*
 * Thread records and readers' pins: what the pins' memfd says, which clients
 * that may not write the segment can write, harms nobody who may.
 */
#include <criterion/criterion.h>

#include <pthread.h>

#include "shm/daemon.h"
#include "shm/epoch.h"
#include "shm/thread.h"
#include "tests/unit/fixture.h"

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;
static struct shm_reclaimed sum;
/* What a read-only client writes over. */
static struct shm_pin *pin_of_self, *pin_of_other;

static void
begin(void)
{
	fixture_begin(&fixture, FIXTURE_LIMIT, 2);
	sum = (struct shm_reclaimed){ 0 };
	pin_of_self = &seg->pins->pin[fixture.self.thread];
	pin_of_other = &seg->pins->pin[fixture.other.thread];
}

static void
end(void)
{
	fixture_end(&fixture);
}

TestSuite(thread, .init = begin, .fini = end);

static uint64_t
owner_of(const struct shm_self *who)
{
	return shm_pin_owner(who->slot, who->generation);
}

static void
other_dies(void)
{
	shm_client_death(seg, fixture.other.slot);
	cr_assert_eq(shm_reclaim_step(seg, fixture.other.slot, 1000, &sum), 1);
}

Test(thread, a_pin_that_names_a_dead_client_releases_nobodys_record)
{
	uint64_t before = shm_thread_owner(seg, fixture.self.thread);

	shm_put(&pin_of_self->owner, owner_of(&fixture.other));
	other_dies();
	cr_expect_eq(shm_thread_owner(seg, fixture.self.thread), before);
}

/* A lock that self holds would be taken away from it. */
Test(thread, a_pin_that_names_a_dead_client_makes_no_lock_look_dead)
{
	fixture_lock(&fixture);
	shm_put(&pin_of_self->owner, owner_of(&fixture.other));
	shm_client_death(seg, fixture.other.slot);
	(void)!shm_reclaim_step(seg, fixture.other.slot, 1000, &sum);
	cr_expect_eq(shm_repair_dead_locks(seg), 0);
	cr_expect_eq(shm_load(&fixture.arena->lock), fixture.self.lock_word);
	fixture_unlock(&fixture);
	fixture.is_damaged = true;
}

/* Read-only clients can write them all. */
Test(thread, pins_that_are_all_taken_keep_no_writer_out)
{
	struct shm_self third = fixture.other;

	shm_put(&seg->pins->high, UINT64_MAX);
	for (uint32_t i = 0; i < SHM_THREADS; i++)
		shm_put(&seg->pins->pin[i].owner, shm_pin_owner(4000, 1));
	cr_assert_eq(shm_thread_claim(&third), 0);
	cr_expect_neq(third.thread, fixture.self.thread);
	cr_expect_neq(third.thread, fixture.other.thread);
	shm_thread_release(seg, third.thread);
}

#define CLAIMERS 4
#define CLAIMS   20000

static _Atomic int has_record[CLAIMERS + 8];
static _Atomic bool was_shared, is_over;

static void *
claims_make(void *arg)
{
	struct shm_self self = fixture.self;

	(void)arg;
	for (int i = 0; i < CLAIMS; i++) {
		cr_assert_eq(shm_thread_claim(&self), 0);
		if (atomic_fetch_add(&has_record[self.thread], 1) != 0)
			was_shared = true;
		atomic_fetch_sub(&has_record[self.thread], 1);
		shm_thread_release(seg, self.thread);
	}
	return NULL;
}

static void *
pins_clear(void *arg)
{
	while (!is_over)
		for (uint32_t i = 0; i < CLAIMERS + 8; i++)
			shm_put(&seg->pins->pin[i].owner, 0);
	return arg;
}

Test(thread, no_two_threads_have_one_record_whatever_the_pins_say)
{
	pthread_t claimer[CLAIMERS], clearer;

	cr_assert_eq(pthread_create(&clearer, NULL, pins_clear, NULL), 0);
	for (int i = 0; i < CLAIMERS; i++)
		cr_assert_eq(
		    pthread_create(&claimer[i], NULL, claims_make, NULL), 0);
	for (int i = 0; i < CLAIMERS; i++)
		cr_assert_eq(pthread_join(claimer[i], NULL), 0);
	is_over = true;
	cr_assert_eq(pthread_join(clearer, NULL), 0);
	cr_expect_not(was_shared);
}

Test(thread, a_record_and_the_pin_of_its_number_are_two_readers)
{
	const struct shm_identity who = { .pid = 1,
		.flags = SHM_CLIENT_READ_ONLY };
	uint64_t epoch = shm_get(&seg->super->epoch);
	uint32_t slot, generation;

	cr_assert_eq(shm_client_open(seg, &who, &slot, &generation), 0);
	shm_put(&seg->pins->high, fixture.self.thread);
	shm_put(&pin_of_self->owner, shm_pin_owner(slot, generation));
	shm_epoch_enter(seg, pin_of_self);
	(void)shm_epoch_stamp(seg);
	shm_epoch_enter(seg, shm_thread_pin(seg, fixture.self.thread));
	cr_expect_eq(shm_epoch_oldest(seg), epoch);
	shm_epoch_exit(pin_of_self);
	cr_expect_eq(shm_epoch_oldest(seg), epoch + 1);
	shm_epoch_exit(shm_thread_pin(seg, fixture.self.thread));
	shm_client_death(seg, slot);
	cr_assert_eq(shm_reclaim_step(seg, slot, 1000, &sum), 1);
	cr_expect_eq(shm_get(&pin_of_self->owner), 0);
}

Test(thread, a_dead_clients_record_is_found_without_its_pin)
{
	shm_put(&pin_of_other->owner, 0);
	shm_put(&seg->pins->high, 0);
	other_dies();
	cr_expect_eq(
	    shm_owner_slot(shm_thread_owner(seg, fixture.other.thread)), 0);
}

Test(thread, a_reader_who_may_write_is_inside_whatever_the_pins_say)
{
	struct shm_pin *pin = shm_thread_pin(seg, fixture.self.thread);
	uint64_t epoch = shm_get(&seg->super->epoch);

	shm_epoch_enter(seg, pin);
	shm_put(&pin_of_self->epoch, 0);
	shm_put(&pin_of_self->owner, 0);
	shm_put(&seg->pins->high, 0);
	shm_pins_tidy(seg);
	cr_expect_eq(shm_epoch_oldest(seg), epoch);
	shm_epoch_exit(pin);
	cr_expect_eq(shm_epoch_oldest(seg), UINT64_MAX);
}

Test(thread, a_writers_pin_cannot_be_made_to_look_old)
{
	shm_put(&pin_of_self->epoch, 1);
	cr_expect_eq(shm_epoch_oldest(seg), UINT64_MAX);
}

Test(thread, what_a_pin_of_nobody_holds_back_is_let_go_at_the_next_tick)
{
	struct shm_pin *pin = &seg->pins->pin[10];

	shm_put(&seg->pins->high, 12);
	shm_put(&pin->epoch, 1);
	cr_expect_eq(shm_epoch_oldest(seg), 1);
	(void)shm_tick(seg);
	cr_expect_eq(shm_epoch_oldest(seg), UINT64_MAX);
	/* Nor does one that names a client with a record of its own. */
	shm_put(&pin->owner, owner_of(&fixture.self));
	shm_put(&pin->epoch, 1);
	cr_expect_eq(shm_epoch_oldest(seg), UINT64_MAX);
	shm_put(&pin->epoch, 0);
	shm_put(&pin->owner, 0);
	/* Nor does one of a client who isn't there. */
	shm_put(&pin->owner, shm_pin_owner(4000, 1));
	shm_put(&pin->epoch, 1);
	(void)shm_tick(seg);
	(void)shm_tick(seg);
	cr_expect_eq(shm_epoch_oldest(seg), UINT64_MAX);
	cr_expect_eq(shm_get(&pin->owner), 0);
}

/* ---- Slots --------------------------------------------------------------- */

static bool
is_taken(const void *arg, uint32_t slot)
{
	return slot == *(const uint32_t *)arg;
}

Test(thread, a_slot_in_use_is_not_given_out_whatever_the_segment_says)
{
	const struct shm_identity who = {
		.pid = 1, .is_taken = is_taken, .arg = &fixture.other.slot
	};
	uint32_t slot, generation;

	fixture.is_damaged = true;
	/* All others are taken, and this one looks free. */
	for (uint32_t i = 2; i < SHM_CLIENTS; i++)
		shm_store(&seg->clients[i].state, SHM_CLIENT_LIVE);
	for (uint64_t i = 0; i < seg->len / SHM_PAGE / 64; i++)
		shm_store(&seg->committed[i], UINT64_MAX);
	shm_store(&seg->clients[fixture.other.slot].state, SHM_CLIENT_FREE);
	cr_expect_eq(shm_client_open(seg, &who, &slot, &generation), SHM_EBUSY);
}
