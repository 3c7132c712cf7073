#include "tests/stress/deed.h"

#include <err.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "tests/stress/judge.h"
#include "tests/stress/pattern.h"

#define BATCH     8u
#define SIZE_MIN  16u
#define SIZE_MOST 65536u

/* ---- Calls that are timed ------------------------------------------------ */

struct watch {
	uint64_t start_ns;
	uint32_t stops;
};

static uint64_t
now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct watch
watch_start(const struct doer *doer)
{
	return (struct watch){ now_ns(),
		atomic_load(&doer->board->stops[doer->options->number]) };
}

/* A call in which this process was stopped says nothing. */
static void
watch_end(struct doer *doer, struct watch watch)
{
	uint64_t ns = now_ns() - watch.start_ns;

	if (ns > doer->longest_ns &&
	    watch.stops ==
		atomic_load(&doer->board->stops[doer->options->number]))
		doer->longest_ns = ns;
}

static void
timed_free(struct doer *doer, shmalloc_off off)
{
	struct watch watch = watch_start(doer);

	shmalloc_free(doer->heap, off);
	watch_end(doer, watch);
}

static shmalloc_off
timed_alloc(struct doer *doer, size_t len)
{
	struct watch watch = watch_start(doer);
	shmalloc_off off = shmalloc_alloc(doer->heap, len);

	watch_end(doer, watch);
	return off;
}

/* ---- Objects ------------------------------------------------------------- */

uint64_t
deed_dice(struct doer *doer, uint64_t sides)
{
	return pattern_random(&doer->random) % sides;
}

/* A size from LEAST to MOST bytes, its logarithm uniform. */
static size_t
size_between(struct doer *doer, double least, double most)
{
	double u = (double)(pattern_random(&doer->random) >> 11) * 0x1p-53;

	return (size_t)exp2(log2(least) + u * (log2(most) - log2(least)));
}

static size_t
size_pick(struct doer *doer)
{
	if (doer->options->uses_extents && deed_dice(doer, 64) == 0)
		return size_between(doer, SIZE_MOST, PATTERN_MAX);
	return size_between(doer, SIZE_MIN, SIZE_MOST);
}

static void
object_fill(struct doer *doer, shmalloc_off off, size_t len, uint64_t slot)
{
	uint64_t seed = pattern_random(&doer->random);

	pattern_write(shmalloc_ptr(doer->heap, off), len,
	    seed - seed % SEED_SLOTS + slot);
	doer->objects++;
	doer->count[ACTOR_OBJECTS]++;
}

static bool
bytes_are_zero(const unsigned char *at, size_t len)
{
	return len == 0 || (at[0] == 0 && memcmp(at, at + 1, len - 1) == 0);
}

static shmalloc_off
object_zeroed(struct doer *doer, size_t len)
{
	shmalloc_off off = shmalloc_zalloc(doer->heap, 1, len);

	if (off != 0 && !bytes_are_zero(shmalloc_ptr(doer->heap, off), len)) {
		warnx("zalloc gave bytes that are not zero");
		atomic_fetch_add(&doer->board->wrong, 1);
	}
	return off;
}

static shmalloc_off
object_aligned(struct doer *doer, size_t len)
{
	size_t align = (size_t)16 << deed_dice(doer, 9);
	shmalloc_off off = shmalloc_aligned_alloc(doer->heap, align, len);

	if (off % align != 0)
		judge_offset(doer, "an offset that isn't aligned", off);
	return off;
}

/* A new object for SLOT, or 0. */
static shmalloc_off
object_create(struct doer *doer, uint64_t slot)
{
	size_t len = size_pick(doer);
	uint64_t kind = deed_dice(doer, 32);
	shmalloc_off off;

	if (kind == 0)
		off = object_zeroed(doer, len);
	else if (kind == 1)
		off = object_aligned(doer, len);
	else
		off = timed_alloc(doer, len);
	if (off == 0) {
		judge_refusal(doer, "alloc");
		return 0;
	}
	if (shmalloc_usable_size(doer->heap, off) < len)
		judge_offset(doer, "an object that is too small", off);
	object_fill(doer, off, len, slot);
	return off;
}

void
deed_free(struct doer *doer, shmalloc_off off, const char *where)
{
	if (off == 0)
		return;
	(void)judge_object(doer, off, where);
	timed_free(doer, off);
}

static void
object_retire(struct doer *doer, shmalloc_off off)
{
	int error;

	if (off == 0)
		return;
	(void)judge_object(doer, off, "an object to be retired");
	error = shmalloc_retire(doer->heap, off);
	if (error != 0)
		judge_complain(doer, "retire", error);
	doer->count[ACTOR_RETIRED]++;
}

static void
place_empty(struct doer *doer, struct place *place)
{
	if (place->off == 0)
		return;
	(void)judge_place(doer, place);
	timed_free(doer, place->off);
	place->off = 0;
}

static void
place_set(struct doer *doer, struct place *place, shmalloc_off off)
{
	place->off = off;
	place->first = off != 0 ? judge_first_word(doer, off) : 0;
}

/* ---- What there is to do ------------------------------------------------- */

/* A new object into the ring, the one that was there is freed. */
static void
do_private(struct doer *doer)
{
	struct place *place = &doer->ring[deed_dice(doer, RING)];

	place_empty(doer, place);
	place_set(doer, place, object_create(doer, FOR_NO_SLOT));
}

