/*
 * The directory of the sockets, held by one daemon at a time.
 *
 * An exclusive flock(2) on its file `lock` says that a daemon serves the
 * directory; the kernel drops it with the process, so whoever gets it may
 * replace the sockets that it finds.  The file is removed only under its own
 * lock, and a locker looks whether the file it locked is still the one there.
 */
#ifndef SERVER_RUNDIR_H
#define SERVER_RUNDIR_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "shm/error.h"

struct rundir {
	char path[PATH_MAX];
	int fd;            /* the directory */
	int lock_fd;       /* holds the lock */
	bool is_made;      /* by us, or a daemon that we follow */
	bool is_lock_kept; /* it is that of a daemon that we follow */
};

/* What is left by a daemon that we follow. */
struct rundir_kept {
	int lock_fd; /* owned by whoever opens with it; -1: nothing is left */
	bool is_made;
	pid_t leader; /* to be signalled by people; 0: this process */
};

/*
 * Write the directory's path into RET: CONFIGURED if not NULL, else
 * $SHMALLOC_SOCKET, else $XDG_RUNTIME_DIR/shmalloc (which only root needs to
 * find there), else /run/shmalloc.  SHM_EINVAL: too long.
 */
int rundir_resolve(const char *configured, char *ret, size_t len) SHM_MUSTCHECK;

/* Whether the directory PATH, if it is there, could be opened: SHM_EPERM, as
 * below. */
int rundir_verify(const char *path) SHM_MUSTCHECK;

/*
 * Make the directory PATH with MODE if it is missing, and lock it; or go on
 * with the lock that a daemon before had, if KEPT->lock_fd is not -1 and still
 * is the file that is there.  Errors are logged: SHM_EEXIST (another daemon
 * serves it), SHM_EPERM (it belongs to somebody else, or others may write to
 * it, but the daemon's own group), SHM_ESYSTEM.
 */
int rundir_open(const char *path, mode_t mode, const struct rundir_kept *kept,
    struct rundir *ret_dir) SHM_MUSTCHECK;

/* Remove the lock, and the directory if we made it and it is empty; unless
 * IS_KEPT, when all of it stays for the next daemon. */
void rundir_close(struct rundir *dir, bool is_kept);

#endif
