/*
 * What the clients of the end-to-end tests share.  Such a program is a table of
 * named tests; its argument says which one runs.  A test that finds something
 * wrong says where, and ends the process with 1.
 */
#ifndef E2E_CLIENT_H
#define E2E_CLIENT_H

#include <errno.h>
#include <inttypes.h>
#include <shmalloc/control.h>
#include <shmalloc/shmalloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition))                                              \
			check_failed(__FILE__, __LINE__, #condition);          \
	} while (0)

/* Two whole numbers are the same. */
#define CHECK_EQ(a, b)                                                         \
	check_equal(                                                           \
	    __FILE__, __LINE__, #a " == " #b, (long long)(a), (long long)(b))

struct test {
	const char *name;
	void (*run)(void);
};

static inline _Noreturn void
check_failed(const char *file, int line, const char *what)
{
	int error = errno;

	fprintf(stderr, "%s:%d: not so: %s (errno: %s)\n", file, line, what,
	    strerror(error));
	_exit(1);
}

static inline void
check_equal(
    const char *file, int line, const char *what, long long a, long long b)
{
	if (a == b)
		return;
	fprintf(stderr, "%s:%d: %lld and %lld\n", file, line, a, b);
	check_failed(file, line, what);
}

/* Attach to SEGMENT with FLAGS; it must work. */
static inline struct shmalloc *
heap_attach(const char *segment, uint32_t flags)
{
	struct shmalloc_options options = SHMALLOC_OPTIONS_INIT;
	struct shmalloc *heap = NULL;

	options.flags = flags;
	CHECK_EQ(shmalloc_attach(segment, &options, &heap), 0);
	return heap;
}

/* The figure KEY in the record GROUP of the exact statistics. */
static inline uint64_t
figure(const char *group, const char *key)
{
	struct shmalloc_control *control;
	struct shmalloc_reply *reply;
	uint64_t value = 0;

	CHECK_EQ(shmalloc_control_connect(NULL, 0, &control), 0);
	CHECK_EQ(
	    shmalloc_control_stats(control, NULL, SHMALLOC_EXACT, &reply), 0);
	CHECK_EQ(shmalloc_control_uint(shmalloc_control_object(
					   shmalloc_control_root(reply), group),
		     key, &value),
	    0);
	shmalloc_control_free(reply);
	shmalloc_control_disconnect(control);
	return value;
}

/* Wait until a figure is VALUE; fails after 20 seconds. */
static inline void
figure_wait(const char *group, const char *key, uint64_t value)
{
	struct timespec pause = { 0, 20000000 };

	for (int i = 0; i < 1000 && figure(group, key) != value; i++)
		(void)nanosleep(&pause, NULL);
	CHECK_EQ(figure(group, key), value);
}

/* Wait for the process PID, whose checks must all have held. */
static inline void
child_join(pid_t pid)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
}

/* Tell, and be told, one number through a pipe. */
static inline void
pipe_tell(const int ends[2], uint64_t value)
{
	CHECK_EQ(write(ends[1], &value, sizeof(value)), sizeof(value));
}

static inline uint64_t
pipe_hear(const int ends[2])
{
	uint64_t value;

	CHECK_EQ(read(ends[0], &value, sizeof(value)), sizeof(value));
	return value;
}

/* Run the test that the command line names. */
static inline int
test_run(int argc, char **argv, const struct test tests[], size_t n)
{
	for (size_t i = 0; argc > 1 && i < n; i++)
		if (strcmp(argv[1], tests[i].name) == 0) {
			tests[i].run();
			return 0;
		}
	fprintf(stderr, "usage: %s TEST; TEST is one of\n", argv[0]);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "\t%s\n", tests[i].name);
	return 2;
}

#endif
