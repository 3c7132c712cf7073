/*
 * Many processes allocate, publish, replace, read, hand over, retire and free
 * objects of 16 B to 64 KiB (their logarithm uniform) and check the contents of
 * all that they meet; in the end everything is freed.
 *
 *	mix [OBJECTS [PROCESSES [SEED]]]
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/stress/actor.h"
#include "tests/stress/table.h"

int
main(int argc, char *argv[])
{
	struct actor_options options = {
		.objects = actor_argument(argc, argv, 1, 100000),
		.actors = (uint32_t)actor_argument(argc, argv, 2, 4),
		.seed = actor_argument(argc, argv, 3, (uint64_t)time(NULL)),
		.uses_mailboxes = true,
	};
	struct actor_board *board = actor_board_create();
	uint64_t n_bad = 0;
	int status;

	if (options.actors == 0 || options.actors > ACTORS_MAX)
		errx(2, "1 to %u processes", ACTORS_MAX);
	printf("mix: %" PRIu64 " objects in each of %" PRIu32
	       " processes, seed %" PRIu64 "\n",
	    options.objects, options.actors, options.seed);
	fflush(stdout);
	table_create();
	for (; options.number < options.actors; options.number++)
		actor_start(board, &options);
	while (wait(&status) > 0)
		n_bad += status != 0;
	atomic_fetch_add(&board->wrong, table_destroy());
	return actor_verdict("mix", board, n_bad);
}
