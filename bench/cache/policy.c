/*
 * Exact policies, simulated over a stream of requests: least recently used, and
 * S3-FIFO (Yang et al., SOSP 2023), as the paper has it: a small queue of a
 * tenth of the bytes, from which goes what wasn't found twice, leaving a ghost;
 * a main queue, in which what was found stays for another round; as many ghosts
 * as there are entries in the main queue.
 */
#include <err.h>
#include <stdlib.h>

#include "bench/cache/cache.h"

#define NONE UINT32_MAX

enum where { NOWHERE, SMALL, MAIN, GHOST, QUEUES };

/* What is known of a key. */
struct node {
	uint32_t older, newer;
	uint32_t len; /* bytes it takes */
	uint8_t where, uses;
};

struct queue {
	uint32_t oldest, newest, n;
	double bytes;
};

struct simulation {
	const struct stream *stream;
	double bytes, overhead;
	struct node *node; /* by id */
	struct queue queue[QUEUES];
};

static void
queue_take(struct simulation *simulation, uint32_t id)
{
	struct node *node = &simulation->node[id];
	struct queue *queue = &simulation->queue[node->where];

	*(node->older == NONE ? &queue->oldest
			      : &simulation->node[node->older].newer) =
	    node->newer;
	*(node->newer == NONE ? &queue->newest
			      : &simulation->node[node->newer].older) =
	    node->older;
	queue->bytes -= node->len;
	queue->n--;
	node->where = NOWHERE;
}

static void
queue_put(struct simulation *simulation, uint32_t id, enum where where)
{
	struct node *node = &simulation->node[id];
	struct queue *queue = &simulation->queue[where];

	if (node->where != NOWHERE)
		queue_take(simulation, id);
	node->where = (uint8_t)where;
	node->older = queue->newest;
	node->newer = NONE;
	*(queue->newest == NONE ? &queue->oldest
				: &simulation->node[queue->newest].newer) = id;
	queue->newest = id;
	queue->bytes += node->len;
	queue->n++;
}

static double
bytes_held(const struct simulation *simulation)
{
	return simulation->queue[SMALL].bytes + simulation->queue[MAIN].bytes;
}

static void
small_evict(struct simulation *simulation)
{
	uint32_t id = simulation->queue[SMALL].oldest;
	struct node *node = &simulation->node[id];
	struct queue *ghosts = &simulation->queue[GHOST];

	if (node->uses > 1) {
		node->uses = 0;
		queue_put(simulation, id, MAIN);
		return;
	}
	queue_put(simulation, id, GHOST);
	while (ghosts->n > simulation->queue[MAIN].n + 1)
		queue_take(simulation, ghosts->oldest);
}

static void
main_evict(struct simulation *simulation)
{
	uint32_t id = simulation->queue[MAIN].oldest;
	struct node *node = &simulation->node[id];

	if (node->uses == 0) {
		queue_take(simulation, id);
		return;
	}
	node->uses--;
	queue_put(simulation, id, MAIN);
}

static void
room_make(struct simulation *simulation, enum policy policy)
{
	const struct queue *small = &simulation->queue[SMALL];

	while (bytes_held(simulation) > simulation->bytes)
		if (policy == POLICY_LRU)
			queue_take(simulation, simulation->queue[MAIN].oldest);
		else if (small->n > 0 &&
		    (small->bytes >= simulation->bytes / 10 ||
			simulation->queue[MAIN].n == 0))
			small_evict(simulation);
		else
			main_evict(simulation);
}

static void
node_insert(
    struct simulation *simulation, enum policy policy, uint32_t id, uint32_t at)
{
	struct node *node = &simulation->node[id];
	bool comes_back = node->where == GHOST;

	if (node->where != NOWHERE)
		queue_take(simulation, id);
	node->uses = 0;
	node->len = (uint32_t)(stream_key_len(simulation->stream, id) +
	    stream_value_len(simulation->stream, id, at) +
	    simulation->overhead);
	queue_put(
	    simulation, id, policy == POLICY_LRU || comes_back ? MAIN : SMALL);
	room_make(simulation, policy);
}

/* Look ID up; true: it was there. */
static bool
node_get(struct simulation *simulation, enum policy policy, uint32_t id)
{
	struct node *node = &simulation->node[id];

	if (node->where != SMALL && node->where != MAIN)
		return false;
	if (policy == POLICY_LRU)
		queue_put(simulation, id, MAIN);
	else if (node->uses < 3)
		node->uses++;
	return true;
}

double
policy_hits(enum policy policy, const struct stream *stream, double bytes,
    double overhead, uint32_t from)
{
	struct simulation simulation = { stream, bytes, overhead,
		calloc(stream->ids, sizeof(struct node)), { { 0 } } };
	uint32_t hits = 0;

	if (simulation.node == NULL)
		err(1, "calloc");
	for (unsigned i = 0; i < QUEUES; i++)
		simulation.queue[i] =
		    (struct queue){ .oldest = NONE, .newest = NONE };
	for (uint32_t i = 0; i < stream->n; i++) {
		uint32_t id = stream->request[i] & ~REQUEST_SET;

		if (!node_get(&simulation, policy, id))
			node_insert(&simulation, policy, id, i);
		else if (i >= from)
			hits++;
	}
	free(simulation.node);
	return (double)hits / (stream->n - from);
}
