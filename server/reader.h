/*
 * Readers that never leave.
 *
 * A reader that is inside holds back all that was retired since it entered.
 * With reader.evict_ms set, its process is killed once others' memory has
 * waited for it for that long; DESIGN 5.
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
