/*
 * phase_shift: a churn whose sizes drift.  In each phase a worker fills its
 * share of 16 MiB with objects of half to one and a half times the phase's mean
 * size, replaces as many of them at random, and frees all but an eighth, which
 * survives the next three phases.  The mean grows by 1.6 from phase to phase
 * and starts again after six.
 *
 * What is measured of the memory is the most of it, over one drift before the
 * clock starts: the same work for every heap.  Marks are checked.
 */
#include "bench/bench.h"

#define LIVE       (UINT64_C(16) << 20) /* of all workers */
#define PHASES     6u
#define SURVIVES   8u /* one of so many */
#define KEPT       3u /* phases in which it does */
#define SIZE_LEAST 80u

extern const struct bench_workload work_phase_shift;

static const uint16_t mean[PHASES] = { 160, 256, 410, 655, 1049, 1678 };

struct object {
	uint64_t ref;
	uint16_t size;
	uint8_t mark;
};

/* Objects that a worker holds. */
struct herd {
	uint64_t n;
	struct object *object;
};

struct drift {
	unsigned phase;
	bool is_measured;
	uint64_t share; /* bytes that this worker may hold, but for survivors */
	uint64_t room;  /* survivors of a phase, at most */
	struct herd present, survivors[KEPT];
	struct object object[];
};

static void
live_add(struct bench_worker *worker, uint64_t size)
{
	const struct drift *drift = worker->state;

	worker->live_bytes += size;
	if (drift->is_measured)
		bench_live(worker);
}

static struct object
object_make(struct bench_worker *worker, unsigned phase)
{
	uint64_t size =
	    mean[phase] / 2 + bench_below(&worker->random, mean[phase]);
	struct object object = {
		.size = (uint16_t)size,
		.mark = (uint8_t)worker->random,
	};

	object.ref = bench_alloc_marked(&worker->ops, size, object.mark);
	live_add(worker, size);
	return object;
}

static void
object_free(struct bench_worker *worker, const struct object *object)
{
	bench_free_marked(
	    &worker->ops, object->ref, object->size, object->mark);
	live_add(worker, -(uint64_t)object->size);
}

/* ---- The steps of a phase; each gives the objects that it freed */

static uint64_t
survivors_free(struct bench_worker *worker, struct herd *herd)
{
	uint64_t n = herd->n;

	while (herd->n > 0)
		object_free(worker, &herd->object[--herd->n]);
	return n;
}

static void
present_fill(struct bench_worker *worker, struct drift *drift, unsigned phase)
{
	uint64_t least = worker->live_bytes;

	while (worker->live_bytes - least + 2 * mean[phase] < drift->share)
		drift->present.object[drift->present.n++] =
		    object_make(worker, phase);
}

static uint64_t
present_replace(
    struct bench_worker *worker, struct drift *drift, unsigned phase)
{
	struct herd *herd = &drift->present;

	for (uint64_t i = 0; i < herd->n; i++) {
		struct object *object =
		    &herd->object[bench_below(&worker->random, herd->n)];

		object_free(worker, object);
		*object = object_make(worker, phase);
	}
	return herd->n;
}

static uint64_t
present_thin(
    struct bench_worker *worker, struct drift *drift, struct herd *survivors)
{
	struct herd *herd = &drift->present;
	uint64_t freed = 0;

	for (uint64_t i = 0; i < herd->n; i++) {
		if (bench_below(&worker->random, SURVIVES) == 0 &&
		    survivors->n < drift->room) {
			survivors->object[survivors->n++] = herd->object[i];
			continue;
		}
		object_free(worker, &herd->object[i]);
		freed++;
	}
	herd->n = 0;
	return freed;
}

static uint64_t
phase_run(struct bench_worker *worker)
{
	struct drift *drift = worker->state;
	unsigned phase = drift->phase++ % PHASES;
	struct herd *survivors = &drift->survivors[phase % KEPT];
	uint64_t freed = survivors_free(worker, survivors);

	present_fill(worker, drift, phase);
	freed += present_replace(worker, drift, phase);
	if (drift->is_measured)
		bench_peak(worker);
	return freed + present_thin(worker, drift, survivors);
}

static void
phase_begin(struct bench_worker *worker)
{
	uint64_t share = LIVE / worker->workers, most = share / SIZE_LEAST;
	uint64_t room = most / 4;
	struct drift *drift = bench_map(
	    sizeof(*drift) + (most + KEPT * room) * sizeof(struct object));

	drift->share = share;
	drift->room = room;
	drift->present.object = drift->object;
	for (unsigned i = 0; i < KEPT; i++)
		drift->survivors[i].object = drift->object + most + i * room;
	worker->state = drift;
	drift->is_measured = true;
	for (unsigned i = 0; i < PHASES; i++)
		phase_run(worker);
	drift->is_measured = false;
}

static void
phase_end(struct bench_worker *worker)
{
	struct drift *drift = worker->state;

	for (unsigned i = 0; i < KEPT; i++)
		survivors_free(worker, &drift->survivors[i]);
}

const struct bench_workload work_phase_shift = {
	.name = "phase_shift",
	.workers_least = 1,
	.measures_memory = true,
	.begin = phase_begin,
	.round = phase_run,
	.end = phase_end,
};
