/*
 * An attachment without a daemon: this process is both.
 */
#ifndef UNIT_ATTACHMENT_H
#define UNIT_ATTACHMENT_H

#include "client/heap.h"

/* Make HEAP an attachment to a segment of its own, limit 256 MiB, with up to 8
 * arenas, whose daemon is whoever calls `shm/daemon.h`. */
void attachment_make(struct shmalloc *heap);

#endif
