/*
 * fit: how many objects of a size could be allocated now, where, and why not
 * more.
 */
#include <stdlib.h>

#include "server/control.h"
#include "server/server.h"
#include "shm/access.h"
#include "shm/fit.h"
#include "shm/tally.h"

/* As the keys of Failures. */
static const char *const reasons[SHM_FAILURES] = {
	[SHM_FAIL_NONE] = "none",
	[SHM_FAIL_FULL] = "full",
	[SHM_FAIL_FRAGMENTED] = "fragmented",
	[SHM_FAIL_QUOTA] = "quota",
	[SHM_FAIL_TOO_LARGE] = "too_large",
	[SHM_FAIL_READER] = "reader",
	[SHM_FAIL_SYSTEM] = "system",
};

static void
arenas_put(struct call *call, const struct shm_fit *fit, Proto__Fit *to)
{
	const struct shm_seg *seg = &call->segment->seg;
	to->arenas = pool_array(call->pool, fit->n_arenas, sizeof(*to->arenas));
	for (uint32_t i = 0; i < fit->n_arenas; i++) {
		const struct shm_fit_arena *from = &fit->arenas[i];
		Proto__FitArena *arena = pool_alloc(call->pool, sizeof *arena);
		bool is_sick =
		    shm_load(&seg->arenas[i].state) == SHM_ARENA_SICK;
		proto__fit_arena__init(arena);
		CALL_PUT(arena, id, i);
		arena->state = pool_strdup(call->pool, is_sick ? "sick" : "ok");
		CALL_PUT(arena, pieces, from->pieces);
		CALL_PUT(arena, objects, from->objects);
		CALL_PUT(arena, free_bytes, from->free);
		CALL_PUT(arena, largest_free_bytes, from->largest);
		to->arenas[to->n_arenas++] = arena;
	}
}

static void
fit_put(struct call *call, const struct shm_fit *fit, Proto__Fit *to)
{
	const Proto__FitRequest *request = call->request->fit;
	struct shm_clients_sum clients;
	shm_clients_sum(&call->segment->seg, &clients);
	proto__fit__init(to);
	to->schema = pool_strdup(call->pool, "shmalloc.fit/1");
	CALL_PUT(to, time, server_time());
	CALL_PUT(to, size_bytes, request->size_bytes);
	CALL_PUT(to, count, request->count == 0 ? 1 : request->count);
	CALL_PUT(to, fits, fit->objects >= to->count);
	if (fit->len != 0) {
		CALL_PUT(to, piece_bytes, fit->len);
		to->kind = pool_strdup(
		    call->pool, fit->is_extent ? "extent" : "chunk");
	}
	CALL_PUT(to, objects, fit->objects);
	CALL_PUT(to, in_free, fit->in_free);
	CALL_PUT(to, in_new, fit->in_new);
	CALL_PUT(to, room_bytes, fit->room);
	CALL_PUT(to, free_bytes, fit->free);
	CALL_PUT(to, largest_free_bytes, fit->largest);
	CALL_PUT(to, cached_bytes, clients.cached);
	to->reason = pool_strdup(call->pool, reasons[fit->reason]);
	arenas_put(call, fit, to);
	call->work = to;
}

int
verb_fit_work(struct call *call)
{
	struct shm_fit fit;
	unsigned tries = 0;
	int error;
	do
		error = shm_fit(
		    &call->segment->seg, call->request->fit->size_bytes, &fit);
	while (error == SHM_ERETRY && call_try_again(&tries));
	if (call_walk_was_busy(call, error))
		return SHM_EBUSY;
	if (error != 0)
		return call_fail(call, error, NULL,
		    "the segment cannot be walked (error %d); run shmallocctl "
		    "check",
		    error);
	fit_put(call, &fit, pool_alloc(call->pool, sizeof(Proto__Fit)));
	free(fit.arenas);
	return 0;
}

int
verb_fit(struct call *call)
{
	call->reply->fit = call->work;
	call->reply->body_case = PROTO__REPLY__BODY_FIT;
	return 0;
}
