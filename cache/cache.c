/*
 * Opening, making and removing caches; the clock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "cache/internal.h"

#define ENTRY_GUESS     512 /* bytes of an entry, before there are any */
#define ENTRIES_DEFAULT 16384
#define ENTRIES_MAX     (UINT64_C(1) << 24)

/* ---- The clock ----------------------------------------------------------- */

uint64_t
cache_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint32_t
cache_tick(const struct shmalloc_cache *cache)
{
	return cache_tick_at(cache->head, cache_now_ms());
}

uint32_t
cache_tick_after(const struct shmalloc_cache *cache, uint64_t ms)
{
	uint32_t tick = cache_tick_at(cache->head, cache_now_ms() + ms) + 1;

	return tick ? tick : 1;
}

/* ---- Entering ------------------------------------------------------------ */

int
cache_enter(struct shmalloc_cache *cache)
{
	int error = shmalloc_enter(cache->heap);

	if (error != 0)
		return error;
	if (cache_load(cache->root) == cache->off)
		return 0;
	cache_exit(cache);
	return SHMALLOC_EGONE;
}

void
cache_exit(struct shmalloc_cache *cache)
{
	/* It was entered: nothing can go wrong. */
	(void)shmalloc_exit(cache->heap);
}

/* ---- Making -------------------------------------------------------------- */

static void
head_init(struct cache_head *head, const struct shmalloc_cache_options *options)
{
	head->magic = CACHE_MAGIC;
	if (getrandom(&head->seed, sizeof(head->seed), GRND_NONBLOCK) < 0)
		head->seed = cache_now_ms() * UINT64_C(0x9e3779b97f4a7c15);
	/* A little before now, for clocks that are set back. */
	head->epoch_ms = cache_now_ms() - CACHE_BACK_MS;
	head->stale_ticks =
	    (uint32_t)(((uint64_t)options->stale_ms * CACHE_TICKS + 999) /
		1000);
	atomic_init(&head->limit, options->bytes);
	head->entries = options->entries;
	if (head->entries == 0)
		head->entries = options->bytes ? options->bytes / ENTRY_GUESS
					       : ENTRIES_DEFAULT;
	if (head->entries > ENTRIES_MAX)
		head->entries = ENTRIES_MAX;
}

/* Hang a new head from the root; another's will do as well. */
static int
head_make(
    struct shmalloc_cache *cache, const struct shmalloc_cache_options *options)
{
	shmalloc_off off =
	    shmalloc_aligned_alloc(cache->heap, 128, sizeof(struct cache_head));
	struct cache_head *head = cache_at(cache, off);
	int error;

	if (!head)
		return cache_errno();
	memset(head, 0, sizeof(*head));
	head_init(head, options);
	error = shmalloc_publish(cache->heap, cache->root, 0, off);
	if (error != 0)
		shmalloc_free(cache->heap, off);
	return error == SHMALLOC_ECHANGED ? 0 : error;
}

/* The first table, if nobody has made it. */
static int
table_first(struct shmalloc_cache *cache)
{
	struct cache_tables tables;
	shmalloc_off off;
	int error;

	cache_tables_of(cache, &tables);
	if (tables.n != 0 || cache->is_read_only)
		return 0;
	off = cache_table_make(cache, 0, cache->head->entries);
	if (off == 0)
		return cache_errno();
	error = shmalloc_publish(cache->heap, &cache->head->table[0], 0, off);
	if (error != 0)
		shmalloc_free(cache->heap, off);
	return error == SHMALLOC_ECHANGED ? 0 : error;
}

/* Look at what the root holds.  0: a cache. */
static int
head_find(struct shmalloc_cache *cache)
{
	cache->off = cache_load(cache->root);
	cache->head = cache_at(cache, cache->off);
	if (!cache->head ||
	    shmalloc_usable_size(cache->heap, cache->off) <
		sizeof(struct cache_head) ||
	    cache->head->magic != CACHE_MAGIC)
		return SHMALLOC_CACHE_EFORMAT;
	return 0;
}

/* ---- Removing ------------------------------------------------------------ */

/* Empty a table and free it. */
static void
table_remove(struct shmalloc_cache *cache, struct cache_table *table,
    shmalloc_slot *slot)
{
	for (uint64_t i = 0; i < table->n_buckets; i++) {
		cache_bucket_close(cache, &table->bucket[i]);
		(void)cache_drain(cache, table, &table->bucket[i], true);
	}
	cache_table_end(cache, table, slot);
}

