/*
 * Somebody who asks the daemon, tunes, trims, and kills it.  A request that
 * fails for another reason than that the daemon is dead or an arena busy ends
 * the process.
 */
#ifndef TESTS_STRESS_ADMIN_H
#define TESTS_STRESS_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

struct shmalloc_control;

struct admin {
	struct shmalloc_control *control; /* NULL: not connected */
	uint64_t random;
};

/* False: not this time. */
bool admin_daemon_kill(struct admin *self);
bool admin_tune(struct admin *self);
bool admin_trim(struct admin *self);
bool admin_stats(struct admin *self);

/* Undo the tuning, and leave. */
void admin_end(struct admin *self);

#endif
