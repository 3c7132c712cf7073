/*
 * A prefork server's shape: the parent attaches once, its children use that,
 * each as a client of its own from its first call on.
 *
 * All count requests in one published object.  One child is killed in the
 * middle of its work: the parent forks another, what the dead one had allocated
 * and not published comes back by itself, and no count is lost.
 *
 *	prefork [WORKERS [REQUESTS]]
 */
#include <err.h>
#include <inttypes.h>
#include <shmalloc/shmalloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What all share; plain memory, which each process sees at its own address. */
struct tally {
	_Atomic uint64_t requests;
	_Atomic uint64_t bytes;
};

/* The tally behind the root "prefork", made by whoever comes first. */
static struct tally *
tally_open(struct shmalloc *heap)
{
	shmalloc_slot *root;

	if (shmalloc_root(heap, "prefork", &root) != 0)
		errx(1, "no root");
	if (shmalloc_slot_load(root) == 0) {
		shmalloc_off off =
		    shmalloc_zalloc(heap, 1, sizeof(struct tally));

		if (off == 0)
			err(1, "no memory");
		/* Whoever loses gives his own back. */
		if (shmalloc_publish(heap, root, 0, off) != 0)
			shmalloc_free(heap, off);
	}
	return shmalloc_ptr(heap, shmalloc_slot_load(root));
}

/* Build an answer in memory of our own, count it, give it back. */
static void
request_serve(struct shmalloc *heap, struct tally *tally, size_t size)
{
	shmalloc_off answer = shmalloc_alloc(heap, size);

	if (answer == 0)
		errx(1, "%s", shmalloc_last_failure(heap)->reason);
	memset(shmalloc_ptr(heap, answer), 'x', size);
	atomic_fetch_add(&tally->bytes, size);
	atomic_fetch_add(&tally->requests, 1);
	shmalloc_free(heap, answer);
}

static pid_t
worker_fork(struct shmalloc *heap, struct tally *tally, unsigned n, int is_ill)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid > 0)
		return pid;
	for (unsigned i = 0; i < n; i++) {
		/* With an object in hand that nobody else knows of. */
		if (is_ill && i == n / 2 && shmalloc_alloc(heap, 100000) != 0)
			raise(SIGKILL);
		request_serve(heap, tally, 100 + i % 1000);
	}
	_exit(0);
}

int
main(int argc, char *argv[])
{
	unsigned n_workers = argc > 1 ? (unsigned)atoi(argv[1]) : 4;
	unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 10000;
	struct shmalloc *heap;

	if (n_workers < 1 || n < 1)
		errx(2, "usage: prefork [WORKERS [REQUESTS]]");
	int error = shmalloc_attach(NULL, NULL, &heap);

	if (error != 0)
		errx(1, "%s", shmalloc_strerror(error));
	struct tally *tally = tally_open(heap);
	uint64_t before = atomic_load(&tally->requests);

	for (unsigned i = 0; i < n_workers; i++)
		worker_fork(heap, tally, n, i == 0);
	for (int status; wait(&status) > 0;)
		if (WIFSIGNALED(status)) {
			puts("a worker was killed: another takes its place");
			worker_fork(heap, tally, n - n / 2, 0);
		}
	printf("%" PRIu64 " requests by %u workers\n",
	    atomic_load(&tally->requests) - before, n_workers);
	shmalloc_detach(heap);
	return 0;
}
