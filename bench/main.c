/*
 * Measure heaps side by side; bench/README.md says how.  Rows go to standard
 * output as CSV, progress to standard error.
 *
 *	bench [-h HEAP,...] [-w WORKLOAD,...] [-p WORKERS,...] [-r REPETITIONS]
 *	      [-t SECONDS] [-s SEED] [-l]
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"

#define HEAPS_MAX 64u

struct plan {
	const char *heaps, *workloads, *workers; /* comma lists, NULL: all */
	unsigned repetitions;
	struct bench_options options;
	unsigned done, cells; /* of all repetitions */
	unsigned repetition;  /* shown last */
	bool is_absent[HEAPS_MAX];
};

/* Is NAME in the comma LIST?  NULL holds everything. */
static bool
list_has(const char *list, const char *name)
{
	size_t len = strlen(name);

	while (list != NULL && *list != '\0') {
		size_t item = strcspn(list, ",");

		if (item == len && memcmp(list, name, len) == 0)
			return true;
		list += item + (list[item] == ',');
	}
	return list == NULL;
}

static bool
workers_fit(const struct bench_workload *workload, unsigned workers)
{
	return workers <= BENCH_WORKERS_MAX &&
	    workers % workload->workers_least == 0;
}

static void
progress(struct plan *plan, const struct bench_workload *workload,
    unsigned workers, unsigned repetition, const char *heap)
{
	plan->done++;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\rbench: %u of %u: %s, %s, %u workers%20s",
		    plan->done, plan->cells, workload->name, heap, workers, "");
	else if (repetition != plan->repetition)
		fprintf(stderr, "bench: repetition %u of %u\n", repetition,
		    plan->repetitions);
	plan->repetition = repetition;
}

static void
row_print(struct plan *plan, const struct bench_workload *workload,
    unsigned workers, unsigned repetition, size_t i)
{
	const char *heap = bench_heaps[i]->name, *why;
	struct bench_result result;

	if (plan->is_absent[i])
		return;
	why = bench_cell(
	    bench_heaps[i], workload, workers, &plan->options, &result);
	if (why != NULL) {
		fprintf(stderr, "%sbench: without %s: %s\n",
		    isatty(STDERR_FILENO) ? "\r" : "", heap, why);
		plan->is_absent[i] = true;
		return;
	}
	printf("%s,%s,%u,%u,%.2f,%" PRIu64 ",%.1f,%" PRIu64 ",%" PRIu64 "\n",
	    workload->name, heap, workers, repetition, result.ns, result.pairs,
	    result.faults, result.live_bytes, result.resident_bytes);
	fflush(stdout);
}

/* One repetition of one workload: all heaps, one after the other. */
static void
heaps_run(struct plan *plan, const struct bench_workload *workload,
    unsigned workers, unsigned repetition)
{
	for (size_t i = 0; bench_heaps[i] != NULL; i++) {
		if (!list_has(plan->heaps, bench_heaps[i]->name))
			continue;
		progress(
		    plan, workload, workers, repetition, bench_heaps[i]->name);
		row_print(plan, workload, workers, repetition, i);
	}
}

/* Call FN for each workload and number of workers of the plan. */
static void
plan_walk(struct plan *plan, unsigned repetition,
    void (*fn)(struct plan *, const struct bench_workload *, unsigned workers,
	unsigned repetition))
{
	for (size_t i = 0; bench_workloads[i] != NULL; i++) {
		const char *at = plan->workers;

		if (!list_has(plan->workloads, bench_workloads[i]->name))
			continue;
		while (*at != '\0') {
			unsigned workers = (unsigned)strtoul(at, NULL, 10);

			if (workers == 0)
				errx(2, "%s: not a list of numbers", at);
			if (workers_fit(bench_workloads[i], workers))
				fn(plan, bench_workloads[i], workers,
				    repetition);
			at += strcspn(at, ",");
			at += *at == ',';
		}
	}
}

static void
heaps_count(struct plan *plan, const struct bench_workload *workload,
    unsigned workers, unsigned repetition)
{
	(void)workload, (void)workers, (void)repetition;
	for (size_t i = 0; bench_heaps[i] != NULL; i++)
		plan->cells += list_has(plan->heaps, bench_heaps[i]->name);
}

static void
names_print(void)
{
	printf("heaps:");
	for (size_t i = 0; bench_heaps[i] != NULL; i++)
		printf(" %s", bench_heaps[i]->name);
	printf("\nworkloads:");
	for (size_t i = 0; bench_workloads[i] != NULL; i++)
		printf(" %s", bench_workloads[i]->name);
	putchar('\n');
	exit(0);
}

static void
plan_parse(struct plan *plan, int argc, char *argv[])
{
	int option;

	while ((option = getopt(argc, argv, "h:w:p:r:t:s:l")) != -1)
		switch (option) {
		case 'h':
			plan->heaps = optarg;
			break;
		case 'w':
			plan->workloads = optarg;
			break;
		case 'p':
			plan->workers = optarg;
			break;
		case 'r':
			plan->repetitions = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			plan->options.seconds = strtod(optarg, NULL);
			break;
		case 's':
			plan->options.seed = strtoull(optarg, NULL, 10);
			break;
		case 'l':
			names_print();
			break;
		default:
			errx(2, "see bench/README.md");
		}
	plan->options.warm_up = plan->options.seconds / 2;
}

/*
 * A package that wants a place in the static thread-local block of a process
 * that is running already (jemalloc does) needs some left free from the start.
 */
static void
reserve_thread_local(char *argv[])
{
	if (getenv("GLIBC_TUNABLES") != NULL)
		return;
	setenv("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=16384", 1);
	execv("/proc/self/exe", argv);
	warn("exec");
}

int
main(int argc, char *argv[])
{
	struct plan plan = { .workers = "1,2,4",
		.repetitions = 5,
		.options = { .seconds = 0.5, .seed = 1 } };

	reserve_thread_local(argv);
	plan_parse(&plan, argc, argv);
	for (unsigned i = 1; i <= plan.repetitions; i++)
		plan_walk(&plan, i, heaps_count);
	if (plan.cells == 0)
		errx(2, "nothing to measure; -l lists the names");
	puts("workload,heap,workers,repetition,ns,pairs,"
	     "faults_per_million,live_bytes,resident_bytes");
	/* Or each process of a measurement would have it in its buffer. */
	fflush(stdout);
	for (unsigned i = 1; i <= plan.repetitions; i++)
		plan_walk(&plan, i, heaps_run);
	if (isatty(STDERR_FILENO))
		fputc('\n', stderr);
	return 0;
}
