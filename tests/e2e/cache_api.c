/*
 * The promises of <shmalloc/cache.h>, by processes of one cache.
 */
#include <pthread.h>
#include <shmalloc/cache.h>
#include <signal.h>
#include <sys/mman.h>

#include "tests/e2e/client.h"

#define KEY_MAX 65536u

static struct shmalloc_bytes
bytes(const void *data, size_t len)
{
	return (struct shmalloc_bytes){ data, len };
}

static struct shmalloc_bytes
text(const char *s)
{
	return bytes(s, strlen(s));
}

static struct shmalloc_cache *
cache_open(
    struct shmalloc *heap, uint64_t limit, uint64_t entries, uint32_t stale_ms)
{
	struct shmalloc_cache_options options = SHMALLOC_CACHE_OPTIONS_INIT;
	struct shmalloc_cache *cache = NULL;

	options.bytes = limit;
	options.entries = entries;
	options.stale_ms = stale_ms;
	CHECK_EQ(shmalloc_cache_open(heap, "test", &options, &cache), 0);
	return cache;
}

/* A heap and a cache in it, and what was allocated before. */
struct world {
	struct shmalloc *heap;
	struct shmalloc_cache *cache;
	uint64_t before;
};

static struct world
world_make(uint64_t limit, uint64_t entries, uint32_t stale_ms)
{
	struct world world = { .before = figure("bytes", "allocated") };

	world.heap = heap_attach(NULL, 0);
	world.cache = cache_open(world.heap, limit, entries, stale_ms);
	return world;
}

/* Nothing is left of it. */
static void
world_end(struct world *world)
{
	CHECK_EQ(shmalloc_cache_destroy(world->cache), 0);
	shmalloc_cache_close(world->cache);
	shmalloc_detach(world->heap);
	figure_wait("bytes", "allocated", world->before);
}

static bool
has(struct shmalloc_cache *cache, const char *key, const char *value)
{
	struct shmalloc_cache_view view;
	bool is_it;

	if (shmalloc_cache_pin(cache, text(key), &view) != 0)
		return false;
	is_it = view.len == strlen(value) &&
	    memcmp(view.value, value, view.len) == 0;
	shmalloc_cache_release(cache, &view);
	return is_it;
}

static void
sleep_ms(long ms)
{
	struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&pause, NULL);
}

static uint64_t
count_of(struct shmalloc_cache *cache, enum shmalloc_cache_count which)
{
	struct shmalloc_cache_stats stats;

	CHECK_EQ(shmalloc_cache_stats(cache, &stats), 0);
	return stats.count[which];
}

/* ---- One after the other ------------------------------------------------- */

static void
store_and_find(void)
{
	struct world world = world_make(0, 0, 0);
	struct shmalloc_cache *cache = world.cache;
	struct shmalloc_cache_terms terms = { 77, 0 };
	struct shmalloc_cache_view view;
	char buffer[8] = "xxxxxxx";

	CHECK_EQ(shmalloc_cache_get(cache, text("k"), buffer, 8, &view),
	    SHMALLOC_CACHE_EMISS);
	CHECK_EQ(
	    shmalloc_cache_set(cache, text("k"), text("value"), &terms), 0);
	CHECK_EQ(shmalloc_cache_get(cache, text("k"), buffer, 3, &view), 0);
	CHECK(memcmp(buffer, "valxxxx", 8) == 0);
	CHECK_EQ(view.len, 5);
	CHECK_EQ(view.flags, 77);
	CHECK_EQ(view.ttl_ms, -1);
	CHECK_EQ(shmalloc_cache_set(cache, text("k"), text(""), NULL), 0);
	CHECK(has(cache, "k", ""));
	CHECK_EQ(shmalloc_cache_delete(cache, text("k")), 0);
	CHECK_EQ(shmalloc_cache_delete(cache, text("k")), SHMALLOC_CACHE_EMISS);
	CHECK(!has(cache, "k", ""));
	CHECK_EQ(count_of(cache, SHMALLOC_CACHE_HITS), 2);
	CHECK_EQ(count_of(cache, SHMALLOC_CACHE_MISSES), 2);
	CHECK_EQ(count_of(cache, SHMALLOC_CACHE_STORES), 2);
	CHECK_EQ(count_of(cache, SHMALLOC_CACHE_DELETES), 1);
	world_end(&world);
}

