/*
 * Forks from a handler that interrupted a call.
 *
 * A child of fork() finds its caches wiped and becomes a client of its own at
 * its first call.  But if a handler forked that had interrupted a call, and the
 * child's copy of it returns, then the child goes on in the middle of what its
 * parent is about to do: the same stores to the segment that both have, a
 * second time.  So such a child loses the heap: its pages can't be touched, and
 * calls that name it fail with ESTALE.  To return into the interrupted call is
 * a SIGSEGV then, of the child alone; to execute a program, to end, or to
 * attach anew works as always.
 *
 * Before the fork the thread that forks looks which of its caches are in a call
 * that goes on.  The caches themselves are wiped in the child, so what it saw
 * is in notes beside them.  Only the next fork of the same thread changes
 * those, so it does not matter that a handler may fork while its thread does.
 *
 * Other threads' calls need no care: they don't go on in the child.  _Fork()
 * and clone() run nothing of ours.
 */
#include "client/fork.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "client/call.h"

/* Owner only. */
struct cache_note {
	const struct cache *cache;
	struct shmalloc *lost; /* to a child; NULL: nothing */
	struct cache_note *next;
};

/* Of all caches of this thread; in a child of its fork, of its parent's. */
static _Thread_local struct cache_note *notes
    __attribute__((tls_model("initial-exec")));

bool
fork_note_make(struct cache *cache)
{
	struct cache_note *note = malloc(sizeof(*note));

	if (!note)
		return false;
	*note = (struct cache_note){ cache, NULL, notes };
	notes = note;
	return true;
}

void
fork_note_end(const struct cache *cache)
{
	struct cache_note **place = &notes, *note;

	while (*place && (*place)->cache != cache)
		place = &(*place)->next;
	note = *place;
	if (!note)
		return;
	*place = note->next;
	free(note);
}

/* ---- Around a fork ------------------------------------------------------- */

static bool
is_in_call(const struct cache *cache)
{
	return cache->heap && !cache_is_open(cache, cache->heap) &&
	    call_goes_on(cache->gate);
}

static void
fork_prepare(void)
{
	for (struct cache_note *note = notes; note; note = note->next)
		note->lost = is_in_call(note->cache) ? note->cache->heap : NULL;
}

/* Nobody may touch HEAP any more.  If that can't be had, what the child would
 * do to everybody is worse than its end. */
static void
heap_lose(struct shmalloc *heap)
{
	struct shm_seg *seg = &heap->seg;

	heap->is_lost = true;
	if (mprotect(seg->base, seg->len, PROT_NONE) != 0 ||
	    mprotect(seg->pins, sizeof(*seg->pins), PROT_NONE) != 0)
		abort();
}

static void
fork_child(void)
{
	for (struct cache_note *note = notes; note; note = note->next)
		if (note->lost) {
			heap_lose(note->lost);
			note->lost = NULL;
			cache_forget();
		}
}

int
fork_watch(void)
{
	return pthread_atfork(fork_prepare, NULL, fork_child);
}
