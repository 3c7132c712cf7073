#include "server/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/journal.h"
#include "server/server.h"
#include "server/slot.h"
#include "server/tune.h"
#include "shm/access.h"
#include "shm/thread.h"

/* A pin that is behind: which epoch it holds, and since when it is. */
struct reader_lag {
	uint64_t epoch, since_ms;
};

/* Does anything wait for readers? */
static bool
is_waited_for(const struct segment *segment)
{
	if (shm_load(&segment->seg.super->retired_bytes) > 0)
		return true;
	for (uint32_t i = 0; i < SHM_CLIENTS; i++)
		if (segment->slots[i] != NULL &&
		    segment->slots[i]->state == SLOT_RECLAIMING)
			return true;
	return false;
}

/* The live client whose thread is reader I; NULL if nobody we know. */
static struct slot *
pin_slot(const struct segment *segment, uint32_t i)
{
	uint64_t owner;
	(void)shm_reader_epoch(&segment->seg, i, &owner);
	uint32_t slot = shm_owner_slot(owner);
	struct slot *holder = slot < SHM_CLIENTS ? segment->slots[slot] : NULL;
	if (holder == NULL || holder->state == SLOT_RECLAIMING ||
	    owner != shm_pin_owner(slot, holder->generation))
		return NULL;
	return holder;
}

/* How long reader I has been behind, now being NOW_MS; 0: it isn't. */
static uint64_t
pin_lag_ms(const struct segment *segment, struct reader_lag *lag, uint32_t i,
    uint64_t now_ms)
{
	uint64_t owner, epoch = shm_reader_epoch(&segment->seg, i, &owner);
	if (epoch == 0 || epoch >= shm_get(&segment->seg.super->epoch)) {
		lag->epoch = 0;
		return 0;
	}
	if (lag->epoch != epoch)
		*lag = (struct reader_lag){ epoch, now_ms };
	return now_ms - lag->since_ms;
}

/* The live client, if there is one, that could have forged SLOT's pin and may
 * not kill its process. */
static const struct slot *
forger_find(const struct segment *segment, const struct slot *slot)
{
	for (uint32_t i = 0; i < SHM_CLIENTS; i++) {
		const struct slot *other = segment->slots[i];
		if (other == NULL || other == slot ||
		    other->state == SLOT_RECLAIMING)
			continue;
		if (other->is_guessed ||
		    (other->uid != 0 && other->uid != geteuid() &&
			other->uid != slot->uid))
			return other;
	}
	return NULL;
}

static void
spare_log(
    const struct segment *segment, struct slot *slot, const struct slot *forger)
{
	if (!slot->is_spared)
		log_error("segment %s: pid %d (%s) seems to have been reading "
			  "for longer than reader.evict_ms, but pid %d of "
			  "user %u, who may not kill it, can make it look so; "
			  "not killed",
		    segment->name, (int)slot->pid, slot->command,
		    (int)forger->pid, (unsigned)forger->uid);
	slot->is_spared = true;
}

static void
reader_evict(struct segment *segment, struct slot *slot, uint64_t lag_ms)
{
	const struct slot *forger = forger_find(segment, slot);
	if (slot->is_evicted)
		return;
	if (forger != NULL) {
		spare_log(segment, slot, forger);
		return;
	}
	slot->is_evicted = true;
	if (slot_kill(slot) == 0) {
		journal_note(JOURNAL_EVICT, segment, slot,
		    "killed: it had been reading for %" PRIu64
		    " ms while memory waited (reader.evict_ms)",
		    lag_ms);
		log_warn("segment %s: pid %d (%s) was killed: a thread of it "
			 "has been reading for %" PRIu64
			 " ms while memory waited (reader.evict_ms)",
		    segment->name, (int)slot->pid, slot->command, lag_ms);
		return;
	}
	log_error("segment %s: pid %d (%s) has been reading for %" PRIu64
		  " ms, longer than reader.evict_ms, and cannot be killed: %s",
	    segment->name, (int)slot->pid, slot->command, lag_ms,
	    strerror(errno));
}

void
reader_tick(struct segment *segment)
{
	uint64_t most_ms = tune_value(segment, SHM_PARAM_reader_evict_ms);
	if (most_ms == 0 || !is_waited_for(segment)) {
		free(segment->readers);
		segment->readers = NULL;
		return;
	}
	if (segment->readers == NULL)
		segment->readers =
		    calloc(SHM_READERS, sizeof *segment->readers);
	if (segment->readers == NULL)
		return;
	uint64_t now_ms = server_now_ms();
	for (uint32_t i = 0; (i = shm_reader_next(&segment->seg, i)) != 0;) {
		uint64_t lag_ms =
		    pin_lag_ms(segment, &segment->readers[i], i, now_ms);
		struct slot *slot =
		    lag_ms >= most_ms ? pin_slot(segment, i) : NULL;
		if (slot != NULL)
			reader_evict(segment, slot, lag_ms);
	}
}
