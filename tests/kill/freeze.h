/*
 * A stopped process that can go on from the same instruction more than once.
 */
#ifndef TESTS_KILL_FREEZE_H
#define TESTS_KILL_FREEZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct frozen_area {
	uint64_t address;
	size_t len;
	char *data;
};

struct frozen {
	struct user_regs_struct regs;
	uint64_t mask;       /* of blocked signals */
	uint8_t rest[16384]; /* floating point and vectors */
	size_t rest_len;
	struct frozen_area *area;
	size_t n;
};

/* Keep what PID, stopped by its tracer, is; freeze_free() it in any case. */
bool freeze_save(struct frozen *frozen, pid_t pid);

/* Make PID what it was; as often as wanted. */
bool freeze_load(struct frozen *frozen, pid_t pid);

void freeze_free(struct frozen *frozen);

#endif
