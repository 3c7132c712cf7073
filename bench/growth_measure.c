/*
 * One point of growth: clients (processes, or threads of a private heap) that
 * hold objects, and what is asked beside them.  See bench/growth.h.
 */
#include <dlfcn.h>
#include <err.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
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
#define CLOCK_PER 256u   /* replacements between two looks at the clock */

struct client {
	_Alignas(128) struct crowd *crowd;
	unsigned number;
	pid_t pid; /* 0: a thread */
	uint64_t n, ballast, random;
	uint64_t *ref;
	double cpu_seconds;
	uint64_t pairs;
};

/* Clients, in memory that all processes share. */
struct crowd {
	const struct bench_heap *heap;
	const struct growth_point *point;
	double seconds;
	/* The end of a pipe says go; nothing is ever written. */
	int start[2], stop[2];
	_Atomic unsigned filled, done;
	struct client client[GROWTH_CLIENTS_MAX];
};

static double
time_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void
pause_ms(long ms)
{
	const struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

/* ---- A client ------------------------------------------------------------ */

static uint64_t
object_make(struct client *client, const struct bench_ops *ops)
{
	return bench_alloc(ops,
	    GROWTH_SIZE_LEAST +
		bench_below(
		    &client->random, GROWTH_SIZE_MOST - GROWTH_SIZE_LEAST + 1));
}

static void
client_replace(struct client *client, const struct bench_ops *ops)
{
	double start = time_of(CLOCK_THREAD_CPUTIME_ID);
	double end = time_of(CLOCK_MONOTONIC) + client->crowd->seconds;

	do
		for (unsigned i = 0; i < CLOCK_PER; i++) {
			uint64_t *ref =
			    &client
				 ->ref[bench_below(&client->random, client->n)];

			ops->free(ops->heap, *ref);
			*ref = object_make(client, ops);
			client->pairs++;
		}
	while (time_of(CLOCK_MONOTONIC) < end);
	client->cpu_seconds = time_of(CLOCK_THREAD_CPUTIME_ID) - start;
}

static void
pipe_wait(const int ends[2])
{
	char byte;

	if (read(ends[0], &byte, 1) != 0)
		err(1, "pipe");
}

static void *
client_main(void *arg)
{
	struct client *client = arg;
	struct crowd *crowd = client->crowd;
	struct bench_ops ops;

	if (!crowd->heap->attach(&ops))
		exit(1);
	for (uint64_t i = 0; i < client->ballast; i++)
		bench_alloc(&ops, GROWTH_BALLAST);
	for (uint64_t i = 0; i < client->n; i++)
		client->ref[i] = object_make(client, &ops);
	crowd->filled++;
	pipe_wait(crowd->start);
	client_replace(client, &ops);
	crowd->done++;
	pipe_wait(crowd->stop);
	if (crowd->heap->detach != NULL)
		crowd->heap->detach(&ops);
	return NULL;
}

static void
client_start(struct client *client)
{
	struct crowd *crowd = client->crowd;
	pthread_t thread;
	pid_t pid;

	if (!bench_forks(crowd->heap)) {
		if (pthread_create(&thread, NULL, client_main, client) != 0)
			errx(1, "pthread_create");
		pthread_detach(thread);
		return;
	}
	/* Not straight into memory that the child shares. */
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid > 0) {
		client->pid = pid;
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(crowd->start[1]);
	close(crowd->stop[1]);
	client_main(client);
	_exit(0);
}

/* ---- The crowd ----------------------------------------------------------- */

/* However the measuring process ends, its clients and its daemon do, too. */
static struct crowd *crowd_now;
static pid_t crowd_owner;

static void
crowd_end(void)
{
	struct crowd *crowd = crowd_now;

	if (getpid() != crowd_owner || crowd == NULL)
		return;
	crowd_now = NULL;
	for (unsigned i = 0; i < crowd->point->clients; i++) {
		struct client *client = &crowd->client[i];

		if (client->pid == 0)
			continue;
		kill(client->pid, SIGKILL);
		waitpid(client->pid, NULL, 0);
		client->pid = 0;
	}
	close(crowd->stop[1]);
	if (crowd->heap->close != NULL)
		crowd->heap->close();
}

/* A client has ended before its time. */
static _Noreturn void
client_fail(struct client *client, int status)
{
	client->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == BENCH_NO_MEMORY)
		bench_no_memory();
	errx(1, "%s: a client ended (status %d)", client->crowd->heap->name,
	    status);
}

