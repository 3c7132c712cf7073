/*
 * A process that uses every operation of a segment at random, and checks the
 * contents of all that it meets.
 *
 * Objects are in one of three places:
 * - a thread's own ring: private, ends with the actor; what is found there must
 *   be what the thread put there;
 * - a slot of the table, which all actors share: published; what is found there
 *   must have been made for that slot;
 * - a mailbox of the table: handed from one actor to another, who frees it.  An
 *   owner that dies takes it along, so mailboxes are used only where nobody is
 *   killed.
 */
#ifndef TESTS_STRESS_ACTOR_H
#define TESTS_STRESS_ACTOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ACTORS_MAX  64u
#define THREADS_MAX 4u

enum actor_count {
	ACTOR_OBJECTS, /* allocated */
	ACTOR_PUBLISHED,
	ACTOR_LOST_RACES,
	ACTOR_RETIRED,
	ACTOR_HANDED,  /* through a mailbox */
	ACTOR_REFUSED, /* allocations, for want of memory */
	ACTOR_FORKED,
	ACTOR_ATTACHED, /* again, after a detach */
	ACTOR_COUNTS,
};

/* What the processes of a run tell each other; not in the segment. */
struct actor_board {
	_Atomic uint64_t wrong;    /* contents that were not what they should */
	_Atomic uint64_t failures; /* calls refused that should not be */
	/* What was done; of a killed actor only what it had handed in. */
	_Atomic uint64_t count[ACTOR_COUNTS];
	_Atomic uint32_t ready; /* actors that ever began */
	_Atomic uint32_t done;  /* actors that have done their objects */
	_Atomic uint32_t stop;  /* end now */
	_Atomic uint32_t mailboxes_are_empty;
	/* The longest call that allocated or freed, in ns, of those in which
	 * the actor was not stopped; and how often each was. */
	_Atomic uint64_t longest_ns;
	_Atomic uint32_t stops[ACTORS_MAX];
	/* The longest time between two looks at the clock, in ns, of a process
	 * that does nothing else: what the machine alone is late by. */
	_Atomic uint64_t canary_ns;
};

struct actor_options {
	uint64_t seed;
	uint64_t objects; /* allocate so many; 0: until board->stop */
	uint32_t actors;  /* of this run */
	uint32_t number;  /* of this one, from 0 */
	bool uses_mailboxes;
	bool uses_extents; /* one object of 64 has 64 KiB to 1 MiB */
	bool may_lack_memory;
	uint32_t threads; /* so many share the attachment; 0 is 1 */
	uint32_t life;    /* detach and attach again after so many steps */
	uint32_t brood;   /* fork a child each so many steps */
};

/* A board in memory that children of fork() share. */
struct actor_board *actor_board_create(void);

/* Start a process that is an actor. */
pid_t actor_start(
    struct actor_board *board, const struct actor_options *options);

/* The number in argument I, or OTHERWISE if it isn't given. */
uint64_t actor_argument(int argc, char *argv[], int i, uint64_t otherwise);

/* Print what the board says, and that N_BAD processes did not end as they
 * should; the exit status: 0 if nothing is wrong. */
int actor_verdict(
    const char *name, const struct actor_board *board, uint64_t n_bad);

#endif
