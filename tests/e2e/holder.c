/*
 * A client that does what it is told, for tests of the programs.
 *
 *	holder [SEGMENT]
 *
 * Attaches, prints "ready PID", and reads a command a line:
 *
 *	alloc SIZE [N]     allocate N objects (1) and keep them
 *	align SIZE         allocate one at a multiple of 64
 *	resize SIZE        the last object
 *	free               free all of them
 *	sieve              free every second of them
 *	contend SIZE N     allocate and free an object N times in two threads
 *	threads SIZE N T   allocate N objects in each of T threads, one after
 *			   the other while all of them live, and keep them
 *	publish NAME SIZE  hang an object from the root NAME
 *	withdraw NAME      take it out again and retire it
 *	enter, exit        begin and end reading
 *	twice              free the last object twice
 *	disguise           put a true head into a payload, and free what it
 *	                   seems to belong to
 *	scribble           overwrite the head of the last object
 *	child SIZE         fork; the child's first call allocates SIZE bytes
 *	mend               write back what was there
 *	peek SIZE          say what the middle byte of a new object is
 *	stale SIZE         the same of one that was filled with 90 and freed
 *	abort              die by SIGABRT inside
 *
 * and answers with "done ..." each; an allocation that failed says why.  Ends
 * with its input, and detaches.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <shmalloc/shmalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELD_MAX 2000000

static struct shmalloc *heap;
static shmalloc_off held[HELD_MAX];
static size_t n_held;

static void
objects_alloc(size_t size, size_t n)
{
	size_t i;

	for (i = 0; i < n && n_held < HELD_MAX; i++) {
		shmalloc_off off = shmalloc_alloc(heap, size);

		if (off == 0)
			break;
		memset(shmalloc_ptr(heap, off), 0x5a, size);
		held[n_held++] = off;
	}
	if (i == n)
		printf("done %zu\n", i);
	else
		printf("done %zu %s\n", i, shmalloc_last_failure(heap)->reason);
}

static void
object_keep(shmalloc_off off)
{
	if (off != 0)
		held[n_held++] = off;
	printf("done %s\n", off ? "" : shmalloc_last_failure(heap)->reason);
}

static void
object_resize(size_t size)
{
	shmalloc_off before = n_held ? held[--n_held] : 0;
	shmalloc_off off = shmalloc_realloc(heap, before, size);

	if (off == 0 && before != 0)
		held[n_held++] = before;
	object_keep(off);
}

static void
objects_free(void)
{
	size_t n = n_held;

	while (n_held != 0)
		shmalloc_free(heap, held[--n_held]);
	printf("done %zu\n", n);
}

static void
objects_sieve(void)
{
	size_t n = n_held;

	n_held = 0;
	for (size_t i = 0; i < n; i++) {
		if (i % 2 == 0)
			held[n_held++] = held[i];
		else
			shmalloc_free(heap, held[i]);
	}
	printf("done %zu\n", n - n_held);
}

struct contender {
	pthread_t thread;
	size_t size, n;
};

static void *
contender_run(void *arg)
{
	const struct contender *self = arg;

	for (size_t i = 0; i < self->n; i++)
		shmalloc_free(heap, shmalloc_alloc(heap, self->size));
	return NULL;
}

static void
threads_contend(size_t size, size_t n)
{
	struct contender contenders[2] = { { 0, size, n }, { 0, size, n } };

	for (int i = 0; i < 2; i++)
		if (pthread_create(&contenders[i].thread, NULL, contender_run,
			&contenders[i]) != 0)
			abort();
	for (int i = 0; i < 2; i++)
		pthread_join(contenders[i].thread, NULL);
	printf("done\n");
}

struct turn {
	pthread_t thread;
	size_t size, n;
	pthread_barrier_t *end;
};

static void *
turn_run(void *arg)
{
	const struct turn *self = arg;
	static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&turn);
	for (size_t i = 0; i < self->n && n_held < HELD_MAX; i++)
		if ((held[n_held] = shmalloc_alloc(heap, self->size)) != 0)
			n_held++;
	pthread_mutex_unlock(&turn);
	pthread_barrier_wait(self->end);
	return NULL;
}

/* As long as none has ended each has a record of its own. */
static void
threads_alloc(size_t size, size_t n, size_t n_threads)
{
	struct turn turns[16];
	pthread_barrier_t end;

	n_threads = n_threads < 16 ? n_threads : 16;
	pthread_barrier_init(&end, NULL, (unsigned)n_threads);
	for (size_t i = 0; i < n_threads; i++) {
		turns[i] = (struct turn){ 0, size, n, &end };
		if (pthread_create(
			&turns[i].thread, NULL, turn_run, &turns[i]) != 0)
			abort();
	}
	for (size_t i = 0; i < n_threads; i++)
		pthread_join(turns[i].thread, NULL);
	pthread_barrier_destroy(&end);
	printf("done %zu\n", n_held);
}

static void
object_publish(const char *name, size_t size)
{
	shmalloc_slot *slot;
	int r = shmalloc_root(heap, name, &slot);

	if (r == 0)
		r = shmalloc_publish(heap, slot, 0, shmalloc_alloc(heap, size));
	printf("done %s\n", r == 0 ? "" : shmalloc_strerror(r));
}

static void
object_withdraw(const char *name)
{
	shmalloc_slot *slot;
	shmalloc_off off;
	int r = shmalloc_root(heap, name, &slot);

	if (r == 0) {
		off = shmalloc_slot_load(slot);
		r = shmalloc_publish(heap, slot, off, 0);
		if (r == 0)
			r = shmalloc_retire(heap, off);
	}
	printf("done %s\n", r == 0 ? "" : shmalloc_strerror(r));
}

