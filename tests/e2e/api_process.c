/*
 * Threads, forks, programs run in a child, read-only clients: the promises
 * about processes.  Run by api.bats.
 */
#include <pthread.h>
#include <sys/mman.h>

#include "tests/e2e/client.h"

#define THREADS 8
#define PLACES  64
#define ROUNDS  20000

static struct shmalloc *shared_heap;
static _Atomic(shmalloc_off) place[PLACES];

/* Swap objects with the other threads, and free whatever comes out. */
static void *
swapper_run(void *arg)
{
	unsigned random = (unsigned)(uintptr_t)arg * 2654435761u + 1;

	for (int i = 0; i < ROUNDS; i++) {
		shmalloc_off off;
		size_t size;

		random = random * 1103515245u + 12345;
		size = random >> 8 & (i % 100 ? 2047 : 262143);
		off = shmalloc_alloc(shared_heap, size);
		CHECK(off != 0);
		memset(shmalloc_ptr(shared_heap, off), (int)random, size);
		off = atomic_exchange(&place[random >> 20 & 63], off);
		shmalloc_free(shared_heap, off);
	}
	return NULL;
}

static void
threads(void)
{
	pthread_t thread[THREADS];
	struct shmalloc *heap = heap_attach(NULL, 0);

	shared_heap = heap;
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(
			     &thread[i], NULL, swapper_run, (void *)(i + 1)),
		    0);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(thread[i], NULL), 0);
	/* Their caches have gone back, and what they left is what there is. */
	CHECK_EQ(figure("bytes", "cached"), 0);
	CHECK(figure("bytes", "allocated") > 0);
	for (int i = 0; i < PLACES; i++)
		shmalloc_free(heap, place[i]);
	CHECK_EQ(figure("bytes", "allocated"), 0);
	shmalloc_detach(heap);
}

static void
free_elsewhere(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off small = shmalloc_alloc(heap, 100);
	shmalloc_off large = shmalloc_alloc(heap, 1000000);
	pid_t child = fork();

	if (child == 0) {
		shmalloc_free(heap, small);
		shmalloc_free(heap, large);
		shmalloc_detach(heap);
		_exit(0);
	}
	child_join(child);
	CHECK_EQ(shmalloc_usable_size(heap, small), 0);
	CHECK_EQ(shmalloc_usable_size(heap, large), 0);
	CHECK_EQ(figure("bytes", "allocated"), 0);
	shmalloc_detach(heap);
}

/* In a fork of a fork of ...: DEPTH more; what each allocates is its own. */
static void
fork_nested(struct shmalloc *heap, int depth)
{
	shmalloc_off off = shmalloc_zalloc(heap, 1, 50000);
	pid_t child;

	CHECK(off != 0);
	memset(shmalloc_ptr(heap, off), depth, 50000);
	if (depth == 0)
		return;
	child = fork();
	if (child == 0) {
		fork_nested(heap, depth - 1);
		_exit(0); /* without a detach */
	}
	child_join(child);
	CHECK_EQ(*(char *)shmalloc_ptr(heap, off), depth);
	CHECK(shmalloc_usable_size(heap, off) >= 50000);
}

static void
forks(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);

	fork_nested(heap, 4);
	/* The four children's came back, the parent's stayed. */
	figure_wait("clients", "reclaimed_total", 4);
	CHECK_EQ(figure("clients", "alive"), 1);
	CHECK(figure("bytes", "allocated") >= 50000);
	CHECK(figure("bytes", "allocated") < 100000);
	shmalloc_detach(heap);
	figure_wait("bytes", "allocated", 0);
}

/* The parent dies first; what the child has is the child's. */
static void
fork_orphans(void)
{
	int ends[2], gate[2];
	pid_t parent, child = 0;

	CHECK(pipe(ends) == 0 && pipe(gate) == 0);
	parent = fork();
	if (parent == 0) {
		struct shmalloc *heap = heap_attach(NULL, 0);

		CHECK(shmalloc_alloc(heap, 70000) != 0);
		child = fork();
		if (child == 0) {
			shmalloc_off off = shmalloc_alloc(heap, 50000);

			CHECK(off != 0);
			pipe_tell(ends, 1);
			(void)pipe_hear(gate);
			CHECK(shmalloc_usable_size(heap, off) >= 50000);
			shmalloc_detach(heap);
			pipe_tell(ends, 2);
			_exit(0);
		}
		pipe_tell(gate, pipe_hear(ends));
		_exit(0);
	}
	child_join(parent);
	CHECK_EQ(pipe_hear(ends), 2);
	figure_wait("bytes", "allocated", 0);
}

/* A child that gives up waiting, and tries again, has one slot in the end. */
static void
fork_in_vain(void)
{
	struct shmalloc_options options = SHMALLOC_OPTIONS_INIT;
	pid_t daemon = (pid_t)figure("daemon", "pid"), child;
	struct shmalloc *heap;

	options.attach_timeout_ms = 20;
	CHECK_EQ(shmalloc_attach(NULL, &options, &heap), 0);
	CHECK(kill(daemon, SIGSTOP) == 0);
	child = fork();
	if (child == 0) {
		for (int i = 0; i < 20; i++)
			CHECK(shmalloc_alloc(heap, 100) == 0);
		CHECK(kill(daemon, SIGCONT) == 0);
		while (shmalloc_alloc(heap, 100) == 0)
			(void)usleep(10000);
		figure_wait("clients", "alive", 2);
		shmalloc_detach(heap);
		_exit(0);
	}
	child_join(child);
	shmalloc_detach(heap);
}

