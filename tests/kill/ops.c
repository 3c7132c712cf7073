/*
 * The operations.
 */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "tests/kill/cache_ops.h"

#define COLD      KILL_BIT(KILL_COLD)
#define WARM      KILL_BIT(KILL_WARM)
#define CONTENDED KILL_BIT(KILL_CONTENDED)
#define NEARLY    KILL_BIT(KILL_NEARLY)
#define FULL      KILL_BIT(KILL_FULL)
#define ANY       (COLD | WARM | CONTENDED | NEARLY | FULL)
#define USED      (WARM | CONTENDED | NEARLY | FULL)

/* ---- What an operation finds --------------------------------------------- */

static bool
one(struct kill_scene *scene)
{
	return scene_take(scene, 64);
}

static bool
two(struct kill_scene *scene)
{
	return scene_take(scene, 100) && scene_take(scene, 200);
}

/* Straight from an arena: larger than what is cached. */
static bool
medium(struct kill_scene *scene)
{
	return scene_take(scene, 50000);
}

static bool
extent(struct kill_scene *scene)
{
	return scene_take(scene, 300000);
}

/* A free extent in between. */
static bool
extent_freed(struct kill_scene *scene)
{
	if (!scene_take(scene, 300000) || !scene_take(scene, 400000) ||
	    !scene_take(scene, 300000))
		return false;
	shmalloc_free(scene->heap, scene->off[1]);
	return true;
}

static bool
three(struct kill_scene *scene)
{
	return scene_take(scene, 64) && scene_take(scene, 3000) &&
	    scene_take(scene, 200000);
}

/* A region is nearly used up. */
static bool
region_used(struct kill_scene *scene)
{
	while (scene->n < 33)
		if (!scene_take(scene, 60000))
			return false;
	return true;
}

/* The first is in the slot, the second isn't. */
static bool
published(struct kill_scene *scene)
{
	return two(scene) &&
	    shmalloc_publish(scene->heap, scene->slot, 0, scene->off[0]) == 0;
}

/* A third, which isn't what the slot holds. */
static bool
published_another(struct kill_scene *scene)
{
	return published(scene) && scene_take(scene, 300) &&
	    shmalloc_publish(
		scene->heap, scene->slot, scene->off[0], scene->off[2]) == 0;
}

static bool
unlinked(struct kill_scene *scene)
{
	return published(scene) &&
	    shmalloc_publish(scene->heap, scene->slot, scene->off[0], 0) == 0;
}

static bool
shared(struct kill_scene *scene)
{
	return one(scene) && shmalloc_share(scene->heap, scene->off[0]) == 0;
}

/* A class's array is as full as it may be, so the next free flushes. */
static bool
cache_full(struct kill_scene *scene)
{
	while (scene->n < 60)
		if (!scene_take(scene, 900))
			return false;
	while (scene->n > 24)
		shmalloc_free(scene->heap, scene->off[--scene->n]);
	return true;
}

/* The same, of a size that fastbins take. */
static bool
cache_full_small(struct kill_scene *scene)
{
	while (scene->n < 60)
		if (!scene_take(scene, 400))
			return false;
	while (scene->n > 24)
		shmalloc_free(scene->heap, scene->off[--scene->n]);
	return true;
}

/* Many retired objects wait, so the next retire looks at the readers. */
static bool
retired_many(struct kill_scene *scene)
{
	while (scene->n < 32)
		if (!scene_take(scene, 128))
			return false;
	while (scene->n > 1)
		if (shmalloc_retire(scene->heap, scene->off[--scene->n]) != 0)
			return false;
	return true;
}

/* With profile.sample_bytes=1: there are free extents, and records. */
static bool
sampled_freed(struct kill_scene *scene)
{
	if (!two(scene))
		return false;
	shmalloc_free(scene->heap, scene->off[0]);
	return true;
}

