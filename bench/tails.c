/* A histogram of how long single operations take: see bench/tails.h. */
#include <time.h>

#include "bench/tails.h"

uint64_t
tails_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The bucket of NS: its highest bit and the TAILS_LOG bits behind it. */
static unsigned
bucket_of(uint64_t ns)
{
	unsigned log;

	if (ns < 1u << TAILS_LOG)
		return (unsigned)ns;
	log = 63 - (unsigned)__builtin_clzll(ns);
	return (log << TAILS_LOG) |
	    ((unsigned)(ns >> (log - TAILS_LOG)) & ((1u << TAILS_LOG) - 1));
}

/* The middle of the bucket. */
static double
bucket_ns(unsigned bucket)
{
	unsigned log = bucket >> TAILS_LOG;
	double step;

	if (log < TAILS_LOG)
		return bucket;
	step = (double)(UINT64_C(1) << (log - TAILS_LOG));
	return step *
	    ((1u << TAILS_LOG) + (bucket & ((1u << TAILS_LOG) - 1)) + 0.5) -
	    0.5;
}

void
tails_note(struct tails *tails, uint64_t start)
{
	uint64_t ns = tails_now() - start;

	tails->count[bucket_of(ns > tails->clock ? ns - tails->clock : 0)]++;
	tails->left = TAILS_EVERY;
}

static uint64_t
timed_alloc(void *heap, size_t size)
{
	struct tails *tails = heap;
	uint64_t start, ref;

	if (--tails->left != 0)
		return tails->real.alloc(tails->real.heap, size);
	start = tails_now();
	ref = tails->real.alloc(tails->real.heap, size);
	tails_note(tails, start);
	return ref;
}

static void
timed_free(void *heap, uint64_t ref)
{
	struct tails *tails = heap;
	uint64_t start;

	if (--tails->left != 0) {
		tails->real.free(tails->real.heap, ref);
		return;
	}
	start = tails_now();
	tails->real.free(tails->real.heap, ref);
	tails_note(tails, start);
}

/* The least that two readings of the clock are apart. */
static uint64_t
clock_ns(void)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < 1000; i++) {
		uint64_t start = tails_now(), ns = tails_now() - start;

		if (ns < least)
			least = ns;
	}
	return least;
}

void
tails_start(struct tails *tails)
{
	if (tails->clock == 0)
		tails->clock = clock_ns();
	tails->left = TAILS_EVERY;
}

void
tails_begin(struct tails *tails, struct bench_ops *ops)
{
	tails_start(tails);
	tails->real = *ops;
	*ops = (struct bench_ops){ tails->real.base, tails, timed_alloc,
		timed_free };
}

void
tails_add(struct tails *tails, const struct tails *from)
{
	for (unsigned i = 0; i < TAILS_BUCKETS; i++)
		tails->count[i] += from->count[i];
}

/* The time that a SHARE of the samples stays below. */
static double
percentile(const struct tails *tails, uint64_t samples, double share)
{
	uint64_t rank = (uint64_t)((double)samples * share), below = 0;

	for (unsigned i = 0; i < TAILS_BUCKETS; i++) {
		below += tails->count[i];
		/* 0 would say that it was not measured. */
		if (below > rank)
			return bucket_ns(i) < 1 ? 1 : bucket_ns(i);
	}
	return 0;
}

void
tails_result(const struct tails *tails, struct bench_result *ret_result)
{
	static const double share[BENCH_TAILS] = { 0.5, 0.99, 0.999, 0.9999 };
	uint64_t samples = 0;

	for (unsigned i = 0; i < TAILS_BUCKETS; i++)
		samples += tails->count[i];
	ret_result->samples = samples;
	for (unsigned i = 0; i < BENCH_TAILS; i++)
		/* Ten samples at least are to be above. */
		if ((double)samples * (1 - share[i]) >= 10)
			ret_result->tail[i] =
			    percentile(tails, samples, share[i]);
}