static void
conditions(void)
{
	struct world world = world_make(0, 0, 0);
	struct shmalloc_cache *cache = world.cache;
	struct shmalloc_cache_lease lease;
	struct shmalloc_cache_view view;

	CHECK_EQ(shmalloc_cache_replace(cache, text("k"), text("1"), NULL),
	    SHMALLOC_CACHE_EMISS);
	CHECK_EQ(shmalloc_cache_cas(cache, text("k"), 1, text("1"), NULL),
	    SHMALLOC_CACHE_EMISS);
	CHECK_EQ(shmalloc_cache_append(cache, text("k"), text("1")),
	    SHMALLOC_CACHE_EMISS);
	CHECK_EQ(shmalloc_cache_add(cache, text("k"), text("2"), NULL), 0);
	CHECK_EQ(shmalloc_cache_add(cache, text("k"), text("3"), NULL),
	    SHMALLOC_EEXIST);
	CHECK(has(cache, "k", "2"));
	CHECK_EQ(shmalloc_cache_get(cache, text("k"), NULL, 0, &view), 0);
	CHECK_EQ(shmalloc_cache_replace(cache, text("k"), text("4"), NULL), 0);
	CHECK_EQ(
	    shmalloc_cache_cas(cache, text("k"), view.version, text("5"), NULL),
	    SHMALLOC_ECHANGED);
	CHECK_EQ(shmalloc_cache_get(cache, text("k"), NULL, 0, &view), 0);
	CHECK_EQ(
	    shmalloc_cache_cas(cache, text("k"), view.version, text("6"), NULL),
	    0);
	CHECK_EQ(shmalloc_cache_append(cache, text("k"), text("789")), 0);
	CHECK(has(cache, "k", "6789"));
	CHECK_EQ(shmalloc_cache_delete_version(cache, text("k"), view.version),
	    SHMALLOC_ECHANGED);
	CHECK_EQ(shmalloc_cache_get(cache, text("k"), NULL, 0, &view), 0);
	CHECK_EQ(
	    shmalloc_cache_delete_version(cache, text("k"), view.version), 0);
	CHECK_EQ(shmalloc_cache_delete_version(cache, text("k"), view.version),
	    SHMALLOC_CACHE_EMISS);
	CHECK_EQ(shmalloc_cache_take(cache, text("k"), NULL, &view, &lease), 1);
	CHECK_EQ(shmalloc_cache_delete_version(cache, text("k"), lease.version),
	    SHMALLOC_CACHE_EMISS);
	CHECK_EQ(
	    shmalloc_cache_fill(cache, text("k"), &lease, text("0"), NULL), 0);
	world_end(&world);
}

static void
numbers(void)
{
	struct world world = world_make(0, 0, 0);
	struct shmalloc_cache *cache = world.cache;
	struct shmalloc_cache_terms terms = { 3, 60000 };
	struct shmalloc_cache_view view;
	int64_t value = 0;

	CHECK_EQ(
	    shmalloc_cache_increment(cache, text("n"), 5, 100, &terms, &value),
	    0);
	CHECK_EQ(value, 100);
	CHECK_EQ(
	    shmalloc_cache_increment(cache, text("n"), -130, 0, NULL, &value),
	    0);
	CHECK_EQ(value, -30);
	CHECK_EQ(shmalloc_cache_get(cache, text("n"), &value, 8, &view), 0);
	CHECK_EQ(value, -30);
	CHECK_EQ(view.flags, 3);
	CHECK(view.ttl_ms > 0);
	CHECK_EQ(shmalloc_cache_increment(
		     cache, text("n"), INT64_MIN, 0, NULL, NULL),
	    SHMALLOC_ERANGE);
	CHECK_EQ(shmalloc_cache_set(cache, text("t"), text("x"), NULL), 0);
	CHECK_EQ(shmalloc_cache_increment(cache, text("t"), 1, 0, NULL, NULL),
	    SHMALLOC_CACHE_ENUMBER);
	world_end(&world);
}

