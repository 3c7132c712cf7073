#include "tests/stress/judge.h"

#include <err.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "tests/stress/pattern.h"

void
judge_complain(struct doer *doer, const char *what, int error)
{
	if (atomic_fetch_add(&doer->board->failures, 1) < 20)
		warnx("actor %u: %s: %s", doer->options->number, what,
		    shmalloc_strerror(error));
}

void
judge_offset(struct doer *doer, const char *what, shmalloc_off off)
{
	if (atomic_fetch_add(&doer->board->failures, 1) < 20)
		warnx("actor %u: %s: %#llx", doer->options->number, what,
		    (unsigned long long)off);
}

/* Reasons for which memory may be refused while limits are being tuned. */
static bool
is_want_of_memory(const char *reason)
{
	static const char *const reasons[] = { "full", "fragmented", "quota",
		"reader", "system" };

	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (strcmp(reason, reasons[i]) == 0)
			return true;
	return false;
}

void
judge_refusal(struct doer *doer, const char *what)
{
	const struct timespec pause = { 0, 1000000 };
	int error = errno;
	const struct shmalloc_failure *failure =
	    shmalloc_last_failure(doer->heap);

	if (doer->options->may_lack_memory && error == ENOMEM &&
	    is_want_of_memory(failure->reason)) {
		doer->count[ACTOR_REFUSED]++;
		(void)nanosleep(&pause, NULL);
		return;
	}
	if (atomic_fetch_add(&doer->board->failures, 1) < 20)
		warnx("actor %u: %s: %s (reason %s, asked %llu)",
		    doer->options->number, what, strerror(error),
		    failure->reason, (unsigned long long)failure->asked);
}

static void
wrong_note(struct doer *doer, const char *where, shmalloc_off off)
{
	const uint64_t *word = shmalloc_ptr(doer->heap, off);

	if (atomic_fetch_add(&doer->board->wrong, 1) >= 20)
		return;
	warnx("actor %u: wrong contents in %s: offset %#llx, %zu bytes usable, "
	      "%#llx %#llx",
	    doer->options->number, where, (unsigned long long)off,
	    shmalloc_usable_size(doer->heap, off), (unsigned long long)word[0],
	    (unsigned long long)word[1]);
}

size_t
judge_object(struct doer *doer, shmalloc_off off, const char *where)
{
	size_t len = pattern_check(shmalloc_ptr(doer->heap, off),
	    shmalloc_usable_size(doer->heap, off));

	if (len == 0)
		wrong_note(doer, where, off);
	return len;
}

uint64_t
judge_first_word(const struct doer *doer, shmalloc_off off)
{
	uint64_t word;

	memcpy(&word, shmalloc_ptr(doer->heap, off), sizeof(word));
	return word;
}

void
judge_slot(struct doer *doer, shmalloc_off off, uint64_t i)
{
	if (judge_object(doer, off, "a slot") != 0 &&
	    pattern_seed(judge_first_word(doer, off)) % SEED_SLOTS != i)
		wrong_note(doer, "a slot, made for another", off);
}

size_t
judge_place(struct doer *doer, const struct place *place)
{
	size_t len = judge_object(doer, place->off, "the ring");

	if (len != 0 && judge_first_word(doer, place->off) != place->first) {
		wrong_note(doer, "the ring, made for another", place->off);
		return 0;
	}
	return len;
}
