/*
 * How long calls take: log-linear histograms in the head, of all processes
 * together, with the buckets of shm/latency.h, as the daemon shows both.
 *
 * Of a thread's calls of a kind one in CACHE_LATENCY_SAMPLE is timed.  They are
 * statistics: two relaxed additions, which publish nothing and order nothing. A
 * process that is killed between them leaves a count without its time.
 */
#ifndef CACHE_LATENCY_H
#define CACHE_LATENCY_H

#include <stdint.h>

#define CACHE_LATENCY_BUCKETS 128
#define CACHE_LATENCY_SAMPLE  64

/* What is timed, from the call to when its outcome is there. */
enum cache_latency {
	CACHE_LATENCY_GET,   /* look-ups, without the copying of values */
	CACHE_LATENCY_STORE, /* stores that succeed, with what they evict */
	CACHE_LATENCIES,
};

/* The bucket of NS, as shm_latency_bucket(). */
static inline uint32_t
cache_latency_bucket(uint64_t ns)
{
	uint32_t shift, bucket;

	if (ns < 4)
		return (uint32_t)ns;
	shift = 61 - (uint32_t)__builtin_clzll(ns);
	if (shift >= CACHE_LATENCY_BUCKETS / 4)
		return CACHE_LATENCY_BUCKETS - 1;
	bucket = shift * 4 + (uint32_t)(ns >> shift);
	return bucket < CACHE_LATENCY_BUCKETS ? bucket
					      : CACHE_LATENCY_BUCKETS - 1;
}

#endif
