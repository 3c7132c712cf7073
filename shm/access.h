/*
 * How words of the segment are read and written.
 *
 * shm_load/shm_store are relaxed: for the index, counters, and words guarded by
 * a lock.  shm_put is a release store: for the truth (heads, tags, region
 * entries, committed bits).  Two shm_put stay in program order, which is what
 * recovery after a kill relies on; on x86 it is a plain store.
 */
#ifndef SHM_ACCESS_H
#define SHM_ACCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define shm_load(p)     atomic_load_explicit((p), memory_order_relaxed)
#define shm_store(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define shm_get(p)      atomic_load_explicit((p), memory_order_acquire)
#define shm_put(p, v)   atomic_store_explicit((p), (v), memory_order_release)
#define shm_add(p, v)   atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define shm_sub(p, v)   atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)

/* For words that only one process writes at a time (under a lock): cheaper
 * than an atomic addition. */
#define shm_bump(p, v) shm_store((p), shm_load(p) + (v))

#define shm_cas(p, expected, desired)                                          \
	atomic_compare_exchange_strong_explicit((p), (expected), (desired),    \
	    memory_order_acq_rel, memory_order_acquire)

/* Between two looks at a word that another core will change. */
static inline void
shm_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#define SHM_LIKELY(x)   __builtin_expect(!!(x), 1)
#define SHM_UNLIKELY(x) __builtin_expect(!!(x), 0)

#endif
