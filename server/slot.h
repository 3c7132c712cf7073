/*
 * A client's slot, as the daemon sees it: which process it stands for, by
 * pidfd, and what is known about that process's life.
 *
 *	ALIVE       the process lives and its socket is open (or has just
 *	            ended and nobody knows yet why)
 *	ORPHANED    it lives and has the segment mapped, but closed its socket
 *	RECLAIMING  it is dead, or detached; its memory is on its way back
 *
 * A process that ends closes its sockets a moment before its pidfd speaks, so
 * it is an orphan only after SLOT_ORPHAN_MS.
 *
 * Death is the pidfd's word.  The end of the socket alone is none: closefrom()
 * ends it in a live process, and a forked child keeps it open for a dead one.
 * An execve() in place is one, because the mapping is gone; see proc.h.
 */
#ifndef SERVER_SLOT_H
#define SERVER_SLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "server/conn.h"
#include "server/segment.h"
#include "shm/daemon.h"

#define SLOT_ORPHAN_MS 1000

enum slot_state {
	SLOT_ALIVE,
	SLOT_ORPHANED,
	SLOT_RECLAIMING,
};

struct slot {
	TAILQ_ENTRY(slot) link; /* in the reaper's queues, while RECLAIMING */
	struct server *server;
	struct segment *segment;
	struct conn *conn; /* or NULL */
	uint32_t index, generation;
	enum slot_state state;
	bool is_detached; /* by its client, which is alive */
	bool is_waiting;  /* in the reaper's waiting queue */
	bool is_sick;     /* its reclaim failed, and that was logged */
	pid_t pid;        /* 0: not visible from here */
	uid_t uid;
	gid_t gid;
	char command[32];
	int pidfd;
	struct event *death;
	struct shm_client_stats last; /* as its death was noticed */
	struct shm_reclaimed sum;
	uint64_t died_ms;
	uint64_t socket_ended_ms;
};

/*
 * Give the process behind PIDFD (which is taken over, also on an error) and
 * CONN a slot of SEGMENT.  SHM_EBUSY (all are taken), SHM_ENOMEM.
 */
int slot_open(struct server *server, struct segment *segment, struct conn *conn,
    int pidfd, const struct shm_identity *who,
    struct slot **ret_slot) SHM_MUSTCHECK;

/* The client is dead, or has detached; WHY for the log. */
void slot_end(struct slot *slot, const char *why);

/* The slot's socket has ended: find out what that means. */
void slot_socket_ended(struct slot *slot);

/*
 * Settle the slots of SEGMENT which belong to the process PID and whose socket
 * has ended, before that process gets another one: what it has mapped
 * afterwards would look as if it were theirs.
 */
void slot_settle_process(struct segment *segment, pid_t pid);

/* Look again at every process that lives without a socket. */
void slot_sweep(struct segment *segment);

/* Tell a client that has detached, if it still listens. */
void slot_answer(struct slot *slot);

/* All memory of SLOT is back: answer, remember, free. */
void slot_reclaimed(struct slot *slot);

/* Free SLOT without reclaiming: its segment is destroyed. */
void slot_forget(struct slot *slot);

#endif
