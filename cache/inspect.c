/* Looking at a cache from outside: see cache/inspect.h. */
#include "cache/inspect.h"

#include <stdlib.h>
#include <string.h>

#include "cache/layout.h"

#define AGES_MAX (CACHE_SAMPLE_MAX * CACHE_ENTRIES)
#define SPARSE   8 /* times as many buckets, if most are empty */

/* ---- Copying out --------------------------------------------------------- */

/* The LEN bytes at OFF, whole words, to TO.  False: they can't be read. */
static bool
words_copy(
    const struct cache_memory *memory, uint64_t off, void *to, size_t len)
{
	const _Atomic uint64_t *from =
	    off % sizeof(*from) == 0 ? memory->at(memory->arg, off, len) : NULL;

	if (!from)
		return false;
	for (size_t i = 0; i < len / sizeof(*from); i++) {
		uint64_t word =
		    atomic_load_explicit(&from[i], memory_order_relaxed);

		memcpy((char *)to + i * sizeof(word), &word, sizeof(word));
	}
	return true;
}

/* A word of what was copied, or one that nobody else has. */
static uint64_t
word_of(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

/* Two sums' sum, which is never below 0 but in passing. */
static uint64_t
sum_of(const _Atomic int64_t part[2])
{
	uint64_t sum =
	    (uint64_t)atomic_load_explicit(&part[0], memory_order_relaxed) +
	    (uint64_t)atomic_load_explicit(&part[1], memory_order_relaxed);

	return sum <= INT64_MAX ? sum : 0;
}

/* ---- Tables -------------------------------------------------------------- */

/* Where a table's buckets are. */
struct place {
	uint64_t bucket; /* offset of the first */
	uint64_t n;
};

static bool
table_copy(const struct cache_memory *memory, uint64_t off,
    struct cache_table *ret_table)
{
	uint64_t n;

	if (off <= CACHE_SHUT ||
	    !words_copy(memory, off, ret_table, sizeof(*ret_table)))
		return false;
	n = ret_table->n_buckets;
	return n != 0 && (n & (n - 1)) == 0 &&
	    n <= UINT64_MAX / 2 / sizeof(struct cache_bucket) - off;
}

/* Add up the tables of HEAD; how many there are, and where. */
static unsigned
tables_add(const struct cache_memory *memory, const struct cache_head *head,
    struct shmalloc_cache_stats *stats, struct place place[CACHE_TABLES])
{
	struct cache_table table;
	unsigned n = 0;

	for (unsigned i = 0; i < CACHE_TABLES; i++) {
		uint64_t off = word_of(&head->table[i]);

		if (!table_copy(memory, off, &table))
			continue;
		stats->entries += sum_of(table.items);
		stats->bytes += table.len + sum_of(table.bytes);
		stats->table_bytes += table.len;
		if (table.n_buckets * CACHE_ENTRIES > stats->places)
			stats->places = table.n_buckets * CACHE_ENTRIES;
		place[n].bucket = off + sizeof(table);
		place[n++].n = table.n_buckets;
	}
	return n;
}

/* ---- Ages ---------------------------------------------------------------- */

struct ages {
	const struct cache_memory *memory;
	uint32_t now; /* tick */
	unsigned n;
	uint32_t age[AGES_MAX]; /* ticks */
};

/* Is it a value whose time isn't over, stored before now? */
static bool
item_counts(const struct cache_item *item, uint32_t generation, uint32_t now)
{
	uint32_t ends = atomic_load_explicit(&item->ends, memory_order_relaxed);

	return item->generation == generation &&
	    (item->key_len & CACHE_LEASE) == 0 &&
	    (int32_t)(now - item->created) >= 0 &&
	    (ends == 0 || (int32_t)(now - ends) < 0);
}

static void
entry_add(struct ages *ages, const struct cache_entry *entry, uint64_t slot_off)
{
	uint64_t off = word_of(&entry->slot), again;
	struct cache_item item;

	if (off <= CACHE_SHUT || ages->n == AGES_MAX ||
	    !words_copy(ages->memory, off, &item, sizeof(item)) ||
	    !item_counts(&item, (uint32_t)word_of(&entry->tag), ages->now))
		return;
	atomic_thread_fence(memory_order_acquire);
	if (words_copy(ages->memory, slot_off, &again, sizeof(again)) &&
	    again == off)
		ages->age[ages->n++] = ages->now - item.created;
}

static void
bucket_add(struct ages *ages, uint64_t off)
{
	struct cache_bucket bucket;

	if (!words_copy(ages->memory, off, &bucket, sizeof(bucket)))
		return;
	for (unsigned i = 0; i < CACHE_ENTRIES; i++)
		entry_add(ages, &bucket.entry[i],
		    off + offsetof(struct cache_bucket, entry) +
			i * sizeof(struct cache_entry) +
			offsetof(struct cache_entry, slot));
}

static int
age_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Of N_BUCKETS buckets or so of the N tables together, at even distances: so
 * each table counts as much as it has. */
static void
ages_find(struct ages *ages, const struct place place[], unsigned n,
    unsigned n_buckets, struct cache_inspection *ret)
{
	uint64_t all = 0, step;

	for (unsigned i = 0; i < n; i++)
		all += place[i].n;
	if (n_buckets > CACHE_SAMPLE_MAX)
		n_buckets = CACHE_SAMPLE_MAX;
	if (all == 0 || n_buckets == 0)
		return;
	if (ret->stats.entries < all)
		n_buckets *= SPARSE;
	step = (all + n_buckets - 1) / n_buckets;
	for (unsigned i = 0; i < n; i++)
		for (uint64_t k = 0; k < place[i].n; k += step)
			bucket_add(ages,
			    place[i].bucket + k * sizeof(struct cache_bucket));
	if (ages->n == 0)
		return;
	qsort(ages->age, ages->n, sizeof(ages->age[0]), age_compare);
	ret->n_ages = ages->n;
	ret->age_median_ms = (uint64_t)cache_ticks_ms(ages->age[ages->n / 2]);
	ret->age_oldest_ms = (uint64_t)cache_ticks_ms(ages->age[ages->n - 1]);
}

/* ---- All of it ----------------------------------------------------------- */

static void
counts_add(const struct cache_head *head, struct shmalloc_cache_stats *stats)
{
	for (unsigned i = 0; i < CACHE_STRIPES; i++)
		for (unsigned k = 0; k < SHMALLOC_CACHE_COUNTS; k++)
			stats->count[k] += word_of(&head->stripe[i].count[k]);
}

static void
latencies_copy(const struct cache_head *head, struct cache_inspection *ret)
{
	for (unsigned i = 0; i < CACHE_LATENCIES; i++) {
		for (unsigned k = 0; k < CACHE_LATENCY_BUCKETS; k++)
			ret->latency[i][k] = word_of(&head->latency[i][k]);
		ret->latency_ns[i] = word_of(&head->latency_ns[i]);
	}
}

bool
cache_inspect(const struct cache_memory *memory, uint64_t off, uint64_t now_ms,
    unsigned n_buckets, struct cache_inspection *ret)
{
	struct place place[CACHE_TABLES];
	struct cache_head head;
	struct ages ages = { .memory = memory };
	unsigned n;

	memset(ret, 0, sizeof(*ret));
	if (off <= CACHE_SHUT ||
	    !words_copy(memory, off, &head, sizeof(head)) ||
	    head.magic != CACHE_MAGIC ||
	    atomic_load_explicit(&head.is_ending, memory_order_relaxed) != 0)
		return false;
	counts_add(&head, &ret->stats);
	latencies_copy(&head, ret);
	ret->stats.limit = word_of(&head.limit);
	ret->stats.bytes = sizeof(head);
	n = tables_add(memory, &head, &ret->stats, place);
	ret->stats.tables = n;
	ret->created_ms = head.epoch_ms + CACHE_BACK_MS;
	ages.now = cache_tick_at(&head, now_ms);
	ages_find(&ages, place, n, n_buckets, ret);
	return true;
}
