/*
 * Where the daemon's sockets are: one rule for the library and the tools.
 */
#ifndef CLIENT_PATH_H
#define CLIENT_PATH_H

#include <stddef.h>

/*
 * Put the path of the socket NAME ("attach", "control", "control-ro") into BUF
 * of LEN bytes (108 hold every path that a socket may have).  DIR is the
 * sockets' directory; if it is NULL: $SHMALLOC_SOCKET; else
 * $XDG_RUNTIME_DIR/shmalloc if that is a directory; else /run/shmalloc.  In a
 * program with more rights than its user (setuid) the environment is not
 * asked.  0, or SHMALLOC_EINVAL if the path is too long.
 */
int shmalloc_socket_path(char *buf, size_t len, const char *dir,
    const char *name) __attribute__((warn_unused_result));

/*
 * Connect a stream socket, close-on-exec and non-blocking, to PATH: the
 * descriptor, or SHMALLOC_EUNREACHABLE (no socket there, or nobody listens),
 * SHMALLOC_EPERM, SHMALLOC_EBUSY (the backlog is full: try again),
 * SHMALLOC_EINVAL (too long), SHMALLOC_ESYSTEM; errno says more.
 */
int shmalloc_socket_connect(const char *path)
    __attribute__((warn_unused_result));

#endif
