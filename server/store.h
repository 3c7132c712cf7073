/*
 * Where the daemon puts what must outlive it: the keeper, or the service
 * manager's descriptor store.
 *
 *	lock/MADE                                the directory's lock
 *	journal/1                                the last events
 *	socket/NAME                              a listening socket; http, too
 *	segment/ID/NAME/MODE/UID/GID/SIZE/SECOND its memory, and the pins'
 *	evict/ID/MS                              reader.evict_ms, if an operator
 *	                                         set it; the memory once more
 *	client/ID/SLOT/GENERATION/PID/UID/GID    the pidfd, and the connection
 *
 * Beside these, NAME alone is a socket that the service manager listens on for
 * us (a socket unit with FileDescriptorName=NAME): given at each start, so it
 * need not be kept, and not ours to remove.
 *
 * Everything in a name was decided by the daemon or said by the kernel: names
 * are believed, the segments that they belong to are not.
 *
 * A segment is kept before anybody can attach to it, a client's pidfd before it
 * learns its slot, and its connection after that: a connection that ends
 * without an answer tells it to ask again.  If nothing can be kept any more,
 * that is logged, and the daemon goes on.
 */
#ifndef SERVER_STORE_H
#define SERVER_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/kept.h"

struct server;
struct segment;
struct slot;
struct listener;
struct event;

struct store {
	int link; /* to the keeper, or to who takes over; -1: to nobody */
	bool is_systemd;
	bool is_heir;
	struct event *gone; /* the keeper has ended */
};

/* Whether the service manager has a store for us. */
bool store_is_offered(void);

/* What the service manager has kept, and the sockets that it listens on; in the
 * process that it started.  SHM_ENOMEM. */
int store_inherit(struct kept_list *ret_kept) SHM_MUSTCHECK;

/* Whether KEPT has something of a daemon before. */
bool store_is_legacy(const struct kept_list *kept);

/* Take LINK over (-1: none) and look whether its other end goes. */
void store_open(struct store *store, struct server *server, int link);

/* From now on nothing more is kept, nor removed. */
void store_close(struct store *store);

void store_put(
    struct store *store, const char *name, const int *fds, unsigned n_fds);
void store_remove(struct store *store, const char *name);

/* Everything was taken from another daemon: if we end, the next has it. */
void store_say_taken(struct store *store);

/* Clients can attach; the daemon ends; it lives. */
void store_say_ready(struct store *store);
void store_say_stopping(void);
void store_say_alive(void);

/* ---- Of what the server has ---------------------------------------------- */

void store_lock(struct store *store, const struct server *server);
void store_journal(struct store *store);
void store_listener(struct store *store, const struct listener *listener);
void store_segment(struct store *store, const struct segment *segment);
void store_segment_remove(struct store *store, const struct segment *segment);
/* What an operator says of SEGMENT's reader.evict_ms may have changed. */
void store_evict(struct store *store, struct segment *segment);
/* A client's pidfd, and its connection. */
void store_slot(struct store *store, const struct slot *slot);
void store_slot_conn(struct store *store, struct slot *slot);
void store_slot_remove(struct store *store, const struct slot *slot);

/* All of it. */
void store_server(struct store *store, struct server *server);

/* ---- Names, read again ----------------------------------------------------
 */

struct store_segment_name {
	uint64_t id[2];
	char name[64];
	uint32_t mode;
	uid_t uid;
	gid_t gid;
	uint64_t size, second;
};

struct store_client_name {
	uint64_t id[2];
	uint32_t slot, generation;
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/* False: it is no such name. */
bool store_read_segment(const char *name, struct store_segment_name *ret);
bool store_read_evict(
    const char *name, const struct segment *segment, uint64_t *ret_ms);
bool store_read_client(const char *name, struct store_client_name *ret);

#endif
