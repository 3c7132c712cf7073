/*
 * Looking at a cache from outside, for who is no client and must not believe a
 * word of it: the daemon.
 *
 * The segment is input.  Every read is bounded by who gives the memory, is of
 * aligned words, and copies them out before they are looked at; what was copied
 * may be of no sense, so it is added up without trust.  At most the head, 8
 * tables' heads and a few buckets with their items' heads are read, whatever
 * they hold.  Nothing is written, and no reader's mark is made: an item may be
 * freed meanwhile.  Its age counts only if it hung from its place before and
 * after it was read.
 */
#ifndef CACHE_INSPECT_H
#define CACHE_INSPECT_H

#include <shmalloc/cache.h>
#include <stdbool.h>
#include <stdint.h>

#include "cache/latency.h"

/* A segment, or what of it may be read. */
struct cache_memory {
	/* The LEN bytes at OFF, or NULL if they can't be read. */
	const void *(*at)(const void *arg, uint64_t off, uint64_t len);
	const void *arg;
};

/* The most buckets whose items' ages are looked at. */
#define CACHE_SAMPLE_MAX 64

struct cache_inspection {
	struct shmalloc_cache_stats stats;
	uint64_t created_ms; /* since the epoch */
	uint64_t n_ages;     /* entries whose ages were seen; 0: none was */
	uint64_t age_median_ms, age_oldest_ms;
	/* See cache/latency.h; no number is in any relation to another. */
	uint64_t latency[CACHE_LATENCIES][CACHE_LATENCY_BUCKETS];
	uint64_t latency_ns[CACHE_LATENCIES];
};

/*
 * Look at the object at OFF, anything.  False: it is no cache, or one that is
 * being removed.  NOW_MS is since the epoch; the ages are those of a sample:
 * N_BUCKETS (at most CACHE_SAMPLE_MAX) buckets at even distances, 8 times as
 * many if most are empty.
 */
bool cache_inspect(const struct cache_memory *memory, uint64_t off,
    uint64_t now_ms, unsigned n_buckets, struct cache_inspection *ret);

#endif
