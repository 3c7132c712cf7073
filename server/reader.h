/*
 * Readers that never leave.
 *
 * A reader that is inside holds back all that was retired since it entered.
 * With reader.evict_ms set, its process is killed once others' memory has
 * waited for it for that long; DESIGN 5.
 *
 * A pin is in memory that every client can write to, so any of them can make
 * another look like such a reader.  Those whom it could kill anyhow may; while
 * there is another, nobody is killed.
 *
 * How long is measured here, from the first tick that finds the pin behind the
 * segment's epoch: a reader that leaves and enters again takes the new epoch,
 * so an old one that stays has not moved.
 */
#ifndef SERVER_READER_H
#define SERVER_READER_H

#include "server/segment.h"

/* Look at SEGMENT's readers, once a tick. */
void reader_tick(struct segment *segment);

#endif
