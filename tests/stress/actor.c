#include "tests/stress/actor.h"

#include <err.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/stress/pattern.h"
#include "tests/stress/table.h"

#define RING      256u
#define BATCH     8u
#define SIZE_MIN  16u
#define SIZE_MOST 65536u

struct actor {
	const struct actor_options *options;
	struct actor_board *board;
	struct shmalloc *heap;
	struct table *table;
	uint64_t random;
	uint64_t objects; /* allocated */
	uint64_t steps;
	uint64_t count[ACTOR_COUNTS]; /* not yet handed in */
	shmalloc_off ring[RING];
};

/* ---- Complaints ---------------------------------------------------------- */

static void
complain(struct actor *actor, const char *what, shmalloc_off off)
{
	const struct shmalloc_failure *failure =
	    shmalloc_last_failure(actor->heap);

	if (atomic_fetch_add(&actor->board->failures, 1) < 20)
		warn("actor %u: %s (offset %#llx; reason %s, asked %llu)",
		    actor->options->number, what, (unsigned long long)off,
		    failure->reason, (unsigned long long)failure->asked);
}

static void
complain_of(struct actor *actor, const char *what, int error)
{
	if (atomic_fetch_add(&actor->board->failures, 1) < 20)
		warnx("actor %u: %s: %s", actor->options->number, what,
		    shmalloc_strerror(error));
}

/* Check the contents of OFF. */
static size_t
judge(struct actor *actor, shmalloc_off off, const char *where)
{
	const void *at = shmalloc_ptr(actor->heap, off);
	size_t room = shmalloc_usable_size(actor->heap, off);
	size_t len = pattern_check(at, room);
	uint64_t word[2] = { 0, 0 };

	if (len != 0 || atomic_fetch_add(&actor->board->wrong, 1) >= 20)
		return len;
	memcpy(word, at, sizeof(word));
	warnx("actor %u: wrong contents in %s: offset %#llx, %zu bytes usable, "
	      "%#llx %#llx",
	    actor->options->number, where, (unsigned long long)off, room,
	    (unsigned long long)word[0], (unsigned long long)word[1]);
	return 0;
}

/* ---- Objects ------------------------------------------------------------- */

static uint64_t
dice(struct actor *actor, uint64_t sides)
{
	return pattern_random(&actor->random) % sides;
}

/* A size from LEAST to MOST bytes, its logarithm uniform. */
static size_t
size_between(struct actor *actor, double least, double most)
{
	double u = (double)(pattern_random(&actor->random) >> 11) * 0x1p-53;

	return (size_t)exp2(log2(least) + u * (log2(most) - log2(least)));
}

static size_t
size_pick(struct actor *actor)
{
	if (actor->options->uses_extents && dice(actor, 64) == 0)
		return size_between(actor, SIZE_MOST, PATTERN_MAX);
	return size_between(actor, SIZE_MIN, SIZE_MOST);
}

static void
object_fill(struct actor *actor, shmalloc_off off, size_t len)
{
	pattern_write(shmalloc_ptr(actor->heap, off), len,
	    pattern_random(&actor->random));
	actor->objects++;
	actor->count[ACTOR_OBJECTS]++;
}

static bool
bytes_are_zero(const unsigned char *at, size_t len)
{
	return len == 0 || (at[0] == 0 && memcmp(at, at + 1, len - 1) == 0);
}

static shmalloc_off
object_zeroed(struct actor *actor, size_t len)
{
	shmalloc_off off = shmalloc_zalloc(actor->heap, 1, len);

	if (off != 0 && !bytes_are_zero(shmalloc_ptr(actor->heap, off), len)) {
		warnx("zalloc gave bytes that are not zero");
		atomic_fetch_add(&actor->board->wrong, 1);
	}
	return off;
}

static shmalloc_off
object_aligned(struct actor *actor, size_t len)
{
	size_t align = (size_t)16 << dice(actor, 9);
	shmalloc_off off = shmalloc_aligned_alloc(actor->heap, align, len);

	if (off % align != 0)
		complain(actor, "an offset that isn't aligned", off);
	return off;
}

static shmalloc_off
object_create(struct actor *actor)
{
	size_t len = size_pick(actor);
	uint64_t kind = dice(actor, 32);
	shmalloc_off off;

	if (kind == 0)
		off = object_zeroed(actor, len);
	else if (kind == 1)
		off = object_aligned(actor, len);
	else
		off = shmalloc_alloc(actor->heap, len);
	if (off == 0) {
		complain(actor, "no memory", off);
		return 0;
	}
	if (shmalloc_usable_size(actor->heap, off) < len)
		complain(actor, "an object that is too small", off);
	object_fill(actor, off, len);
	return off;
}

