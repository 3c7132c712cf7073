/*
 * Many clients, dying at the same time, or while another's death is handled.
 * Run by deaths.bats; the daemon is its own.
 */
#include <signal.h>

#include "tests/e2e/client.h"

#define CROWD 300

/* Allocate N chunks of 100 bytes, tell, and when nobody holds the other end of
 * GATE any more go on with ones that need an arena's lock each, until we are
 * killed. */
static _Noreturn void
victim_run(struct shmalloc *heap, int n, const int told[2], const int gate[2])
{
	char byte;

	for (int i = 0; i < n; i++)
		CHECK(shmalloc_alloc(heap, 100) != 0);
	(void)close(gate[1]);
	pipe_tell(told, 1);
	(void)!read(gate[0], &byte, 1);
	for (;;)
		shmalloc_free(heap, shmalloc_alloc(heap, 50000));
}

/* The child is a client of its own, not its parent. */
static pid_t
victim_start(struct shmalloc *heap, int n, const int told[2], const int gate[2])
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0)
		victim_run(heap, n, told, gate);
	return pid;
}

static void
works(struct shmalloc *heap)
{
	for (int i = 0; i < 300; i++) {
		shmalloc_off off = shmalloc_alloc(heap, (size_t)i * 500);

		CHECK(off != 0);
		shmalloc_free(heap, off);
	}
}

/* Hundreds at once, each at an instruction of its own. */
static void
crowd(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	struct timespec pause = { 0, 20000000 };
	pid_t pid[CROWD];
	int told[2], gate[2];

	CHECK(pipe(told) == 0 && pipe(gate) == 0);
	for (int i = 0; i < CROWD; i++)
		pid[i] = victim_start(heap, 100, told, gate);
	for (int i = 0; i < CROWD; i++)
		(void)pipe_hear(told);
	CHECK_EQ(figure("clients", "alive"), CROWD + 1);
	(void)close(gate[1]);
	(void)nanosleep(&pause, NULL);
	for (int i = 0; i < CROWD; i++)
		CHECK_EQ(kill(pid[i], SIGKILL), 0);
	works(heap);
	for (int i = 0; i < CROWD; i++)
		CHECK_EQ(waitpid(pid[i], NULL, 0), pid[i]);
	figure_wait("clients", "reclaimed_total", CROWD);
	CHECK_EQ(figure("clients", "alive"), 1);
	figure_wait("bytes", "allocated", 0);
	works(heap);
	shmalloc_detach(heap);
}

/* One holds much, and while its memory comes back others die, and are born. */
static void
meanwhile(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	uint64_t deaths = 0;

	for (int round = 0; round < 3; round++) {
		pid_t large, pid[20];
		int told[2], gate[2];

		CHECK(pipe(told) == 0 && pipe(gate) == 0);
		large = victim_start(heap, 300000, told, gate);

		for (int i = 0; i < 10; i++)
			pid[i] = victim_start(heap, 1000, told, gate);
		for (int i = 0; i < 11; i++)
			(void)pipe_hear(told);
		(void)close(gate[1]);
		CHECK_EQ(kill(large, SIGKILL), 0);
		for (int i = 0; i < 10; i++) {
			CHECK_EQ(kill(pid[i], SIGKILL), 0);
			pid[10 + i] = victim_start(heap, 10, told, gate);
			(void)pipe_hear(told);
		}
		for (int i = 10; i < 20; i++)
			CHECK_EQ(kill(pid[i], SIGKILL), 0);
		works(heap);
		CHECK_EQ(waitpid(large, NULL, 0), large);
		for (int i = 0; i < 20; i++)
			CHECK_EQ(waitpid(pid[i], NULL, 0), pid[i]);
		(void)close(told[0]), (void)close(told[1]),
		    (void)close(gate[0]);
		deaths += 21;
		figure_wait("clients", "reclaimed_total", deaths);
		figure_wait("bytes", "allocated", 0);
	}
	shmalloc_detach(heap);
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "crowd", crowd },
		{ "meanwhile", meanwhile },
	};

	return test_run(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