/* Wait until COUNT has counted all clients. */
static void
crowd_wait(struct crowd *crowd, const _Atomic unsigned *count)
{
	int status;

	while (*count < crowd->point->clients) {
		pause_ms(1);
		for (unsigned i = 0; i < crowd->point->clients; i++) {
			struct client *client = &crowd->client[i];

			if (client->pid != 0 &&
			    waitpid(client->pid, &status, WNOHANG) > 0)
				client_fail(client, status);
		}
	}
}

static struct crowd *
crowd_start(const struct bench_heap *heap, const struct growth_point *point,
    double seconds)
{
	struct crowd *crowd = bench_map(sizeof(*crowd));
	uint64_t share = point->objects / point->clients;
	uint64_t *ref = bench_map(point->objects * sizeof(*ref));

	crowd->heap = heap;
	crowd->point = point;
	crowd->seconds = seconds;
	crowd_now = crowd;
	crowd_owner = getpid();
	atexit(crowd_end);
	if (pipe(crowd->start) != 0 || pipe(crowd->stop) != 0)
		err(1, "pipe");
	for (unsigned i = 0; i < point->clients; i++) {
		crowd->client[i] = (struct client){ .crowd = crowd,
			.number = i,
			.n = share,
			.ballast = i == 0 ? point->ballast : 0,
			.random = (i + 1) * UINT64_C(0x9e3779b97f4a7c15),
			.ref = ref + i * share };
		client_start(&crowd->client[i]);
	}
	crowd_wait(crowd, &crowd->filled);
	close(crowd->start[1]);
	crowd_wait(crowd, &crowd->done);
	return crowd;
}

static double
crowd_op_ns(const struct crowd *crowd)
{
	double seconds = 0, pairs = 0;

	for (unsigned i = 0; i < crowd->point->clients; i++) {
		seconds += crowd->client[i].cpu_seconds;
		pairs += (double)crowd->client[i].pairs;
	}
	return seconds * 1e9 / pairs;
}

/* ---- One more ------------------------------------------------------------ */

struct newcomer {
	const struct bench_heap *heap;
	double attach, first; /* seconds */
};

static void *
newcomer_main(void *arg)
{
	struct newcomer *newcomer = arg;
	double start = time_of(CLOCK_MONOTONIC), attached;
	struct bench_ops ops;
	uint64_t ref;

	if (!newcomer->heap->attach(&ops))
		exit(1);
	attached = time_of(CLOCK_MONOTONIC);
	ref = bench_alloc(&ops, 64);
	newcomer->first = time_of(CLOCK_MONOTONIC) - attached;
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
		double start = time_of(CLOCK_MONOTONIC);
		struct shmalloc_reply *reply;
		int error = ask(&reply);

		if (error != 0)
			errx(1, "%s: %s", shmalloc_strerror(error),
			    shmalloc_control_message(control));
		seconds[i] = time_of(CLOCK_MONOTONIC) - start;
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
reclaim_time(struct client *client)
{
	double start = time_of(CLOCK_REALTIME), end;
	pid_t pid = client->pid;

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	client->pid = 0;
	/* Not again and again: the question is work for the daemon, too. */
	do
		pause_ms(20);
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
	result->reclaim_ms = reclaim_time(&crowd->client[0]) * 1e3;
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
		double start = time_of(CLOCK_MONOTONIC);

		(void)ask("generic.current_allocated_bytes", &value);
		us[i] = (time_of(CLOCK_MONOTONIC) - start) * 1e6;
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