static void
object_free(struct actor *actor, shmalloc_off off, const char *where)
{
	if (off == 0)
		return;
	judge(actor, off, where);
	shmalloc_free(actor->heap, off);
}

static void
object_retire(struct actor *actor, shmalloc_off off)
{
	int error;

	if (off == 0)
		return;
	judge(actor, off, "an object to be retired");
	error = shmalloc_retire(actor->heap, off);
	if (error != 0)
		complain_of(actor, "retire", error);
	actor->count[ACTOR_RETIRED]++;
}

/* ---- What an actor does -------------------------------------------------- */

/* A new object into the ring, the one that was there is freed. */
static void
do_private(struct actor *actor)
{
	shmalloc_off *place = &actor->ring[dice(actor, RING)];

	object_free(actor, *place, "the ring");
	*place = object_create(actor);
}

static void
do_realloc(struct actor *actor)
{
	shmalloc_off *place = &actor->ring[dice(actor, RING)], off;
	size_t len = size_pick(actor), old_len;

	if (*place == 0)
		return;
	old_len = judge(actor, *place, "an object to be resized");
	off = shmalloc_realloc(actor->heap, *place, len);
	if (off == 0) {
		complain(actor, "realloc", *place);
		return;
	}
	*place = off;
	if (old_len != 0 &&
	    !pattern_check_part(shmalloc_ptr(actor->heap, off),
		len < old_len ? len : old_len, old_len)) {
		warnx("realloc lost the contents");
		atomic_fetch_add(&actor->board->wrong, 1);
	}
	object_fill(actor, off, len);
}

static void
do_batch(struct actor *actor)
{
	size_t len = SIZE_MIN + dice(actor, 1024), n;
	shmalloc_off off[BATCH];

	n = shmalloc_alloc_batch(actor->heap, len, BATCH, off);
	if (n != BATCH)
		complain(actor, "no memory for a batch", 0);
	for (size_t i = 0; i < n; i++)
		object_fill(actor, off[i], len);
	for (size_t i = 0; i < n; i++)
		judge(actor, off[i], "a batch");
	shmalloc_free_batch(actor->heap, n, off);
}

/* A new object into a slot; or, with IS_REMOVAL, only what is there out. */
static void
do_publish(struct actor *actor, bool is_removal)
{
	shmalloc_slot *slot = &actor->table->slot[dice(actor, TABLE_SLOTS)];
	shmalloc_off desired = is_removal ? 0 : object_create(actor), expected;
	int error;

	if (shmalloc_enter(actor->heap) != 0)
		complain(actor, "enter", 0);
	expected = shmalloc_slot_load(slot);
	if (expected != 0)
		judge(actor, expected, "a slot");
	error = expected == desired
	    ? SHMALLOC_ECHANGED
	    : shmalloc_publish(actor->heap, slot, expected, desired);
	if (shmalloc_exit(actor->heap) != 0)
		complain(actor, "exit", 0);
	if (error == 0) {
		actor->count[ACTOR_PUBLISHED]++;
		object_retire(actor, expected);
		return;
	}
	if (error != SHMALLOC_ECHANGED)
		complain_of(actor, "publish", error);
	actor->count[ACTOR_LOST_RACES]++;
	object_free(actor, desired, "an object that lost the race");
}

/* Hold several published objects for a while. */
static void
do_read(struct actor *actor)
{
	shmalloc_off off[4];

	if (shmalloc_enter(actor->heap) != 0)
		complain(actor, "enter", 0);
	for (unsigned i = 0; i < 4; i++) {
		off[i] = shmalloc_slot_load(
		    &actor->table->slot[dice(actor, TABLE_SLOTS)]);
		if (off[i] != 0)
			judge(actor, off[i], "a slot");
	}
	for (unsigned i = 0; i < 4; i++)
		if (off[i] != 0)
			judge(actor, off[i], "a slot, again");
	if (shmalloc_exit(actor->heap) != 0)
		complain(actor, "exit", 0);
}

