#include "server/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/proc.h"

/* Of <asm/socket.h>; headers before Linux 6.5 lack the second. */
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define GROUPS_MAX 65536u

/* The kernel says how many there are when the room does not suffice. */
static int
groups_read(int fd, struct peer *peer)
{
	socklen_t len = 0;
	peer->groups = NULL;
	peer->n_groups = 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0)
		return 0;
	if (errno != ERANGE || len > GROUPS_MAX * sizeof(gid_t))
		return SHM_ESYSTEM;
	gid_t *groups = malloc(len);
	if (groups == NULL)
		return SHM_ESYSTEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0) {
		free(groups);
		return SHM_ESYSTEM;
	}
	peer->groups = groups;
	peer->n_groups = len / sizeof(gid_t);
	return 0;
}

int
peer_identify(int fd, struct peer *ret_peer)
{
	struct ucred cred;
	socklen_t len = sizeof cred;
	struct peer peer = { 0 };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return SHM_ESYSTEM;
	int error = groups_read(fd, &peer);
	if (error != 0)
		return error;
	peer.pid = cred.pid;
	peer.uid = cred.uid;
	peer.gid = cred.gid;
	*ret_peer = peer;
	return 0;
}

void
peer_release(struct peer *peer)
{
	free(peer->groups);
	peer->groups = NULL;
	peer->n_groups = 0;
}

bool
peer_has_group(const struct peer *peer, gid_t group)
{
	if (peer->gid == group)
		return true;
	for (size_t i = 0; i < peer->n_groups; i++)
		if (peer->groups[i] == group)
			return true;
	return false;
}

bool
peer_accepts(const struct peer *peer, int sent_fd)
{
	pid_t pid;
	if (sent_fd < 0 || peer->pid <= 0)
		return false;
	return proc_pidfd_pid(sent_fd, &pid) == 0 && pid == peer->pid;
}

bool
peer_is_known_by_pidfd(void)
{
	int pair[2], pidfd;
	socklen_t len = sizeof pidfd;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	bool is_known =
	    getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0;
	if (is_known)
		close(pidfd);
	close(pair[0]);
	close(pair[1]);
	return is_known;
}

int
peer_pidfd(int fd, const struct peer *peer, int sent_fd, int *ret_pidfd,
    const char **ret_reason)
{
	int pidfd;
	socklen_t len = sizeof pidfd;
	*ret_reason = "the process that connected has ended";
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0) {
		*ret_pidfd = pidfd;
		return 0;
	}
	if (errno != ENOPROTOOPT)
		return SHM_EPERM;
	*ret_reason = "this kernel cannot say who connected; run Linux 6.5 or "
		      "later, or the client in the daemon's pid namespace with "
		      "a library that sends its pidfd";
	if (!peer_accepts(peer, sent_fd))
		return SHM_EPERM;
	pidfd = fcntl(sent_fd, F_DUPFD_CLOEXEC, 0);
	*ret_reason = "the daemon has no file descriptor left";
	if (pidfd < 0)
		return SHM_EPERM;
	*ret_pidfd = pidfd;
	return 0;
}

enum peer_role
peer_role(const struct peer *peer, const struct peer_policy *policy)
{
	if (peer->uid == 0 || peer->uid == policy->uid)
		return PEER_ADMIN;
	if (policy->admin_group != PEER_NO_GROUP &&
	    peer_has_group(peer, policy->admin_group))
		return PEER_ADMIN;
	if (policy->monitor_group == PEER_ANY_GROUP ||
	    peer_has_group(peer, policy->monitor_group))
		return PEER_MONITOR;
	return PEER_NOBODY;
}

bool
peer_may(const struct peer *peer, uid_t owner, gid_t group, unsigned mode,
    unsigned access)
{
	unsigned shift = 0;
	if (peer->uid == 0)
		return true;
	if (peer->uid == owner)
		shift = 6;
	else if (peer_has_group(peer, group))
		shift = 3;
	return ((mode >> shift) & access) == access;
}
