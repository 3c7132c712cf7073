/*
 * The table that all actors share, an object of the segment that hangs from a
 * root.
 */
#ifndef TESTS_STRESS_TABLE_H
#define TESTS_STRESS_TABLE_H

#include <stdatomic.h>
#include <stdint.h>

#include <shmalloc/shmalloc.h>

#define TABLE_SLOTS     4096u
#define TABLE_MAILBOXES 64u

struct table {
	shmalloc_slot slot[TABLE_SLOTS];
	/* An object, + 1 if it is shared; see tests/stress/actor.h. */
	_Atomic uint64_t mailbox[TABLE_MAILBOXES];
};

/* Attach as LABEL; this and all below exit with a message on an error. */
struct shmalloc *table_attach(const char *label);

void table_create(void);

/* Where the table lies in this process. */
struct table *table_open(struct shmalloc *heap);

/* Free it and all that hangs from it; the number of objects whose contents
 * were wrong. */
uint64_t table_destroy(void);

#endif
