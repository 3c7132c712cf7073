/*
 * Measure heaps side by side; bench/README.md says how.  Rows go to standard
 * output as CSV, progress to standard error.
 *
 *	bench [-h HEAP,...] [-w WORKLOAD,...] [-p WORKERS,...] [-r REPETITIONS]
 *	      [-t SECONDS] [-b SECONDS] [-T SECONDS] [-d FOLDER] [-s SEED]
 *	      [-D ARGUMENT]... [-n ROUNDS] [-l]
 */
#include <err.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/clock.h"

#define HEAPS_MAX     64u
#define WORKLOADS_MAX 64u

struct plan {
	const char *heaps, *workloads, *workers; /* comma lists, NULL: all */
	unsigned repetitions;
	unsigned rounds; /* of a fixed run, 0: there is none */
	double budget;   /* seconds after which nothing is begun */
	struct bench_options options;
	unsigned done, cells; /* of all repetitions */
	unsigned left_out;    /* of those, beyond the budget */
	double start;
	bool is_absent[HEAPS_MAX]; /* or not asked for */
	bool is_undone[WORKLOADS_MAX];
	/* With so many workers and more it has failed; 0: it has not. */
	unsigned fails_from[HEAPS_MAX][WORKLOADS_MAX];
};

static bool
workers_fit(const struct bench_workload *workload, unsigned workers)
{
	return workers <= BENCH_WORKERS_MAX &&
	    workers % workload->workers_least == 0;
}

/* ---- Rows -----------------------------------------------------------------
 */

static void
progress(struct plan *plan, const char *workload, const char *heap,
    unsigned workers, unsigned repetition)
{
	double spent = seconds_now() - plan->start, left;
	unsigned percent = plan->done * 100 / plan->cells;
	bool is_terminal = isatty(STDERR_FILENO);

	left = plan->done == 0
	    ? 0
	    : spent / plan->done * (plan->cells - plan->done);
	if (left > plan->budget - spent)
		left = plan->budget - spent;
	plan->done++;
	if (is_terminal || plan->done * 20 / plan->cells != percent / 5)
		fprintf(stderr,
		    "%sbench: %3u %%, about %.0f s left: repetition %u, %s, "
		    "%s, %u workers%20s%s",
		    is_terminal ? "\r" : "", percent, left, repetition,
		    workload, heap, workers, "", is_terminal ? "" : "\n");
}

