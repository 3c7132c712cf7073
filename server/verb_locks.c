/*
 * locks: who holds which arena's lock, since when, and how often it was in
 * somebody's way.
 *
 * The lock word, the clock and the counters are in the segment: input.  Which
 * process it is, and whether it lives, is ours to say, by the slot that the
 * holder's thread record names.
 */
#include "server/control.h"
#include "server/proc.h"
#include "server/server.h"
#include "server/slot.h"
#include "shm/access.h"
#include "shm/stats.h"

static const char *
holder_state(const struct slot *slot)
{
	if (slot->state == SLOT_RECLAIMING)
		return "dead";
	if (slot->pid == 0)
		return "unknown";
	return proc_is_stopped(slot->pid) ? "stopped" : "running";
}

static void
holder_put(
    struct call *call, const struct shm_arena_stats *from, Proto__LockInfo *to)
{
	const struct slot *slot = from->lock_slot < SHM_CLIENTS
	    ? call->segment->slots[from->lock_slot]
	    : NULL;
	struct shm_client_stats client;
	CALL_PUT(to, holder_slot, from->lock_slot);
	CALL_PUT(to, held_seconds, (double)from->lock_ms / 1e3);
	if (from->lock_slot == SHM_DAEMON_SLOT) {
		to->holder_state = pool_strdup(call->pool, "daemon");
		return;
	}
	if (slot == NULL) {
		to->holder_state = pool_strdup(call->pool, "unknown");
		return;
	}
	CALL_PUT(to, holder_pid, (uint32_t)slot->pid);
	to->holder_command =
	    verb_text(call, slot->command, sizeof slot->command);
	if (shm_client_read(&call->segment->seg, slot->index, &client))
		to->holder_label =
		    verb_text(call, client.label, sizeof client.label);
	to->holder_state = pool_strdup(call->pool, holder_state(slot));
}

static Proto__LockInfo *
lock_put(struct call *call, const struct shm_arena_stats *from)
{
	Proto__LockInfo *to = pool_alloc(call->pool, sizeof *to);
	proto__lock_info__init(to);
	CALL_PUT(to, arena, from->id);
	if (from->is_locked)
		holder_put(call, from, to);
	CALL_PUT(to, acquisitions, from->locked);
	CALL_PUT(to, busy, from->busy);
	CALL_PUT(to, waits, from->slept);
	CALL_PUT(to, waited_seconds, (double)from->slept_us / 1e6);
	CALL_PUT(
	    to, longest_wait_seconds, (double)from->slept_longest_us / 1e6);
	CALL_PUT(to, waits_on_dead, from->slept_on_dead);
	CALL_PUT(to, owner_deaths, from->owner_deaths);
	CALL_PUT(to, repairs, from->repairs);
	to->arena_state = pool_strdup(
	    call->pool, from->state == SHM_ARENA_SICK ? "sick" : "ok");
	return to;
}

int
verb_locks(struct call *call)
{
	struct shm_seg *seg = &call->segment->seg;
	struct shm_arena_stats arena;
	Proto__LockList *list = pool_alloc(call->pool, sizeof *list);
	proto__lock_list__init(list);
	list->schema = pool_strdup(call->pool, "shmalloc.locks/1");
	CALL_PUT(list, time, server_time());
	list->locks =
	    pool_array(call->pool, seg->max_arenas, sizeof(*list->locks));
	while (shm_arena_read(seg, (uint32_t)list->n_locks, &arena))
		list->locks[list->n_locks++] = lock_put(call, &arena);
	call->reply->locks = list;
	call->reply->body_case = PROTO__REPLY__BODY_LOCKS;
	return 0;
}