static void
sizes(void)
{
	const size_t lens[] = { 1, 7, 255, 4096, KEY_MAX };
	struct world world = world_make(0, 0, 0);
	struct shmalloc_cache *cache = world.cache;
	char *key = malloc(KEY_MAX + 1), *value = malloc(10u << 20);
	struct shmalloc_cache_view view;

	CHECK(key && value);
	memset(key, 'k', KEY_MAX + 1);
	for (size_t i = 0; i < 5; i++) {
		size_t len = lens[i] * 160;

		memset(value, (int)i, len);
		CHECK_EQ(shmalloc_cache_set(cache, bytes(key, lens[i]),
			     bytes(value, len), NULL),
		    0);
	}
	for (size_t i = 0; i < 5; i++) {
		size_t len = lens[i] * 160;

		memset(value, (int)i, len);
		CHECK_EQ(
		    shmalloc_cache_pin(cache, bytes(key, lens[i]), &view), 0);
		CHECK_EQ(view.len, len);
		CHECK_EQ((uintptr_t)view.value % 8, 0);
		CHECK(memcmp(view.value, value, len) == 0);
		shmalloc_cache_release(cache, &view);
	}
	CHECK_EQ(shmalloc_cache_set(cache, bytes(key, 0), text(""), NULL),
	    SHMALLOC_EINVAL);
	CHECK_EQ(
	    shmalloc_cache_set(cache, bytes(key, KEY_MAX + 1), text(""), NULL),
	    SHMALLOC_EINVAL);
	CHECK_EQ(shmalloc_cache_pin(cache, bytes(key, KEY_MAX + 1), &view),
	    SHMALLOC_EINVAL);
	free(key);
	free(value);
	world_end(&world);
}

static void
ends(void)
{
	struct shmalloc_cache_terms terms = { 0, 300 };
	struct world world = world_make(0, 0, 0);
	struct shmalloc_cache *cache = world.cache;
	struct shmalloc_cache_view view;
	struct shmalloc_cache_stats stats;

	CHECK_EQ(shmalloc_cache_set(cache, text("a"), text("1"), &terms), 0);
	CHECK_EQ(shmalloc_cache_set(cache, text("b"), text("2"), &terms), 0);
	CHECK_EQ(shmalloc_cache_set(cache, text("c"), text("3"), NULL), 0);
	CHECK_EQ(shmalloc_cache_get(cache, text("a"), NULL, 0, &view), 0);
	CHECK(view.ttl_ms >= 0 && view.ttl_ms < 500);
	CHECK_EQ(shmalloc_cache_touch(cache, text("b"), 3600000), 0);
	CHECK_EQ(shmalloc_cache_touch(cache, text("c"), 1), 0);
	CHECK_EQ(
	    shmalloc_cache_touch(cache, text("d"), 1), SHMALLOC_CACHE_EMISS);
	sleep_ms(600);
	CHECK(!has(cache, "a", "1"));
	CHECK(has(cache, "b", "2"));
	CHECK(!has(cache, "c", "3"));
	CHECK_EQ(
	    shmalloc_cache_touch(cache, text("a"), 1), SHMALLOC_CACHE_EMISS);
	CHECK_EQ(shmalloc_cache_sweep(cache), 0);
	CHECK_EQ(shmalloc_cache_stats(cache, &stats), 0);
	CHECK_EQ(stats.count[SHMALLOC_CACHE_EXPIRED], 2);
	CHECK_EQ(stats.entries, 1);
	CHECK_EQ(shmalloc_cache_add(cache, text("a"), text("4"), NULL), 0);
	world_end(&world);
}

static void
many(void)
{
	struct shmalloc_bytes key[3] = { { "a", 1 }, { "b", 1 }, { "c", 1 } };
	struct world world = world_make(0, 0, 0);
	struct shmalloc_cache *cache = world.cache;
	struct shmalloc_cache_view view[3];

	CHECK_EQ(shmalloc_cache_set(cache, key[0], text("1"), NULL), 0);
	CHECK_EQ(shmalloc_cache_set(cache, key[2], text("3"), NULL), 0);
	CHECK_EQ(shmalloc_cache_pin_many(cache, 3, key, view), 2);
	CHECK(view[0].value && !view[1].value && view[2].value);
	for (int i = 0; i < 3; i++)
		shmalloc_cache_release(cache, &view[i]);
	CHECK_EQ(shmalloc_exit(world.heap), SHMALLOC_EINVAL);
	key[1].len = 0;
	CHECK_EQ(shmalloc_cache_pin_many(cache, 3, key, view), SHMALLOC_EINVAL);
	CHECK_EQ(shmalloc_exit(world.heap), SHMALLOC_EINVAL);
	world_end(&world);
}

