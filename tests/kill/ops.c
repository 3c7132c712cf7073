/*
 * The operations, and the heap states from which they begin.
 */
#include <string.h>

#include "tests/kill/kill.h"

/* ---- States -------------------------------------------------------------- */

static bool
cold(struct kill_scene *scene)
{
	(void)scene;
	return true;
}

/* Every class has been used, and some of it freed. */
static bool
warm(struct kill_scene *scene)
{
	shmalloc_off off[512];

	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < 512; i++)
			off[i] = shmalloc_alloc(
			    scene->heap, (i * 37 + (size_t)round) % 3000);
		for (size_t i = 0; i < 512; i++)
			shmalloc_free(scene->heap, off[(i * 7) % 512]);
	}
	return true;
}

static bool
take(struct kill_scene *scene, size_t size)
{
	shmalloc_off off = shmalloc_alloc(scene->heap, size);

	if (off == 0)
		return false;
	memset(shmalloc_ptr(scene->heap, off), 0x5a, size);
	scene->off[scene->n++] = off;
	return true;
}

static bool
warm_one(struct kill_scene *scene)
{
	return warm(scene) && take(scene, 64);
}

/* Straight from an arena: larger than what is cached. */
static bool
warm_medium(struct kill_scene *scene)
{
	return warm(scene) && take(scene, 50000);
}

static bool
warm_extent(struct kill_scene *scene)
{
	return warm(scene) && take(scene, 300000);
}

static bool
cold_three(struct kill_scene *scene)
{
	return take(scene, 64) && take(scene, 3000) && take(scene, 200000);
}

static bool
warm_two(struct kill_scene *scene)
{
	return warm(scene) && take(scene, 100) && take(scene, 200);
}

/* The first is in the slot, the second isn't. */
static bool
published(struct kill_scene *scene)
{
	return warm_two(scene) &&
	    shmalloc_publish(scene->heap, scene->slot, 0, scene->off[0]) == 0;
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
	return warm_one(scene) &&
	    shmalloc_share(scene->heap, scene->off[0]) == 0;
}

/* A class's array is as full as it may be, so the next free flushes. */
static bool
cache_full(struct kill_scene *scene)
{
	if (!warm(scene))
		return false;
	for (int i = 0; i < 60; i++)
		if (!take(scene, 900))
			return false;
	for (int i = 0; i < 36; i++)
		shmalloc_free(scene->heap, scene->off[--scene->n]);
	return true;
}

/* Many retired objects wait, so the next retire looks at the readers. */
static bool
retired_many(struct kill_scene *scene)
{
	for (int i = 0; i < 32; i++)
		if (!take(scene, 128))
			return false;
	while (scene->n > 1)
		if (shmalloc_retire(scene->heap, scene->off[--scene->n]) != 0)
			return false;
	return true;
}

/* ---- Operations ---------------------------------------------------------- */

static bool
alloc_small(struct kill_scene *scene)
{
	return shmalloc_alloc(scene->heap, 64) != 0;
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
alloc_many(struct kill_scene *scene)
{
	for (int i = 0; i < 80; i++)
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
	return shmalloc_aligned_alloc(scene->heap, 1024, 700) != 0;
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
	    shmalloc_slot_load(scene->slot) != scene->off[0])
		return false;
	return shmalloc_exit(scene->heap) == 0;
}

static bool
make_root(struct kill_scene *scene)
{
	shmalloc_slot *slot;

	return shmalloc_root(scene->heap, "another", &slot) == 0 &&
	    shmalloc_root_remove(scene->heap, "another") == 0;
}

static bool
detach(struct kill_scene *scene)
{
	shmalloc_detach(scene->heap);
	scene->heap = NULL;
	return true;
}

const struct kill_op kill_ops[] = {
	{ "alloc, first of all", cold, alloc_small, false },
	{ "alloc, hit", warm, alloc_small, false },
	{ "alloc, refill", warm, alloc_new_class, false },
	{ "alloc, many", warm, alloc_many, false },
	{ "alloc, from an arena", warm, alloc_medium, false },
	{ "alloc, extent", warm, alloc_extent, false },
	{ "alloc, several regions", warm, alloc_huge, false },
	{ "alloc, batch", warm, alloc_batch, false },
	{ "alloc, aligned", warm, alloc_aligned, false },
	{ "alloc, zeroed", warm, alloc_zeroed, false },
	{ "alloc, too much", warm, alloc_too_much, false },
	{ "alloc, arena locked", warm, alloc_new_class, true },
	{ "free, hit", warm_one, free_first, false },
	{ "free, flush", cache_full, free_all, false },
	{ "free, flush to a remote list", cache_full, free_all, true },
	{ "free, coalesce", warm_medium, free_first, false },
	{ "free, extent", warm_extent, free_first, false },
	{ "free, shared", shared, free_first, false },
	{ "free, unlinked", unlinked, free_first, false },
	{ "realloc, grow", warm_medium, grow_in_place, false },
	{ "realloc, moved", warm_one, grow_moved, false },
	{ "realloc, shrink", warm_medium, shrink_in_place, false },
	{ "realloc, extent", warm_extent, extent_resize, false },
	{ "publish, insert", warm_two, publish_insert, false },
	{ "publish, replace", published, publish_replace, false },
	{ "publish, remove", published, publish_remove, false },
	{ "publish, lost", published, publish_late, false },
	{ "share", warm_one, share_first, false },
	{ "adopt", shared, adopt_first, false },
	{ "retire, unlinked", unlinked, retire_first, false },
	{ "retire, reclaim behind it", retired_many, retire_first, false },
	{ "enter and exit", published, read_slot, false },
	{ "root, make and remove", warm, make_root, false },
	{ "detach", cold_three, detach, false },
};

const size_t kill_n_ops = sizeof(kill_ops) / sizeof(*kill_ops);
