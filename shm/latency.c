/* How long operations take: see shm/latency.h. */
#include "shm/latency.h"

#include <string.h>

#include "shm/seg.h"

const char *const shm_latency_names[SHM_LATENCIES] = {
	[SHM_LATENCY_ALLOCATE] = "allocate",
	[SHM_LATENCY_FREE] = "free",
	[SHM_LATENCY_REFILL] = "refill",
	[SHM_LATENCY_EXTEND] = "extend",
	[SHM_LATENCY_LOCK_WAIT] = "lock_wait",
	[SHM_LATENCY_CONTROL] = "control",
};

uint64_t
shm_latency_end(uint32_t bucket)
{
	uint32_t shift = bucket / SHM_LATENCY_STEPS;
	uint64_t step = bucket % SHM_LATENCY_STEPS + 1;

	/* Below the first whole power of two each value has a bucket. */
	if (shift == 0)
		return step;
	return (SHM_LATENCY_STEPS + step) << (shift - 1);
}

void
shm_latency_read(const struct shm_seg *seg, enum shm_latency what,
    struct shm_latency_stats *ret_stats)
{
	const struct shm_super *super = seg->super;

	memset(ret_stats, 0, sizeof(*ret_stats));
	for (uint32_t i = 0; i < SHM_LATENCY_BUCKETS; i++) {
		ret_stats->n[i] = shm_load(&super->latency[what][i]);
		ret_stats->count += ret_stats->n[i];
	}
	ret_stats->sum_ns = shm_load(&super->latency_ns[what]);
}

uint64_t
shm_latency_quantile(const struct shm_latency_stats *stats, double q)
{
	double seen = 0, all = 0;

	/* Input: their sum may not be the count that was read. */
	for (uint32_t i = 0; i < SHM_LATENCY_BUCKETS; i++)
		all += (double)stats->n[i];
	for (uint32_t i = 0; i < SHM_LATENCY_BUCKETS && all > 0; i++) {
		seen += (double)stats->n[i];
		if (stats->n[i] > 0 && seen >= q * all)
			return shm_latency_end(i);
	}
	return 0;
}

void
shm_latency_reset(struct shm_seg *seg, uint64_t now)
{
	struct shm_super *super = seg->super;

	for (uint32_t what = 0; what < SHM_LATENCIES; what++) {
		for (uint32_t i = 0; i < SHM_LATENCY_BUCKETS; i++)
			shm_store(&super->latency[what][i], 0);
		shm_store(&super->latency_ns[what], 0);
	}
	shm_store(&super->latency_since, now);
}
