/*
 * Processes that fork after they have attached, as prefork servers do.  Run by
 * fork.bats; each test has a daemon of its own.
 */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/time.h>

#include "tests/e2e/client.h"

#define WORKERS 8
#define OBJECTS 500

extern char **environ;

/* Fork a process that does WHAT and ends without a detach. */
static pid_t
child_make(void (*what)(struct shmalloc *heap, void *arg),
    struct shmalloc *heap, void *arg)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0) {
		what(heap, arg);
		_exit(0);
	}
	return pid;
}

/* ---- Prefork ----------------------------------------------------------------
 */

struct prefork {
	shmalloc_off parents; /* holds 'p', is the parent's */
	int told[2], gate[2];
};

/* Allocate much, free some, and stay until the gate opens. */
static void
worker(struct shmalloc *heap, void *arg)
{
	const struct prefork *prefork = arg;
	shmalloc_off off[OBJECTS];

	CHECK(*(char *)shmalloc_ptr(heap, prefork->parents) == 'p');
	for (int i = 0; i < OBJECTS; i++) {
		off[i] = shmalloc_alloc(heap, 1000);
		CHECK(off[i] != 0);
		memset(shmalloc_ptr(heap, off[i]), getpid() & 0x7f, 1000);
	}
	for (int i = 0; i < OBJECTS; i++)
		CHECK(*(char *)shmalloc_ptr(heap, off[i]) == (getpid() & 0x7f));
	for (int i = 0; i < OBJECTS; i += 2)
		shmalloc_free(heap, off[i]);
	pipe_tell(prefork->told, (uint64_t)getpid());
	(void)pipe_hear(prefork->gate);
}

/* Each worker is a client of its own, the parent keeps what it has, and what a
 * killed worker had comes back while the others go on. */
static void
prefork(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	struct prefork prefork = { .parents = shmalloc_alloc(heap, 100) };
	pid_t pid[WORKERS];
	uint64_t held;

	*(char *)shmalloc_ptr(heap, prefork.parents) = 'p';
	CHECK(pipe(prefork.told) == 0 && pipe(prefork.gate) == 0);
	for (int i = 0; i < WORKERS; i++)
		pid[i] = child_make(worker, heap, &prefork);
	for (int i = 0; i < WORKERS; i++)
		(void)pipe_hear(prefork.told);
	CHECK_EQ(figure("clients", "alive"), WORKERS + 1);
	held = figure("bytes", "allocated");
	CHECK(held >= WORKERS * OBJECTS / 2 * 1000 + 100);
	for (int i = 0; i < WORKERS / 2; i++)
		CHECK_EQ(kill(pid[i], SIGKILL), 0);
	figure_wait("clients", "reclaimed_total", WORKERS / 2);
	CHECK(figure("bytes", "allocated") < held / 2 + 2000);
	CHECK(*(char *)shmalloc_ptr(heap, prefork.parents) == 'p');
	for (int i = WORKERS / 2; i < WORKERS; i++)
		pipe_tell(prefork.gate, 1);
	for (int i = 0; i < WORKERS; i++)
		CHECK_EQ(waitpid(pid[i], NULL, 0), pid[i]);
	figure_wait("clients", "reclaimed_total", WORKERS);
	CHECK(figure("bytes", "allocated") < 1000);
	CHECK(shmalloc_usable_size(heap, prefork.parents) >= 100);
	shmalloc_detach(heap);
	figure_wait("bytes", "allocated", 0);
}

/* ---- What a child may do with what is the parent's -------------------------
 */

static void
foreign(struct shmalloc *heap, void *arg)
{
	shmalloc_off *off = arg;
	shmalloc_slot *slot;

	CHECK_EQ(shmalloc_root(heap, "fork", &slot), 0);
	/* Not the child's, so not for it to publish, share or resize. */
	CHECK_EQ(shmalloc_publish(heap, slot, 0, off[0]), SHMALLOC_ENOTOWNER);
	CHECK_EQ(shmalloc_share(heap, off[0]), SHMALLOC_ENOTOWNER);
	errno = 0;
	CHECK_EQ(shmalloc_realloc(heap, off[0], 5000), 0);
	CHECK_EQ(errno, EPERM);
	/* But anybody may free. */
	shmalloc_free(heap, off[1]);
}

