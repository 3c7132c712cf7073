/*
 * Hostile segments: whatever a client wrote over it, what the daemon does to a
 * segment ends, and touches nothing outside.  Run under AddressSanitizer and
 * UBSan by ./check; an access outside of the mapping is a crash in any build.
 */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/pprof.h"
#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/sample.h"
#include "tests/unit/fixture.h"

#define OBJECTS 400
#define SAMPLES 40

/* ThreadSanitizer has nothing to find in one thread, and takes long to unmap a
 * segment's shadow. */
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define SEGMENTS 10
#endif
#endif
#ifndef SEGMENTS
#define SEGMENTS 120
#endif

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;
static uint64_t seed, off[OBJECTS + SAMPLES];
static int n_off;

static uint32_t
below(uint32_t n)
{
	return fixture_random(&seed) % n;
}

/* An object of WHO's in the heap profile. */
static void
sample_make(struct shm_self *who)
{
	struct shm_module_copy module = { .start = 4096, .end = 65536 };
	struct shm_sample_copy sample = { .rate = 1000, .unit = 100 };
	uint64_t o = shm_heap_take_extent(who, 1 + below(4));
	uint32_t index;

	cr_assert_neq(o, 0);
	off[n_off++] = o;
	shm_extent_note(seg, o, 1000);
	index = shm_sample_claim(who, o);
	module.name[0] = (char)('a' + below(3));
	sample.n_frames = below(SHM_FRAMES + 1);
	for (uint32_t i = 0; i < sample.n_frames; i++)
		sample.frame[i] = (uint64_t)shm_module_find(who, &module)
			<< SHM_FRAME_BITS |
		    below(70000);
	if (index)
		shm_sample_publish(who, index - 1, &sample);
	fixture_tag(seg, o, who, SHM_OWNED);
}

static void
heap_make(void)
{
	n_off = 0;
	fixture_begin(&fixture, FIXTURE_LIMIT, 3);
	fixture.is_damaged = true;
	fixture_tune(&fixture, SHM_PARAM_fastbin_max, below(2) ? 128 : 0);
	for (int i = 0; i < OBJECTS; i++) {
		struct shm_self *who =
		    below(2) ? &fixture.self : &fixture.other;
		uint64_t o = 0;

		if (below(20) == 0)
			o = shm_heap_take_extent(who, 1 + below(600));
		else
			(void)shm_heap_take(
			    who, shm_chunk_size(below(3000)), 1, &o);
		if (o)
			off[n_off++] = o;
	}
	for (int i = 0; i < SAMPLES; i++)
		sample_make(below(2) ? &fixture.self : &fixture.other);
	for (int i = 0; i < OBJECTS / 4; i++) {
		uint64_t o = off[below((uint32_t)n_off)];

		shm_heap_put(&fixture.self, 1, &o);
	}
	for (int i = 0; i < 8; i++)
		(void)shm_remote_push(&fixture.self, fixture.arena, 1,
		    &off[below((uint32_t)n_off)]);
}

/* ---- Damage -------------------------------------------------------------- */

/* A word that looks like something. */
static uint64_t
word_choose(void)
{
	uint64_t o = off[below((uint32_t)n_off)];
	uint64_t big =
	    (uint64_t)fixture_random(&seed) << 32 | fixture_random(&seed);

	switch (below(12)) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return o;
	case 3:
		return o - SHM_CHUNK_HEAD;
	case 4:
		return below(4096);
	case 5:
		return seg->heap + (big % seg->n_regions) * SHM_REGION;
	case 6:
		return seg->len - below(64);
	case 7:
		return (uint64_t)below(5) | (uint64_t)below(4) << 8 |
		    (uint64_t)below(4) << 24;
	case 8:
		return UINT64_C(1) << below(64);
	case 9:
		return (o - SHM_CHUNK_HEAD) + 16 * below(8);
	default:
		return big;
	}
}

