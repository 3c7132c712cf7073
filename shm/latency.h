/*
 * How long operations take: log-linear histograms in the superblock, of all
 * processes together (as HdrHistogram's, with two bits below the leading one:
 * a bucket is at most a quarter as wide as its values are large).
 *
 * They are statistics: two relaxed additions, which publish nothing and order
 * nothing.  A client that is killed between them leaves a count without its
 * time, which recovery leaves alone; anybody may write them, so a reader
 * believes no number to be in any relation to another.
 */
#ifndef SHM_LATENCY_H
#define SHM_LATENCY_H

#include <stdint.h>
#include <time.h>

#include "shm/access.h"
#include "shm/layout.h"

struct shm_seg;

/* Buckets of one power of two. */
#define SHM_LATENCY_BITS  2u
#define SHM_LATENCY_STEPS (1u << SHM_LATENCY_BITS)

struct shm_latency_stats {
	uint64_t n[SHM_LATENCY_BUCKETS];
	uint64_t count, sum_ns;
};

extern const char *const shm_latency_names[SHM_LATENCIES];

/* CLOCK_MONOTONIC, in ns; no system call where the kernel offers a page. */
static inline uint64_t
shm_clock_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The bucket of NS; what is longer than the last one's is in that. */
static inline uint32_t
shm_latency_bucket(uint64_t ns)
{
	uint32_t shift, bucket;

	if (ns < SHM_LATENCY_STEPS)
		return (uint32_t)ns;
	shift = 63 - (uint32_t)__builtin_clzll(ns) - SHM_LATENCY_BITS;
	if (shift >= SHM_LATENCY_BUCKETS / SHM_LATENCY_STEPS)
		return SHM_LATENCY_BUCKETS - 1;
	bucket = shift * SHM_LATENCY_STEPS + (uint32_t)(ns >> shift);
	return bucket < SHM_LATENCY_BUCKETS ? bucket : SHM_LATENCY_BUCKETS - 1;
}

/* The least ns that are beyond BUCKET. */
uint64_t shm_latency_end(uint32_t bucket);

/* An operation took NS. */
static inline void
shm_latency_add(struct shm_super *super, enum shm_latency what, uint64_t ns)
{
	shm_add(&super->latency[what][shm_latency_bucket(ns)], 1);
	shm_add(&super->latency_ns[what], ns);
}

void shm_latency_read(const struct shm_seg *seg, enum shm_latency what,
    struct shm_latency_stats *ret_stats);

/* The end of the bucket that the share Q of STATS, 0 to 1, does not exceed; 0
 * if there are none. */
uint64_t shm_latency_quantile(const struct shm_latency_stats *stats, double q);

/* Count anew, from NOW (seconds since the epoch) on.  Daemon only. */
void shm_latency_reset(struct shm_seg *seg, uint64_t now);

#endif