/* A value that is held stays as it is, whatever happens to its key. */
static void
pinned(void)
{
	struct world world = world_make(0, 0, 0);
	struct shmalloc_cache *cache = world.cache;
	struct shmalloc_cache_view view;
	char other[64];

	memset(other, 'y', sizeof(other));
	CHECK_EQ(shmalloc_cache_set(cache, text("k"), text("held"), NULL), 0);
	CHECK_EQ(shmalloc_cache_pin(cache, text("k"), &view), 0);
	CHECK_EQ(shmalloc_cache_delete(cache, text("k")), 0);
	for (int i = 0; i < 1000; i++)
		CHECK_EQ(
		    shmalloc_cache_set(cache, text("k"), bytes(other, 4), NULL),
		    0);
	CHECK(memcmp(view.value, "held", 4) == 0);
	shmalloc_cache_release(cache, &view);
	shmalloc_cache_release(cache, &view);
	world_end(&world);
}

/* ---- Growing, walking ---------------------------------------------------- */

static int
entry_count(void *arg, const struct shmalloc_cache_entry *entry)
{
	unsigned *seen = arg;
	unsigned i;

	CHECK_EQ(entry->key.len, sizeof(i));
	memcpy(&i, entry->key.data, sizeof(i));
	CHECK(entry->view.len == sizeof(i) &&
	    memcmp(entry->view.value, &i, sizeof(i)) == 0);
	seen[i]++;
	return 0;
}

static int
entry_stop(void *arg, const struct shmalloc_cache_entry *entry)
{
	(void)entry;
	return ++*(int *)arg == 3 ? 42 : 0;
}

#define GROWN 20000

static void
grows(void)
{
	struct world world = world_make(0, 7, 0);
	struct shmalloc_cache *cache = world.cache;
	unsigned *seen = calloc(GROWN, sizeof(*seen));
	struct shmalloc_cache_stats stats;
	int n = 0;

	CHECK(seen);
	for (unsigned i = 0; i < GROWN; i++)
		CHECK_EQ(shmalloc_cache_set(cache, bytes(&i, sizeof(i)),
			     bytes(&i, sizeof(i)), NULL),
		    0);
	for (unsigned i = 0; i < GROWN; i++) {
		struct shmalloc_cache_view view;
		unsigned got = ~i;

		CHECK_EQ(shmalloc_cache_get(cache, bytes(&i, sizeof(i)), &got,
			     sizeof(got), &view),
		    0);
		CHECK_EQ(got, i);
	}
	CHECK_EQ(shmalloc_cache_walk(cache, entry_count, seen), 0);
	for (unsigned i = 0; i < GROWN; i++)
		CHECK_EQ(seen[i], 1);
	CHECK_EQ(shmalloc_cache_walk(cache, entry_stop, &n), 42);
	CHECK_EQ(n, 3);
	CHECK_EQ(shmalloc_cache_sweep(cache), 0);
	CHECK_EQ(shmalloc_cache_stats(cache, &stats), 0);
	CHECK_EQ(stats.entries, GROWN);
	CHECK_EQ(stats.tables, 1);
	CHECK(stats.places >= GROWN && stats.places < 4 * GROWN);
	CHECK(stats.count[SHMALLOC_CACHE_MOVED] > GROWN / 2);
	CHECK_EQ(stats.count[SHMALLOC_CACHE_EVICTED_PLACE], 0);
	CHECK_EQ(shmalloc_cache_clear(cache), 0);
	CHECK_EQ(shmalloc_cache_stats(cache, &stats), 0);
	CHECK_EQ(stats.entries, 0);
	free(seen);
	world_end(&world);
}

/* Large values are not copied: they stay in smaller tables, and are found. */
static void
grows_around_large(void)
{
	struct world world = world_make(0, 7, 0);
	struct shmalloc_cache *cache = world.cache;
	char *value = calloc(1, 200000);

	CHECK(value);
	for (unsigned i = 0; i < 3000; i++)
		CHECK_EQ(shmalloc_cache_set(cache, bytes(&i, sizeof(i)),
			     bytes(value, i % 100 ? 8 : 200000), NULL),
		    0);
	for (unsigned i = 0; i < 3000; i++) {
		struct shmalloc_cache_view view;

		CHECK_EQ(
		    shmalloc_cache_pin(cache, bytes(&i, sizeof(i)), &view), 0);
		CHECK_EQ(view.len, i % 100 ? 8 : 200000);
		shmalloc_cache_release(cache, &view);
		CHECK_EQ(shmalloc_cache_delete(cache, bytes(&i, sizeof(i))), 0);
		CHECK_EQ(shmalloc_cache_delete(cache, bytes(&i, sizeof(i))),
		    SHMALLOC_CACHE_EMISS);
	}
	free(value);
	world_end(&world);
}