/* Overwrite up to MOST words of the LEN bytes at BASE. */
static void
words_spoil(void *base, uint64_t len, uint32_t most)
{
	for (uint32_t n = 1 + below(most); n > 0; n--) {
		uint64_t at = (uint64_t)below((uint32_t)(len / 4)) * 4;
		uint64_t word = word_choose();

		if (at % 8 == 0 && below(3))
			shm_store(
			    (_Atomic uint64_t *)((char *)base + at), word);
		else
			shm_store((_Atomic uint32_t *)((char *)base + at),
			    (uint32_t)word);
	}
}

/* A free or used chunk's head and links. */
static void
chunks_spoil(void)
{
	for (int i = 1 + (int)below(16); i > 0; i--) {
		uint64_t c = off[below((uint32_t)n_off)] - SHM_CHUNK_HEAD;

		if (c >= seg->heap)
			words_spoil(seg->base + c, 48, 3);
	}
}

/* Sizes and flags only: the tags stay valid, so walks go further. */
static void
sizes_spoil(void)
{
	for (int i = 1 + (int)below(8); i > 0; i--) {
		uint64_t o = off[below((uint32_t)n_off)];
		_Atomic uint32_t *tag = shm_tag_at(seg, o);
		struct shm_head *head;

		if (!tag)
			continue;
		head = (struct shm_head *)(void *)(seg->base +
		    shm_offset_of(seg, tag) - offsetof(struct shm_head, tag));
		shm_store(&head->size,
		    below(2) ? shm_load(&head->size) ^ 1u << below(32)
			     : (uint32_t)word_choose());
	}
}

/* Tags only: valid ones, of any state and owner. */
static void
tags_spoil(void)
{
	for (int i = 1 + (int)below(16); i > 0; i--) {
		uint64_t o = off[below((uint32_t)n_off)];
		_Atomic uint32_t *tag = shm_tag_at(seg, o);

		if (tag)
			shm_store(tag,
			    shm_tag_base(below(8) ? below(8) : below(65536),
				below(16), below(SHM_STATES)) |
				shm_tag_check(seg->key, o));
	}
}

static void
segment_spoil(void)
{
	switch (below(14)) {
	case 0:
		words_spoil(seg->super, sizeof(*seg->super), 64);
		break;
	case 1:
		words_spoil(seg->arenas, 3 * sizeof(*seg->arenas), 64);
		break;
	case 2:
		words_spoil(seg->regions, 256, 16);
		break;
	case 3:
		words_spoil(&seg->super->watermark, 16, 2);
		words_spoil(seg->regions, 4096, 64);
		break;
	case 4:
		words_spoil(seg->pages, 8 * SHM_REGION_PAGES * 16, 4096);
		break;
	case 5:
		words_spoil(seg->clients, 5 * sizeof(*seg->clients), 256);
		break;
	case 6:
		words_spoil(seg->threads, 5 * sizeof(*seg->threads), 64);
		words_spoil(seg->pins, 4096, 32);
		break;
	case 7:
		words_spoil(seg->committed, 8192, 256);
		break;
	case 8:
		words_spoil(seg->client_bits, 4 * 8 * seg->n_bit_words, 32);
		words_spoil(seg->tunables, sizeof(*seg->tunables), 16);
		break;
	case 9:
		sizes_spoil();
		break;
	case 10:
		tags_spoil();
		break;
	case 11:
		words_spoil(
		    seg->samples, SAMPLES * sizeof(*seg->samples), 4096);
		break;
	case 12:
		words_spoil(seg->modules, 4 * sizeof(*seg->modules), 512);
		break;
	default:
		chunks_spoil();
	}
}

/* ---- What the daemon does ------------------------------------------------ */

static void
piece_ignore(void *arg, const struct shm_piece *piece)
{
	*(uint64_t *)arg += piece->len;
}

static void
all_read(void)
{
	struct shm_stats stats;
	struct shm_client_stats client[8];
	struct shm_clients_read read = { 0 };
	struct pprof pprof;
	uint64_t sum = 0;

	cr_assert_eq(shm_stats_read(seg, false, &stats), 0);
	shm_stats_release(&stats);
	if (shm_stats_read(seg, true, &stats) == 0) {
		cr_assert_eq(fixture_sum(&stats.bytes), stats.bytes.size);
		shm_stats_release(&stats);
	}
	cr_assert_eq(pprof_make(seg, "test", &pprof), 0);
	free(pprof.data);
	for (uint32_t i = 0; i < 8; i++)
		if (shm_client_read(seg, i, &client[i]))
			read.slot[i] = &client[i];
	shm_clients_readers(seg, &read);
	if (shm_walk(seg, -1, piece_ignore, &sum) == 0)
		cr_assert_eq(sum % SHM_REGION, 0);
	cr_assert_geq(shm_check(seg, false, NULL, NULL), SHM_ERETRY);
}