static void
do_realloc(struct doer *doer)
{
	struct place *place = &doer->ring[deed_dice(doer, RING)];
	size_t len = size_pick(doer), old_len;
	shmalloc_off off;

	if (place->off == 0)
		return;
	old_len = judge_place(doer, place);
	off = shmalloc_realloc(doer->heap, place->off, len);
	if (off == 0) {
		judge_refusal(doer, "realloc");
		return;
	}
	if (old_len != 0 &&
	    !pattern_check_part(shmalloc_ptr(doer->heap, off),
		len < old_len ? len : old_len, old_len)) {
		warnx("realloc lost the contents");
		atomic_fetch_add(&doer->board->wrong, 1);
	}
	object_fill(doer, off, len, FOR_NO_SLOT);
	place_set(doer, place, off);
}

static void
do_batch(struct doer *doer)
{
	size_t len = SIZE_MIN + deed_dice(doer, 1024), n;
	shmalloc_off off[BATCH];

	n = shmalloc_alloc_batch(doer->heap, len, BATCH, off);
	if (n != BATCH)
		judge_refusal(doer, "a batch");
	for (size_t i = 0; i < n; i++)
		object_fill(doer, off[i], len, FOR_NO_SLOT);
	for (size_t i = 0; i < n; i++)
		(void)judge_object(doer, off[i], "a batch");
	shmalloc_free_batch(doer->heap, n, off);
}

/* False: what others have published must not be looked at. */
static bool
reading_begin(struct doer *doer)
{
	int error = shmalloc_enter(doer->heap);

	if (error != 0)
		judge_complain(doer, "enter", error);
	return error == 0;
}

static void
reading_end(struct doer *doer)
{
	int error = shmalloc_exit(doer->heap);

	if (error != 0)
		judge_complain(doer, "exit", error);
}

/* DESIRED into slot I, in place of what is there, which is *RET_OLD. */
static int
slot_replace(
    struct doer *doer, uint64_t i, shmalloc_off desired, shmalloc_off *ret_old)
{
	shmalloc_slot *slot = &doer->table->slot[i];
	shmalloc_off expected;
	int error;

	if (!reading_begin(doer))
		return SHMALLOC_ECHANGED;
	expected = shmalloc_slot_load(slot);
	if (expected != 0)
		judge_slot(doer, expected, i);
	error = expected == desired
	    ? SHMALLOC_ECHANGED
	    : shmalloc_publish(doer->heap, slot, expected, desired);
	reading_end(doer);
	*ret_old = expected;
	return error;
}

/* A new object into a slot; or, with IS_REMOVAL, only what is there out. */
static void
do_publish(struct doer *doer, bool is_removal)
{
	uint64_t i = deed_dice(doer, TABLE_SLOTS);
	shmalloc_off desired = is_removal ? 0 : object_create(doer, i);
	shmalloc_off expected = 0;
	int error = slot_replace(doer, i, desired, &expected);

	if (error == 0) {
		doer->count[ACTOR_PUBLISHED]++;
		object_retire(doer, expected);
		return;
	}
	if (error != SHMALLOC_ECHANGED)
		judge_complain(doer, "publish", error);
	doer->count[ACTOR_LOST_RACES]++;
	deed_free(doer, desired, "an object that lost the race");
}

/* Hold several published objects for a while. */
static void
do_read(struct doer *doer)
{
	shmalloc_off off[4];
	uint64_t i[4];

	if (!reading_begin(doer))
		return;
	for (unsigned k = 0; k < 4; k++) {
		i[k] = deed_dice(doer, TABLE_SLOTS);
		off[k] = shmalloc_slot_load(&doer->table->slot[i[k]]);
		if (off[k] != 0)
			judge_slot(doer, off[k], i[k]);
	}
	for (unsigned k = 0; k < 4; k++)
		if (off[k] != 0)
			judge_slot(doer, off[k], i[k]);
	reading_end(doer);
}

/* Swap an object with whoever left one; theirs is freed here. */
static void
do_mail(struct doer *doer)
{
	_Atomic uint64_t *box =
	    &doer->table->mailbox[deed_dice(doer, TABLE_MAILBOXES)];
	shmalloc_off off = object_create(doer, FOR_NO_SLOT);
	int error;

	/* An odd word says that the object is shared, and is to be adopted. */
	if (off != 0 && deed_dice(doer, 2) == 0) {
		error = shmalloc_share(doer->heap, off);
		if (error != 0)
			judge_complain(doer, "share", error);
		off |= 1;
	}
	off = atomic_exchange(box, off);
	if (off & 1) {
		off &= ~UINT64_C(1);
		error = shmalloc_adopt(doer->heap, off);
		if (error != 0)
			judge_complain(doer, "adopt", error);
	}
	deed_free(doer, off, "a mailbox");
	doer->count[ACTOR_HANDED]++;
}

/* Add to the board's counts; seldom, since its line is everybody's. */
static void
counts_hand_in(struct doer *doer)
{
	uint64_t longest = atomic_load(&doer->board->longest_ns);

	for (unsigned i = 0; i < ACTOR_COUNTS; i++) {
		atomic_fetch_add(&doer->board->count[i], doer->count[i]);
		doer->count[i] = 0;
	}
	while (longest < doer->longest_ns &&
	    !atomic_compare_exchange_weak(
		&doer->board->longest_ns, &longest, doer->longest_ns))
		;
}

void
deed_do(struct doer *doer)
{
	uint64_t kind = deed_dice(doer, 64);

	if (++doer->steps % 256 == 0)
		counts_hand_in(doer);
	if (kind < 24)
		do_private(doer);
	else if (kind < 26)
		do_realloc(doer);
	else if (kind < 28)
		do_batch(doer);
	else if (kind < 48)
		do_publish(doer, false);
	else if (kind < 52)
		do_publish(doer, true);
	else if (kind < 56 || !doer->options->uses_mailboxes)
		do_read(doer);
	else
		do_mail(doer);
}

void
deed_end(struct doer *doer)
{
	for (unsigned i = 0; i < RING; i++)
		place_empty(doer, &doer->ring[i]);
	counts_hand_in(doer);
}
