/*
 * How costs grow with what a heap holds: what growth.c asks and what
 * growth_measure.c answers.
 */
#ifndef BENCH_GROWTH_H
#define BENCH_GROWTH_H

#include <sys/types.h>
#include <time.h>

#include "bench/bench.h"

#define GROWTH_CLIENTS_MAX 1024u

/* Sizes are uniform; a mean of 64. */
#define GROWTH_SIZE_LEAST 16u
#define GROWTH_SIZE_MOST  112u
#define GROWTH_BALLAST    (UINT64_C(1) << 20)

/* What a heap holds while it is measured. */
struct growth_point {
	uint64_t objects; /* in all */
	unsigned clients; /* with a share of them each */
	uint64_t ballast; /* objects of 1 MiB besides, which nobody touches */
	uint64_t limit;   /* bytes that the heap may have */
};

/* NAN: not measured, as the heap has no such thing. */
struct growth_result {
	double op_ns;      /* processor time to replace one object at random */
	double attach_us;  /* of one more process */
	double first_us;   /* its, or a new thread's, first allocation */
	double stats_us;   /* a question for the statistics */
	double exact_ms;   /* the same, exact: the whole heap is walked */
	double check_ms;   /* the proof of the invariants */
	double reclaim_ms; /* from a client's kill until all it held is free */
};

/*
 * Fill HEAP to POINT, let all clients replace objects for so many SECONDS, and
 * measure; in a process of its own, which exits if that can't be done: with
 * BENCH_NO_MEMORY, or 1 and a message.
 */
void growth_measure(const struct bench_heap *heap,
    const struct growth_point *point, double seconds,
    struct growth_result *ret_result);

/* ---- The crowd that holds the objects -------------------------------------
 */

struct crowd;

/*
 * Start the clients of POINT in HEAP, which is open, and wait until they hold
 * their objects and have replaced some for SECONDS; they rest then.  Exits as
 * growth_measure() does.  However this process ends, they do, too.
 */
struct crowd *crowd_start(const struct bench_heap *heap,
    const struct growth_point *point, double seconds);

/* Processor time of a replacement, over all of them. */
double crowd_op_ns(const struct crowd *crowd);

/* Kill the first client, a process, and wait for it; its pid. */
pid_t crowd_kill_first(struct crowd *crowd);

/* End this process's crowd, if there is one, and close the heap. */
void crowd_end(void);

static inline double
growth_time(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline void
growth_pause(long ms)
{
	const struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

#endif