/* A line of its own beside the progress. */
static void
say(const char *format, ...)
{
	va_list arguments;

	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	fputs("bench: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static void
result_print(const struct bench_result *result)
{
	printf("%.2f,%" PRIu64 ",%.1f,%" PRIu64 ",%" PRIu64 ",%" PRIu64,
	    result->ns, result->pairs, result->faults, result->live_bytes,
	    result->resident_bytes, result->samples);
	for (unsigned i = 0; i < BENCH_TAILS; i++)
		if (result->tail[i] != 0)
			printf(",%.1f", result->tail[i]);
		else
			putchar(',');
	puts(",");
}

static void
row_print(struct plan *plan, size_t work, unsigned workers, unsigned repetition,
    size_t i)
{
	const struct bench_workload *workload = bench_workloads[work];
	const struct bench_heap *heap = bench_heaps[i];
	unsigned *fails_from = &plan->fails_from[i][work];
	struct bench_result result;
	const char *why;

	progress(plan, workload->name, heap->name, workers, repetition);
	if (*fails_from != 0 && workers >= *fails_from)
		return;
	why = bench_cell(heap, workload, workers, &plan->options, &result);
	printf("%s,%s,%s,%u,%u,", workload->name, heap->name,
	    heap->is_shared ? "shared" : "private", workers, repetition);
	if (why == NULL) {
		result_print(&result);
	} else {
		printf(",,,,,,,,,,%s\n", why);
		say("%s, %s, %u workers: %s", workload->name, heap->name,
		    workers, why);
		*fails_from = workers;
	}
	fflush(stdout);
}

/* A fixed run of each heap. */
static void
fixed_run(struct plan *plan, size_t work, unsigned workers, unsigned repetition)
{
	(void)repetition;
	for (size_t i = 0; bench_heaps[i] != NULL; i++)
		if (!plan->is_absent[i])
			bench_fixed(bench_heaps[i], bench_workloads[work],
			    workers, plan->rounds, &plan->options);
}

/* One repetition of one workload: all heaps, one after the other. */
static void
heaps_run(struct plan *plan, size_t work, unsigned workers, unsigned repetition)
{
	bool is_over = seconds_now() - plan->start > plan->budget;

	for (size_t i = 0; bench_heaps[i] != NULL; i++)
		if (is_over)
			plan->left_out += !plan->is_absent[i];
		else if (!plan->is_absent[i])
			row_print(plan, work, workers, repetition, i);
}

static void
heaps_count(
    struct plan *plan, size_t work, unsigned workers, unsigned repetition)
{
	(void)work, (void)workers, (void)repetition;
	for (size_t i = 0; bench_heaps[i] != NULL; i++)
		plan->cells += !plan->is_absent[i];
}

/* Call FN for each workload and number of workers of the plan. */
static void
plan_walk(struct plan *plan, unsigned repetition,
    void (*fn)(
	struct plan *, size_t work, unsigned workers, unsigned repetition))
{
	for (size_t i = 0; bench_workloads[i] != NULL; i++) {
		const char *at = plan->workers;

		while (!plan->is_undone[i] && *at != '\0') {
			unsigned workers = (unsigned)strtoul(at, NULL, 10);

			if (workers == 0)
				errx(2, "%s: not a list of numbers", at);
			if (workers_fit(bench_workloads[i], workers))
				fn(plan, i, workers, repetition);
			at += strcspn(at, ",");
			at += *at == ',';
		}
	}
}

/* ---- What there is --------------------------------------------------------
 */

static void
name_print(const char *kind, const char *name, const char *why)
{
	printf("%s %s%s%s\n", kind, name,
	    why == NULL ? "" : ": unavailable: ", why == NULL ? "" : why);
	/* Or the process of the next probe would have it in its buffer. */
	fflush(stdout);
}

static void
names_print(const struct plan *plan)
{
	for (size_t i = 0; bench_heaps[i] != NULL; i++) {
		const struct bench_heap *heap = bench_heaps[i];

		if (bench_list_has(plan->heaps, heap->name))
			name_print("heap", heap->name, bench_probe(heap));
	}
	for (size_t i = 0; bench_workloads[i] != NULL; i++) {
		const struct bench_workload *workload = bench_workloads[i];

		if (bench_list_has(plan->workloads, workload->name))
			name_print("workload", workload->name,
			    workload->prepare == NULL ? NULL
						      : workload->prepare());
	}
	exit(0);
}

/* Leave out what is not asked for, or is not there; say so. */
static void
plan_choose(struct plan *plan)
{
	for (size_t i = 0; bench_heaps[i] != NULL; i++) {
		const char *name = bench_heaps[i]->name, *why = NULL;

		plan->is_absent[i] = !bench_list_has(plan->heaps, name);
		if (!plan->is_absent[i])
			why = bench_probe(bench_heaps[i]);
		if (why != NULL) {
			plan->is_absent[i] = true;
			say("without %s: %s", name, why);
		}
	}
	for (size_t i = 0; bench_workloads[i] != NULL; i++) {
		const struct bench_workload *workload = bench_workloads[i];
		const char *why = NULL;

		plan->is_undone[i] =
		    !bench_list_has(plan->workloads, workload->name);
		if (!plan->is_undone[i] && workload->prepare != NULL)
			why = workload->prepare();
		if (why != NULL) {
			plan->is_undone[i] = true;
			say("without %s: %s", workload->name, why);
		}
	}
}

/* What a reader of the figures has to know about this machine. */
static void
machine_print(const struct plan *plan)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	double load = 0;

	getloadavg(&load, 1);
	say("%ld cores, load average %.1f%s", cores, load,
	    load > 0.5 ? ": others use them, ratios hold better than figures"
		       : "");
	for (const char *at = plan->workers; *at != '\0';
	     at += strcspn(at, ","), at += *at == ',')
		if (strtol(at, NULL, 10) > cores)
			say("%ld workers take turns on %ld cores: waiting for "
			    "each other is measured, contention of as many "
			    "cores is not",
			    strtol(at, NULL, 10), cores);
}

static void
daemon_argument_add(char *argument)
{
	static unsigned n;

	if (n == BENCH_DAEMON_ARGUMENTS)
		errx(2, "more than %u arguments of the daemon",
		    BENCH_DAEMON_ARGUMENTS);
	bench_daemon_arguments[n++] = argument;
}

static void
plan_parse(struct plan *plan, int argc, char *argv[])
{
	bool is_list = false;
	int option;

	while ((option = getopt(argc, argv, "h:w:p:r:t:s:b:T:d:D:n:l")) != -1)
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
		case 'b':
			plan->budget = strtod(optarg, NULL);
			break;
		case 'T':
			plan->options.set_up = strtod(optarg, NULL);
			break;
		case 'd':
			bench_folder = optarg;
			break;
		case 'D':
			daemon_argument_add(optarg);
			break;
		case 'n':
			plan->rounds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'l':
			is_list = true;
			break;
		default:
			errx(2, "see bench/README.md");
		}
	plan->options.warm_up = plan->options.seconds / 2;
	plan->options.tails = plan->options.seconds / 2;
	if (is_list)
		names_print(plan);
}

int
main(int argc, char *argv[])
{
	struct plan plan = { .workers = "1,2,4,16",
		.repetitions = 5,
		.budget = 1e9,
		.options = { .seconds = 0.5, .set_up = 5, .seed = 1 } };

	bench_environment(argv);
	plan_parse(&plan, argc, argv);
	plan_choose(&plan);
	for (unsigned i = 1; i <= plan.repetitions; i++)
		plan_walk(&plan, i, heaps_count);
	if (plan.cells == 0)
		errx(2, "nothing to measure; -l lists the names");
	if (plan.rounds > 0) {
		plan_walk(&plan, 1, fixed_run);
		return 0;
	}
	machine_print(&plan);
	bench_about("bench/bench", argv + 1);
	puts("workload,heap,memory,workers,repetition,ns,pairs,"
	     "faults_per_million,live_bytes,resident_bytes,samples,p50,p99,"
	     "p99.9,p99.99,why");
	/* Or each process of a measurement would have it in its buffer. */
	fflush(stdout);
	plan.start = seconds_now();
	for (unsigned i = 1; i <= plan.repetitions; i++)
		plan_walk(&plan, i, heaps_run);
	if (plan.left_out > 0)
		say("the time was up: %u of %u cells are left out",
		    plan.left_out, plan.cells);
	else
		say("done in %.0f s", seconds_now() - plan.start);
	return 0;
}
