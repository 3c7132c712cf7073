/*
 * What a thread of an actor says of what it found.
 */
#ifndef TESTS_STRESS_JUDGE_H
#define TESTS_STRESS_JUDGE_H

#include "tests/stress/deed.h"

/* A seed's low bits say for which slot an object was made. */
#define FOR_NO_SLOT TABLE_SLOTS
#define SEED_SLOTS  (2 * TABLE_SLOTS)

/* A call was refused that should not have been. */
void judge_complain(struct doer *doer, const char *what, int error);

/* OFF is not what it should be. */
void judge_offset(struct doer *doer, const char *what, shmalloc_off off);

/* An allocation failed, as errno says: for want of memory, if that may be; then
 * the actor rests for a ms. */
void judge_refusal(struct doer *doer, const char *what);

/* Check the contents of OFF; their length, or 0. */
size_t judge_object(struct doer *doer, shmalloc_off off, const char *where);

uint64_t judge_first_word(const struct doer *doer, shmalloc_off off);

/* Check what was found in slot I. */
void judge_slot(struct doer *doer, shmalloc_off off, uint64_t i);

/* Check what was found in PLACE, which isn't empty; its length, or 0. */
size_t judge_place(struct doer *doer, const struct place *place);

#endif
