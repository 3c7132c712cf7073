/* shmalloc's cache, in a segment of a daemon of its own. */

#include <shmalloc/cache.h>

#include "bench/cache/cache.h"

extern const struct bench_heap heap_shmalloc;
extern const struct peer peer_shmalloc;

static uint64_t limit;
static struct shmalloc *heap;
static struct shmalloc_cache *cache;

static void
peer_attach(void)
{
	struct shmalloc_cache_options options = SHMALLOC_CACHE_OPTIONS_INIT;
	int error = shmalloc_attach(NULL, NULL, &heap);

	options.bytes = limit;
	if (error == 0)
		error = shmalloc_cache_open(heap, "bench", &options, &cache);
	if (error != 0)
		peer_fail("%s", shmalloc_cache_strerror(error));
}

static const char *
peer_open(uint64_t bytes)
{
	limit = bytes;
	return heap_shmalloc.open();
}

static void
peer_close(void)
{
	heap_shmalloc.close();
}

static struct shmalloc_bytes
key_of(const struct entry *entry)
{
	return (struct shmalloc_bytes){ entry->key, entry->key_len };
}

static int64_t
peer_get(const struct entry *request, char *buffer)
{
	struct shmalloc_cache_view view;
	int error = shmalloc_cache_get(
	    cache, key_of(request), buffer, VALUE_MAX, &view);

	if (error == 0)
		return (int64_t)view.len;
	if (error != SHMALLOC_CACHE_EMISS)
		peer_fail("get: %s", shmalloc_cache_strerror(error));
	return -1;
}

static void
peer_set(const struct entry *entry)
{
	struct shmalloc_cache_terms terms = { 0, entry->ttl_s * 1000 };
	int error = shmalloc_cache_set(cache, key_of(entry),
	    (struct shmalloc_bytes){ entry->value, entry->value_len }, &terms);

	if (error != 0)
		peer_fail("set: %s", shmalloc_cache_strerror(error));
}

static void
peer_account(uint64_t *ret_tables, uint64_t *ret_all)
{
	struct shmalloc_cache_stats stats;
	int error = shmalloc_cache_sweep(cache);

	if (error == 0)
		error = shmalloc_cache_stats(cache, &stats);
	if (error != 0)
		peer_fail("stats: %s", shmalloc_cache_strerror(error));
	*ret_tables = stats.table_bytes;
	*ret_all = stats.bytes;
}

const struct peer peer_shmalloc = {
	.name = "shmalloc",
	.expires = true,
	.evicts = true,
	.open = peer_open,
	.close = peer_close,
	.attach = peer_attach,
	.get = peer_get,
	.set = peer_set,
	.get_many = peer_get_each,
	.set_many = peer_set_each,
	.resident = resident_files,
	.account = peer_account,
};
