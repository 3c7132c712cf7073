/*
 * The heap states from which operations begin.
 */
#include <errno.h>
#include <string.h>

#include "tests/kill/kill.h"

#define ROUNDS 4
#define WARM   512

struct kill_board *kill_board;

const char *const kill_state_names[KILL_STATES] = {
	[KILL_COLD] = "cold",
	[KILL_WARM] = "warm",
	[KILL_CONTENDED] = "contended",
	[KILL_NEARLY] = "nearly full",
	[KILL_FULL] = "full",
};

/* Every class has been used, and some of it freed. */
static bool
warm(struct kill_scene *scene)
{
	shmalloc_off off[WARM];

	for (int round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < WARM; i++) {
			off[i] = shmalloc_alloc(
			    scene->heap, (i * 37 + (size_t)round) % 3000);
			if (off[i] == 0)
				return false;
		}
		for (size_t i = 0; i < WARM; i++)
			shmalloc_free(scene->heap, off[(i * 7) % WARM]);
	}
	return true;
}

bool
scene_begin(struct kill_scene *scene, enum kill_state state)
{
	return state == KILL_COLD || warm(scene);
}

bool
scene_take(struct kill_scene *scene, size_t size)
{
	shmalloc_off off = shmalloc_alloc(scene->heap, size);

	if (off == 0)
		return false;
	memset(shmalloc_ptr(scene->heap, off), 0x5a, size);
	scene->off[scene->n++] = off;
	return true;
}

/* Take what there is, large pieces first; near the limit, leave a little. */
bool
scene_fill(struct kill_scene *scene, enum kill_state state)
{
	const size_t sizes[] = { 60000, 3000, 500, 64 };
	shmalloc_off some[4] = { 0 }, off;
	size_t n = 0;

	if (state != KILL_NEARLY && state != KILL_FULL)
		return true;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		while ((off = shmalloc_alloc(scene->heap, sizes[i])) != 0)
			if (i == 0)
				some[n++ % 4] = off;
		if (errno != ENOMEM)
			return false;
	}
	if (state == KILL_NEARLY)
		shmalloc_free_batch(scene->heap, 4, some);
	return true;
}
