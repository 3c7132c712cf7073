/*
 * What fuzzers of a daemon share, which is whole but for its main(): a segment,
 * turns of its loop, and peers who connect to its sockets.
 */
#ifndef TESTS_FUZZ_PEERS_H
#define TESTS_FUZZ_PEERS_H

#include <sys/un.h>

struct server;

/* Give SERVER its segment "default", of 16 MiB. */
void peers_segment_make(struct server *server);

/* Let SERVER do what there is to do. */
void peers_turn(struct server *server);

/* A socket that is connected to ADDRESS; -1: nobody accepts, and the backlog
 * is full. */
int peers_connect(const struct sockaddr_un *address);

/* How many descriptors are open. */
int peers_fds(void);

#endif
