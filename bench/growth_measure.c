/* One point of growth: what is asked beside a crowd.  See bench/growth.h. */
#include <dlfcn.h>
#include <err.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmalloc/control.h>
#include <shmalloc/shmalloc.h>

#include "bench/growth.h"

#define NEWCOMERS 5u
#define QUESTIONS 21u
#define WALKS     3u
#define WAIT_MS   600000 /* for an answer that walks the heap */

/* ---- One more ------------------------------------------------------------ */

struct newcomer {
	const struct bench_heap *heap;
	double attach, first; /* seconds */
};

static void *
newcomer_main(void *arg)
{
	struct newcomer *newcomer = arg;
	double start = growth_time(CLOCK_MONOTONIC), attached;
	struct bench_ops ops;
	uint64_t ref;

	if (!newcomer->heap->attach(&ops))
		exit(1);
	attached = growth_time(CLOCK_MONOTONIC);
	ref = bench_alloc(&ops, 64);
	newcomer->first = growth_time(CLOCK_MONOTONIC) - attached;
	newcomer->attach = attached - start;
	ops.free(ops.heap, ref);
	if (newcomer->heap->detach != NULL)
		newcomer->heap->detach(&ops);
	return NULL;
}

static void
newcomer_run(struct newcomer *newcomer)
{
	pthread_t thread;
	int status;
	pid_t pid;

	if (!bench_forks(newcomer->heap)) {
		if (pthread_create(&thread, NULL, newcomer_main, newcomer) != 0)
			errx(1, "pthread_create");
		pthread_join(thread, NULL);
		return;
	}
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		newcomer_main(newcomer);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		errx(1, "a newcomer failed (status %d)", status);
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

static void
newcomers_measure(const struct bench_heap *heap, struct growth_result *result)
{
	struct newcomer *newcomer = bench_map(sizeof(*newcomer));
	double attach[NEWCOMERS], first[NEWCOMERS];

	newcomer->heap = heap;
	for (unsigned i = 0; i < NEWCOMERS; i++) {
		newcomer_run(newcomer);
		attach[i] = newcomer->attach * 1e6;
		first[i] = newcomer->first * 1e6;
	}
	result->first_us = median(first, NEWCOMERS);
	result->attach_us = bench_forks(heap) ? median(attach, NEWCOMERS) : NAN;
}

/* ---- Questions for shmalloc's daemon ------------------------------------- */

static struct shmalloc_control *control;

static int
ask_stats(struct shmalloc_reply **ret_reply)
{
	return shmalloc_control_stats(control, NULL, 0, ret_reply);
}

static int
ask_exact(struct shmalloc_reply **ret_reply)
{
	return shmalloc_control_stats(control, NULL, SHMALLOC_EXACT, ret_reply);
}

static int
ask_check(struct shmalloc_reply **ret_reply)
{
	return shmalloc_control_check(control, NULL, 0, ret_reply);
}

/* The median time of N answers, in seconds. */
static double
question_time(int (*ask)(struct shmalloc_reply **), unsigned n)
{
	double seconds[QUESTIONS];

	for (unsigned i = 0; i < n; i++) {
		double start = growth_time(CLOCK_MONOTONIC);
		struct shmalloc_reply *reply;
		int error = ask(&reply);

		if (error != 0)
			errx(1, "%s: %s", shmalloc_strerror(error),
			    shmalloc_control_message(control));
		seconds[i] = growth_time(CLOCK_MONOTONIC) - start;
		shmalloc_control_free(reply);
	}
	return median(seconds, n);
}

/* When all that PID held was free, by the system's clock; 0: not yet. */
static double
reclaim_end(pid_t pid)
{
	struct shmalloc_reply *reply;
	double ended = 0;
	int error =
	    shmalloc_control_clients(control, NULL, (uint32_t)pid, &reply);

	if (error != 0)
		errx(1, "clients: %s", shmalloc_strerror(error));
	(void)shmalloc_control_double(
	    shmalloc_control_item(shmalloc_control_root(reply), "clients", 0),
	    "ended", &ended);
	shmalloc_control_free(reply);
	return ended;
}

static double
reclaim_time(struct crowd *crowd)
{
	double start = growth_time(CLOCK_REALTIME), end;
	pid_t pid = crowd_kill_first(crowd);

	/* Not again and again: the question is work for the daemon, too. */
	do
		growth_pause(20);
	while ((end = reclaim_end(pid)) == 0);
	return end - start;
}

static void
daemon_measure(struct crowd *crowd, struct growth_result *result)
{
	int error = shmalloc_control_connect(NULL, WAIT_MS, &control);

	if (error != 0)
		errx(1, "control: %s", shmalloc_strerror(error));
	result->stats_us = question_time(ask_stats, QUESTIONS) * 1e6;
	result->exact_ms = question_time(ask_exact, WALKS) * 1e3;
	result->check_ms = question_time(ask_check, WALKS) * 1e3;
	result->reclaim_ms = reclaim_time(crowd) * 1e3;
	shmalloc_control_disconnect(control);
}

/* ---- gperftools has statistics, too -------------------------------------- */

static double
gperftools_stats_us(void)
{
	void *handle =
	    dlopen("libtcmalloc_minimal.so.4", RTLD_NOW | RTLD_NOLOAD);
	int (*ask)(const char *, size_t *) = NULL;
	double us[QUESTIONS];
	size_t value;

	if (handle != NULL)
		*(void **)&ask =
		    dlsym(handle, "MallocExtension_GetNumericProperty");
	if (ask == NULL)
		return NAN;
	for (unsigned i = 0; i < QUESTIONS; i++) {
		double start = growth_time(CLOCK_MONOTONIC);

		(void)ask("generic.current_allocated_bytes", &value);
		us[i] = (growth_time(CLOCK_MONOTONIC) - start) * 1e6;
	}
	return median(us, QUESTIONS);
}

void
growth_measure(const struct bench_heap *heap, const struct growth_point *point,
    double seconds, struct growth_result *ret_result)
{
	const bool is_ours = bench_is_ours(heap);
	struct growth_result result = { NAN, NAN, NAN, NAN, NAN, NAN, NAN };
	char limit[32];
	const char *why;
	struct crowd *crowd;

	snprintf(limit, sizeof(limit), "--size=%llu",
	    (unsigned long long)point->limit);
	bench_daemon_arguments[0] = limit;
	why = heap->open == NULL ? NULL : heap->open();
	if (why != NULL)
		errx(1, "%s: %s", heap->name, why);
	crowd = crowd_start(heap, point, seconds);
	result.op_ns = crowd_op_ns(crowd);
	newcomers_measure(heap, &result);
	if (is_ours)
		daemon_measure(crowd, &result);
	else
		result.stats_us = gperftools_stats_us();
	crowd_end();
	*ret_result = result;
}