/* The caches have what alloc_hits() takes. */
static bool
hit_wanted(struct kill_scene *scene)
{
	shmalloc_off off[40];

	if (shmalloc_alloc_batch(scene->heap, 500, 40, off) != 40)
		return false;
	shmalloc_free_batch(scene->heap, 40, off);
	return true;
}

/* ---- What another client has done ---------------------------------------- */

/* Its own, some of which are freed while the others are shared, then it leaves:
 * what it freed is in bins, between what stays. */
static bool
other_leaves(struct kill_scene *scene, size_t size)
{
	while (scene->n < 40)
		if (!scene_take(scene, size))
			return false;
	for (size_t i = 0; i < scene->n; i++)
		if (i % 2)
			shmalloc_free(scene->heap, scene->off[i]);
		else if (shmalloc_share(scene->heap, scene->off[i]) != 0)
			return false;
	shmalloc_detach(scene->heap);
	scene->heap = NULL;
	return true;
}

static bool
other_small(struct kill_scene *scene)
{
	return other_leaves(scene, 100);
}

static bool
other_large(struct kill_scene *scene)
{
	return other_leaves(scene, 2000);
}

/* Objects that it owns. */
static bool
other_owns(struct kill_scene *scene)
{
	if (!scene_take(scene, 100) || !scene_take(scene, 50000) ||
	    !scene_take(scene, 300000) || !scene_take(scene, 70000))
		return false;
	memcpy(kill_board->off, scene->off, sizeof(kill_board->off));
	kill_board->n = scene->n;
	return true;
}

/* While the arena is locked, so onto its remote list. */
static bool
other_pushes(struct kill_scene *scene)
{
	shmalloc_free(scene->heap, scene->off[1]);
	shmalloc_free(scene->heap, scene->off[2]);
	shmalloc_free(scene->heap, scene->off[3]);
	return true;
}

/* It publishes, and reads. */
static bool
other_reads(struct kill_scene *scene)
{
	if (!scene_take(scene, 100) ||
	    shmalloc_publish(scene->heap, scene->slot, 0, scene->off[0]) != 0 ||
	    shmalloc_enter(scene->heap) != 0)
		return false;
	kill_board->off[0] = scene->off[0];
	kill_board->guarded = shmalloc_slot_load(scene->slot);
	kill_board->guarded_len = 100;
	return true;
}

/* ---- Allocating ---------------------------------------------------------- */

static bool
alloc_small(struct kill_scene *scene)
{
	return shmalloc_alloc(scene->heap, 64) != 0;
}

static bool
alloc_100(struct kill_scene *scene)
{
	return shmalloc_alloc(scene->heap, 100) != 0;
}

static bool
alloc_1500(struct kill_scene *scene)
{
	return shmalloc_alloc(scene->heap, 1500) != 0;
}

static bool
alloc_new_class(struct kill_scene *scene)
{
	return shmalloc_alloc(scene->heap, 1003) != 0 &&
	    shmalloc_alloc(scene->heap, 5000) != 0;
}

static bool
alloc_medium(struct kill_scene *scene)
{
	return shmalloc_alloc(scene->heap, 50000) != 0;
}

static bool
alloc_larger(struct kill_scene *scene)
{
	return shmalloc_alloc(scene->heap, 120000) != 0;
}

static bool
alloc_many(struct kill_scene *scene)
{
	for (int i = 0; i < 80; i++)
		if (!shmalloc_alloc(scene->heap, 500))
			return false;
	return true;
}

/* So many that one of them is sampled: with a probability of 1 - exp(-7). */
static bool
alloc_hits(struct kill_scene *scene)
{
	for (int i = 0; i < 14; i++)
		if (!shmalloc_alloc(scene->heap, 500))
			return false;
	return true;
}

static bool
alloc_extent(struct kill_scene *scene)
{
	return shmalloc_alloc(scene->heap, 400000) != 0;
}

static bool
alloc_huge(struct kill_scene *scene)
{
	return shmalloc_alloc(scene->heap, 5000000) != 0;
}

