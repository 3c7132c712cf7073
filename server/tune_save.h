/*
 * Saving what operators set, to a configuration file of its own.
 *
 * It has what differs from the configuration without it, so that a new start
 * gives the values that are in effect now; what was set for a time is saved as
 * it will be then.  The administrator's files are never written.
 */
#ifndef SERVER_TUNE_SAVE_H
#define SERVER_TUNE_SAVE_H

#include "server/tune.h"

struct tune_saved {
	const char *path; /* of the server's options */
	uint32_t n;       /* values that were written */
};

/*
 * Replace the file by one that has what SERVER's segments have.  SHM_EINVAL (no
 * such file is read), SHM_ESYSTEM, and REASON.
 */
int tune_save(struct server *server, struct tune_saved *ret_saved,
    char reason[TUNE_REASON_LEN]) SHM_MUSTCHECK;

/* Whether SEGMENT is in no configuration: a section of that name would make it
 * at the next start, so its values aren't saved. */
bool tune_is_skipped(
    const struct server *server, const struct segment *segment);

#endif
