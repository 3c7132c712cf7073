/*
 * How long a death goes unnoticed, and how fast its memory comes back.
 *
 *	recovery [-r REPETITIONS] [-n CHUNKS,...] [-l LOAD]
 *
 * Each row is one death: a client that holds CHUNKS chunks of 64 bytes, and
 * allocates and frees one more straight from its arena meanwhile, is killed at
 * a random moment.  By the clock of the system:
 *
 *	exit_us      kill(2) to the kernel's word that it has ended (its pidfd)
 *	detect_us    kill(2) to the daemon's knowing of it
 *	repair_us    from there until the arenas whose locks it held are
 *	             repaired; empty: it held none
 *	reclaim_us   from there until all that it held is free
 *
 * LOAD processes keep allocating and freeing in the same segment meanwhile,
 * while one looks at the exact statistics again and again (0: nobody does).
 * The rows go to standard output as CSV; bench/recovery-table makes tables.
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmalloc/control.h>
#include <shmalloc/shmalloc.h>

#include "bench/bench.h"

#define CHUNK    64
#define BEYOND   300000 /* bytes; not kept in a thread's cache */
#define LOAD_MAX 64u

extern const struct bench_heap heap_shmalloc;

struct plan {
	unsigned repetitions, load;
	const char *chunks; /* a comma list */
	uint64_t seed;
	pid_t loads[LOAD_MAX + 1];
};

struct death {
	double killed, exited, noticed, repaired, ended;
	uint64_t chunks;
};

static double
time_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void
pause_us(uint64_t us)
{
	struct timespec time = { (time_t)(us / 1000000),
		(long)(us % 1000000) * 1000 };

	nanosleep(&time, NULL);
}

static uint64_t
random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static struct shmalloc *
heap_get(void)
{
	struct shmalloc *heap;
	int error = shmalloc_attach(NULL, NULL, &heap);

	if (error != 0)
		errx(1, "attach: %s", shmalloc_strerror(error));
	return heap;
}

static struct shmalloc_control *
control_get(void)
{
	struct shmalloc_control *control;
	int error = shmalloc_control_connect(NULL, 0, &control);

	if (error != 0)
		errx(1, "control: %s", shmalloc_strerror(error));
	return control;
}

/* ---- Those who die, and those who don't ---------------------------------- */

static _Noreturn void
victim_run(uint64_t chunks, int ready)
{
	struct shmalloc *heap;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	heap = heap_get();
	for (uint64_t i = 0; i < chunks; i++)
		if (shmalloc_alloc(heap, CHUNK) == 0)
			errx(1, "no memory for %llu chunks",
			    (unsigned long long)chunks);
	if (write(ready, "", 1) != 1)
		err(1, "write");
	for (;;)
		shmalloc_free(heap, shmalloc_alloc(heap, BEYOND));
}

static _Noreturn void
load_run(unsigned number)
{
	uint64_t random = number + 1;
	shmalloc_off held[1000] = { 0 };
	struct shmalloc *heap;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	heap = heap_get();
	for (;;) {
		shmalloc_off *place = &held[random_next(&random) % 1000];

		shmalloc_free(heap, *place);
		*place = shmalloc_alloc(heap, random % 4000);
	}
}

static _Noreturn void
looker_run(void)
{
	struct shmalloc_control *control;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	control = control_get();
	for (;;) {
		struct shmalloc_reply *reply;
		int error = shmalloc_control_stats(
		    control, NULL, SHMALLOC_EXACT, &reply);

		if (error == 0)
			shmalloc_control_free(reply);
		else if (error != SHMALLOC_EBUSY)
			errx(1, "stats: %s", shmalloc_strerror(error));
	}
}

static void
loads_start(struct plan *plan)
{
	for (unsigned i = 0; plan->load > 0 && i <= plan->load; i++) {
		plan->loads[i] = fork();
		if (plan->loads[i] == 0 && i == plan->load)
			looker_run();
		if (plan->loads[i] == 0)
			load_run(i);
	}
}

static void
loads_end(const struct plan *plan)
{
	for (unsigned i = 0; plan->load > 0 && i <= plan->load; i++) {
		kill(plan->loads[i], SIGKILL);
		waitpid(plan->loads[i], NULL, 0);
	}
}

/* ---- A death --------------------------------------------------------------
 */

