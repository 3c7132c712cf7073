/*
 * Who is at the other end of a socket, by the kernel's word only.
 *
 * Credentials are those of the moment of connect(2).  A pidfd stands for the
 * process itself: it cannot be reused, and it becomes readable when the
 * process has ended.  Nothing that the peer says about itself counts.
 */
#ifndef SERVER_PEER_H
#define SERVER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "shm/error.h"

struct peer {
	pid_t pid; /* 0: not visible from our pid namespace */
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary; owned */
	size_t n_groups;
};

/* Learn who connected the stream socket FD.  SHM_ESYSTEM. */
int peer_identify(int fd, struct peer *ret_peer) SHM_MUSTCHECK;

void peer_release(struct peer *peer);

bool peer_has_group(const struct peer *peer, gid_t group);

/* Whether the kernel gives a pidfd of who has connected (Linux 6.5), so that
 * none needs to be sent. */
bool peer_is_known_by_pidfd(void);

/*
 * A pidfd of the process that connected FD, which the caller owns: the
 * kernel's (Linux 6.5), else a copy of SENT_FD, the one that the peer sent
 * (-1: none), if it is peer_accepts()ed.  SHM_EPERM, and in *RET_REASON what is
 * needed.
 */
int peer_pidfd(int fd, const struct peer *peer, int sent_fd, int *ret_pidfd,
    const char **ret_reason) SHM_MUSTCHECK;

/*
 * Whether SENT_FD is a pidfd of the process that connected: its fdinfo names
 * the same pid, and neither is 0, "not visible from here".
 */
bool peer_accepts(const struct peer *peer, int sent_fd);

/* ---- Roles ----------------------------------------------------------- */

enum peer_role {
	PEER_NOBODY,
	PEER_MONITOR, /* may look */
	PEER_ADMIN,   /* may change */
};

#define PEER_NO_GROUP  ((gid_t)-1)
#define PEER_ANY_GROUP ((gid_t)-2)

struct peer_policy {
	uid_t uid;           /* the daemon's own */
	gid_t admin_group;   /* or PEER_NO_GROUP */
	gid_t monitor_group; /* or PEER_ANY_GROUP: everybody may look */
};

enum peer_role peer_role(
    const struct peer *peer, const struct peer_policy *policy);

/* ---- Permission bits --------------------------------------------------- */

enum peer_access {
	PEER_READ = 4,
	PEER_WRITE = 2,
};

/*
 * Whether MODE of what belongs to OWNER and GROUP gives PEER all of ACCESS, as
 * for a file: one class counts, the owner's, the group's or the others'.  Root
 * may.
 */
bool peer_may(const struct peer *peer, uid_t owner, gid_t group, unsigned mode,
    unsigned access);

#endif