/* ---- Limits -------------------------------------------------------------- */

#define LIMIT (4u << 20)

static void
limited(void)
{
	struct world world = world_make(LIMIT, 0, 0);
	struct shmalloc_cache *cache = world.cache;
	struct shmalloc_cache_stats stats;
	char *value = calloc(1, LIMIT);
	unsigned found = 0;

	CHECK(value);
	for (unsigned i = 0; i < 30000; i++) {
		CHECK_EQ(shmalloc_cache_set(cache, bytes(&i, sizeof(i)),
			     bytes(value, i * 37 % 3000), NULL),
		    0);
		if (i % 1000 == 0) {
			CHECK_EQ(shmalloc_cache_stats(cache, &stats), 0);
			CHECK(stats.bytes <= LIMIT + 4096);
		}
	}
	CHECK_EQ(shmalloc_cache_stats(cache, &stats), 0);
	CHECK(stats.bytes > LIMIT / 10 * 9);
	CHECK(stats.count[SHMALLOC_CACHE_EVICTED_LIMIT] > 20000);
	CHECK_EQ(stats.count[SHMALLOC_CACHE_EVICTED_MEMORY], 0);
	for (unsigned i = 0; i < 30000; i++)
		found += shmalloc_cache_get(
			     cache, bytes(&i, sizeof(i)), NULL, 0, NULL) == 0;
	CHECK_EQ(found, stats.entries);
	CHECK_EQ(
	    shmalloc_cache_set(cache, text("x"), bytes(value, LIMIT), NULL),
	    SHMALLOC_ERANGE);
	CHECK_EQ(shmalloc_cache_limit(cache, LIMIT / 2), 0);
	CHECK_EQ(shmalloc_cache_sweep(cache), 0);
	CHECK_EQ(shmalloc_cache_stats(cache, &stats), 0);
	CHECK(stats.bytes <= LIMIT / 2);
	/* What went is free, and doesn't wait for our next call. */
	CHECK(figure("bytes", "pending") < LIMIT / 8);
	free(value);
	world_end(&world);
}

/* What is found often stays, however much is stored once. */
static void
keeps_what_is_used(void)
{
	struct world world = world_make(LIMIT, 0, 0);
	struct shmalloc_cache *cache = world.cache;
	char value[300] = { 0 };
	unsigned hits = 0;

	for (unsigned i = 0; i < 100; i++)
		CHECK_EQ(shmalloc_cache_set(cache, bytes(&i, sizeof(i)),
			     bytes(value, 300), NULL),
		    0);
	for (unsigned i = 0; i < 100000; i++) {
		unsigned hot = i % 100, cold = 1000 + i;

		hits += shmalloc_cache_get(cache, bytes(&hot, sizeof(hot)),
			    NULL, 0, NULL) == 0;
		CHECK_EQ(shmalloc_cache_set(cache, bytes(&cold, sizeof(cold)),
			     bytes(value, 300), NULL),
		    0);
	}
	CHECK_EQ(hits, 100000);
	world_end(&world);
}

/* The segment is full: the cache gives way, and so it does for a large one. */
static void
memory_is_short(void)
{
	struct world world = world_make(0, 0, 0);
	struct shmalloc_cache *cache = world.cache;
	struct shmalloc_cache_stats stats;
	char *value = calloc(1, 8u << 20);

	CHECK(value);
	for (unsigned i = 0; i < 100000; i++)
		CHECK_EQ(shmalloc_cache_set(cache, bytes(&i, sizeof(i)),
			     bytes(value, i % 3000), NULL),
		    0);
	CHECK_EQ(shmalloc_cache_stats(cache, &stats), 0);
	CHECK(stats.count[SHMALLOC_CACHE_EVICTED_MEMORY] > 1000);
	CHECK_EQ(stats.count[SHMALLOC_CACHE_EVICTED_LIMIT], 0);
	CHECK_EQ(stats.count[SHMALLOC_CACHE_FAILED], 0);
	CHECK_EQ(shmalloc_cache_set(
		     cache, text("large"), bytes(value, 8u << 20), NULL),
	    0);
	CHECK_EQ(shmalloc_cache_set(
		     cache, text("larger"), bytes(value, 1u << 30), NULL),
	    SHMALLOC_ENOMEM);
	free(value);
	world_end(&world);
}

