/*
 * The keeper: the parent of the daemon.  It holds duplicates of what a killed
 * daemon would take with it (the directory's lock, the listening sockets, each
 * segment's memory, each client's pidfd and connection), and starts the daemon
 * again, as a fork that inherits them all.
 *
 * It never looks into a segment (an onlooker, which it forks for whoever comes
 * to the socket `keeper`, does: onlooker.h), and does little that can fail: it
 * adds and removes names (kept.h), forwards signals, and forks.  If it cannot
 * keep something it ends, rather than keep half: the daemon goes on without
 * one, and clients never see the difference unless the daemon is killed, too.
 */
#ifndef SERVER_KEEPER_H
#define SERVER_KEEPER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/kept.h"

/* An exit status of the daemon: start another one at once. */
#define KEEPER_AGAIN 77

/* Ends of the daemon by itself, one after the other, until it is given up. */
#define KEEPER_CRASHES  8
/* A daemon that lived as long begins to count anew. */
#define KEEPER_SOUND_MS 10000

/* What a daemon finds when it begins. */
struct keeper_legacy {
	struct kept_list kept; /* the daemon's own */
	int link;              /* to the keeper; -1: there is none */
	int status;            /* of the daemon before, as of waitpid() */
	pid_t before;          /* 0: there was none */
	unsigned n_crashes;    /* that count at the moment */
};

struct keeper_job {
	/* The daemon: it owns LEGACY's contents.  Its exit status. */
	int (*run)(void *arg, struct keeper_legacy *legacy);
	/* The first daemon serves; in the keeper. */
	void (*ready)(void *arg);
	/* Answer the connection FD, which it owns, from what KEPT has; in a
	 * child of the keeper.  Its exit status. */
	int (*look)(void *arg, const struct kept_list *kept, int fd);
	void *arg;
	struct kept_list given; /* what all daemons get; keeper_run() owns it */
};

/* Add to SET what the keeper passes on to the daemon; blocked in that until it
 * has handlers. */
void keeper_signals(sigset_t *set);

/*
 * Run JOB's daemon in a child, again and again until it ends with success, or
 * ends before the first of them served, or is given up.  Both processes return
 * from here, with the status to exit with.
 */
int keeper_run(const struct keeper_job *job);

#endif