/* How many descriptors has a program that is run from here? */
static int
descriptors(void)
{
	FILE *list = popen("ls /proc/self/fd", "r");
	char line[32];
	int n = 0;

	CHECK(list != NULL);
	while (fgets(line, sizeof(line), list) != NULL)
		n++;
	CHECK_EQ(pclose(list), 0);
	return n;
}

static void
exec_leaks_nothing(void)
{
	int before = descriptors();
	struct shmalloc *heap = heap_attach(NULL, 0);

	CHECK(shmalloc_alloc(heap, 100) != 0);
	CHECK_EQ(descriptors(), before);
	shmalloc_detach(heap);
}

static void
read_only(void)
{
	struct shmalloc *writer = heap_attach(NULL, 0), *heap;
	shmalloc_off off = shmalloc_zalloc(writer, 1, 100);
	shmalloc_slot *slot;

	CHECK_EQ(shmalloc_root(writer, "there", &slot), 0);
	CHECK_EQ(shmalloc_publish(writer, slot, 0, off), 0);
	strcpy(shmalloc_ptr(writer, off), "words");
	heap = heap_attach(NULL, SHMALLOC_READ_ONLY);
	errno = 0;
	CHECK_EQ(shmalloc_alloc(heap, 10), 0);
	CHECK_EQ(errno, EROFS);
	errno = 0;
	CHECK_EQ(shmalloc_aligned_alloc(heap, 64, 10), 0);
	CHECK_EQ(errno, EROFS);
	errno = 0;
	CHECK_EQ(shmalloc_realloc(heap, off, 10), 0);
	CHECK_EQ(errno, EROFS);
	shmalloc_free(heap, off);
	CHECK_EQ(shmalloc_root(heap, "absent", &slot), SHMALLOC_EREADONLY);
	CHECK_EQ(shmalloc_root_remove(heap, "there"), SHMALLOC_EREADONLY);
	CHECK_EQ(shmalloc_root(heap, "there", &slot), 0);
	CHECK_EQ(shmalloc_publish(heap, slot, off, 0), SHMALLOC_EREADONLY);
	CHECK_EQ(shmalloc_enter(heap), 0);
	CHECK_EQ(shmalloc_slot_load(slot), off);
	CHECK(strcmp(shmalloc_ptr(heap, off), "words") == 0);
	CHECK_EQ(shmalloc_exit(heap), 0);
	CHECK(shmalloc_usable_size(writer, off) >= 100);
	shmalloc_detach(heap);
	shmalloc_detach(writer);
}

static void
two_segments(void)
{
	struct shmalloc *heap[2];
	shmalloc_off off[2][100];

	heap[0] = heap_attach(NULL, 0);
	heap[1] = heap_attach("other", 0);
	for (int i = 0; i < 200; i++) {
		off[i % 2][i / 2] = shmalloc_alloc(heap[i % 2], 100);
		memset(
		    shmalloc_ptr(heap[i % 2], off[i % 2][i / 2]), i % 2, 100);
	}
	for (int i = 0; i < 200; i++) {
		CHECK_EQ(*(char *)shmalloc_ptr(heap[i % 2], off[i % 2][i / 2]),
		    i % 2);
		shmalloc_free(heap[i % 2], off[i % 2][i / 2]);
	}
	shmalloc_detach(heap[0]);
	CHECK(shmalloc_alloc(heap[1], 100) != 0);
	shmalloc_detach(heap[1]);
}

/* The line KEY of the mapping that holds ADDRESS, into LINE. */
static void
mapping_line(const void *address, const char *key, char line[256])
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	uintptr_t from, to;
	bool is_it = false;

	CHECK(maps != NULL);
	while (fgets(line, 256, maps) != NULL) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
			is_it = from <= (uintptr_t)address &&
			    (uintptr_t)address < to;
		else if (is_it && strncmp(line, key, strlen(key)) == 0)
			break;
	}
	CHECK(!feof(maps));
	(void)fclose(maps);
}

static void
mapping(void)
{
	struct shmalloc *heap;
	char line[256];
	unsigned long resident;

	CHECK_EQ(mlockall(MCL_CURRENT | MCL_FUTURE), 0);
	heap = heap_attach(NULL, 0);
	mapping_line(
	    shmalloc_ptr(heap, shmalloc_alloc(heap, 100)), "Rss:", line);
	CHECK_EQ(sscanf(line, "Rss: %lu kB", &resident), 1);
	CHECK(resident < 16384);
	CHECK(figure("bytes", "resident") < 16u << 20);
	mapping_line(
	    shmalloc_ptr(heap, shmalloc_alloc(heap, 100)), "VmFlags:", line);
	CHECK(strstr(line, " dd") != NULL);
	shmalloc_detach(heap);
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "threads", threads },
		{ "free_elsewhere", free_elsewhere },
		{ "forks", forks },
		{ "fork_orphans", fork_orphans },
		{ "fork_in_vain", fork_in_vain },
		{ "exec_leaks_nothing", exec_leaks_nothing },
		{ "read_only", read_only },
		{ "two_segments", two_segments },
		{ "mapping", mapping },
	};

	return test_run(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