/* ---- Leases -------------------------------------------------------------- */

static void
lease_is_given_once(void)
{
	struct shmalloc_cache_patience patience = { 0, 1 };
	struct world world = world_make(0, 0, 0);
	struct shmalloc_cache *cache = world.cache;
	struct shmalloc_cache_lease lease, other;
	struct shmalloc_cache_view view;

	CHECK_EQ(shmalloc_cache_take(cache, text("k"), NULL, &view, &lease), 1);
	CHECK_EQ(
	    shmalloc_cache_take(cache, text("k"), &patience, &view, &other),
	    SHMALLOC_ETIMEDOUT);
	CHECK(!view.value);
	CHECK(!has(cache, "k", "v"));
	CHECK_EQ(
	    shmalloc_cache_fill(cache, text("k"), &lease, text("v"), NULL), 0);
	CHECK_EQ(
	    shmalloc_cache_take(cache, text("k"), &patience, &view, &other), 0);
	CHECK(view.len == 1 && memcmp(view.value, "v", 1) == 0);
	shmalloc_cache_release(cache, &view);
	CHECK_EQ(shmalloc_cache_fill(cache, text("k"), &lease, text("w"), NULL),
	    SHMALLOC_CACHE_ELEASE);
	CHECK_EQ(shmalloc_cache_waive(cache, text("k"), &lease),
	    SHMALLOC_CACHE_ELEASE);
	CHECK(has(cache, "k", "v"));
	world_end(&world);
}

/* Whoever deletes or stores the key ends the lease: nothing old is stored. */
static void
lease_ends_with_its_key(void)
{
	struct world world = world_make(0, 0, 0);
	struct shmalloc_cache *cache = world.cache;
	struct shmalloc_cache_lease lease;
	struct shmalloc_cache_view view;

	CHECK_EQ(shmalloc_cache_take(cache, text("k"), NULL, &view, &lease), 1);
	CHECK_EQ(shmalloc_cache_delete(cache, text("k")), SHMALLOC_CACHE_EMISS);
	CHECK_EQ(shmalloc_cache_fill(cache, text("k"), &lease, text("v"), NULL),
	    SHMALLOC_CACHE_ELEASE);
	CHECK(!has(cache, "k", "v"));
	CHECK_EQ(shmalloc_cache_take(cache, text("k"), NULL, &view, &lease), 1);
	CHECK_EQ(shmalloc_cache_add(cache, text("k"), text("n"), NULL), 0);
	CHECK_EQ(shmalloc_cache_fill(cache, text("k"), &lease, text("v"), NULL),
	    SHMALLOC_CACHE_ELEASE);
	CHECK(has(cache, "k", "n"));
	CHECK_EQ(shmalloc_cache_delete(cache, text("k")), 0);
	CHECK_EQ(shmalloc_cache_take(cache, text("k"), NULL, &view, &lease), 1);
	CHECK_EQ(shmalloc_cache_waive(cache, text("k"), &lease), 0);
	CHECK_EQ(shmalloc_cache_take(cache, text("k"), NULL, &view, &lease), 1);
	world_end(&world);
}

/* Take a lease in a child, which then dies, or stays. */
static pid_t
lessee_start(bool stays)
{
	int ends[2];
	pid_t pid;

	CHECK_EQ(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		struct shmalloc *heap = heap_attach(NULL, 0);
		struct shmalloc_cache *cache = cache_open(heap, 0, 0, 0);
		struct shmalloc_cache_patience patience = {
			stays ? 300 : 3600000, 0
		};
		struct shmalloc_cache_lease lease;
		struct shmalloc_cache_view view;

		CHECK_EQ(shmalloc_cache_take(
			     cache, text("k"), &patience, &view, &lease),
		    1);
		pipe_tell(ends, 1);
		for (;;)
			(void)pause();
	}
	(void)pipe_hear(ends);
	return pid;
}

static void
lease_of_the_dead(void)
{
	struct world world = world_make(0, 0, 0);
	struct shmalloc_cache_lease lease;
	struct shmalloc_cache_view view;
	pid_t pid = lessee_start(false);

	(void)kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	CHECK_EQ(
	    shmalloc_cache_take(world.cache, text("k"), NULL, &view, &lease),
	    1);
	CHECK_EQ(count_of(world.cache, SHMALLOC_CACHE_LEASES_BROKEN), 1);
	CHECK_EQ(shmalloc_cache_fill(
		     world.cache, text("k"), &lease, text("v"), NULL),
	    0);
	world_end(&world);
}

