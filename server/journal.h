/*
 * The last things that happened, for `events`: who attached, died, came back as
 * memory, what was tuned, repaired, put out of service, and what failed.
 *
 * Each has a number, from 1 on, so whoever asks again for what came after a
 * number misses nothing, or learns how much.  They lie in a file of memory that
 * is kept (server/store.h), so that the last words of a daemon that is killed
 * are there for who asks the next one, whose numbers go on.  The ring holds
 * JOURNAL_LEN of them; what a client can cause as often as it likes is counted
 * over a second, and not noted one by one (server/watch.c).
 *
 * Like the log it is the process's.  Of the event loop only.
 */
#ifndef SERVER_JOURNAL_H
#define SERVER_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shm/layout.h"

#define JOURNAL_LEN 1024u

enum journal_kind {
	JOURNAL_START,      /* this daemon began */
	JOURNAL_SEGMENT,    /* made, taken over, destroyed */
	JOURNAL_ATTACH,     /* a client has come */
	JOURNAL_ORPHAN,     /* it closed its socket and lives on */
	JOURNAL_DEATH,      /* it died, or has detached */
	JOURNAL_RECLAIM,    /* what it held came back */
	JOURNAL_EVICT,      /* it was killed for others' sake */
	JOURNAL_REPAIR,     /* arenas whose locks the dead held */
	JOURNAL_QUARANTINE, /* an arena is out of service */
	JOURNAL_FAILURE,    /* allocations failed */
	JOURNAL_LIMIT,      /* limit.soft was exceeded */
	JOURNAL_MISUSE,     /* a double free and its like */
	JOURNAL_TUNE,       /* a parameter has another value */
	JOURNAL_OPERATOR,   /* somebody trimmed, checked, reset */
	JOURNAL_KINDS,
};

extern const char *const journal_kind_names[JOURNAL_KINDS];

struct journal_entry {
	uint64_t number;
	double time; /* seconds since the epoch */
	enum journal_kind kind;
	char segment[SHM_NAME_LEN]; /* "": none in particular */
	/* Of whom, if it is about a client. */
	bool has_client;
	pid_t pid;
	uid_t uid;
	char command[32];
	char text[192];
};

struct segment;
struct slot;

#define JOURNAL_KEPT "journal/1"

/*
 * Go on in the file FD, which is owned from here on, or, if that is -1 or no
 * such file, in a new one.  True: it is FD.
 */
bool journal_open(int fd);

/* The file, which stays the journal's; -1: there is none. */
int journal_fd(void);

/* Note that something happened to SEGMENT (or NULL: to none), or to SLOT of it
 * (or NULL). */
void journal_note(enum journal_kind kind, const struct segment *segment,
    const struct slot *slot, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The number of the last entry, 0 if there is none. */
uint64_t journal_last(void);

/* When the first was noted, seconds since the epoch: tells numbers that go on
 * from others. */
double journal_began(void);

/* The entry NUMBER, or NULL: it is gone, or not there yet. */
const struct journal_entry *journal_get(uint64_t number);

#endif
