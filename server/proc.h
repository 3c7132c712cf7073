/*
 * What /proc says about a process.
 *
 * A pid may be reused: callers hold the process's pidfd and look at it after
 * the answer, so that an answer about another process is thrown away.
 */
#ifndef SERVER_PROC_H
#define SERVER_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "shm/error.h"

/* The command's name of PID, or "?"; always terminated. */
void proc_command(pid_t pid, char *ret, size_t len);

/* Whether PID was stopped, by a signal or a tracer; false if it isn't known. */
bool proc_is_stopped(pid_t pid);

enum proc_mapping {
	PROC_MAPPED,  /* a thread of it has the file mapped */
	PROC_GONE,    /* it runs something else, an execve in place */
	PROC_EXITING, /* it has no memory any more */
	PROC_UNKNOWN, /* we may not look, or it is not visible from here */
};

/* Whether process PID maps the file behind FD. */
enum proc_mapping proc_maps(pid_t pid, int fd);

/*
 * The pid of the process that the pidfd FD refers to, as seen from here.  0 if
 * it is not visible from here, -1 if it has ended.  SHM_EINVAL: FD is no pidfd.
 */
int proc_pidfd_pid(int fd, pid_t *ret_pid) SHM_MUSTCHECK;

#endif
