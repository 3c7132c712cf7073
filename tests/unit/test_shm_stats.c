/*
 * Statistics: the byte identity, and what each state of an object counts as.
 */
#include <criterion/criterion.h>

#include <math.h>

#include "shm/daemon.h"
#include "tests/unit/fixture.h"

static struct fixture fixture;
static struct shm_stats stats;

static void
begin(void)
{
	fixture_begin(&fixture, FIXTURE_LIMIT, 4);
}

static void
end(void)
{
	shm_stats_release(&stats);
	fixture_end(&fixture);
}

static void
read_exact(void)
{
	shm_stats_release(&stats);
	cr_assert_eq(shm_stats_read(&fixture.seg, true, &stats), 0);
	cr_expect_eq(fixture_sum(&stats.bytes), stats.bytes.size);
}

TestSuite(stats, .init = begin, .fini = end);

Test(stats, an_empty_segment_is_all_metadata)
{
	read_exact();
	cr_expect_eq(stats.bytes.size, stats.bytes.metadata);
	cr_expect_gt(stats.bytes.metadata, 0);
	cr_expect_eq(stats.objects, 0);
	cr_expect_lt(stats.fragmentation_internal, 0);
	cr_expect_lt(stats.unusable[0], 0);
	cr_expect_eq(stats.n_arenas, 1);
	cr_expect_eq(stats.clients_live, 2);
	cr_expect_str_eq(stats.name, "test");
}

/* What an object of 160 bytes, in STATE and of WHO, changes. */
static uint64_t
bytes_in(const struct shm_self *who, enum shm_state state, size_t field)
{
	uint64_t off = fixture_take(&fixture.self, 160), before, after;

	fixture_tag(&fixture.seg, off, &fixture.self, SHM_CACHED);
	read_exact();
	before = *(uint64_t *)((char *)&stats.bytes + field);
	if (field == offsetof(struct shm_bytes, cached))
		before -= 160;
	fixture_tag(&fixture.seg, off, who, state);
	read_exact();
	after = *(uint64_t *)((char *)&stats.bytes + field);
	return after - before;
}

#define BYTES_IN(who, state, field)                                            \
	bytes_in(who, state, offsetof(struct shm_bytes, field))

Test(stats, each_state_counts_as_what_the_table_says)
{
	struct shm_self *self = &fixture.self;

	cr_expect_eq(BYTES_IN(self, SHM_OWNED, in_use_chunks), 160);
	cr_expect_eq(BYTES_IN(self, SHM_OWNED, allocated), 152);
	cr_expect_eq(BYTES_IN(NULL, SHM_SHARED, in_use_chunks), 160);
	cr_expect_eq(BYTES_IN(self, SHM_PUBLISHING, in_use_chunks), 160);
	cr_expect_eq(BYTES_IN(self, SHM_TAKING, in_use_chunks), 160);
	cr_expect_eq(BYTES_IN(self, SHM_CACHED, cached), 160);
	cr_expect_eq(BYTES_IN(self, SHM_UNLINKED, pending), 160);
	cr_expect_eq(BYTES_IN(self, SHM_RETIRED, pending), 160);
}

Test(stats, what_a_dead_client_held_is_pending)
{
	uint64_t off = fixture_take(&fixture.other, 4096);

	fixture_tag(&fixture.seg, off, &fixture.other, SHM_OWNED);
	off = fixture_take(&fixture.other, 4096);
	read_exact();
	cr_expect_eq(stats.bytes.in_use_chunks, 4096);
	cr_expect_eq(stats.bytes.cached, 4096);
	shm_client_death(&fixture.seg, fixture.other.slot);
	read_exact();
	cr_expect_eq(stats.bytes.in_use_chunks, 0);
	cr_expect_eq(stats.bytes.cached, 0);
	cr_expect_eq(stats.bytes.pending, 8192);
	cr_expect_eq(stats.clients_dead, 1);
}

Test(stats, the_exact_reading_drains_remote_lists)
{
	uint64_t off = fixture_take(&fixture.self, 160);

	fixture_lock(&fixture);
	cr_assert_eq(shm_remote_push(&fixture.self, fixture.arena, 1, &off), 1);
	fixture_unlock(&fixture);
	cr_assert_eq(fixture_state(&fixture.seg, off), SHM_REMOTE);
	read_exact();
	cr_expect_eq(stats.bytes.pending, 0);
	cr_expect_eq(shm_load(&fixture.arena->remote), 0);
	cr_expect_eq(fixture_state(&fixture.seg, off), SHM_FREE);
}