static bool
alloc_batch(struct kill_scene *scene)
{
	return shmalloc_alloc_batch(scene->heap, 176, 40, scene->off) == 40;
}

static bool
alloc_aligned(struct kill_scene *scene)
{
	return shmalloc_aligned_alloc(scene->heap, 2048, 700) != 0;
}

static bool
alloc_zeroed(struct kill_scene *scene)
{
	return shmalloc_zalloc(scene->heap, 10, 20) != 0;
}

static bool
alloc_too_much(struct kill_scene *scene)
{
	return shmalloc_alloc(scene->heap, (size_t)1 << 33) == 0;
}

/* ---- Freeing ------------------------------------------------------------- */

static bool
free_first(struct kill_scene *scene)
{
	shmalloc_free(scene->heap, scene->off[0]);
	return true;
}

static bool
free_all(struct kill_scene *scene)
{
	shmalloc_free_batch(scene->heap, scene->n, scene->off);
	return true;
}

static bool
free_theirs(struct kill_scene *scene)
{
	shmalloc_free(scene->heap, kill_board->off[0]);
	return true;
}

static bool
free_their_medium(struct kill_scene *scene)
{
	shmalloc_free(scene->heap, kill_board->off[1]);
	return true;
}

static bool
free_twice(struct kill_scene *scene)
{
	shmalloc_free(scene->heap, scene->off[0]);
	shmalloc_free(scene->heap, scene->off[0]);
	return true;
}

/* ---- Resizing ------------------------------------------------------------ */

static bool
grow_in_place(struct kill_scene *scene)
{
	return shmalloc_realloc(scene->heap, scene->off[0], 70000) ==
	    scene->off[0];
}

static bool
shrink_in_place(struct kill_scene *scene)
{
	return shmalloc_realloc(scene->heap, scene->off[0], 9000) ==
	    scene->off[0];
}

static bool
grow_moved(struct kill_scene *scene)
{
	return shmalloc_realloc(scene->heap, scene->off[0], 1500) != 0;
}

static bool
extent_resize(struct kill_scene *scene)
{
	shmalloc_off off = shmalloc_realloc(scene->heap, scene->off[0], 900000);

	return off && shmalloc_realloc(scene->heap, off, 200000) != 0;
}

/* ---- Publishing ---------------------------------------------------------- */

static bool
publish_insert(struct kill_scene *scene)
{
	return shmalloc_publish(scene->heap, scene->slot, 0, scene->off[0]) ==
	    0;
}

static bool
publish_replace(struct kill_scene *scene)
{
	return shmalloc_publish(
		   scene->heap, scene->slot, scene->off[0], scene->off[1]) == 0;
}

static bool
publish_remove(struct kill_scene *scene)
{
	return shmalloc_publish(scene->heap, scene->slot, scene->off[0], 0) ==
	    0;
}

static bool
publish_late(struct kill_scene *scene)
{
	return shmalloc_publish(scene->heap, scene->slot, 0, scene->off[1]) ==
	    SHMALLOC_ECHANGED;
}

static bool
publish_lost(struct kill_scene *scene)
{
	return shmalloc_publish(scene->heap, scene->slot, scene->off[0],
		   scene->off[1]) == SHMALLOC_ECHANGED;
}

static bool
share_first(struct kill_scene *scene)
{
	return shmalloc_share(scene->heap, scene->off[0]) == 0;
}

static bool
adopt_first(struct kill_scene *scene)
{
	return shmalloc_adopt(scene->heap, scene->off[0]) == 0;
}

static bool
retire_first(struct kill_scene *scene)
{
	return shmalloc_retire(scene->heap, scene->off[0]) == 0;
}

static bool
read_slot(struct kill_scene *scene)
{
	if (shmalloc_enter(scene->heap) != 0 ||
	    shmalloc_enter(scene->heap) != 0 ||
	    shmalloc_slot_load(scene->slot) != scene->off[0])
		return false;
	return shmalloc_exit(scene->heap) == 0 &&
	    shmalloc_exit(scene->heap) == 0;
}