static pid_t
victim_start(uint64_t chunks)
{
	int ready[2];
	pid_t pid;
	char byte;

	if (pipe(ready) != 0)
		err(1, "pipe");
	pid = fork();
	if (pid == 0)
		victim_run(chunks, ready[1]);
	close(ready[1]);
	if (pid < 0 || read(ready[0], &byte, 1) != 1)
		errx(1, "the client did not start");
	close(ready[0]);
	return pid;
}

static void
victim_kill(pid_t pid, struct death *death)
{
	struct pollfd end = { (int)syscall(SYS_pidfd_open, pid, 0), POLLIN, 0 };

	if (end.fd < 0)
		err(1, "pidfd_open");
	death->killed = time_now();
	kill(pid, SIGKILL);
	while (poll(&end, 1, -1) != 1)
		continue;
	death->exited = time_now();
	close(end.fd);
	waitpid(pid, NULL, 0);
}

/* What the daemon says about the client that had PID; false: not yet. */
static bool
death_read(struct shmalloc_control *control, pid_t pid, struct death *death)
{
	const struct shmalloc_record *client;
	struct shmalloc_reply *reply;
	bool is_over;
	int error =
	    shmalloc_control_clients(control, NULL, (uint32_t)pid, &reply);

	if (error != 0)
		errx(1, "clients: %s", shmalloc_strerror(error));
	client =
	    shmalloc_control_item(shmalloc_control_root(reply), "clients", 0);
	is_over = shmalloc_control_double(client, "ended", &death->ended) == 0;
	if (is_over) {
		(void)shmalloc_control_double(
		    client, "noticed", &death->noticed);
		(void)shmalloc_control_double(
		    client, "repaired", &death->repaired);
		(void)shmalloc_control_uint(
		    client, "reclaimed_chunks", &death->chunks);
	}
	shmalloc_control_free(reply);
	return is_over;
}

static void
us_print(double from, double to)
{
	if (to > 0)
		printf(",%.1f", (to - from) * 1e6);
	else
		putchar(',');
}

static void
death_measure(struct plan *plan, uint64_t chunks, unsigned repetition)
{
	struct shmalloc_control *control = control_get();
	struct death death = { .killed = 0 };
	pid_t pid = victim_start(chunks);

	pause_us(2000 + random_next(&plan->seed) % 3000);
	victim_kill(pid, &death);
	/* Not at once: the question is work for the daemon, too. */
	do
		pause_us(20000);
	while (!death_read(control, pid, &death));
	printf("%u,%llu,%u,%llu", plan->load, (unsigned long long)chunks,
	    repetition, (unsigned long long)death.chunks);
	us_print(death.killed, death.exited);
	us_print(death.killed, death.noticed);
	us_print(death.noticed, death.repaired);
	us_print(death.noticed, death.ended);
	putchar('\n');
	fflush(stdout);
	shmalloc_control_disconnect(control);
}

static void
plan_parse(struct plan *plan, int argc, char *argv[])
{
	int option;

	while ((option = getopt(argc, argv, "r:n:l:")) != -1)
		switch (option) {
		case 'r':
			plan->repetitions = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			plan->chunks = optarg;
			break;
		case 'l':
			plan->load = (unsigned)strtoul(optarg, NULL, 10);
			break;
		default:
			errx(2, "see bench/README.md");
		}
	if (plan->load > LOAD_MAX)
		errx(2, "at most %u processes of load", LOAD_MAX);
}

int
main(int argc, char *argv[])
{
	struct plan plan = { .repetitions = 5,
		.chunks = "10,1000,100000,1000000",
		.seed = 88172645463325252u };
	const char *why;

	plan_parse(&plan, argc, argv);
	why = heap_shmalloc.open();
	if (why != NULL)
		errx(1, "%s", why);
	puts("load,chunks,repetition,reclaimed,exit_us,detect_us,repair_us,"
	     "reclaim_us");
	fflush(stdout);
	loads_start(&plan);
	for (unsigned i = 1; i <= plan.repetitions; i++)
		for (const char *at = plan.chunks; *at != '\0';) {
			death_measure(&plan, strtoull(at, NULL, 10), i);
			at += strcspn(at, ",");
			at += *at == ',';
		}
	loads_end(&plan);
	heap_shmalloc.close();
	return 0;
}
