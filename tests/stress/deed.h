/*
 * What a thread of an actor does.
 */
#ifndef TESTS_STRESS_DEED_H
#define TESTS_STRESS_DEED_H

#include <pthread.h>

#include <shmalloc/shmalloc.h>

#include "tests/stress/actor.h"
#include "tests/stress/table.h"

#define RING 256u

/* A private object, and the first word of its contents. */
struct place {
	shmalloc_off off;
	uint64_t first;
};

struct doer {
	const struct actor_options *options;
	struct actor_board *board;
	struct shmalloc *heap;
	struct table *table;
	pthread_t thread;
	uint64_t random;
	uint64_t objects; /* allocated */
	uint64_t steps;
	uint64_t count[ACTOR_COUNTS]; /* not yet handed in */
	uint64_t longest_ns;          /* nor this */
	struct place ring[RING];
};

/* Do one thing at random. */
void deed_do(struct doer *doer);

/* A number below SIDES. */
uint64_t deed_dice(struct doer *doer, uint64_t sides);

/* Free what OFF, found in WHERE, is; 0 is fine. */
void deed_free(struct doer *doer, shmalloc_off off, const char *where);

/* Free the ring and hand in the counts. */
void deed_end(struct doer *doer);

#endif
