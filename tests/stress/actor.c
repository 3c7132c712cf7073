#include "tests/stress/actor.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/stress/judge.h"
#include "tests/stress/table.h"

/* ---- Children of an actor ------------------------------------------------ */

/* In the child: what the parent's ring holds is the parent's. */
static _Noreturn void
child_run(struct doer *doer, uint32_t steps)
{
	memset(doer->ring, 0, sizeof(doer->ring));
	memset(doer->count, 0, sizeof(doer->count));
	doer->longest_ns = 0;
	doer->random ^= (uint64_t)getpid() << 32;
	/* The first call makes it a client, which is not what is timed. */
	shmalloc_free(doer->heap, shmalloc_alloc(doer->heap, 16));
	for (uint32_t i = 0; i < steps && !atomic_load(&doer->board->stop); i++)
		deed_do(doer);
	deed_end(doer);
	shmalloc_detach(doer->heap);
	_exit(0);
}

/* Wait for children that have ended, or with IS_LAST for all of them. */
static void
children_reap(struct doer *doer, bool is_last)
{
	pid_t pid;
	int status;

	for (;;) {
		pid = waitpid(-1, &status, is_last ? 0 : WNOHANG);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			return;
		if (status != 0)
			judge_complain(doer, "a child that ended badly", 0);
	}
}

static void
child_start(struct doer *doer)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid == 0)
		child_run(doer, doer->options->brood);
	doer->count[ACTOR_FORKED]++;
	children_reap(doer, false);
}

/* ---- Threads of an actor ------------------------------------------------- */

static bool
is_over(const struct doer *doer)
{
	const struct actor_options *options = doer->options;

	if (options->objects != 0)
		return doer->objects >= options->objects;
	return atomic_load(&doer->board->stop) != 0 ||
	    (options->life != 0 && doer->steps >= options->life);
}

static void *
doer_run(void *arg)
{
	struct doer *doer = arg;
	uint32_t brood = doer->options->brood;

	while (!is_over(doer)) {
		deed_do(doer);
		if (brood != 0 && doer->steps % brood == 0)
			child_start(doer);
	}
	return NULL;
}

static void
wait_for(const _Atomic uint32_t *word, uint32_t value)
{
	const struct timespec tick = { 0, 1000000 };

	while (atomic_load(word) != value)
		nanosleep(&tick, NULL);
}

/* Nobody leaves while somebody's object may still be in a mailbox. */
static void
mailboxes_empty(struct doer *doer)
{
	struct actor_board *board = doer->board;

	atomic_fetch_add(&board->done, 1);
	if (doer->options->number != 0) {
		wait_for(&board->mailboxes_are_empty, 1);
		return;
	}
	wait_for(&board->done, doer->options->actors);
	for (unsigned i = 0; i < TABLE_MAILBOXES; i++)
		deed_free(doer,
		    atomic_exchange(&doer->table->mailbox[i], 0) & ~UINT64_C(1),
		    "a mailbox");
	atomic_store(&board->mailboxes_are_empty, 1);
}

/* ---- Actors -------------------------------------------------------------- */

/* From an attach to the detach; LIVES before this one. */
static void
actor_live(struct actor_board *board, const struct actor_options *options,
    uint64_t lives)
{
	static struct doer doers[THREADS_MAX];
	uint32_t n = options->threads != 0 ? options->threads : 1;
	char label[32];
	struct shmalloc *heap;

	snprintf(label, sizeof(label), "actor %u", options->number);
	heap = table_attach(label);
	if (lives == 0)
		atomic_fetch_add(&board->ready, 1);
	for (uint32_t i = 0; i < n; i++)
		doers[i] = (struct doer){ .options = options,
			.board = board,
			.heap = heap,
			.table = table_open(heap),
			.random =
			    ((options->seed * ACTORS_MAX + options->number) *
				    THREADS_MAX +
				i) +
			    (lives << 48) };
	for (uint32_t i = 1; i < n; i++)
		if (pthread_create(
			&doers[i].thread, NULL, doer_run, &doers[i]) != 0)
			errx(1, "no thread");
	doer_run(&doers[0]);
	if (options->uses_mailboxes)
		mailboxes_empty(&doers[0]);
	for (uint32_t i = 0; i < n; i++) {
		if (i != 0)
			pthread_join(doers[i].thread, NULL);
		deed_end(&doers[i]);
	}
	children_reap(&doers[0], true);
	shmalloc_detach(heap);
}

static int
actor_run(struct actor_board *board, const struct actor_options *options)
{
	uint64_t lives = 0;

	/* Who starts actors may go before them; they do not. */
	if (getpriority(PRIO_PROCESS, 0) < 0)
		(void)setpriority(PRIO_PROCESS, 0, 0);
	do {
		actor_live(board, options, lives++);
		if (lives > 1)
			atomic_fetch_add(&board->count[ACTOR_ATTACHED], 1);
	} while (options->life != 0 && atomic_load(&board->stop) == 0);
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
		"lost races", "retired", "handed over", "refused", "forks",
		"attached again" };
	const char *separator = ":";

	printf("%s", name);
	for (unsigned i = 0; i < ACTOR_COUNTS; i++) {
		if (board->count[i] != 0) {
			printf("%s %" PRIu64 " %s", separator, board->count[i],
			    done[i]);
			separator = ",";
		}
	}
	printf("\n%s: wrong contents %" PRIu64 ", failed calls %" PRIu64
	       ", processes that ended badly %" PRIu64 "\n",
	    name, board->wrong, board->failures, n_bad);
	return board->wrong != 0 || board->failures != 0 || n_bad != 0;
}
