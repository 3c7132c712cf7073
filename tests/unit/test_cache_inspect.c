/* A cache seen from outside: what it says, and what it can't be made to do. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "cache/inspect.h"
#include "shm/latency.h"
#include "tests/unit/cache_image.h"
#include "tests/unit/fixture.h"

#define N_BUCKETS 4
#define N_ITEMS   20
#define EPOCH_MS  UINT64_C(1700000000000)
/* At the end of the page-sized parts: what is read beyond is no memory. */
#define LEN                                                                    \
	(64 + sizeof(struct cache_head) + sizeof(struct cache_table) +         \
	    N_BUCKETS * sizeof(struct cache_bucket) +                          \
	    N_ITEMS * CACHE_IMAGE_ITEM)

static struct cache_image image;
static struct cache_memory memory;
static struct cache_inspection seen;
static uint64_t reads;

/* As the daemon's gate. */
static const void *
image_at(const void *arg, uint64_t off, uint64_t len)
{
	(void)arg;
	reads++;
	if (off == 0 || off > LEN || len > LEN - off)
		return NULL;
	return image.base + off;
}

static void
begin(void)
{
	image = (struct cache_image){ .base = calloc(1, LEN),
		.head = 64,
		.table = 64 + sizeof(struct cache_head),
		.n_buckets = N_BUCKETS,
		.n_items = N_ITEMS,
		.epoch_ms = EPOCH_MS };
	cr_assert_not_null(image.base);
	image.items = image.table + cache_image_table_len(N_BUCKETS);
	cache_image_make(&image);
	memory = (struct cache_memory){ image_at, NULL };
}

static void
end(void)
{
	free(image.base);
}

TestSuite(cache_inspect, .init = begin, .fini = end);

/* Ticks are 62.5 ms; at this time it is tick 32. */
#define NOW_MS (EPOCH_MS + 31 * 1000 / CACHE_TICKS + 1)

static bool
look(void)
{
	reads = 0;
	return cache_inspect(
	    &memory, image.head, NOW_MS, CACHE_SAMPLE_MAX, &seen);
}

Test(cache_inspect, a_cache_says_what_it_has)
{
	struct cache_head *head = cache_image_head(&image);

	atomic_store(&head->stripe[0].count[SHMALLOC_CACHE_HITS], 3);
	atomic_store(&head->stripe[63].count[SHMALLOC_CACHE_HITS], 4);
	atomic_store(&head->stripe[9].count[SHMALLOC_CACHE_FAILED], 5);
	cr_assert(look());
	cr_assert_eq(seen.stats.count[SHMALLOC_CACHE_HITS], 7);
	cr_assert_eq(seen.stats.count[SHMALLOC_CACHE_FAILED], 5);
	cr_assert_eq(seen.stats.count[SHMALLOC_CACHE_MISSES], 0);
	cr_assert_eq(seen.stats.entries, N_ITEMS);
	cr_assert_eq(seen.stats.limit, 1 << 20);
	cr_assert_eq(seen.stats.tables, 1);
	cr_assert_eq(seen.stats.places, N_BUCKETS * CACHE_ENTRIES);
	cr_assert_eq(seen.stats.table_bytes, cache_image_table_len(N_BUCKETS));
	cr_assert_eq(seen.stats.bytes,
	    sizeof(struct cache_head) + seen.stats.table_bytes +
		N_ITEMS * CACHE_IMAGE_ITEM);
	cr_assert_eq(seen.created_ms, EPOCH_MS + CACHE_BACK_MS);
}

Test(cache_inspect, ages_are_those_of_values_that_live)
{
	/* Stored in ticks 1 to 20; now is 32. */
	cr_assert(look());
	cr_assert_eq(seen.n_ages, N_ITEMS);
	cr_assert_eq(seen.age_oldest_ms, 31 * 1000 / CACHE_TICKS);
	cr_assert_eq(seen.age_median_ms, 22 * 1000 / CACHE_TICKS);
	/* One that has ended, one that lasts, a lease, one that is nobody's,
	 * one from the future, and an emptied place. */
	atomic_store(&cache_image_item(&image, 0)->ends, 32);
	atomic_store(&cache_image_item(&image, 1)->ends, 33);
	cache_image_item(&image, 2)->key_len |= CACHE_LEASE;
	cache_image_item(&image, 3)->generation++;
	cache_image_item(&image, 4)->created = 33;
	atomic_store(&cache_image_entry(&image, 5)->slot, CACHE_SHUT);
	cr_assert(look());
	cr_assert_eq(seen.n_ages, N_ITEMS - 5);
	cr_assert_eq(seen.age_oldest_ms, 30 * 1000 / CACHE_TICKS);
}

Test(cache_inspect, several_tables_are_added_up)
{
	struct cache_head *head = cache_image_head(&image);

	atomic_store(&head->table[1], image.table);
	atomic_store(&head->table[2], CACHE_SHUT);
	cr_assert(look());
	cr_assert_eq(seen.stats.tables, 2);
	cr_assert_eq(seen.stats.entries, 2 * N_ITEMS);
	cr_assert_eq(seen.stats.places, N_BUCKETS * CACHE_ENTRIES);
}

Test(cache_inspect, what_is_no_cache_is_told)
{
	struct cache_head *head = cache_image_head(&image);
	static const uint64_t offs[] = { 0, 1, 65, 72, LEN - 8, LEN, LEN + 8,
		UINT64_MAX, UINT64_MAX - 7 };

	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++)
		cr_assert_not(
		    cache_inspect(&memory, offs[i], NOW_MS, 1, &seen));
	atomic_store(&head->is_ending, 1);
	cr_assert_not(look());
	atomic_store(&head->is_ending, 0);
	head->magic++;
	cr_assert_not(look());
	cr_assert_eq(seen.stats.entries, 0);
}

