/*
 * Tails: a histogram of how long single operations take.
 */
#ifndef BENCH_TAILS_H
#define BENCH_TAILS_H

#include "bench/bench.h"

/* One of so many operations is timed; odd, as operations come in pairs. */
#define TAILS_EVERY   17u
#define TAILS_LOG     4u /* 2^4 steps for each doubling: within 6 % */
#define TAILS_BUCKETS (64u << TAILS_LOG)

/* A heap's calls, of which some are timed. */
struct tails {
	struct bench_ops real;
	unsigned left;  /* until the next one that is timed */
	uint64_t clock; /* ns that reading the clock takes, taken off */
	uint64_t count[TAILS_BUCKETS];
};

/* Of operations that don't go through TAILS each TAILS_EVERY-th is to be noted,
 * with when it started, from tails_start() on. */
void tails_start(struct tails *tails);
uint64_t tails_now(void); /* ns */
void tails_note(struct tails *tails, uint64_t start);

/* From now on the calls of OPS go through TAILS. */
void tails_begin(struct tails *tails, struct bench_ops *ops);

/* Add FROM's counts to TAILS'. */
void tails_add(struct tails *tails, const struct tails *from);

/* Samples and percentiles of what was timed. */
void tails_result(const struct tails *tails, struct bench_result *ret_result);

#endif