/* What another is reading. */
static bool
remove_theirs(struct kill_scene *scene)
{
	return shmalloc_publish(
		   scene->heap, scene->slot, kill_board->off[0], 0) == 0 &&
	    shmalloc_retire(scene->heap, kill_board->off[0]) == 0 &&
	    shmalloc_alloc(scene->heap, 100) != 0 &&
	    shmalloc_alloc(scene->heap, 3001) != 0;
}

static bool
replace_theirs(struct kill_scene *scene)
{
	if (shmalloc_publish(scene->heap, scene->slot, kill_board->off[0],
		scene->off[0]) != 0)
		return false;
	shmalloc_free(scene->heap, kill_board->off[0]);
	return true;
}

static bool
make_root(struct kill_scene *scene)
{
	shmalloc_slot *slot;

	return shmalloc_root(scene->heap, "another", &slot) == 0 &&
	    shmalloc_root_remove(scene->heap, "another") == 0;
}

/* ---- Coming and going ---------------------------------------------------- */

static bool
attach(struct kill_scene *scene)
{
	return shmalloc_attach(NULL, NULL, &scene->heap) == 0 &&
	    shmalloc_alloc(scene->heap, 64) != 0;
}

static bool
detach(struct kill_scene *scene)
{
	shmalloc_detach(scene->heap);
	scene->heap = NULL;
	return true;
}

/* The thread returns: its destructors give its cache back. */
static bool
thread_end(struct kill_scene *scene)
{
	(void)scene;
	return true;
}

static bool
another_program(struct kill_scene *scene)
{
	(void)scene;
	(void)execl("/bin/sleep", "sleep", "100", (char *)NULL);
	return false;
}