Test(cache_inspect, tables_of_no_sense_are_left_out)
{
	struct cache_head *head = cache_image_head(&image);
	struct cache_table *table = cache_image_table(&image);
	static const uint64_t sizes[] = { 0, 3, UINT64_MAX, UINT64_C(1) << 63,
		UINT64_C(1) << 57 };
	static const uint64_t offs[] = { 2, 65, LEN, UINT64_MAX - 7 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		table->n_buckets = sizes[i];
		cr_assert(look());
		cr_assert_eq(seen.stats.tables, 0);
		cr_assert_eq(seen.stats.bytes, sizeof(*head));
	}
	table->n_buckets = N_BUCKETS;
	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
		atomic_store(&head->table[0], offs[i]);
		cr_assert(look());
		cr_assert_eq(seen.stats.tables, 0);
	}
}

Test(cache_inspect, a_huge_table_costs_no_more_reads)
{
	struct cache_head *head = cache_image_head(&image);
	struct cache_table *table = cache_image_table(&image);

	/* As many as the check lets through; most aren't in the memory. */
	table->n_buckets = UINT64_C(1) << 55;
	for (unsigned i = 0; i < CACHE_TABLES; i++)
		atomic_store(&head->table[i], image.table);
	cr_assert(look());
	cr_assert_eq(seen.stats.tables, CACHE_TABLES);
	cr_assert_leq(reads, 4096);
}

Test(cache_inspect, sums_below_nothing_are_nothing)
{
	struct cache_table *table = cache_image_table(&image);

	atomic_store(&table->items[0], INT64_MIN);
	atomic_store(&table->items[1], 1);
	atomic_store(&table->bytes[0], INT64_MAX);
	atomic_store(&table->bytes[1], INT64_MAX);
	cr_assert(look());
	cr_assert_eq(seen.stats.entries, 0);
	cr_assert_eq(seen.stats.bytes, sizeof(struct cache_head) + table->len);
}

Test(cache_inspect, latencies_are_copied_out)
{
	struct cache_head *head = cache_image_head(&image);

	atomic_store(&head->latency[CACHE_LATENCY_STORE][9], 5);
	atomic_store(&head->latency_ns[CACHE_LATENCY_STORE], 77);
	cr_assert(look());
	cr_assert_eq(seen.latency[CACHE_LATENCY_STORE][9], 5);
	cr_assert_eq(seen.latency_ns[CACHE_LATENCY_STORE], 77);
	cr_assert_eq(seen.latency[CACHE_LATENCY_GET][9], 0);
}

/* The daemon reads both kinds of histogram the same way. */
Test(cache_inspect, buckets_are_those_of_the_segment)
{
	for (uint64_t ns = 1; ns < UINT64_C(1) << 62; ns += ns / 7 + 1) {
		cr_assert_eq(cache_latency_bucket(ns), shm_latency_bucket(ns));
		cr_assert_eq(
		    cache_latency_bucket(ns - 1), shm_latency_bucket(ns - 1));
	}
	for (unsigned i = 0; i < 64; i++) {
		uint64_t ns = UINT64_C(1) << i;

		cr_assert_eq(cache_latency_bucket(ns), shm_latency_bucket(ns));
		cr_assert_eq(
		    cache_latency_bucket(ns - 1), shm_latency_bucket(ns - 1));
	}
	cr_assert_eq(
	    cache_latency_bucket(UINT64_MAX), CACHE_LATENCY_BUCKETS - 1);
}

/* Words that make trouble if anything does. */
static uint64_t
word_make(uint64_t *seed)
{
	static const uint64_t odd[] = { 0, 1, 7, 8, 64, LEN, LEN - 8,
		UINT64_MAX, UINT64_MAX - 7, UINT64_C(1) << 31,
		UINT64_C(1) << 55, INT64_MAX };
	uint64_t i = fixture_random(seed) % 16;

	if (i < sizeof(odd) / sizeof(odd[0]))
		return odd[i];
	return i % 2
	    ? fixture_random(seed) % LEN / 8 * 8
	    : (uint64_t)fixture_random(seed) << 32 | fixture_random(seed);
}

Test(cache_inspect, whatever_is_written_over_it_looking_ends_inside)
{
	const char *given = getenv("SHMALLOC_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : 7;
	uint64_t words = (LEN - 64) / 8, n_seen = 0;

	cr_log_info("SHMALLOC_SEED=%llu", (unsigned long long)seed);
	for (int round = 0; round < 20000; round++) {
		uint64_t n = 1 + fixture_random(&seed) % 8;

		memset(image.base, 0, LEN);
		cache_image_make(&image);
		while (n-- > 0) {
			uint64_t word = word_make(&seed);
			/* Heads and tables more often than counters. */
			uint64_t at = fixture_random(&seed) % 2
			    ? fixture_random(&seed) % 48
			    : fixture_random(&seed) % words;

			if (fixture_random(&seed) % 4 == 0)
				at = (image.table - 64) / 8 +
				    fixture_random(&seed) % 48;
			memcpy(image.base + 64 + at * 8, &word, sizeof(word));
		}
		n_seen += look();
		cr_assert_leq(reads, 4096);
		cr_assert_leq(seen.n_ages, CACHE_SAMPLE_MAX * CACHE_ENTRIES);
		cr_assert_leq(seen.age_median_ms, seen.age_oldest_ms);
	}
	cr_assert_gt(n_seen, 1000);
}
