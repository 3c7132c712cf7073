/*
 * Kill a busy process with SIGKILL, start another, and so on, while others go
 * on; in the end everything is freed.
 *
 *	kill [KILLS [SURVIVORS [SEED]]]
 *
 * Each victim lives for a time from 10 us to 20 ms, the logarithm of it
 * uniform: three of four from when they have attached, one from its fork, so
 * that some die while they attach.
 */
#include <err.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/stress/actor.h"
#include "tests/stress/pattern.h"
#include "tests/stress/table.h"

/* Wait until one more actor is ready, or until PID has ended. */
static void
wait_for_ready(struct actor_board *board, uint32_t before, pid_t pid)
{
	const struct timespec tick = { 0, 50000 };
	siginfo_t info = { .si_pid = 0 };

	while (atomic_load(&board->ready) == before && info.si_pid == 0) {
		nanosleep(&tick, NULL);
		waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
	}
}

/* Let a victim begin, live for a while, and die.  False: it ended before. */
static bool
victim_kill(
    struct actor_board *board, struct actor_options *options, uint64_t *random)
{
	double u = (double)(pattern_random(random) >> 11) * 0x1p-53;
	struct timespec life = { 0, (long)(10e3 * pow(2000, u)) };
	uint32_t before = atomic_load(&board->ready);
	pid_t pid = actor_start(board, options);
	int status;

	if (pattern_random(random) % 4 != 0)
		wait_for_ready(board, before, pid);
	nanosleep(&life, NULL);
	return kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid &&
	    WIFSIGNALED(status);
}

int
main(int argc, char *argv[])
{
	uint64_t kills = actor_argument(argc, argv, 1, 200), n_bad = 0;
	uint32_t survivors = (uint32_t)actor_argument(argc, argv, 2, 3);
	struct actor_options options = {
		.seed = actor_argument(argc, argv, 3, (uint64_t)time(NULL)),
		.uses_extents = true,
	};
	struct actor_board *board = actor_board_create();
	uint64_t random = options.seed;
	pid_t pid[ACTORS_MAX];
	int status;

	if (survivors >= ACTORS_MAX)
		errx(2, "at most %u survivors", ACTORS_MAX - 1);
	printf("kill: %" PRIu64 " kills beside %" PRIu32
	       " survivors, seed %" PRIu64 "\n",
	    kills, survivors, options.seed);
	fflush(stdout);
	table_create();
	for (; options.number < survivors; options.number++)
		pid[options.number] = actor_start(board, &options);
	for (uint64_t i = 0; i < kills; i++) {
		options.seed++;
		n_bad += !victim_kill(board, &options, &random);
	}
	atomic_store(&board->stop, 1);
	for (uint32_t i = 0; i < survivors; i++)
		n_bad += waitpid(pid[i], &status, 0) != pid[i] || status != 0;
	atomic_fetch_add(&board->wrong, table_destroy());
	return actor_verdict("kill", board, n_bad);
}
