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
 * READY decides.  Until it is sent the old one can go on, and does so if the
 * new one ends: it closes the socket for READY, and says REMOVE.  Either side
 * may be killed at any time, because both keepers have the socket before there
 * can be a READY: the old one's as `out/heir`, from before END, the new one's
 * as `heir`, from END on.  The next daemon of the old one finds READY in the
 * socket, where it stays, and ends; or it isn't there, and it goes on.  The
 * next daemon of the new one says READY once more.  The socket ends when the
 * old daemon has and its keeper, too.  So at any moment exactly one side
 * serves, or will.
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

/* Whether who took over from the daemon that left KEPT has begun: then there is
 * nothing left to do.  If not, he does not begin any more. */
bool heir_has_begun(const struct kept_list *kept);

/* As the old one, in its loop: somebody asks.  His end of a socket, or an
 * error. */
int heir_expect(struct server *server, int *ret_fd) SHM_MUSTCHECK;

/* As the old one, outside of its loop: give everything to whoever asked; false:
 * he did not take it, and we go on. */
bool heir_give(struct server *server);

#endif
