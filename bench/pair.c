/*
 * One allocate+free pair of 64 bytes, shmalloc beside glibc in one process, by
 * turns.  It attaches to the daemon of $SHMALLOC_SOCKET.
 *
 *	pair [REPETITIONS]
 *
 * Prints a row for each turn, then the medians and the median of the ratios
 * within a repetition.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include <shmalloc/shmalloc.h>

#include "bench/clock.h"

#define PAIRS           2000000
#define REPETITIONS_MAX 1000u

static double
glibc_ns(void)
{
	double start = seconds_now();

	for (int i = 0; i < PAIRS; i++) {
		volatile char *at = malloc(64);

		*at = 1;
		free((void *)(uintptr_t)at);
	}
	return (seconds_now() - start) * 1e9 / PAIRS;
}

static double
shmalloc_ns(struct shmalloc *heap)
{
	double start = seconds_now();

	for (int i = 0; i < PAIRS; i++) {
		shmalloc_off off = shmalloc_alloc(heap, 64);
		volatile char *at = shmalloc_ptr(heap, off);

		*at = 1;
		shmalloc_free(heap, off);
	}
	return (seconds_now() - start) * 1e9 / PAIRS;
}

static int
double_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *value, unsigned n)
{
	qsort(value, n, sizeof(*value), double_compare);
	return (value[(n - 1) / 2] + value[n / 2]) / 2;
}

int
main(int argc, char *argv[])
{
	static double glibc[REPETITIONS_MAX], ours[REPETITIONS_MAX],
	    ratio[REPETITIONS_MAX];
	unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 15;
	struct shmalloc *heap;
	int error = shmalloc_attach(NULL, NULL, &heap);

	if (error != 0)
		errx(1, "attach: %s", shmalloc_strerror(error));
	if (n == 0 || n > REPETITIONS_MAX)
		errx(2, "1 to %u repetitions", REPETITIONS_MAX);
	glibc_ns(), shmalloc_ns(heap); /* warm up */
	puts("repetition,glibc_ns,shmalloc_ns");
	for (unsigned i = 0; i < n; i++) {
		glibc[i] = glibc_ns();
		ours[i] = shmalloc_ns(heap);
		ratio[i] = ours[i] / glibc[i];
		printf("%u,%.2f,%.2f\n", i + 1, glibc[i], ours[i]);
	}
	printf("median glibc %.2f ns, shmalloc %.2f ns, ratio %.2f",
	    median(glibc, n), median(ours, n), median(ratio, n));
	printf(" (%.2f to %.2f)\n", ratio[0], ratio[n - 1]);
	shmalloc_detach(heap);
	return 0;
}