static void
parents_stay_the_parents(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off[2] = { shmalloc_alloc(heap, 100),
		shmalloc_alloc(heap, 60000) };
	shmalloc_slot *slot;

	child_join(child_make(foreign, heap, off));
	figure_wait("clients", "reclaimed_total", 1);
	CHECK_EQ(shmalloc_usable_size(heap, off[1]), 0);
	CHECK_EQ(shmalloc_root(heap, "fork", &slot), 0);
	CHECK_EQ(shmalloc_publish(heap, slot, 0, off[0]), 0);
	CHECK_EQ(shmalloc_publish(heap, slot, off[0], 0), 0);
	CHECK_EQ(shmalloc_retire(heap, off[0]), 0);
	shmalloc_detach(heap);
	figure_wait("bytes", "allocated", 0);
}

/* Inside a read, the parent's pin is the parent's: the child is outside. */
static void
reader_child(struct shmalloc *heap, void *arg)
{
	(void)arg;
	CHECK_EQ(shmalloc_exit(heap), SHMALLOC_EINVAL);
	CHECK_EQ(shmalloc_enter(heap), 0);
	CHECK_EQ(shmalloc_exit(heap), 0);
}

static void
reading(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);

	CHECK_EQ(shmalloc_enter(heap), 0);
	child_join(child_make(reader_child, heap, NULL));
	CHECK_EQ(shmalloc_exit(heap), 0);
	shmalloc_detach(heap);
}

/* ---- Threads ---------------------------------------------------------------
 */

static struct shmalloc *churned;
static _Atomic bool is_over;

static void *
churner(void *arg)
{
	shmalloc_off held[64] = { 0 };
	unsigned random = (unsigned)(uintptr_t)arg;

	while (!is_over) {
		shmalloc_off *place;

		random = random * 1103515245u + 12345;
		place = &held[random >> 16 & 63];
		shmalloc_free(churned, *place);
		/* All kinds: cached, from an arena, extents. */
		*place = shmalloc_alloc(churned,
		    random % 3 == 0       ? 200000
			: random % 3 == 1 ? 40000
					  : random >> 8 & 1023);
	}
	for (int i = 0; i < 64; i++)
		shmalloc_free(churned, held[i]);
	return NULL;
}

static void
child_of_threads(struct shmalloc *heap, void *arg)
{
	pthread_t thread;
	shmalloc_off off = shmalloc_alloc(heap, 30000);

	(void)arg;
	CHECK(off != 0);
	is_over = false;
	CHECK_EQ(pthread_create(&thread, NULL, churner, (void *)7), 0);
	for (int i = 0; i < 200; i++)
		shmalloc_free(heap, shmalloc_alloc(heap, (size_t)i * 400));
	is_over = true;
	CHECK_EQ(pthread_join(thread, NULL), 0);
	shmalloc_free(heap, off);
}

/* Forks that find other threads anywhere in an allocation or a free. */
static void
threads_inside(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	pthread_t thread[3];

	churned = heap;
	for (uintptr_t i = 0; i < 3; i++)
		CHECK_EQ(
		    pthread_create(&thread[i], NULL, churner, (void *)(i + 1)),
		    0);
	for (int i = 0; i < 60; i++)
		child_join(child_make(child_of_threads, heap, NULL));
	is_over = true;
	for (int i = 0; i < 3; i++)
		CHECK_EQ(pthread_join(thread[i], NULL), 0);
	figure_wait("clients", "reclaimed_total", 60);
	figure_wait("bytes", "allocated", 0);
	shmalloc_detach(heap);
}

/* Threads that fork while each allocates itself. */
static void *
forker(void *arg)
{
	(void)arg;
	for (int i = 0; i < 10; i++) {
		shmalloc_off off = shmalloc_alloc(churned, 3000);

		CHECK(off != 0);
		child_join(child_make(child_of_threads, churned, NULL));
		CHECK(shmalloc_usable_size(churned, off) >= 3000);
		shmalloc_free(churned, off);
	}
	return NULL;
}

static void
threads_fork(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	pthread_t thread[4];

	churned = heap;
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_create(&thread[i], NULL, forker, NULL), 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(pthread_join(thread[i], NULL), 0);
	figure_wait("clients", "reclaimed_total", 40);
	figure_wait("bytes", "allocated", 0);
	shmalloc_detach(heap);
}

