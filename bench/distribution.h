/*
 * A production distribution: a folder of $SHMALLOC_WORKLOADS (or -d) with what
 * CacheLib's cachebench knows of a cache: sizes.json (the values' sizes, as
 * ranges with weights), pop.json (how popular how many keys are) and
 * config.json (how many look-ups are for a key that nobody asks for again).
 */
#ifndef BENCH_DISTRIBUTION_H
#define BENCH_DISTRIBUTION_H

#include <stddef.h>
#include <stdint.h>

/* Of N values or buckets of values, each with a weight. */
struct distribution_part {
	size_t n;
	uint64_t *value; /* the largest size of a range; keys of a bucket */
	double *weight;  /* as it is in the file */
	double *below;   /* the weights up to and with this one, of 1 */
};

struct distribution {
	struct distribution_part sizes, buckets;
	struct distribution_part key_lens; /* ranges of the keys' lengths */
	double lone; /* look-ups of a key that comes but once, of 1 */
};

/*
 * Read the folder NAME of FOLDER.  NULL, or why it can't be had; the string is
 * valid until the next call.  *RET_DISTRIBUTION is the caller's for
 * distribution_free().
 */
const char *distribution_read(const char *folder, const char *name,
    struct distribution *ret_distribution);
void distribution_free(struct distribution *distribution);

/* Which of PART's entries the uniform CHANCE (0 to below 1) falls on. */
size_t distribution_pick(const struct distribution_part *part, double chance);

/* A size of DISTRIBUTION, 1 at least; both chances as above. */
uint64_t distribution_size(const struct distribution *distribution,
    double chance_of_range, double chance_within);

/* A length of a key, likewise. */
uint64_t distribution_key_len(const struct distribution *distribution,
    double chance_of_range, double chance_within);

/*
 * How many of about KEYS keys each bucket has, as the number of the first key
 * behind it, the caller's to free(); one at least, so the most popular keys
 * stay what they are.
 */
uint32_t *distribution_keys(
    const struct distribution *distribution, double keys);

#define DISTRIBUTION_LONE UINT32_MAX

/* A key to look up, of those that distribution_keys() shared out, or
 * DISTRIBUTION_LONE: one that nobody asks for again. */
uint32_t distribution_key(const struct distribution *distribution,
    const uint32_t *keys, uint64_t *random);

/* Uniform from 0 to below 1. */
double distribution_chance(uint64_t *random);

/* The mean of distribution_size(). */
double distribution_mean(const struct distribution *distribution);

#endif