static void
object_free_twice(void)
{
	if (n_held != 0) {
		shmalloc_free(heap, held[--n_held]);
		shmalloc_free(heap, held[n_held]);
	}
	printf("done\n");
}

/*
 * Keep the head of an object, end that object, put the head back into the
 * payload of one that lies there now, and free what it seems to belong to.
 */
static void
payload_disguise(void)
{
	shmalloc_off first = shmalloc_alloc(heap, 64);
	shmalloc_off off = shmalloc_alloc(heap, 64);
	char head[8];

	memcpy(head, (char *)shmalloc_ptr(heap, off) - 8, 8);
	shmalloc_free(heap, first);
	shmalloc_free(heap, off);
	for (int i = 0; i < 10000 && n_held < HELD_MAX; i++) {
		shmalloc_off cover = shmalloc_alloc(heap, 1000);

		held[n_held++] = cover;
		if (cover == 0 || cover >= off || off - cover > 900)
			continue;
		memcpy((char *)shmalloc_ptr(heap, off) - 8, head, 8);
		shmalloc_free(heap, off);
		printf("done disguised\n");
		return;
	}
	printf("done nothing lies there\n");
}

static char head_kept[8];

static void
head_scribble(void)
{
	char *head;

	if (n_held != 0) {
		head = (char *)shmalloc_ptr(heap, held[n_held - 1]) - 8;
		memcpy(head_kept, head, 8);
		memset(head, 0xff, 8);
	}
	printf("done\n");
}

static void
head_mend(void)
{
	if (n_held != 0)
		memcpy((char *)shmalloc_ptr(heap, held[n_held - 1]) - 8,
		    head_kept, 8);
	printf("done\n");
}

/* The child ends with it; its memory comes back without its help. */
static void
child_alloc(size_t size)
{
	int fds[2];
	char said[128] = "";

	if (pipe(fds) != 0)
		abort();
	pid_t pid = fork();
	if (pid == 0) {
		shmalloc_off off = shmalloc_alloc(heap, size);
		int error = errno;

		if (off != 0)
			dprintf(fds[1], "allocated");
		else
			dprintf(fds[1], "%s", strerror(error));
		_exit(0);
	}
	close(fds[1]);
	if (pid < 0 || read(fds[0], said, sizeof(said) - 1) < 0 ||
	    waitpid(pid, NULL, 0) != pid)
		abort();
	close(fds[0]);
	printf("done %s\n", said);
}

/* The byte in the middle of a new object, or, with IS_STALE, of one that was
 * written and freed: the memory is still there to look at. */
static void
object_peek(size_t size, int is_stale)
{
	shmalloc_off off = shmalloc_alloc(heap, size);
	unsigned char *at = shmalloc_ptr(heap, off);

	if (at == NULL) {
		printf("done %s\n", shmalloc_last_failure(heap)->reason);
		return;
	}
	if (is_stale) {
		memset(at, 90, size);
		shmalloc_free(heap, off);
	} else {
		held[n_held++] = off;
	}
	printf("done %d\n", at[size / 2]);
}

static void
line_run(char *line)
{
	char verb[32] = "", name[64] = "";
	size_t size = 0, n = 1, n_threads = 0;

	if (sscanf(line, "alloc %zu %zu", &size, &n) >= 1)
		objects_alloc(size, n);
	else if (sscanf(line, "align %zu", &size) == 1)
		object_keep(shmalloc_aligned_alloc(heap, 64, size));
	else if (sscanf(line, "resize %zu", &size) == 1)
		object_resize(size);
	else if (sscanf(line, "peek %zu", &size) == 1)
		object_peek(size, 0);
	else if (sscanf(line, "stale %zu", &size) == 1)
		object_peek(size, 1);
	else if (sscanf(line, "child %zu", &size) == 1)
		child_alloc(size);
	else if (sscanf(line, "contend %zu %zu", &size, &n) == 2)
		threads_contend(size, n);
	else if (sscanf(line, "threads %zu %zu %zu", &size, &n, &n_threads) ==
	    3)
		threads_alloc(size, n, n_threads);
	else if (sscanf(line, "publish %63s %zu", name, &size) == 2)
		object_publish(name, size);
	else if (sscanf(line, "withdraw %63s", name) == 1)
		object_withdraw(name);
	else if (sscanf(line, "%31s", verb) != 1)
		return;
	else if (strcmp(verb, "free") == 0)
		objects_free();
	else if (strcmp(verb, "sieve") == 0)
		objects_sieve();
	else if (strcmp(verb, "enter") == 0)
		printf("done %d\n", shmalloc_enter(heap));
	else if (strcmp(verb, "exit") == 0)
		printf("done %d\n", shmalloc_exit(heap));
	else if (strcmp(verb, "twice") == 0)
		object_free_twice();
	else if (strcmp(verb, "disguise") == 0)
		payload_disguise();
	else if (strcmp(verb, "scribble") == 0)
		head_scribble();
	else if (strcmp(verb, "mend") == 0)
		head_mend();
	else if (strcmp(verb, "abort") == 0)
		abort();
	else
		printf("done what? %s", line);
}

int
main(int argc, char **argv)
{
	struct shmalloc_options options = SHMALLOC_OPTIONS_INIT;
	char line[256];
	int r;

	options.label = getenv("HOLDER_LABEL");
	r = shmalloc_attach(argc > 1 ? argv[1] : NULL, &options, &heap);
	if (r < 0) {
		printf("failed: %s\n", shmalloc_strerror(r));
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d\n", (int)getpid());
	while (fgets(line, sizeof(line), stdin) != NULL)
		line_run(line);
	shmalloc_detach(heap);
	return 0;
}
