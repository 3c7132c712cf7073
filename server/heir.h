/*
 * Taking over from a running daemon: a new one (another binary, other options)
 * asks on the socket `control`, gets a socket of its own for it, and over that
 * everything that would be kept, as kept.h says.
 *
 *	new                               old
 *	  takeover  ------------------->  leaves its loop
 *	  (keeps each with its keeper) <- ADD ... ADD, END
 *	  READY     ------------------->  lets go of everything, ends
 *	  begins    <-------------------  end of the socket
 *
 * Until READY the old one can go on, and does so if the new one ends.  From END
 * on the new keeper has all, with the socket under the name `heir`: if its
 * daemon is killed then, the next one says READY.  So at any moment exactly one
 * side serves, or will.
 */
#ifndef SERVER_HEIR_H
#define SERVER_HEIR_H

#include "server/kept.h"
#include "server/server.h"

/*
 * As the new one: get everything from the daemon that serves the directory
 * PATH, or go on with that.  0, also if there is no such daemon, which is
 * logged; else an error that was logged.
 */
int heir_take(struct server *server, const char *path,
    struct kept_list *kept) SHM_MUSTCHECK;

/* As the old one, in its loop: somebody asks.  His end of a socket, or an
 * error. */
int heir_expect(struct server *server, int *ret_fd) SHM_MUSTCHECK;

/* As the old one, outside of its loop: give everything to whoever asked; false:
 * he did not take it, and we go on. */
bool heir_give(struct server *server);

#endif