Test(stats, an_extent_counts_whole_pages_and_says_what_was_asked)
{
	uint64_t off = shm_heap_take_extent(&fixture.self, 50);
	struct shm_page *page;

	cr_assert_neq(off, 0);
	page = &fixture.seg.pages[shm_page_of(&fixture.seg, off)];
	shm_store(&page->next, 50 * SHM_PAGE - 1000);
	shm_store(&page->prev, 0);
	fixture_tag(&fixture.seg, off, NULL, SHM_SHARED);
	read_exact();
	cr_expect_eq(stats.bytes.extents_used, 50 * SHM_PAGE);
	cr_expect_eq(stats.bytes.extents_free, (512 - 50) * SHM_PAGE);
	cr_expect_eq(stats.bytes.allocated, 50 * SHM_PAGE);
	cr_expect_eq(stats.bytes.requested, 50 * SHM_PAGE - 1000);
	cr_expect_eq(stats.bins[shm_class_of_pages(50)].live, 1);
	cr_expect_eq(stats.bytes.largest_free, (512 - 50) * SHM_PAGE);
}

Test(stats, requested_is_estimated_from_what_the_class_was_asked_for)
{
	uint64_t off = fixture_take(&fixture.self, 160);
	uint32_t bin = shm_class(160);

	fixture_tag(&fixture.seg, off, &fixture.self, SHM_OWNED);
	shm_store(&fixture.self.client->class_allocs[bin], 4);
	shm_store(&fixture.self.client->class_requested[bin], 4 * 140);
	read_exact();
	cr_expect_eq(stats.bytes.requested, 140);
	cr_expect_float_eq(stats.fragmentation_internal, 1 - 140.0 / 160, 1e-9);
	/* More than can be there is cut. */
	shm_store(&fixture.self.client->class_requested[bin], 1 << 20);
	read_exact();
	cr_expect_eq(stats.bytes.requested, 152);
}

/* Leave one free chunk of 1 KiB between two of its neighbours. */
static void
hole_make(void)
{
	uint64_t off[3];

	for (int i = 0; i < 3; i++)
		off[i] = fixture_take(&fixture.self, 1024);
	shm_heap_put(&fixture.self, 1, &off[1]);
}

Test(stats, fragmentation_says_which_share_a_size_cannot_use)
{
	uint64_t top;

	hole_make();
	read_exact();
	top = stats.bytes.free_top;
	cr_expect_eq(stats.bytes.free_binned, 1024);
	cr_expect_float_eq(stats.unusable[0], 0, 1e-9);
	/* 1 KiB needs a chunk of 1040. */
	cr_expect_float_eq(
	    stats.unusable[1], 1024.0 / (double)(top + 1024), 1e-9);
	cr_expect_float_eq(
	    stats.unusable[2], 1024.0 / (double)(top + 1024), 1e-9);
	cr_expect_eq(stats.free_histogram[10], 1);
	cr_expect_eq(stats.free_histogram[20], 1);
	cr_expect_eq(stats.arenas[0].unusable, 1024);
	cr_expect_eq(stats.bins[shm_class(1024)].free_chunks, 1);
	cr_expect_eq(stats.bytes.largest_free, top);
}

Test(stats, the_quick_reading_sees_the_same_fragmentation)
{
	struct shm_stats quick;

	hole_make();
	read_exact();
	cr_assert_eq(shm_stats_read(&fixture.seg, false, &quick), 0);
	for (int i = 0; i < SHM_FRAG_SIZES; i++)
		cr_expect_float_eq(quick.unusable[i], stats.unusable[i], 1e-9);
	for (int i = 0; i < SHM_FREE_HISTOGRAM; i++)
		cr_expect_eq(quick.free_histogram[i], stats.free_histogram[i]);
	shm_stats_release(&quick);
}

/* More free pieces than the quick reading looks at. */
Test(stats, the_quick_reading_says_what_it_does_not_know)
{
	enum { N = 4096 };
	static uint64_t off[N];
	uint64_t even[N / 2];

	for (int i = 0; i < N; i++)
		off[i] = fixture_take(&fixture.self, i % 2 ? 32 : 64);
	for (int i = 0; i < N / 2; i++)
		even[i] = off[2 * i];
	shm_heap_put(&fixture.self, N / 2, even);
	shm_stats_release(&stats);
	cr_assert_eq(shm_stats_read(&fixture.seg, false, &stats), 0);
	cr_expect_lt(stats.unusable[0], 0);
	cr_expect_geq(stats.unusable[1], 0);
	read_exact();
	cr_expect_geq(stats.unusable[0], 0);
}

