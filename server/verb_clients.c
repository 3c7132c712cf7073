/*
 * clients: who holds what, alive or gone.
 *
 * Who a client is comes from the kernel, at attach; what it holds are counters
 * in the segment, which it can write: input, shown but never acted upon.
 */
#include <stdlib.h>
#include <string.h>

#include "server/control.h"
#include "server/server.h"
#include "server/slot.h"

char *
verb_text(struct call *call, const char *from, size_t len)
{
	len = strnlen(from, len);
	char *text = pool_alloc(call->pool, len + 1);
	for (size_t i = 0; i < len; i++)
		text[i] = from[i] >= ' ' && from[i] < 0x7f ? from[i] : '?';
	text[len] = '\0';
	return text;
}

static void
counters_put(Proto__ClientInfo *to, const struct shm_client_stats *from)
{
	CALL_PUT(to, threads, from->threads);
	CALL_PUT(to, held_bytes, from->held_bytes);
	CALL_PUT(to, held_chunks, from->held_chunks);
	CALL_PUT(to, cached_bytes, from->cached_bytes);
	CALL_PUT(to, cached_chunks, from->cached_chunks);
	CALL_PUT(to, retired_bytes, from->retired_bytes);
	CALL_PUT(to, retired_chunks, from->retired_chunks);
	CALL_PUT(to, requested_bytes, from->requested);
	CALL_PUT(to, reader_lag, from->reader_lag);
	CALL_PUT(to, allocs, from->allocs);
	CALL_PUT(to, frees, from->frees);
	CALL_PUT(to, cache_hits, from->cache_hits);
	CALL_PUT(to, refills, from->refills);
	CALL_PUT(to, flushes, from->flushes);
	CALL_PUT(to, remote_pushed, from->remote_pushed);
	CALL_PUT(to, arena_moves, from->moves);
	CALL_PUT(to, lock_waits, from->sleeps);
	CALL_PUT(to, misuses, from->misuses);
}

static Proto__ClientInfo *
client_put(
    struct call *call, const struct shm_client_stats *from, const char *state)
{
	Proto__ClientInfo *to = pool_alloc(call->pool, sizeof *to);
	proto__client_info__init(to);
	CALL_PUT(to, pid, from->pid);
	to->command = verb_text(call, from->command, sizeof from->command);
	to->label = verb_text(call, from->label, sizeof from->label);
	to->state = pool_strdup(call->pool, state);
	CALL_PUT(to, uid, from->uid);
	CALL_PUT(to, gid, from->gid);
	CALL_PUT(to, slot, from->slot);
	CALL_PUT(to, generation, from->generation);
	CALL_PUT(to, read_only, (from->flags & SHM_CLIENT_READ_ONLY) != 0);
	CALL_PUT(to, since, (double)from->since);
	counters_put(to, from);
	to->failures = verb_failures(call, from->failures);
	return to;
}

/* What the segment says of the client in SLOT, and who that is. */
static struct shm_client_stats *
slot_read(struct call *call, const struct slot *slot)
{
	struct shm_client_stats *stats = pool_alloc(call->pool, sizeof *stats);
	if (!shm_client_read(&slot->segment->seg, slot->index, stats))
		memset(stats, 0, sizeof *stats);
	stats->slot = slot->index;
	stats->generation = slot->generation;
	stats->pid = (uint32_t)slot->pid;
	stats->uid = slot->uid;
	stats->gid = slot->gid;
	memcpy(stats->command, slot->command, sizeof stats->command);
	return stats;
}

/* Those of process PID, 0: all. */
static void
slots_put(struct call *call, uint32_t pid, Proto__ClientList *list)
{
	static const char *const states[] = {
		[SLOT_ALIVE] = "alive",
		[SLOT_ORPHANED] = "orphaned",
		[SLOT_RECLAIMING] = "reclaiming",
	};
	const struct segment *segment = call->segment;
	struct shm_clients_read *read = pool_alloc(call->pool, sizeof *read);
	for (uint32_t i = 0; i < SHM_CLIENTS; i++) {
		const struct slot *slot = segment->slots[i];
		if (slot != NULL && (pid == 0 || (uint32_t)slot->pid == pid))
			read->slot[i] = slot_read(call, slot);
	}
	shm_clients_readers(&segment->seg, read);
	for (uint32_t i = 0; i < SHM_CLIENTS; i++)
		if (read->slot[i] != NULL)
			list->clients[list->n_clients++] = client_put(call,
			    read->slot[i], states[segment->slots[i]->state]);
}

static void
past_put(
    struct call *call, const struct segment_past *past, Proto__ClientList *list)
{
	Proto__ClientInfo *to = client_put(call, &past->last, "reclaimed");
	CALL_PUT(to, ended, past->ended);
	CALL_PUT(to, noticed, past->noticed);
	if (past->repaired > 0)
		CALL_PUT(to, repaired, past->repaired);
	CALL_PUT(to, reclaimed_bytes, past->bytes);
	CALL_PUT(to, reclaimed_chunks, past->chunks);
	CALL_PUT(to, held_bytes, 0);
	CALL_PUT(to, held_chunks, 0);
	CALL_PUT(to, cached_bytes, 0);
	CALL_PUT(to, cached_chunks, 0);
	list->clients[list->n_clients++] = to;
}

/* The living first, by bytes held; then the gone, the latest first. */
static int
client_compare(const void *a, const void *b)
{
	const Proto__ClientInfo *x = *(Proto__ClientInfo *const *)a;
	const Proto__ClientInfo *y = *(Proto__ClientInfo *const *)b;
	if (x->has_ended != y->has_ended)
		return x->has_ended ? 1 : -1;
	if (x->has_ended)
		return (x->ended < y->ended) - (x->ended > y->ended);
	return (x->held_bytes < y->held_bytes) -
	    (x->held_bytes > y->held_bytes);
}

static bool
past_is_listed(const struct segment_past *past, uint32_t pid)
{
	return past->ended > 0 &&
	    server_time() - past->ended < SEGMENT_PAST_SECONDS &&
	    (pid == 0 || past->last.pid == pid);
}

int
verb_clients(struct call *call)
{
	const struct segment *segment = call->segment;
	uint32_t pid = call->request->clients->pid;
	Proto__ClientList *list = pool_alloc(call->pool, sizeof *list);
	proto__client_list__init(list);
	list->clients = pool_array(call->pool, segment->n_slots + SEGMENT_PAST,
	    sizeof(*list->clients));
	slots_put(call, pid, list);
	for (uint32_t i = 0; i < SEGMENT_PAST; i++)
		if (past_is_listed(&segment->past[i], pid))
			past_put(call, &segment->past[i], list);
	qsort(list->clients, list->n_clients, sizeof(*list->clients),
	    client_compare);
	call->reply->clients = list;
	call->reply->body_case = PROTO__REPLY__BODY_CLIENTS;
	return 0;
}
