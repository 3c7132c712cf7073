/*
 * Two clients at once: one is stepped to an instruction, then the other, then
 * one of them is killed, and the survivor goes on.
 */
#ifndef TESTS_KILL_PAIR_H
#define TESTS_KILL_PAIR_H

#include "tests/kill/run.h"

#define PAIR_NOBODY 2

/* How it ended. */
struct pair_outcome {
	int dead;          /* 0, 1 or PAIR_NOBODY */
	const int *result; /* of both; of the dead it means nothing */
	shmalloc_off slot; /* what the slot "kill" holds */
	uint64_t n_shared; /* objects that the segment owns, all clients dead */
	const shmalloc_off *mine; /* what each had to offer */
	/* A byte of what the cache has for its first keys; 0: nothing. */
	char value[KILL_KEYS];
};

typedef int pair_fn(struct kill_scene *scene, int who);

struct pair {
	const char *name;
	bool is_symmetric; /* one order is enough, in the short form */
	/* The short form tries a future at each so many pairs of points; 0: the
	 * pair is for the long form alone. */
	unsigned stride;
	pair_fn *prepare[2], *run[2];
	/* Is this what may come out? */
	bool (*is_right)(const struct pair_outcome *outcome);
};

extern const struct pair pairs[];
extern const size_t n_pairs;

/* Try PAIR with FIRST stepped first. */
bool pair_test(const char *daemon_path, const struct pair *pair, int first,
    struct kill_points *points);

#endif
