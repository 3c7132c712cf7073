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
	bool is_conn_kept;
	bool is_told; /* its client may know that it has it */
	bool is_read_only;
	bool is_detached; /* by its client, which is alive */
	bool is_waiting;  /* in the reaper's waiting queue */
	bool is_sick;     /* its reclaim failed, and that was logged */
	bool is_evicted;  /* was to be killed for reading too long */
	bool is_spared;   /* was not, for others may have made it look so */
	bool is_guessed;  /* its process is what the segment says */
	pid_t pid;        /* 0: not visible from here */
	uid_t uid;
	gid_t gid;
	char command[32];
	int pidfd;
	struct event *death;
	struct shm_client_stats last; /* as its death was noticed */
	struct shm_reclaimed sum;
	uint64_t died_ms;
	/* Its death was noticed, its locks repaired (0: it held none):
	 * seconds since the epoch. */
	double noticed, repaired;
	uint32_t n_locks; /* that it held */
	uint64_t socket_ended_ms;
};

/*
 * Give the process behind PIDFD, which is kept before this returns (and which
 * is taken over, also on an error) and CONN, which is not, a slot of SEGMENT.
 * SHM_EBUSY (all are taken), SHM_ENOMEM.
 */
int slot_open(struct server *server, struct segment *segment, struct conn *conn,
    int pidfd, const struct shm_identity *who,
    struct slot **ret_slot) SHM_MUSTCHECK;

/* A client that an earlier daemon had. */
struct slot_identity {
	uint32_t index, generation;
	pid_t pid;
	uid_t uid;
	gid_t gid;
	const char *command; /* as the segment has it */
	bool is_dead;        /* that daemon knew */
	bool is_read_only;
	bool is_guessed;   /* PIDFD, from the pid in the segment */
	int pidfd;         /* taken over; -1: it has died */
	struct conn *conn; /* or NULL */
};

/* Go on with it.  SHM_ENOMEM; then its descriptors are closed. */
int slot_adopt(struct server *server, struct segment *segment,
    const struct slot_identity *who) SHM_MUSTCHECK;

/* The client is dead, or has detached; WHY for the log. */
void slot_end(struct slot *slot, const char *why);

/*
 * Kill the slot's process, and no other, by its pidfd; its death is noticed as
 * any other.  0, SHM_EPERM (also if only the segment says that it is the
 * client's) or SHM_ESYSTEM, with errno.
 */
int slot_kill(struct slot *slot) SHM_MUSTCHECK;

/* Whether the slot's process is no more, whatever else is known of it. */
bool slot_has_ended(const struct slot *slot);

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

/* Free SLOT without reclaiming: its segment is destroyed, or left.  WHY for the
 * log, or NULL. */
void slot_forget(struct slot *slot, const char *why);

#endif
