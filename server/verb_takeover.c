/*
 * takeover: hand everything to another daemon.
 */
#include <string.h>

#include "server/control.h"
#include "server/heir.h"

int
verb_takeover(struct call *call)
{
	uid_t uid = call->conn->peer.uid;
	/* It comes with every segment's memory. */
	if (uid != 0 && uid != call->server->policy.uid)
		return call_fail(call, SHM_EPERM, NULL,
		    "only root and the daemon's user may take over; you are "
		    "user %u",
		    (unsigned)uid);
	int error = heir_expect(call->server, &call->fd);
	if (error == SHM_EBUSY)
		return call_fail(call, error, NULL,
		    "somebody else is taking over; try again");
	if (error != 0)
		return call_fail(call, error, NULL,
		    "the daemon has no descriptor left; raise its limit of "
		    "open files");
	return call_done(call);
}
