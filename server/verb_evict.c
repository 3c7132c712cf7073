/*
 * clients evict: end a client's process.
 *
 * By its pidfd, which stands for the process that attached and for no other,
 * so a pid that was reused meanwhile ends nobody.  What it held comes back as
 * after any death.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "server/control.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/server.h"
#include "server/slot.h"

/* A slot of the process PID that is not yet on its way back, or NULL. */
static struct slot *
slot_find(const struct segment *segment, uint32_t pid)
{
	for (uint32_t i = 0; i < SHM_CLIENTS; i++) {
		struct slot *slot = segment->slots[i];
		if (slot != NULL && pid != 0 && (uint32_t)slot->pid == pid &&
		    slot->state != SLOT_RECLAIMING)
			return slot;
	}
	return NULL;
}

int
verb_evict(struct call *call)
{
	uint32_t pid = call->request->evict->pid;
	struct slot *slot = slot_find(call->segment, pid);
	if (slot == NULL)
		return call_fail(call, SHM_EUNKNOWN, NULL,
		    "no client of segment '%s' has the PID %" PRIu32,
		    call->segment->name, pid);
	int error = slot_kill(slot);
	if (error != 0)
		return call_fail(call, error, NULL,
		    "the daemon may not kill pid %" PRIu32 " (%s): %s", pid,
		    verb_text(call, slot->command, sizeof slot->command),
		    strerror(errno));
	journal_note(JOURNAL_EVICT, call->segment, slot,
	    "killed by order of %s", call->who);
	log_warn("segment %s: pid %" PRIu32 " (%s) was killed by order of %s",
	    call->segment->name, pid, slot->command, call->who);
	return call_done(call);
}