/* ---- Other programs --------------------------------------------------------
 */

/* How many of our descriptors does a program that runs from here have? */
static void
program_check(pid_t pid)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
}

/* Is a memfd or a socket of shmalloc's among this process's descriptors? */
static void
nothing_leaked(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;

	CHECK(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		char path[300], name[300];
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
		len = readlink(path, name, sizeof(name) - 1);
		if (len <= 0)
			continue;
		name[len] = '\0';
		CHECK(strstr(name, "shmalloc:") == NULL);
		CHECK(strncmp(name, "socket:", 7) != 0);
		CHECK(strstr(name, "pidfd") == NULL);
	}
	closedir(dir);
}

static void
programs(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	char *arguments[] = { (char *)"fork", (char *)"nothing_leaked", NULL };
	shmalloc_off off = shmalloc_alloc(heap, 1000);
	pid_t pid;

	CHECK(off != 0);
	CHECK_EQ(
	    posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ),
	    0);
	program_check(pid);
	pid = vfork();
	if (pid == 0) {
		execv("/proc/self/exe", arguments);
		_exit(99);
	}
	program_check(pid);
	/* Also from a child that has become a client of its own. */
	pid = fork();
	if (pid == 0) {
		CHECK(shmalloc_alloc(heap, 5000) != 0);
		execv("/proc/self/exe", arguments);
		_exit(99);
	}
	program_check(pid);
	figure_wait("clients", "reclaimed_total", 1);
	CHECK_EQ(figure("clients", "alive"), 1);
	CHECK(shmalloc_usable_size(heap, off) >= 1000);
	shmalloc_free(heap, off);
	figure_wait("bytes", "allocated", 0);
	shmalloc_detach(heap);
}

/* ---- Generations -----------------------------------------------------------
 */

/* A child that never calls is no client, and holds nobody's death back. */
static void
silent_child(void)
{
	int told[2], gate[2];
	pid_t parent, child;

	CHECK(pipe(told) == 0 && pipe(gate) == 0);
	parent = fork();
	if (parent == 0) {
		struct shmalloc *heap = heap_attach(NULL, 0);

		CHECK(shmalloc_alloc(heap, 70000) != 0);
		child = fork();
		if (child == 0) {
			/* It has the socket, the mapping, and the memory. */
			pipe_tell(told, (uint64_t)getpid());
			(void)pipe_hear(gate);
			/* Only now is it a client; its parent is gone. */
			CHECK(shmalloc_alloc(heap, 100) != 0);
			pipe_tell(told, 0);
			shmalloc_detach(heap);
			_exit(0);
		}
		pause();
	}
	(void)pipe_hear(told);
	CHECK_EQ(kill(parent, SIGKILL), 0);
	CHECK_EQ(waitpid(parent, NULL, 0), parent);
	figure_wait("clients", "reclaimed_total", 1);
	CHECK_EQ(figure("bytes", "allocated"), 0);
	CHECK_EQ(figure("clients", "alive"), 0);
	pipe_tell(gate, 1);
	CHECK_EQ(pipe_hear(told), 0);
	figure_wait("clients", "reclaimed_total", 2);
}

/* A detach in a child that was never a client gives nothing away. */
static void
child_detaches(struct shmalloc *heap, void *arg)
{
	(void)arg;
	shmalloc_detach(heap);
}

static void
detach_in_child(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off = shmalloc_alloc(heap, 1000);

	child_join(child_make(child_detaches, heap, NULL));
	CHECK_EQ(figure("clients", "alive"), 1);
	CHECK(shmalloc_usable_size(heap, off) >= 1000);
	CHECK(shmalloc_alloc(heap, 1000) != 0);
	shmalloc_detach(heap);
	figure_wait("bytes", "allocated", 0);
}

/* ---- A handler that forks ---------------------------------------------------
 */

#define HANDLER_FORKS 300
#define HANDLER_KEPT  64

static volatile sig_atomic_t is_child, may_fork, n_forked;

/* The child goes on where the parent was. */
static void
on_alarm_fork(int signal)
{
	int saved = errno;
	pid_t pid;

	(void)signal;
	if (!may_fork || is_child)
		return;
	pid = fork();
	if (pid == 0)
		is_child = 1;
	else if (pid > 0)
		n_forked++;
	errno = saved;
}

