/*
 * How costs grow: with the objects that are live, with the clients, and with
 * the segment; ours beside a private heap, by turns.
 *
 *	growth [-h HEAP,...] [-o OBJECTS,...] [-c CLIENTS,...] [-m MIB,...]
 *	       [-r REPETITIONS] [-t SECONDS]
 *
 * Three series, of which an empty list leaves one out: `objects` of 16 to 112
 * bytes with one client; `clients` with 10^6 such objects in all; `segment`,
 * one client with 10^5 of them in limits of so many MiB, of which seven eighths
 * are taken by objects of 1 MiB that nobody touches.  The rows go to standard
 * output as CSV; a point that the machine has no memory for, or that fails, has
 * a `why` instead of figures. bench/growth-table makes tables.
 */
#include "bench/growth.h"

#include <err.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB         (UINT64_C(1) << 20)
#define CLIENTS_OF  UINT64_C(1000000) /* objects of the series `clients` */
#define SEGMENT_OF  UINT64_C(100000)  /* of the series `segment` */
#define BYTES_LEAST (1024 * MIB)      /* of a limit */

struct plan {
	const char *heaps, *objects, *clients, *mib; /* comma lists */
	unsigned repetitions, repetition;
	double seconds;
};

/* ---- A row ----------------------------------------------------------------
 */

/* Bytes that the machine can give without swapping. */
static uint64_t
memory_available(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[200];

	if (file == NULL)
		err(1, "/proc/meminfo");
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	fclose(file);
	return kib * 1024;
}

/* What the objects, their heads and our references to them take. */
static uint64_t
memory_needed(const struct growth_point *point)
{
	return point->objects *
	    ((GROWTH_SIZE_LEAST + GROWTH_SIZE_MOST) / 2 + 16 + 8) +
	    point->ballast * GROWTH_BALLAST;
}

/* The measuring process's; NULL, or why there are no figures. */
static const char *
point_run(const struct bench_heap *heap, const struct growth_point *point,
    double seconds, struct growth_result *result)
{
	static char why[64];
	int status;
	pid_t pid;

	/* A quarter more: fragments, caches, page tables. */
	if (memory_needed(point) / 4 * 5 > memory_available())
		return "not enough memory";
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid == 0) {
		growth_measure(heap, point, seconds, result);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	if (status == 0)
		return NULL;
	if (WIFEXITED(status) && WEXITSTATUS(status) == BENCH_NO_MEMORY)
		return "no memory";
	snprintf(why, sizeof(why), "it failed (status %d)", status);
	return why;
}

static void
figure_print(double figure)
{
	if (isnan(figure))
		putchar(',');
	else
		printf(",%.2f", figure);
}

static void
row_print(const struct plan *plan, const char *series,
    const struct bench_heap *heap, const struct growth_point *point)
{
	struct growth_result *result = bench_map(sizeof(*result));
	const char *why;

	fprintf(stderr,
	    "growth: repetition %u, %s, %s: %llu objects, %u clients, "
	    "%llu MiB\n",
	    plan->repetition, series, heap->name,
	    (unsigned long long)point->objects, point->clients,
	    (unsigned long long)(point->limit / MIB));
	why = point_run(heap, point, plan->seconds, result);
	printf("%s,%s,%llu,%u,%llu,%u", series, heap->name,
	    (unsigned long long)point->objects, point->clients,
	    (unsigned long long)(point->limit / MIB), plan->repetition);
	if (why != NULL) {
		fprintf(stderr, "growth: %s\n", why);
		printf(",,,,,,,,%s\n", why);
	} else {
		figure_print(result->op_ns);
		figure_print(result->attach_us);
		figure_print(result->first_us);
		figure_print(result->stats_us);
		figure_print(result->exact_ms);
		figure_print(result->check_ms);
		figure_print(result->reclaim_ms);
		puts(",");
	}
	fflush(stdout);
}

/* ---- Series ---------------------------------------------------------------
 */

static struct growth_point
objects_point(uint64_t value)
{
	struct growth_point point = { value, 1, 0, 0 };

	point.limit = 3 * memory_needed(&point);
	if (point.limit < BYTES_LEAST)
		point.limit = BYTES_LEAST;
	return point;
}

static struct growth_point
clients_point(uint64_t value)
{
	struct growth_point point = objects_point(CLIENTS_OF);

	if (value > GROWTH_CLIENTS_MAX)
		errx(2, "at most %u clients", GROWTH_CLIENTS_MAX);
	point.clients = (unsigned)value;
	/* Each may have a region or two of its own. */
	point.limit += value * 8 * MIB;
	return point;
}

static struct growth_point
segment_point(uint64_t value)
{
	return (struct growth_point){ SEGMENT_OF, 1,
		value * MIB / 8 * 7 / GROWTH_BALLAST, value * MIB };
}

/* The rows of one repetition of a series, for each value of LIST. */
static void
series_run(const struct plan *plan, const char *series, const char *list,
    struct growth_point (*point_of)(uint64_t value))
{
	for (const char *at = list; *at != '\0';
	     at += strcspn(at, ","), at += *at == ',') {
		uint64_t value = strtoull(at, NULL, 10);
		struct growth_point point;

		if (value == 0)
			errx(2, "%s: not a list of numbers", at);
		point = point_of(value);
		for (size_t i = 0; bench_heaps[i] != NULL; i++)
			if (bench_list_has(plan->heaps, bench_heaps[i]->name))
				row_print(plan, series, bench_heaps[i], &point);
	}
}

static void
plan_parse(struct plan *plan, int argc, char *argv[])
{
	int option;

	while ((option = getopt(argc, argv, "h:o:c:m:r:t:")) != -1)
		switch (option) {
		case 'h':
			plan->heaps = optarg;
			break;
		case 'o':
			plan->objects = optarg;
			break;
		case 'c':
			plan->clients = optarg;
			break;
		case 'm':
			plan->mib = optarg;
			break;
		case 'r':
			plan->repetitions = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			plan->seconds = strtod(optarg, NULL);
			break;
		default:
			errx(2, "see bench/README.md");
		}
}

int
main(int argc, char *argv[])
{
	struct plan plan = { .heaps = "shmalloc,gperftools",
		.objects = "10000,100000,1000000,10000000,50000000",
		.clients = "1,4,16,64,256",
		.mib = "256,1024,4096,16384",
		.repetitions = 3,
		.seconds = 0.5 };

	bench_environment(argv);
	plan_parse(&plan, argc, argv);
	bench_about("bench/growth", argv + 1);
	puts("series,heap,objects,clients,limit_mib,repetition,op_ns,attach_us,"
	     "first_us,stats_us,exact_ms,check_ms,reclaim_ms,why");
	fflush(stdout);
	for (unsigned i = 1; i <= plan.repetitions; i++) {
		plan.repetition = i;
		series_run(&plan, "objects", plan.objects, objects_point);
		series_run(&plan, "clients", plan.clients, clients_point);
		series_run(&plan, "segment", plan.mib, segment_point);
	}
	return 0;
}