/* Stopped, so that it can't be seen to be gone: its lease becomes void. */
static void
lease_of_the_stopped(void)
{
	struct world world = world_make(0, 0, 0);
	struct shmalloc_cache_lease lease;
	struct shmalloc_cache_view view;
	pid_t pid = lessee_start(true);

	(void)kill(pid, SIGSTOP);
	CHECK_EQ(
	    shmalloc_cache_take(world.cache, text("k"), NULL, &view, &lease),
	    1);
	CHECK_EQ(count_of(world.cache, SHMALLOC_CACHE_WAITS), 1);
	CHECK_EQ(count_of(world.cache, SHMALLOC_CACHE_LEASES_BROKEN), 1);
	(void)kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	world_end(&world);
}

static void
stale_while_renewed(void)
{
	struct shmalloc_cache_terms terms = { 0, 100 };
	struct world world = world_make(0, 0, 3600000);
	struct shmalloc_cache *cache = world.cache;
	struct shmalloc_cache_lease lease, other;
	struct shmalloc_cache_view view;

	CHECK_EQ(shmalloc_cache_set(cache, text("k"), text("old"), &terms), 0);
	sleep_ms(300);
	CHECK(!has(cache, "k", "old"));
	CHECK_EQ(shmalloc_cache_take(cache, text("k"), NULL, &view, &lease), 1);
	CHECK_EQ(shmalloc_cache_take(cache, text("k"), NULL, &view, &other), 0);
	CHECK(view.is_stale && memcmp(view.value, "old", 3) == 0);
	shmalloc_cache_release(cache, &view);
	CHECK_EQ(shmalloc_cache_waive(cache, text("k"), &lease), 0);
	CHECK_EQ(shmalloc_cache_take(cache, text("k"), NULL, &view, &lease), 1);
	CHECK_EQ(
	    shmalloc_cache_fill(cache, text("k"), &lease, text("new"), NULL),
	    0);
	CHECK(has(cache, "k", "new"));
	CHECK_EQ(count_of(cache, SHMALLOC_CACHE_STALE), 1);
	world_end(&world);
}

