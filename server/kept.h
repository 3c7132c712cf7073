/*
 * Descriptors under names, which outlive the daemon: what they are kept as,
 * and how they travel between processes.
 *
 * A name says all that is known about its descriptors, so whoever keeps them
 * need not understand it, and a keeper of our own and the service manager's
 * descriptor store are the same to the daemon.  One message, of one size, over
 * a socket that keeps messages apart, adds or removes one name; it is safe from
 * the moment that it was sent, even if the sender is killed before it is read.
 */
#ifndef SERVER_KEPT_H
#define SERVER_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/error.h"

#define KEPT_NAME 192 /* bytes, the end included; systemd allows 255 */
#define KEPT_FDS  2   /* under one name; their kinds tell them apart */

struct kept {
	char name[KEPT_NAME];
	int fd[KEPT_FDS];
	unsigned n_fds;
};

struct kept_list {
	struct kept *entry;
	size_t n, room;
};

/*
 * Keep the N_FDS (1 or KEPT_FDS) descriptors FDS, which LIST owns from now on
 * in any case, under NAME, with those that are there.  SHM_ENOMEM; SHM_EINVAL:
 * NAME has too many.
 */
int kept_add(struct kept_list *list, const char *name, const int *fds,
    unsigned n_fds) SHM_MUSTCHECK;

/* Close what is under NAME, if anything is. */
void kept_remove(struct kept_list *list, const char *name);

/* The entry of that name, or NULL. */
struct kept *kept_get(const struct kept_list *list, const char *name);

/* The first entry whose name begins with PREFIX, or NULL. */
struct kept *kept_find(const struct kept_list *list, const char *prefix);

/* Take ENTRY's descriptor I away, or -1; whoever took it owns it. */
int kept_take(struct kept *entry, unsigned i);

/* Close everything. */
void kept_release(struct kept_list *list);

/* Have room for as many descriptors as the system lets us have. */
void kept_room_raise(void);

/* ---- On the way ---------------------------------------------------------- */

enum kept_kind {
	KEPT_ADD = 1,
	KEPT_REMOVE,
	KEPT_READY, /* the daemon serves */
	KEPT_END,   /* that was all */
};

struct kept_message {
	uint32_t kind; /* enum kept_kind */
	char name[KEPT_NAME];
};

/* Send a message over SOCKET.  SHM_ESYSTEM and errno. */
int kept_send(int socket, enum kept_kind kind, const char *name, const int *fds,
    unsigned n_fds) SHM_MUSTCHECK;

/*
 * Receive a message from SOCKET with recvmsg()'s FLAGS; its descriptors are the
 * caller's.  1: here it is; 0: the sender has gone; SHM_ERETRY: none is there;
 * SHM_EINVAL: it makes no sense, or some of its descriptors were lost;
 * SHM_ESYSTEM.
 */
int kept_receive(int socket, int flags, struct kept_message *ret_message,
    int ret_fds[KEPT_FDS], unsigned *ret_n_fds) SHM_MUSTCHECK;

#endif
