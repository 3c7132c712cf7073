/*
 * Holding all clients of a segment still for a moment, so that what is copied
 * meanwhile is one state of it: what it would be if they were all killed now.
 *
 * With ptrace(2), because the kernel lets them go on when we end, however we
 * end; a SIGSTOP would stay, and shells would tell of it.
 */
#ifndef SERVER_FREEZE_H
#define SERVER_FREEZE_H

#include <stddef.h>
#include <sys/types.h>

#include "server/segment.h"

struct freeze_thread {
	pid_t tid;
	int signal; /* that it stopped for, and gets when it goes on; or 0 */
};

struct freeze {
	struct freeze_thread *thread; /* those that we hold */
	size_t n, room;
};

/*
 * Hold every thread of SEGMENT's clients.  SHM_EPERM: the system doesn't let
 * us, SHM_EBUSY: one does not stop within 2 seconds, SHM_ENOMEM; *RET_PID is
 * the process, and nobody is held then.
 */
int freeze_begin(const struct segment *segment, struct freeze *ret_freeze,
    pid_t *ret_pid) SHM_MUSTCHECK;

void freeze_end(struct freeze *freeze);

#endif