static void
all_repair(void)
{
	struct shm_reclaimed sum = { 0 };

	if (below(4) == 0)
		shm_store(&fixture.arena->lock, fixture.other.lock_word);
	for (int i = 2; i < 4; i++)
		if (below(2))
			shm_client_death(seg, (uint32_t)i);
	(void)shm_repair_dead_locks(seg);
	for (uint32_t i = 2; i < 4; i++)
		for (int n = 0; n < 4; n++)
			cr_assert_leq(shm_reclaim_step(seg, i, 1000, &sum), 1);
	(void)shm_tick(seg);
	(void)shm_trim(seg, -1, below(2));
	cr_assert_geq(shm_check(seg, true, NULL, NULL), SHM_ERETRY);
	if (shm_arena_trylock(fixture.arena, &fixture.daemon)) {
		cr_assert_leq(
		    shm_arena_rebuild_locked(&fixture.daemon, fixture.arena),
		    0);
		shm_arena_unlock(fixture.arena);
	}
	seg->has_miscount = !shm_commit_recount(seg);
	if (shm_daemon_start(seg) == 0)
		shm_daemon_stop(seg);
}

static int
iterations(void)
{
	return SEGMENTS * (getenv("SHMALLOC_CHECK_ALL") ? 20 : 1);
}

Test(hostile, nothing_that_the_daemon_does_crashes_or_hangs, .timeout = 300)
{
	uint64_t first = fixture_seed();

	for (int i = 0; i < iterations(); i++) {
		seed = first + (uint64_t)i;
		fprintf(
		    stderr, "iteration seed %llu\n", (unsigned long long)seed);
		/* One that hangs dies here, its seed said above. */
		alarm(30);
		heap_make();
		segment_spoil();
		all_read();
		segment_spoil();
		all_repair();
		all_read();
		fixture_end(&fixture);
	}
	alarm(0);
}

static atomic_bool is_over;

/* Says without end that somebody dead holds the arena's lock. */
static void *
lock_break(void *arg)
{
	struct shm_arena *arena = arg;

	while (!atomic_load(&is_over))
		atomic_store(&arena->lock, SHM_THREADS - 1);
	return NULL;
}

Test(hostile, a_lock_that_breaks_as_fast_as_it_is_repaired_keeps_nobody)
{
	pthread_t breaker;

	fixture_begin(&fixture, FIXTURE_LIMIT, 1);
	fixture.is_damaged = true;
	cr_assert_eq(
	    pthread_create(&breaker, NULL, lock_break, fixture.arena), 0);
	alarm(60);
	for (int i = 0; i < 1000; i++)
		cr_assert_leq(shm_repair_dead_locks(seg), seg->max_arenas + 1);
	alarm(0);
	atomic_store(&is_over, true);
	cr_assert_eq(pthread_join(breaker, NULL), 0);
	fixture_end(&fixture);
}

/* A map without its magic, or of another layout, isn't taken for a segment. */
Test(hostile, a_superblock_that_makes_no_sense_is_refused)
{
	seed = fixture_seed();
	for (int i = 0; i < SEGMENTS; i++) {
		struct shm_seg other;
		int fd, pins_fd;

		heap_make();
		fd = dup(seg->fd);
		pins_fd = dup(seg->pins_fd);
		words_spoil(
		    seg->super, offsetof(struct shm_super, watermark), 4);
		if (shm_seg_map(fd, pins_fd, false, &other) == 0) {
			cr_assert_eq(other.len, seg->len);
			cr_assert_lt(other.heap, other.len);
			shm_seg_unmap(&other);
		} else {
			(void)close(fd);
			(void)close(pins_fd);
		}
		fixture_end(&fixture);
	}
}