/* Swap an object with whoever left one; theirs is freed here. */
static void
do_mail(struct actor *actor)
{
	_Atomic uint64_t *box =
	    &actor->table->mailbox[dice(actor, TABLE_MAILBOXES)];
	shmalloc_off off = object_create(actor);
	int error;

	/* An odd word says that the object is shared, and is to be adopted. */
	if (off != 0 && dice(actor, 2) == 0) {
		error = shmalloc_share(actor->heap, off);
		if (error != 0)
			complain_of(actor, "share", error);
		off |= 1;
	}
	off = atomic_exchange(box, off);
	if (off & 1) {
		off &= ~UINT64_C(1);
		error = shmalloc_adopt(actor->heap, off);
		if (error != 0)
			complain_of(actor, "adopt", error);
	}
	object_free(actor, off, "a mailbox");
	actor->count[ACTOR_HANDED]++;
}

/* Add to the board's counts; seldom, since its line is everybody's. */
static void
counts_hand_in(struct actor *actor)
{
	for (unsigned i = 0; i < ACTOR_COUNTS; i++) {
		atomic_fetch_add(&actor->board->count[i], actor->count[i]);
		actor->count[i] = 0;
	}
}

static void
actor_step(struct actor *actor)
{
	uint64_t kind = dice(actor, 64);

	if (++actor->steps % 256 == 0)
		counts_hand_in(actor);

	if (kind < 24)
		do_private(actor);
	else if (kind < 26)
		do_realloc(actor);
	else if (kind < 28)
		do_batch(actor);
	else if (kind < 48)
		do_publish(actor, false);
	else if (kind < 52)
		do_publish(actor, true);
	else if (kind < 56 || !actor->options->uses_mailboxes)
		do_read(actor);
	else
		do_mail(actor);
}

/* ---- Beginning and end --------------------------------------------------- */

static void
wait_for(const _Atomic uint32_t *word, uint32_t value)
{
	const struct timespec tick = { 0, 1000000 };

	while (atomic_load(word) != value)
		nanosleep(&tick, NULL);
}

/* Nobody leaves while somebody's object may still be in a mailbox. */
static void
mailboxes_empty(struct actor *actor)
{
	struct actor_board *board = actor->board;

	atomic_fetch_add(&board->done, 1);
	if (actor->options->number != 0) {
		wait_for(&board->mailboxes_are_empty, 1);
		return;
	}
	wait_for(&board->done, actor->options->actors);
	for (unsigned i = 0; i < TABLE_MAILBOXES; i++) {
		shmalloc_off off =
		    atomic_exchange(&actor->table->mailbox[i], 0);

		object_free(actor, off & ~UINT64_C(1), "a mailbox");
	}
	atomic_store(&board->mailboxes_are_empty, 1);
}

static int
actor_run(struct actor_board *board, const struct actor_options *options)
{
	static struct actor actor;
	char label[32];

	snprintf(label, sizeof(label), "actor %u", options->number);
	actor.options = options;
	actor.board = board;
	actor.heap = table_attach(label);
	actor.random = options->seed * ACTORS_MAX + options->number;
	actor.table = table_open(actor.heap);
	atomic_fetch_add(&board->ready, 1);
	while (options->objects == 0 ? atomic_load(&board->stop) == 0
				     : actor.objects < options->objects)
		actor_step(&actor);
	if (options->uses_mailboxes)
		mailboxes_empty(&actor);
	for (unsigned i = 0; i < RING; i++)
		object_free(&actor, actor.ring[i], "the ring");
	counts_hand_in(&actor);
	shmalloc_detach(actor.heap);
	return 0;
}

struct actor_board *
actor_board_create(void)
{
	void *at = mmap(NULL, sizeof(struct actor_board),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		err(1, "mmap");
	return at;
}

pid_t
actor_start(struct actor_board *board, const struct actor_options *options)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid == 0)
		_exit(actor_run(board, options));
	return pid;
}

uint64_t
actor_argument(int argc, char *argv[], int i, uint64_t otherwise)
{
	return i < argc ? strtoull(argv[i], NULL, 10) : otherwise;
}

int
actor_verdict(const char *name, const struct actor_board *board, uint64_t n_bad)
{
	static const char *const done[ACTOR_COUNTS] = { "objects", "published",
		"lost races", "retired", "handed over" };

	printf("%s:", name);
	for (unsigned i = 0; i < ACTOR_COUNTS; i++)
		printf(" %" PRIu64 " %s%s", board->count[i], done[i],
		    i + 1 < ACTOR_COUNTS ? "," : "\n");
	printf("%s: wrong contents %" PRIu64 ", failed calls %" PRIu64
	       ", processes that ended badly %" PRIu64 "\n",
	    name, board->wrong, board->failures, n_bad);
	return board->wrong != 0 || board->failures != 0 || n_bad != 0;
}