/* Many ask for a missing value; one computes it. */
static void
lease_stops_the_herd(void)
{
	struct world world = world_make(0, 0, 0);
	_Atomic int *computed = mmap(NULL, sizeof(*computed),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid[8];

	CHECK(computed != MAP_FAILED);
	for (int i = 0; i < 8; i++) {
		struct shmalloc_cache_lease lease;
		struct shmalloc_cache_view view;

		if ((pid[i] = fork()) != 0)
			continue;
		if (shmalloc_cache_take(
			world.cache, text("k"), NULL, &view, &lease) == 1) {
			++*computed;
			sleep_ms(100);
			CHECK_EQ(shmalloc_cache_fill(world.cache, text("k"),
				     &lease, text("v"), NULL),
			    0);
		} else {
			shmalloc_cache_release(world.cache, &view);
		}
		CHECK(has(world.cache, "k", "v"));
		_exit(0);
	}
	for (int i = 0; i < 8; i++)
		child_join(pid[i]);
	CHECK_EQ(*computed, 1);
	world_end(&world);
}

/* ---- Opening and removing ------------------------------------------------ */

static void
removed(void)
{
	struct world world = world_make(0, 0, 0);
	struct shmalloc_cache *again = cache_open(world.heap, 0, 0, 0);
	struct shmalloc_cache_view view;

	CHECK_EQ(shmalloc_cache_set(again, text("k"), text("v"), NULL), 0);
	CHECK_EQ(shmalloc_cache_destroy(world.cache), 0);
	CHECK_EQ(shmalloc_cache_pin(again, text("k"), &view), SHMALLOC_EGONE);
	CHECK_EQ(shmalloc_cache_set(again, text("k"), text("v"), NULL),
	    SHMALLOC_EGONE);
	CHECK_EQ(shmalloc_cache_delete(again, text("k")), SHMALLOC_EGONE);
	CHECK_EQ(shmalloc_cache_sweep(again), SHMALLOC_EGONE);
	CHECK_EQ(shmalloc_cache_destroy(again), SHMALLOC_EGONE);
	shmalloc_cache_close(again);
	shmalloc_cache_close(world.cache);
	world.cache = cache_open(world.heap, 0, 0, 0);
	CHECK(!has(world.cache, "k", "v"));
	world_end(&world);
}

static void
not_a_cache(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	struct shmalloc_cache *cache;
	shmalloc_slot *root;
	shmalloc_off off = shmalloc_zalloc(heap, 1, 100000);

	CHECK_EQ(shmalloc_root(heap, "other", &root), 0);
	CHECK_EQ(shmalloc_publish(heap, root, 0, off), 0);
	CHECK_EQ(shmalloc_cache_open(heap, "other", NULL, &cache),
	    SHMALLOC_CACHE_EFORMAT);
	CHECK_EQ(shmalloc_cache_open(heap, "", NULL, &cache), SHMALLOC_EINVAL);
	CHECK_EQ(shmalloc_publish(heap, root, off, 0), 0);
	CHECK_EQ(shmalloc_retire(heap, off), 0);
	shmalloc_detach(heap);
}

static void
read_only(void)
{
	struct world world = world_make(0, 0, 0);
	pid_t pid;

	CHECK_EQ(
	    shmalloc_cache_set(world.cache, text("k"), text("v"), NULL), 0);
	pid = fork();
	if (pid == 0) {
		struct shmalloc *heap = heap_attach(NULL, SHMALLOC_READ_ONLY);
		struct shmalloc_cache *cache = cache_open(heap, 0, 0, 0);
		int seen = 0;

		CHECK(has(cache, "k", "v"));
		CHECK(!has(cache, "j", "v"));
		CHECK_EQ(shmalloc_cache_set(cache, text("k"), text("w"), NULL),
		    SHMALLOC_EREADONLY);
		CHECK_EQ(shmalloc_cache_delete(cache, text("k")),
		    SHMALLOC_EREADONLY);
		CHECK_EQ(shmalloc_cache_touch(cache, text("k"), 1),
		    SHMALLOC_EREADONLY);
		CHECK_EQ(shmalloc_cache_clear(cache), SHMALLOC_EREADONLY);
		CHECK_EQ(shmalloc_cache_sweep(cache), SHMALLOC_EREADONLY);
		CHECK_EQ(shmalloc_cache_destroy(cache), SHMALLOC_EREADONLY);
		CHECK_EQ(shmalloc_cache_walk(cache, entry_stop, &seen), 0);
		CHECK_EQ(seen, 1);
		CHECK_EQ(shmalloc_cache_open(heap, "none", NULL, &cache),
		    SHMALLOC_EREADONLY);
		_exit(0);
	}
	child_join(pid);
	world_end(&world);
}

/* Counters and names belong together; errors have a text. */
static void
words(void)
{
	for (int i = 0; i < SHMALLOC_CACHE_COUNTS; i++)
		CHECK(shmalloc_cache_count_name((enum shmalloc_cache_count)i) !=
		    NULL);
	CHECK(!shmalloc_cache_count_name(SHMALLOC_CACHE_COUNTS));
	for (int i = SHMALLOC_CACHE_EFORMAT; i <= SHMALLOC_CACHE_EMISS; i++)
		CHECK(strcmp(shmalloc_cache_strerror(i),
			  shmalloc_strerror(-1000)) != 0);
	CHECK(strcmp(shmalloc_cache_strerror(SHMALLOC_ENOMEM),
		  shmalloc_strerror(SHMALLOC_ENOMEM)) == 0);
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "store_and_find", store_and_find },
		{ "conditions", conditions },
		{ "numbers", numbers },
		{ "sizes", sizes },
		{ "ends", ends },
		{ "many", many },
		{ "pinned", pinned },
		{ "grows", grows },
		{ "grows_around_large", grows_around_large },
		{ "limited", limited },
		{ "keeps_what_is_used", keeps_what_is_used },
		{ "memory_is_short", memory_is_short },
		{ "lease_is_given_once", lease_is_given_once },
		{ "lease_ends_with_its_key", lease_ends_with_its_key },
		{ "lease_of_the_dead", lease_of_the_dead },
		{ "lease_of_the_stopped", lease_of_the_stopped },
		{ "stale_while_renewed", stale_while_renewed },
		{ "lease_stops_the_herd", lease_stops_the_herd },
		{ "removed", removed },
		{ "not_a_cache", not_a_cache },
		{ "read_only", read_only },
		{ "words", words },
	};

	return test_run(argc, argv, tests, sizeof(tests) / sizeof(*tests));
}