const struct kill_op kill_ops[] = {
	{ "alloc, first of all", COLD, ANY, NULL, alloc_small, KILL_MAY_FAIL,
	    KILL_WENT_EXTEND | KILL_WENT_SPLIT, NULL, NULL, { NULL } },
	{ "alloc, hit", WARM, USED, NULL, alloc_small, KILL_MAY_FAIL, 0, NULL,
	    NULL, { NULL } },
	{ "alloc, refill by a carve", WARM | NEARLY, ANY, NULL, alloc_new_class,
	    KILL_MAY_FAIL | KILL_SIGNALS, KILL_WENT_SPLIT, NULL, NULL,
	    { NULL } },
	{ "alloc, refill from a fastbin", COLD, ANY, NULL, alloc_100,
	    KILL_MAY_FAIL, KILL_WENT_FAST, other_small, NULL,
	    { "fastbin.max=512" } },
	{ "alloc, refill from a small bin", COLD, ANY, NULL, alloc_100,
	    KILL_MAY_FAIL, KILL_WENT_EXACT, other_small, NULL, { NULL } },
	{ "alloc, refill from a large bin", COLD, ANY, NULL, alloc_1500,
	    KILL_MAY_FAIL, KILL_WENT_SPLIT, other_large, NULL, { NULL } },
	{ "alloc, many", WARM, ANY, NULL, alloc_many, KILL_MAY_FAIL, 0, NULL,
	    NULL, { NULL } },
	{ "alloc, from an arena", WARM | CONTENDED | NEARLY | FULL, ANY, NULL,
	    alloc_medium, KILL_MAY_FAIL, KILL_WENT_SPLIT, NULL, NULL,
	    { NULL } },
	{ "alloc, new region", COLD, COLD | WARM, region_used, alloc_larger,
	    KILL_MAY_FAIL | KILL_SIGNALS | KILL_RECOVER, KILL_WENT_EXTEND, NULL,
	    NULL, { NULL } },
	{ "alloc, extent", WARM | NEARLY, ANY, NULL, alloc_extent,
	    KILL_MAY_FAIL | KILL_SIGNALS, KILL_WENT_EXTEND, NULL, NULL,
	    { NULL } },
	{ "alloc, extent again", WARM, COLD | WARM | CONTENDED, extent_freed,
	    alloc_extent, KILL_MAY_FAIL, 0, NULL, NULL, { NULL } },
	{ "alloc, several regions", WARM, ANY, NULL, alloc_huge, KILL_MAY_FAIL,
	    KILL_WENT_EXTEND, NULL, NULL, { NULL } },
	{ "alloc, batch", WARM, ANY, NULL, alloc_batch, KILL_MAY_FAIL, 0, NULL,
	    NULL, { NULL } },
	{ "alloc, aligned", WARM, ANY, NULL, alloc_aligned,
	    KILL_MAY_FAIL | KILL_SIGNALS, KILL_WENT_SPLIT, NULL, NULL,
	    { NULL } },
	{ "alloc, zeroed", WARM, ANY, NULL, alloc_zeroed, KILL_MAY_FAIL, 0,
	    NULL, NULL, { NULL } },
	{ "alloc, too much", WARM, ANY, NULL, alloc_too_much, 0, 0, NULL, NULL,
	    { NULL } },
	{ "alloc, arenas locked", CONTENDED, CONTENDED, NULL, alloc_new_class,
	    0, KILL_WENT_ARENA, NULL, NULL, { NULL } },
	{ "alloc, another's region", COLD, ANY, NULL, alloc_medium,
	    KILL_MAY_FAIL, KILL_WENT_SPLIT, other_small, NULL, { NULL } },
	{ "alloc, drain what others freed", COLD, ANY, NULL, alloc_medium,
	    KILL_HOLD | KILL_MAY_FAIL | KILL_RECOVER, KILL_WENT_DRAIN,
	    other_owns, other_pushes, { NULL } },
	{ "alloc, sampled", COLD | WARM | NEARLY | FULL, ANY, NULL, alloc_small,
	    KILL_MAY_FAIL | KILL_SIGNALS | KILL_RECOVER, KILL_WENT_EXTEND, NULL,
	    NULL, { "profile.sample_bytes=1" } },
	{ "alloc, sampled again", WARM, ANY, sampled_freed, alloc_100,
	    KILL_MAY_FAIL, 0, NULL, NULL, { "profile.sample_bytes=1" } },
	{ "alloc, sampled extent", WARM, ANY, NULL, alloc_extent, KILL_MAY_FAIL,
	    0, NULL, NULL, { "profile.sample_bytes=1" } },
	{ "alloc, hit to be sampled", WARM, USED, hit_wanted, alloc_hits,
	    KILL_MAY_FAIL, 0, NULL, NULL, { "profile.sample_bytes=1K" } },
	{ "free, sampled", WARM, ANY, one, free_first, KILL_SIGNALS, 0, NULL,
	    NULL, { "profile.sample_bytes=1" } },
	{ "publish, sampled", WARM, ANY, two, publish_insert, 0,
	    KILL_WENT_CHANGE, NULL, NULL, { "profile.sample_bytes=1" } },
	{ "free, hit", WARM, ANY, one, free_first, 0, 0, NULL, NULL, { NULL } },
	{ "free, twice", WARM, ANY, one, free_twice, 0, 0, NULL, NULL,
	    { NULL } },
	{ "free, flush", WARM, ANY, cache_full, free_all, KILL_SIGNALS, 0, NULL,
	    NULL, { NULL } },
	{ "free, flush to a remote list", CONTENDED, CONTENDED, cache_full,
	    free_all, 0, KILL_WENT_PUSH, NULL, NULL, { NULL } },
	{ "free, flush to fastbins", COLD, ANY, cache_full_small, free_all, 0,
	    KILL_WENT_FASTBIN, NULL, NULL,
	    { "fastbin.max=512", "tcache.count=16", NULL } },
	{ "free, consolidate", COLD, ANY, cache_full_small, free_all, 0,
	    KILL_WENT_CONSOLIDATE, NULL, NULL,
	    { "fastbin.max=512", "tcache.count=16", "fastbin.limit=2000" } },
	{ "free, coalesce", WARM | FULL, ANY, medium, free_first, KILL_SIGNALS,
	    KILL_WENT_COALESCE, NULL, NULL, { NULL } },
	{ "free, extent", WARM, ANY, extent, free_first,
	    KILL_SIGNALS | KILL_RECOVER, 0, NULL, NULL, { NULL } },
	{ "free, extent to a remote list", CONTENDED, CONTENDED, extent,
	    free_first, 0, KILL_WENT_PUSH, NULL, NULL, { NULL } },
	{ "free, another's", WARM, ANY, NULL, free_theirs, 0, 0, other_owns,
	    NULL, { NULL } },
	{ "free, another's to its arena", WARM | CONTENDED, ANY, NULL,
	    free_their_medium, 0, 0, other_owns, NULL, { NULL } },
	{ "free, shared", WARM, ANY, shared, free_first, KILL_SIGNALS,
	    KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "free, unlinked", WARM, ANY, unlinked, free_first, 0, 0, NULL, NULL,
	    { NULL } },
	{ "realloc, grow", WARM, COLD | WARM, medium, grow_in_place, 0, 0, NULL,
	    NULL, { NULL } },
	{ "realloc, moved", WARM | NEARLY, ANY, one, grow_moved, KILL_MAY_FAIL,
	    0, NULL, NULL, { NULL } },
	{ "realloc, shrink", WARM, ANY, medium, shrink_in_place, 0,
	    KILL_WENT_SPLIT, NULL, NULL, { NULL } },
	{ "realloc, extent", WARM, COLD | WARM | NEARLY | FULL, extent,
	    extent_resize, KILL_MAY_FAIL | KILL_SIGNALS, 0, NULL, NULL,
	    { NULL } },
	{ "publish, insert", WARM | FULL, ANY, two, publish_insert,
	    KILL_SIGNALS, KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "publish, replace", WARM, ANY, published, publish_replace,
	    KILL_SIGNALS | KILL_RECOVER, KILL_WENT_CHANGE, NULL, NULL,
	    { NULL } },
	{ "publish, remove", WARM, ANY, published, publish_remove, KILL_SIGNALS,
	    KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "publish, lost insert", WARM, ANY, published, publish_late, 0, 0,
	    NULL, NULL, { NULL } },
	{ "publish, lost replace", WARM, ANY, published_another, publish_lost,
	    0, 0, NULL, NULL, { NULL } },
	{ "share", WARM, ANY, one, share_first, KILL_SIGNALS, KILL_WENT_CHANGE,
	    NULL, NULL, { NULL } },
	{ "adopt", WARM, ANY, shared, adopt_first, KILL_SIGNALS,
	    KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "retire, unlinked", WARM, ANY, unlinked, retire_first, 0, 0, NULL,
	    NULL, { NULL } },
	{ "retire, reclaim behind it", WARM, ANY, retired_many, retire_first,
	    KILL_SIGNALS, KILL_WENT_EPOCH, NULL, NULL, { NULL } },
	{ "remove what a reader is on", COLD, ANY, NULL, remove_theirs,
	    KILL_MAY_FAIL, KILL_WENT_CHANGE | KILL_WENT_EPOCH, other_reads,
	    NULL, { NULL } },
	{ "replace what a reader is on", WARM, ANY, one, replace_theirs, 0,
	    KILL_WENT_CHANGE, other_reads, NULL, { NULL } },
	{ "retire beside a reader", COLD, ANY, retired_many, retire_first, 0,
	    KILL_WENT_EPOCH, other_reads, NULL, { NULL } },
	{ "enter and exit", WARM, ANY, published, read_slot, KILL_SIGNALS, 0,
	    NULL, NULL, { NULL } },
	{ "root, make and remove", WARM, ANY, NULL, make_root, KILL_SIGNALS, 0,
	    NULL, NULL, { NULL } },
	{ "cache, made", WARM, COLD | WARM | CONTENDED, NULL, cache_make, 0, 0,
	    NULL, NULL, { NULL } },
	{ "cache, get", WARM, COLD | WARM | CONTENDED, cache_some,
	    cache_get_one, 0, 0, NULL, NULL, { NULL } },
	{ "cache, set", WARM, COLD | WARM | CONTENDED, cache_some,
	    cache_set_new, 0, KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "cache, set over another", WARM, COLD | WARM | CONTENDED, cache_some,
	    cache_set_old, 0, KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "cache, add that is there", WARM, COLD | WARM | CONTENDED, cache_some,
	    cache_add_old, 0, 0, NULL, NULL, { NULL } },
	{ "cache, cas", WARM, COLD | WARM | CONTENDED, cache_some,
	    cache_cas_one, 0, KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "cache, append", WARM, COLD | WARM | CONTENDED, cache_some,
	    cache_append_one, 0, KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "cache, increment", WARM, COLD | WARM | CONTENDED, cache_some,
	    cache_increment_one, 0, KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "cache, touch", WARM, COLD | WARM | CONTENDED, cache_some,
	    cache_touch_one, 0, 0, NULL, NULL, { NULL } },
	{ "cache, delete", WARM, COLD | WARM | CONTENDED, cache_some,
	    cache_delete_one, 0, KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "cache, delete of a version", WARM, COLD | WARM | CONTENDED,
	    cache_some, cache_delete_seen, 0, KILL_WENT_CHANGE, NULL, NULL,
	    { NULL } },
	{ "cache, set that evicts", WARM, COLD | WARM | CONTENDED,
	    cache_limited, cache_set_evicting, KILL_CACHE_STEPS, 0, NULL, NULL,
	    { NULL } },
	{ "cache, set that grows", WARM, COLD | WARM | CONTENDED, cache_crowded,
	    cache_set_growing, KILL_CACHE_STEPS, 0, NULL, NULL, { NULL } },
	{ "cache, moved to a larger table", WARM, COLD | WARM | CONTENDED,
	    cache_growing, cache_move_some, KILL_CACHE_STEPS, 0, NULL, NULL,
	    { NULL } },
	{ "cache, lease", WARM, COLD | WARM | CONTENDED, cache_some,
	    cache_take_one, 0, KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "cache, lease filled", WARM, COLD | WARM | CONTENDED, cache_leased,
	    cache_fill_one, 0, KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "cache, lease waived", WARM, COLD | WARM | CONTENDED, cache_leased,
	    cache_waive_one, 0, KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "cache, sweep", WARM, COLD | WARM | CONTENDED, cache_ended,
	    cache_sweep_all, 0, KILL_WENT_CHANGE, NULL, NULL, { NULL } },
	{ "cache, clear", WARM, COLD | WARM | CONTENDED, cache_some,
	    cache_clear_all, KILL_CACHE_STEPS, 0, NULL, NULL, { NULL } },
	{ "cache, destroy", WARM, COLD | WARM | CONTENDED, cache_some,
	    cache_destroy_it, KILL_CACHE_STEPS, 0, NULL, NULL, { NULL } },
	{ "attach", COLD, COLD, NULL, attach, KILL_ASKS | KILL_RAW,
	    KILL_WENT_EXTEND, NULL, NULL, { NULL } },
	{ "detach", COLD, COLD | WARM | NEARLY | FULL, three, detach, KILL_ASKS,
	    0, NULL, NULL, { NULL } },
	{ "first call after fork", WARM, COLD | WARM, one, alloc_small,
	    KILL_ASKS | KILL_FORKS, 0, NULL, NULL, { NULL } },
	{ "thread exit", COLD, ANY, three, thread_end, KILL_THREAD | KILL_ENDS,
	    0, NULL, NULL, { NULL } },
	{ "another program in place", WARM, COLD | WARM | NEARLY | FULL, three,
	    another_program, KILL_ENDS, 0, NULL, NULL, { NULL } },
};

const size_t kill_n_ops = sizeof(kill_ops) / sizeof(*kill_ops);
