/*
 * Where the daemon's HTTP listens: the configuration's key `http`.
 *
 *	127.0.0.1:9898  [::1]:9898  localhost:9898   this machine, over TCP
 *	unix:/path                                   a socket in the file system
 *	off                                          nowhere
 *
 * There is no encryption and nobody is asked who they are, so nothing that
 * another machine can reach is accepted: that is for a proxy which knows both.
 */
#ifndef SERVER_HTTP_ADDRESS_H
#define SERVER_HTTP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "shm/error.h"

/* Of the longest address as text, the end included. */
#define HTTP_ADDRESS_LEN (sizeof(struct sockaddr_un) + 8)

struct http_address {
	struct sockaddr_storage storage;
	socklen_t len; /* 0: off */
};

/* Read TEXT (NULL: off).  SHM_EINVAL, and in REASON of LEN bytes why. */
int http_address_parse(const char *text, struct http_address *ret_address,
    char *reason, size_t len) SHM_MUSTCHECK;

/* Write ADDRESS as people write it. */
void http_address_format(
    const struct http_address *address, char text[HTTP_ADDRESS_LEN]);

/* The path of a socket in the file system, or NULL. */
const char *http_address_path(const struct http_address *address);

/* Whether FD is a socket that listens at ADDRESS; at any port, if it has none,
 * and where that is a file which is still there. */
bool http_address_is_bound(const struct http_address *address, int fd);

/* The address that FD is bound to.  SHM_ESYSTEM. */
int http_address_of(int fd, struct http_address *ret_address) SHM_MUSTCHECK;

/* Give ADDRESS's file, if it is one, MODE and GROUP (-1: the daemon's).
 * SHM_ESYSTEM and errno. */
int http_address_access(
    const struct http_address *address, mode_t mode, gid_t group) SHM_MUSTCHECK;

/*
 * Listen at ADDRESS; a file gets MODE and GROUP, and replaces one that nobody
 * listens at any more.  SHM_EEXIST (something else is there), SHM_ESYSTEM; both
 * were logged.
 */
int http_address_listen(const struct http_address *address, mode_t mode,
    gid_t group, int *ret_fd) SHM_MUSTCHECK;

/*
 * Whether HOST, as a browser sends it, names this machine's loopback: an
 * address of it or localhost, with any port, for it may have been forwarded.
 * Any other name may be one that somebody made resolve to 127.0.0.1, so that a
 * page of theirs is of one origin with ours (DNS rebinding).
 */
bool http_address_is_local_host(const char *host);

#endif
