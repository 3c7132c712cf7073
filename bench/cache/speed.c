/*
 * Speed: workers replay the stream, each from a place of its own, and go on
 * after its end.  A get that misses is followed by a set.
 */
#define _GNU_SOURCE /* pthread_barrier_t */

#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "bench/cache/cache.h"
#include "bench/tails.h"

#define ROUND   64u
#define SETTLES 1.2 /* seconds, in which what expires has begun to */

struct worker {
	_Alignas(128) double seconds;
	uint64_t calls, gets, hits;
	struct tails tails;
};

struct speed {
	pthread_barrier_t barrier;
	struct worker worker[WORKERS_MAX];
};

/* Where a worker is in the stream. */
struct place {
	const struct cell *cell;
	struct worker *worker;
	struct tails *tails; /* NULL: nothing is timed */
	uint32_t at;
	struct entry entry;
	char *buffer;
};

static uint64_t
call_start(struct place *place)
{
	return place->tails != NULL && --place->tails->left == 0 ? tails_now()
								 : 0;
}

static void
call_end(struct place *place, uint64_t start)
{
	if (start != 0)
		tails_note(place->tails, start);
	place->worker->calls++;
}

static void
request_set(struct place *place, uint32_t id)
{
	uint64_t start;

	stream_value(place->cell->stream, id, place->at, &place->entry);
	start = call_start(place);
	place->cell->peer->set(&place->entry);
	call_end(place, start);
}

static bool
request_get(struct place *place)
{
	uint64_t start = call_start(place);
	int64_t len = place->cell->peer->get(&place->entry, place->buffer);

	call_end(place, start);
	place->worker->gets++;
	place->worker->hits += len >= 0;
	if (len >= 0 && !entry_is_right(&place->entry, place->buffer, len))
		peer_fail("wrong content");
	return len >= 0;
}

static void
place_step(struct place *place)
{
	const struct stream *stream = place->cell->stream;
	uint32_t request = stream->request[place->at];
	uint32_t id = request & ~REQUEST_SET;

	stream_key(stream, id, &place->entry);
	if (request & REQUEST_SET || !request_get(place))
		request_set(place, id);
	place->at = place->at + 1 == stream->n ? 0 : place->at + 1;
}

/* Replay for so many seconds; how many it were. */
static double
place_spend(struct place *place, double seconds)
{
	uint64_t start = tails_now(), now;

	do {
		for (unsigned i = 0; i < ROUND; i++)
			place_step(place);
		now = tails_now();
	} while ((double)(now - start) < seconds * 1e9);
	return (double)(now - start) / 1e9;
}

static void
worker_main(struct cell *cell, unsigned number, void *arg)
{
	struct speed *speed = arg;
	struct worker *worker = &speed->worker[number];
	const struct stream *stream = cell->stream;
	struct place place = { .cell = cell,
		.worker = worker,
		.at = (uint32_t)((uint64_t)stream->n * number / cell->workers),
		.buffer = bench_map(VALUE_MAX) };

	entry_init(&place.entry);
	pthread_barrier_wait(&speed->barrier);
	place_spend(
	    &place, stream->mix->ttl_s != 0 ? SETTLES : cell->seconds / 2);
	pthread_barrier_wait(&speed->barrier);
	worker->calls = worker->gets = worker->hits = 0;
	worker->seconds = place_spend(&place, cell->seconds);
	pthread_barrier_wait(&speed->barrier);
	place.tails = &worker->tails;
	place.worker = &(struct worker){ .calls = 0 };
	tails_start(place.tails);
	place_spend(&place, cell->seconds / 2);
	pthread_barrier_wait(&speed->barrier);
}

static struct speed *
speed_make(unsigned workers)
{
	struct speed *speed = bench_map(sizeof(*speed));
	pthread_barrierattr_t attributes;

	pthread_barrierattr_init(&attributes);
	pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	if (pthread_barrier_init(&speed->barrier, &attributes, workers) != 0)
		errx(1, "pthread_barrier_init");
	return speed;
}

static void
speed_report(const struct speed *speed, struct cell *cell)
{
	static const char *const name[BENCH_TAILS] = { "p50", "p99", "p99.9",
		"p99.99" };
	struct bench_result result = { .samples = 0 };
	struct tails tails = { .left = 0 };
	uint64_t gets = 0, hits = 0;
	double rate = 0;

	for (unsigned i = 0; i < cell->workers; i++) {
		const struct worker *worker = &speed->worker[i];

		rate += (double)worker->calls / worker->seconds;
		gets += worker->gets;
		hits += worker->hits;
		tails_add(&tails, &worker->tails);
	}
	report_add(cell->report, "calls_per_second", rate);
	if (gets > 0)
		report_add(
		    cell->report, "hit_ratio", (double)hits / (double)gets);
	tails_result(&tails, &result);
	for (unsigned i = 0; i < BENCH_TAILS; i++)
		if (result.tail[i] != 0)
			report_add(cell->report, name[i], result.tail[i]);
}

/* What is private to one process stays in the cell's. */
static void
private_run(struct cell *cell, struct speed *speed)
{
	cell->peer->attach();
	fill_all(cell);
	worker_main(cell, 0, speed);
}

static void
fill_main(struct cell *cell, unsigned number, void *arg)
{
	(void)number, (void)arg;
	fill_all(cell);
}

static void
workers_run(struct cell *cell, struct speed *speed)
{
	worker_start(cell, 0, fill_main, NULL);
	workers_wait(1);
	for (unsigned i = 0; i < cell->workers; i++)
		worker_start(cell, i, worker_main, speed);
	workers_wait(cell->workers);
}

void
part_speed(struct cell *cell)
{
	struct speed *speed;

	if (cell->peer->driver != NULL) {
		python_speed(cell);
		return;
	}
	speed = speed_make(cell->workers);
	if (cell->peer->is_private)
		private_run(cell, speed);
	else
		workers_run(cell, speed);
	speed_report(speed, cell);
}