Test(stats, peaks_stay_when_what_made_them_is_gone)
{
	uint64_t off = fixture_take(&fixture.self, 65536);

	fixture_tag(&fixture.seg, off, &fixture.self, SHM_OWNED);
	read_exact();
	fixture_tag(&fixture.seg, off, &fixture.self, SHM_CACHED);
	shm_heap_put(&fixture.self, 1, &off);
	read_exact();
	cr_expect_eq(stats.bytes.allocated, 0);
	cr_expect_eq(stats.peak.allocated, 65536 - 8);
	cr_expect_eq(stats.arenas[0].peak_used, 65536);
	cr_expect_gt(stats.fragmentation_realised, 0);
}

Test(stats, a_locked_arena_is_asked_for_again)
{
	fixture_lock(&fixture);
	(void)fixture_take(&fixture.other, 64);
	shm_stats_release(&stats);
	cr_expect_eq(shm_stats_read(&fixture.seg, true, &stats), 0);
	cr_expect_eq(stats.n_arenas, 2);
	cr_expect(stats.arenas[0].is_locked);
	cr_expect_eq(stats.arenas[0].lock_thread, fixture.self.thread);
	cr_expect_eq(stats.arenas[0].lock_slot, fixture.self.slot);
	cr_expect_eq(stats.arenas[0].lock_pid, 1);
	shm_stats_release(&stats);
	fixture_unlock(&fixture);
	(void)fixture_take(&fixture.self, 64);
	fixture_lock(&fixture);
	/* Now its region has to be walked. */
	fixture.self.arena = 0;
	cr_expect_eq(shm_stats_read(&fixture.seg, true, &stats),
	    shm_load(&fixture.arena->n_regions) ? SHM_ERETRY : 0);
	fixture_unlock(&fixture);
}

Test(stats, a_read_only_view_gives_the_quick_reading_only)
{
	struct shm_seg seg = fixture.seg;

	seg.is_read_only = true;
	shm_store(&fixture.seg.super->peak_live, 0);
	cr_expect_eq(shm_stats_read(&seg, true, &stats), SHM_EREADONLY);
	cr_expect_eq(shm_stats_read(&seg, false, &stats), 0);
	cr_expect_eq(fixture_sum(&stats.bytes), stats.bytes.size);
	cr_expect_eq(shm_load(&fixture.seg.super->peak[0]), 0);
}

Test(stats, a_failed_allocation_is_counted_where_it_began)
{
	cr_expect_eq(shm_heap_take_extent(&fixture.self, 1 << 15), 0);
	cr_expect_eq(fixture.self.failure, SHM_FAIL_FULL);
	read_exact();
	cr_expect_eq(stats.arenas[0].fails, 1);
}

Test(stats, a_client_shows_its_counters)
{
	struct shm_client_stats client;

	shm_store(&fixture.self.client->held_bytes, 4000);
	shm_store(&fixture.self.client->cached_bytes, -3);
	cr_assert(shm_client_read(&fixture.seg, fixture.self.slot, &client));
	cr_expect_str_eq(client.label, "self");
	cr_expect_eq(client.held_bytes, 4000);
	cr_expect_eq(client.cached_bytes, 0);
	cr_expect_not(shm_client_read(&fixture.seg, 77, &client));
	cr_expect_not(shm_client_read(&fixture.seg, SHM_CLIENTS, &client));
	shm_store(&fixture.self.client->held_bytes, 0);
}

Test(stats, one_pass_over_the_readers_serves_all_clients)
{
	static struct shm_clients_read read;
	struct shm_client_stats self, other;

	shm_store(&fixture.seg.threads[fixture.self.thread].pin.epoch, 1);
	cr_assert(shm_client_read(&fixture.seg, fixture.self.slot, &self));
	cr_assert(shm_client_read(&fixture.seg, fixture.other.slot, &other));
	read.slot[fixture.self.slot] = &self;
	read.slot[fixture.other.slot] = &other;
	shm_clients_readers(&fixture.seg, &read);
	cr_expect_eq(self.threads, 1);
	cr_expect_gt(self.reader_lag, 0);
	cr_expect_eq(other.threads, 1);
	cr_expect_eq(other.reader_lag, 0);
	/* One of another generation is another client. */
	other.generation++;
	other.threads = 0;
	shm_clients_readers(&fixture.seg, &read);
	cr_expect_eq(other.threads, 0);
	shm_store(&fixture.seg.threads[fixture.self.thread].pin.epoch, 0);
}