static void
alarms_set(long us)
{
	struct itimerval timer = { { 0, us }, { 0, us } };

	CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

/* Allocate; who comes back as a child of a handler ends. */
static shmalloc_off
interrupted_alloc(struct shmalloc *heap, size_t len)
{
	shmalloc_off off;

	may_fork = 1;
	off = shmalloc_alloc(heap, len);
	may_fork = 0;
	if (is_child)
		_exit(0);
	return off;
}

static struct shmalloc *lost_heap;

/* What a child finds that was forked where a call is refused. */
static void
lost_child(void)
{
	shmalloc_slot *root;

	CHECK(shmalloc_alloc(lost_heap, 100) == 0 && errno == ESTALE);
	CHECK_EQ(shmalloc_root(lost_heap, "r", &root), SHMALLOC_EGONE);
	CHECK_EQ(shmalloc_root_remove(lost_heap, "r"), SHMALLOC_EGONE);
	CHECK_EQ(shmalloc_enter(lost_heap), SHMALLOC_EGONE);
	CHECK_EQ(shmalloc_usable_size(lost_heap, 64), 0);
	shmalloc_detach(lost_heap);
	shmalloc_detach(heap_attach(NULL, 0));
	_exit(7);
}

static void
on_alarm_look(int signal)
{
	(void)signal;
	errno = 0;
	if (!may_fork || shmalloc_alloc(lost_heap, 100) != 0 ||
	    errno != EDEADLK)
		return;
	may_fork = 0;
	n_forked++;
	if (fork() == 0)
		lost_child();
}

/* Such a child has lost the heap, is told so, and may attach anew. */
static void
handler_child_looks(void)
{
	struct sigaction action = { .sa_handler = on_alarm_look };
	int status;

	lost_heap = heap_attach(NULL, 0);
	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	alarms_set(500);
	may_fork = 1;
	while (n_forked == 0)
		shmalloc_free(lost_heap, shmalloc_alloc(lost_heap, 1000));
	alarms_set(0);
	CHECK(wait(&status) > 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	shmalloc_detach(lost_heap);
	figure_wait("bytes", "allocated", 0);
}

/* How many of our children came to a bad end, where they had no business. */
static int
children_lost(void)
{
	int status, n = 0;

	for (int i = 0; i < n_forked; i++) {
		CHECK(wait(&status) > 0);
		n += status != 0;
	}
	return n;
}

/* What a child does in the middle of its parent's call is not done to its
 * parent: it finds no heap there. */
static void
handler_forks(void)
{
	struct sigaction action = { .sa_handler = on_alarm_fork };
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off kept[HANDLER_KEPT] = { 0 };
	size_t len[HANDLER_KEPT];

	action.sa_flags = SA_RESTART;
	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	alarms_set(2000);
	for (size_t i = 0; n_forked < HANDLER_FORKS; i++) {
		size_t k = i * 7 % HANDLER_KEPT;
		const unsigned char *at = shmalloc_ptr(heap, kept[k]);

		for (size_t j = 0; kept[k] != 0 && j < len[k]; j++)
			CHECK(at[j] == (unsigned char)k);
		shmalloc_free(heap, kept[k]);
		len[k] = 16 + i * 131 % 3000;
		kept[k] = interrupted_alloc(heap, len[k]);
		CHECK(kept[k] != 0);
		memset(shmalloc_ptr(heap, kept[k]), (int)k, len[k]);
	}
	alarms_set(0);
	CHECK(children_lost() > 0);
	figure_wait("clients", "alive", 1);
	shmalloc_detach(heap);
	figure_wait("bytes", "allocated", 0);
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "prefork", prefork },
		{ "parents_stay_the_parents", parents_stay_the_parents },
		{ "reading", reading },
		{ "threads_inside", threads_inside },
		{ "threads_fork", threads_fork },
		{ "programs", programs },
		{ "nothing_leaked", nothing_leaked },
		{ "silent_child", silent_child },
		{ "detach_in_child", detach_in_child },
		{ "handler_forks", handler_forks },
		{ "handler_child_looks", handler_child_looks },
	};

	return test_run(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
