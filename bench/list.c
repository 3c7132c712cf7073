/* The heaps and workloads that there are: a new one is a line in each list. */
#include "bench/bench.h"

extern const struct bench_heap heap_shmalloc, heap_shmalloc_deaths, heap_glibc,
    heap_gperftools, heap_mimalloc, heap_jemalloc, heap_tlsf, heap_boost,
    heap_apr, heap_mm, heap_pmemobj;
extern const struct bench_workload work_pair64, work_batch_fifo,
    work_batch_random, work_larson, work_xproc, work_xmalloc, work_xmalloc_1n,
    work_xmalloc_n1, work_medium, work_churn, work_larson_succession,
    work_mstress, work_sh6, work_cache_scratch, work_glibc_thread,
    work_phase_shift, work_kvcache_reg, work_graph_cache_follower_assocs;

const struct bench_heap *const bench_heaps[] = {
	&heap_shmalloc,
	&heap_shmalloc_deaths,
	&heap_glibc,
	&heap_gperftools,
	&heap_mimalloc,
	&heap_jemalloc,
	&heap_tlsf,
	&heap_boost,
	&heap_apr,
	&heap_mm,
	&heap_pmemobj,
	NULL,
};

bool
bench_is_ours(const struct bench_heap *heap)
{
	return heap == &heap_shmalloc;
}

const struct bench_workload *const bench_workloads[] = {
	&work_pair64,
	&work_batch_fifo,
	&work_batch_random,
	&work_larson,
	&work_xproc,
	&work_xmalloc,
	&work_xmalloc_1n,
	&work_xmalloc_n1,
	&work_medium,
	&work_churn,
	&work_larson_succession,
	&work_mstress,
	&work_sh6,
	&work_cache_scratch,
	&work_glibc_thread,
	&work_phase_shift,
	&work_kvcache_reg,
	&work_graph_cache_follower_assocs,
	NULL,
};