/* Nothing hangs from the head, and nothing ever will. */
static bool
head_is_bare(struct shmalloc_cache *cache)
{
	bool is_bare = true;

	for (unsigned i = 0; i < CACHE_TABLES; i++) {
		shmalloc_slot *slot = &cache->head->table[i];
		struct cache_table *table = cache_at(cache, cache_load(slot));

		if (table)
			table_remove(cache, table, slot);
		is_bare &= cache_shut(slot);
	}
	return is_bare;
}

/* Remove what the handle shows.  0; SHMALLOC_EBUSY. */
static int
head_remove(struct shmalloc_cache *cache)
{
	int error =
	    cache->is_read_only ? SHMALLOC_EREADONLY : cache_enter(cache);
	bool is_bare = false;

	if (error != 0)
		return error;
	atomic_store(&cache->head->is_ending, 1);
	for (int i = 0; i < 8 && !is_bare; i++)
		is_bare = head_is_bare(cache);
	error = is_bare
	    ? shmalloc_publish(cache->heap, cache->root, cache->off, 0)
	    : SHMALLOC_EBUSY;
	if (error == 0)
		(void)shmalloc_retire(cache->heap, cache->off);
	cache_exit(cache);
	return error == SHMALLOC_ECHANGED ? SHMALLOC_EGONE : error;
}

int
shmalloc_cache_destroy(struct shmalloc_cache *cache)
{
	int error = head_remove(cache);

	if (error != 0)
		return error;
	error = shmalloc_root_remove(cache->heap, cache->name);
	/* Somebody has made it again already. */
	return error == SHMALLOC_EBUSY || error == SHMALLOC_EUNKNOWN ? 0
								     : error;
}

/* ---- Opening ------------------------------------------------------------- */

static uint64_t
pid_namespace(void)
{
	struct stat status;

	return stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0;
}

/* Find or make it, inside shmalloc_enter().  One that is being removed is
 * removed to the end first. */
static int
head_open(
    struct shmalloc_cache *cache, const struct shmalloc_cache_options *options)
{
	int error;

	while (cache_load(cache->root) == 0) {
		error = cache->is_read_only ? SHMALLOC_EREADONLY
					    : head_make(cache, options);
		if (error != 0)
			return error;
	}
	error = head_find(cache);
	if (error != 0)
		return error;
	if (!atomic_load(&cache->head->is_ending))
		return table_first(cache);
	if (cache->is_read_only)
		return SHMALLOC_EREADONLY;
	error = head_remove(cache);
	if (error != 0 && error != SHMALLOC_EGONE)
		return error;
	return head_open(cache, options);
}

/* Reading only?  There is no call to ask. */
static bool
heap_is_read_only(struct shmalloc *heap)
{
	shmalloc_off off = shmalloc_alloc(heap, 1);

	if (off == 0)
		return errno == EROFS;
	shmalloc_free(heap, off);
	return false;
}

/* The options of this version; what a caller of an older one doesn't know is
 * 0. */
static struct shmalloc_cache_options
options_of(const struct shmalloc_cache_options *options)
{
	struct shmalloc_cache_options own = SHMALLOC_CACHE_OPTIONS_INIT;

	if (options && options->size != 0)
		memcpy(&own, options,
		    options->size < sizeof(own) ? options->size : sizeof(own));
	return own;
}

int
shmalloc_cache_open(struct shmalloc *heap, const char *name,
    const struct shmalloc_cache_options *options,
    struct shmalloc_cache **ret_cache)
{
	struct shmalloc_cache_options own = options_of(options);
	struct shmalloc_cache *cache = calloc(1, sizeof(*cache));
	int error;

	if (!cache)
		return SHMALLOC_ENOMEM;
	cache->heap = heap;
	cache->pid_namespace = pid_namespace();
	cache->is_read_only = heap_is_read_only(heap);
	error = shmalloc_root(heap, name, &cache->root);
	if (error == 0)
		error = shmalloc_enter(heap);
	if (error == 0) {
		memcpy(cache->name, name, strlen(name) + 1);
		error = head_open(cache, &own);
		(void)shmalloc_exit(heap);
	}
	if (error != 0) {
		free(cache);
		return error;
	}
	*ret_cache = cache;
	return 0;
}

void
shmalloc_cache_close(struct shmalloc_cache *cache)
{
	free(cache);
}

int
shmalloc_cache_limit(struct shmalloc_cache *cache, uint64_t bytes)
{
	int error =
	    cache->is_read_only ? SHMALLOC_EREADONLY : cache_enter(cache);

	if (error != 0)
		return error;
	atomic_store(&cache->head->limit, bytes);
	(void)cache_trim(cache);
	cache_exit(cache);
	return 0;
}
