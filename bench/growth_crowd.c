/*
 * The crowd of a point of growth: clients (processes, or threads of a private
 * heap) that fill, replace objects for a while, and rest.  See bench/growth.h.
 */
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/growth.h"

#define CLOCK_PER 256u /* replacements between two looks at the clock */

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
	double start = growth_time(CLOCK_THREAD_CPUTIME_ID);
	double end = growth_time(CLOCK_MONOTONIC) + client->crowd->seconds;

	do
		for (unsigned i = 0; i < CLOCK_PER; i++) {
			uint64_t *ref =
			    &client
				 ->ref[bench_below(&client->random, client->n)];

			ops->free(ops->heap, *ref);
			*ref = object_make(client, ops);
			client->pairs++;
		}
	while (growth_time(CLOCK_MONOTONIC) < end);
	client->cpu_seconds = growth_time(CLOCK_THREAD_CPUTIME_ID) - start;
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

void
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
		growth_pause(1);
		for (unsigned i = 0; i < crowd->point->clients; i++) {
			struct client *client = &crowd->client[i];

			if (client->pid != 0 &&
			    waitpid(client->pid, &status, WNOHANG) > 0)
				client_fail(client, status);
		}
	}
}

struct crowd *
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

double
crowd_op_ns(const struct crowd *crowd)
{
	double seconds = 0, pairs = 0;

	for (unsigned i = 0; i < crowd->point->clients; i++) {
		seconds += crowd->client[i].cpu_seconds;
		pairs += (double)crowd->client[i].pairs;
	}
	return seconds * 1e9 / pairs;
}

pid_t
crowd_kill_first(struct crowd *crowd)
{
	pid_t pid = crowd->client[0].pid;

	crowd->client[0].pid = 0;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return pid;
}
