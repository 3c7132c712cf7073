/* How long calls take: see cache/latency.h. */
#include "cache/latency.h"

#include <time.h>

#include "cache/internal.h"

_Thread_local uint32_t cache_calls[CACHE_LATENCIES];

uint64_t
cache_clock_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void
cache_latency_add(
    struct shmalloc_cache *cache, enum cache_latency what, uint64_t since)
{
	struct cache_head *head = cache->head;
	uint64_t ns = cache_clock_ns() - since;

	(void)atomic_fetch_add_explicit(
	    &head->latency[what][cache_latency_bucket(ns)], 1,
	    memory_order_relaxed);
	(void)atomic_fetch_add_explicit(
	    &head->latency_ns[what], ns, memory_order_relaxed);
}
