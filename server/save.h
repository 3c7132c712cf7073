/*
 * The segments in a file, so that the next start finds the cache.
 *
 *	RECORD: kind, length, offset, hash; then the payload
 *	head | segment, memory..., pins... | segment, ... | end
 *
 * Memory is written where it is committed, in blocks of at most 1 MiB, while
 * the segment's clients are held still (freeze.h): the file has one state of
 * it, in which they are dead as soon as it is read again.  What they had not
 * published is then given back, as after any death.
 *
 * A record's hash (XXH3) is over its payload, seeded with its kind, offset and
 * number, so records cannot be missing, exchanged or cut.  The file is written
 * beside its name, synchronized, and renamed; it is removed when its segments
 * are there again, because it gets stale.
 */
#ifndef SERVER_SAVE_H
#define SERVER_SAVE_H

#include "server/server.h"

/* Write all segments to PATH.  On an error, which was logged, what was at PATH
 * is as before. */
int save_write(struct server *server, const char *path) SHM_MUSTCHECK;

/*
 * Make the segments that are in PATH, if it is there, and that are not there
 * yet; *RET_IS_READ says so.  0, or an error that was logged: then none was
 * made, and the file is as before.
 */
int save_read(
    struct server *server, const char *path, bool *ret_is_read) SHM_MUSTCHECK;

/* Remove the file at PATH, which was read.  An error is logged. */
void save_remove(const char *path);

#endif
