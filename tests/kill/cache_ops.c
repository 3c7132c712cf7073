/*
 * The operations of the shared cache.  All bytes of a value are the same, so
 * that a torn one would show.
 */
#include "tests/kill/cache_ops.h"

#include <string.h>

#include <shmalloc/cache.h>

#define NAME "kill-cache"
#define SOME 5

/* The process's own. */
static struct shmalloc_cache *cache;
static struct shmalloc_cache_lease lease;

static struct shmalloc_bytes
key_of(const uint32_t *number)
{
	return (struct shmalloc_bytes){ number, sizeof(*number) };
}

static struct shmalloc_bytes
value_of(char byte, size_t len)
{
	static char value[80000];

	memset(value, byte, len);
	return (struct shmalloc_bytes){ value, len };
}

static bool
opened(struct kill_scene *scene, uint64_t limit, uint64_t entries)
{
	struct shmalloc_cache_options options = SHMALLOC_CACHE_OPTIONS_INIT;

	options.bytes = limit;
	options.entries = entries;
	kill_board->is_cache = true;
	return shmalloc_cache_open(scene->heap, NAME, &options, &cache) == 0;
}

static bool
stored(uint32_t key, char byte, size_t len)
{
	return shmalloc_cache_set(
		   cache, key_of(&key), value_of(byte, len), NULL) == 0;
}

/* ---- What an operation finds --------------------------------------------- */

static bool
filled(struct kill_scene *scene, uint64_t limit, uint64_t entries, uint32_t n)
{
	if (!opened(scene, limit, entries))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!stored(i, 'a', 80))
			return false;
	return true;
}

bool
cache_some(struct kill_scene *scene)
{
	return filled(scene, 0, 40, SOME);
}

bool
cache_limited(struct kill_scene *scene)
{
	return filled(scene, 20000, 40, 100);
}

/* One more makes it grow. */
bool
cache_crowded(struct kill_scene *scene)
{
	return filled(scene, 0, 5, 4);
}

/* Stores until there is one more table, their keys from FROM on. */
static bool
grown(uint32_t from, char byte)
{
	struct shmalloc_cache_stats stats = { .tables = 1 };

	for (uint32_t i = from; stats.tables < 2; i++)
		if (i - from > 50 || !stored(i, byte, 40) ||
		    shmalloc_cache_stats(cache, &stats) != 0)
			return false;
	return true;
}

/* Grown, and not yet emptied. */
bool
cache_growing(struct kill_scene *scene)
{
	return filled(scene, 0, 20, 5) && grown(200, 'g');
}

bool
cache_leased(struct kill_scene *scene)
{
	struct shmalloc_cache_view view;
	uint32_t key = 77;

	return cache_some(scene) &&
	    shmalloc_cache_take(cache, key_of(&key), NULL, &view, &lease) == 1;
}

bool
cache_ended(struct kill_scene *scene)
{
	struct shmalloc_cache_terms terms = { 0, 1 };
	struct shmalloc_cache_view view;
	uint32_t key = 78;

	if (!cache_some(scene) ||
	    shmalloc_cache_set(
		cache, key_of(&key), value_of('e', 50), &terms) != 0)
		return false;
	while (shmalloc_cache_get(cache, key_of(&key), NULL, 0, &view) == 0)
		;
	return true;
}

/* ---- What is stepped ----------------------------------------------------- */

bool
cache_make(struct kill_scene *scene)
{
	return opened(scene, 0, 7);
}

bool
cache_get_one(struct kill_scene *scene)
{
	struct shmalloc_cache_view view;
	uint32_t key = 3, absent = 99;
	char buffer[100];

	(void)scene;
	return shmalloc_cache_get(
		   cache, key_of(&key), buffer, sizeof(buffer), &view) == 0 &&
	    view.len == 80 && buffer[79] == 'a' &&
	    shmalloc_cache_pin(cache, key_of(&absent), &view) ==
	    SHMALLOC_CACHE_EMISS;
}

bool
cache_set_new(struct kill_scene *scene)
{
	(void)scene;
	return stored(50, 'n', 100);
}

bool
cache_set_old(struct kill_scene *scene)
{
	(void)scene;
	return stored(3, 'n', 200);
}

bool
cache_add_old(struct kill_scene *scene)
{
	uint32_t key = 3;

	(void)scene;
	return shmalloc_cache_add(cache, key_of(&key), value_of('n', 100),
		   NULL) == SHMALLOC_EEXIST;
}

bool
cache_cas_one(struct kill_scene *scene)
{
	struct shmalloc_cache_view view;
	uint32_t key = 3;

	(void)scene;
	return shmalloc_cache_get(cache, key_of(&key), NULL, 0, &view) == 0 &&
	    shmalloc_cache_cas(cache, key_of(&key), view.version,
		value_of('n', 100), NULL) == 0;
}

bool
cache_append_one(struct kill_scene *scene)
{
	uint32_t key = 3;

	(void)scene;
	return shmalloc_cache_append(cache, key_of(&key), value_of('a', 9)) ==
	    0;
}

/* All its bytes are the same: 0x0101010101010101. */
bool
cache_increment_one(struct kill_scene *scene)
{
	uint32_t key = 60;

	(void)scene;
	return shmalloc_cache_increment(cache, key_of(&key), 1,
		   INT64_C(0x0101010101010101), NULL, NULL) == 0;
}

