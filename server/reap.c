#include "server/reap.h"

#include <inttypes.h>

#include "server/log.h"

static void
timer_arm(struct reaper *reaper)
{
	struct timeval now = { 0, 0 };
	struct timeval later = { 0, REAP_RETRY_MS * 1000 };
	if (!TAILQ_EMPTY(&reaper->ready))
		event_add(reaper->timer, &now);
	else if (!TAILQ_EMPTY(&reaper->waiting))
		event_add(reaper->timer, &later);
}

/* To the end of the queue, so that each of the dead has its turn. */
static void
slot_enqueue(struct reaper *reaper, struct slot *slot, bool is_waiting)
{
	slot->is_waiting = is_waiting;
	if (is_waiting)
		TAILQ_INSERT_TAIL(&reaper->waiting, slot, link);
	else
		TAILQ_INSERT_TAIL(&reaper->ready, slot, link);
}

static void
slice_run(struct reaper *reaper, struct slot *slot)
{
	TAILQ_REMOVE(&reaper->ready, slot, link);
	int r = shm_reclaim_step(
	    &slot->segment->seg, slot->index, REAP_SLICE, &slot->sum);
	if (r == 1) {
		slot_reclaimed(slot);
		return;
	}
	if (r == 0) {
		slot_enqueue(reaper, slot, false);
		return;
	}
	if (r != SHM_ERETRY && !slot->is_sick) {
		slot->is_sick = true;
		log_error("segment %s: what pid %d held cannot be reclaimed "
			  "(error %d); run shmallocctl check --repair",
		    slot->segment->name, (int)slot->pid, r);
	}
	/* A client that waits for its answer need not wait for readers. */
	slot_answer(slot);
	slot_enqueue(reaper, slot, true);
}

/* Note that no arena of SEGMENT is locked by a dead client any more. */
static void
repair_note(struct segment *segment)
{
	for (uint32_t i = 0; i < SHM_CLIENTS; i++) {
		struct slot *slot = segment->slots[i];
		if (slot != NULL && slot->state == SLOT_RECLAIMING &&
		    slot->n_locks > 0 && slot->repaired == 0)
			slot->repaired = server_time();
	}
}

/*
 * Repairs come before reclaims, for the others may want those arenas.  True if
 * there was one to do.
 */
static bool
repair_run(struct segment *segment)
{
	if (shm_repair_step(&segment->seg, REAP_REGIONS) == 0)
		return false;
	if (segment->seg.repair_arena_plus_one == 0)
		repair_note(segment);
	return true;
}

/* Some of those that waited get a new try, in turn: when thousands wait for one
 * reader, most of them would only look whether it is still there. */
static void
waiting_wake(struct reaper *reaper)
{
	struct slot *slot;
	reaper->woken_ms = server_now_ms();
	for (int i = 0; i < REAP_WAKE; i++) {
		slot = TAILQ_FIRST(&reaper->waiting);
		if (slot == NULL)
			break;
		TAILQ_REMOVE(&reaper->waiting, slot, link);
		slot_enqueue(reaper, slot, false);
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct reaper *reaper = arg;
	(void)fd;
	(void)what;
	/* Also while there is always something to do for others. */
	if (TAILQ_EMPTY(&reaper->ready) ||
	    server_now_ms() - reaper->woken_ms >= REAP_RETRY_MS)
		waiting_wake(reaper);
	struct slot *slot = TAILQ_FIRST(&reaper->ready);
	if (slot != NULL && repair_run(slot->segment)) {
		/* Other segments' dead first, for a hostile client can break
		 * arenas as fast as they are repaired. */
		TAILQ_REMOVE(&reaper->ready, slot, link);
		slot_enqueue(reaper, slot, false);
	} else if (slot != NULL) {
		slice_run(reaper, slot);
	}
	timer_arm(reaper);
}

int
reap_init(struct reaper *reaper, struct event_base *base)
{
	TAILQ_INIT(&reaper->ready);
	TAILQ_INIT(&reaper->waiting);
	reaper->timer = evtimer_new(base, on_timer, reaper);
	return reaper->timer != NULL ? 0 : SHM_ENOMEM;
}

void
reap_release(struct reaper *reaper)
{
	if (reaper->timer != NULL)
		event_free(reaper->timer);
	reaper->timer = NULL;
}

void
reap_add(struct reaper *reaper, struct slot *slot)
{
	/* Its first slice comes first: it ends what the dead was reading, for
	 * which all others may be waiting. */
	slot->is_waiting = false;
	TAILQ_INSERT_HEAD(&reaper->ready, slot, link);
	timer_arm(reaper);
}

void
reap_remove(struct reaper *reaper, struct slot *slot)
{
	if (slot->is_waiting)
		TAILQ_REMOVE(&reaper->waiting, slot, link);
	else
		TAILQ_REMOVE(&reaper->ready, slot, link);
}