bool
cache_touch_one(struct kill_scene *scene)
{
	uint32_t key = 3;

	(void)scene;
	return shmalloc_cache_touch(cache, key_of(&key), 3600000) == 0;
}

bool
cache_delete_one(struct kill_scene *scene)
{
	uint32_t key = 3;

	(void)scene;
	return shmalloc_cache_delete(cache, key_of(&key)) == 0;
}

bool
cache_delete_seen(struct kill_scene *scene)
{
	struct shmalloc_cache_view view;
	uint32_t key = 3;

	(void)scene;
	return shmalloc_cache_get(cache, key_of(&key), NULL, 0, &view) == 0 &&
	    shmalloc_cache_delete_version(cache, key_of(&key), view.version) ==
	    0;
}

bool
cache_set_evicting(struct kill_scene *scene)
{
	struct shmalloc_cache_stats stats, after;

	(void)scene;
	if (shmalloc_cache_stats(cache, &stats) != 0 ||
	    !stored(1000, 'n', 700) || shmalloc_cache_stats(cache, &after) != 0)
		return false;
	return after.count[SHMALLOC_CACHE_EVICTED_LIMIT] >
	    stats.count[SHMALLOC_CACHE_EVICTED_LIMIT];
}

bool
cache_set_growing(struct kill_scene *scene)
{
	(void)scene;
	return grown(100, 'n');
}

bool
cache_move_some(struct kill_scene *scene)
{
	struct shmalloc_cache_stats stats, after;

	(void)scene;
	return shmalloc_cache_stats(cache, &stats) == 0 && stats.tables == 2 &&
	    shmalloc_cache_sweep(cache) == 0 &&
	    shmalloc_cache_stats(cache, &after) == 0 && after.tables == 1 &&
	    after.count[SHMALLOC_CACHE_MOVED] >
	    stats.count[SHMALLOC_CACHE_MOVED] + 3;
}

bool
cache_take_one(struct kill_scene *scene)
{
	struct shmalloc_cache_view view;
	uint32_t key = 76;

	(void)scene;
	return shmalloc_cache_take(cache, key_of(&key), NULL, &view, &lease) ==
	    1;
}

bool
cache_fill_one(struct kill_scene *scene)
{
	uint32_t key = 77;

	(void)scene;
	return shmalloc_cache_fill(
		   cache, key_of(&key), &lease, value_of('n', 100), NULL) == 0;
}

bool
cache_waive_one(struct kill_scene *scene)
{
	uint32_t key = 77;

	(void)scene;
	return shmalloc_cache_waive(cache, key_of(&key), &lease) == 0;
}

bool
cache_clear_all(struct kill_scene *scene)
{
	(void)scene;
	return shmalloc_cache_clear(cache) == 0;
}

bool
cache_sweep_all(struct kill_scene *scene)
{
	struct shmalloc_cache_stats stats;

	(void)scene;
	return shmalloc_cache_sweep(cache) == 0 &&
	    shmalloc_cache_stats(cache, &stats) == 0 &&
	    stats.count[SHMALLOC_CACHE_EXPIRED] == 1 && stats.entries == SOME;
}

bool
cache_destroy_it(struct kill_scene *scene)
{
	(void)scene;
	return shmalloc_cache_destroy(cache) == 0;
}

/* ---- Two at once --------------------------------------------------------- */

/* Fewer instructions are stepped if each has stored and deleted before. */
static int
warmed(bool is_ready, int who)
{
	uint32_t key = 500 + (uint32_t)who;

	for (int i = 0; is_ready && i < 40; i++)
		is_ready = stored(key, 'w', 100) &&
		    shmalloc_cache_delete(cache, key_of(&key)) == 0;
	return !is_ready;
}

int
cache_pair_empty(struct kill_scene *scene, int who)
{
	return warmed(opened(scene, 0, 40), who);
}

/* The first fills it. */
int
cache_pair_some(struct kill_scene *scene, int who)
{
	return warmed(who == 0 ? cache_some(scene) : opened(scene, 0, 40), who);
}

int
cache_pair_crowded(struct kill_scene *scene, int who)
{
	return who == 0 ? !cache_crowded(scene) : !opened(scene, 0, 5);
}

/* Key 0 is too large to be moved, so it stays in the smaller table: whoever
 * stores it anew moves it. */
int
cache_pair_stays(struct kill_scene *scene, int who)
{
	struct shmalloc_cache_stats stats;

	if (who == 1)
		return warmed(opened(scene, 0, 5), who);
	return !(opened(scene, 0, 5) && stored(0, 'a', 70000) &&
	    grown(200, 'g') && shmalloc_cache_stats(cache, &stats) == 0 &&
	    stats.tables == 2);
}

/* Both the same key. */
int
cache_pair_set(struct kill_scene *scene, int who)
{
	(void)scene;
	return !stored(0, (char)('x' + who), 100);
}

/* Each its own key. */
int
cache_pair_set_own(struct kill_scene *scene, int who)
{
	(void)scene;
	return !stored((uint32_t)who, (char)('x' + who), 100);
}

int
cache_pair_add(struct kill_scene *scene, int who)
{
	uint32_t key = 0;

	(void)scene;
	return shmalloc_cache_add(
	    cache, key_of(&key), value_of((char)('x' + who), 100), NULL);
}

int
cache_pair_delete(struct kill_scene *scene, int who)
{
	uint32_t key = 0;

	(void)scene;
	(void)who;
	return shmalloc_cache_delete(cache, key_of(&key));
}
