/*
 * Measure caches side by side; bench/README.md says how.  Rows go to standard
 * output as CSV, progress to standard error.
 *
 *	cache [-k PART,...] [-h PEER,...] [-w MIX,...] [-p WORKERS,...]
 *	      [-r REPETITIONS] [-t SECONDS] [-b SECONDS] [-d FOLDER]
 *	      [-y DRIVER.py] [-l]
 */
#include <err.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/cache/cache.h"
#include "bench/clock.h"

#define MIXES_MAX 32u
#define PEERS_MAX 32u

struct part {
	const char *name;
	cell_fn *fn;
	bool takes_workers; /* else one process does all */
	bool repeats;       /* else it is measured once: no clock is in it */
	unsigned most;      /* seconds of a cell, besides its time */
};

static const struct part parts[] = {
	{ "speed", part_speed, true, true, 20 },
	{ "deaths", part_deaths, false, true, 20 },
	{ "memory", part_memory, false, false, 20 },
	{ "hits", part_hits, false, false, 60 },
	{ NULL, NULL, false, false, 0 },
};

struct plan {
	const char *parts, *peers, *mixes,
	    *workers; /* comma lists, NULL: all */
	unsigned repetitions;
	double seconds, budget, start;
	unsigned done, cells, left_out;
	bool is_counting;
	bool is_absent[PEERS_MAX];
	struct stream stream[MIXES_MAX]; /* n == 0: not made */
};

/* ---- Cells --------------------------------------------------------------- */

static void
progress(struct plan *plan, const char *part, const char *mix, const char *peer,
    unsigned workers)
{
	double spent = seconds_now() - plan->start;
	unsigned percent = plan->done * 100 / plan->cells;
	bool is_terminal = isatty(STDERR_FILENO);

	plan->done++;
	if (is_terminal || plan->done * 20 / plan->cells != percent / 5)
		fprintf(stderr,
		    "%sbench/cache: %3u %%, %.0f s spent: %s, %s, %s, %u "
		    "workers%20s%s",
		    is_terminal ? "\r" : "", percent, spent, part, mix, peer,
		    workers, "", is_terminal ? "" : "\n");
}

static void
report_print(
    const struct part *part, const struct cell *cell, unsigned repetition)
{
	const struct report *report = cell->report;

	for (unsigned i = 0; i < report->n; i++)
		printf("%s,%s,%s,%u,%u,%s,%.6g\n", part->name,
		    cell->stream->mix->name, cell->peer->name, cell->workers,
		    repetition, report->figure[i].name,
		    report->figure[i].value);
	if (report->why[0] != '\0')
		printf("%s,%s,%s,%u,%u,why,%s\n", part->name,
		    cell->stream->mix->name, cell->peer->name, cell->workers,
		    repetition, report->why);
	fflush(stdout);
}

/* Does PEER do what the mix and the part ask for?  Python's start slowly: they
 * are measured in few cells, once. */
static bool
peer_fits(const struct peer *peer, const struct part *part,
    const struct mix *mix, unsigned workers, unsigned repetition)
{
	if (peer->driver != NULL)
		return part->fn == part_speed &&
		    bench_list_has(mix->parts, "python") && workers <= 2 &&
		    repetition == 1;
	if (part->fn == part_hits && bench_list_has(mix->parts, "exact") &&
	    peer->account == NULL)
		return false;
	return !(mix->overflows && !peer->evicts) &&
	    !(mix->ttl_s != 0 && !peer->expires) &&
	    !(peer->is_private && (workers > 1 || part->fn == part_deaths));
}

static void
cell_measure(struct plan *plan, const struct part *part, size_t mix,
    const struct peer *peer, unsigned workers, unsigned repetition)
{
	struct report *report;
	struct cell cell = { .peer = peer,
		.stream = &plan->stream[mix],
		.workers = workers,
		.seconds = plan->seconds };

	if (plan->is_counting) {
		plan->cells++;
		return;
	}
	if (seconds_now() - plan->start > plan->budget) {
		plan->left_out++;
		return;
	}
	progress(plan, part->name, mixes[mix].name, peer->name, workers);
	report = bench_map(sizeof(*report));
	cell.report = report;
	cell_run(&cell, part->fn, part->most + (unsigned)(4 * plan->seconds));
	report_print(part, &cell, repetition);
	munmap(report, sizeof(*report));
}

/* All peers, one after the other. */
static void
peers_measure(struct plan *plan, const struct part *part, size_t mix,
    unsigned workers, unsigned repetition)
{
	for (size_t i = 0; peers[i] != NULL; i++)
		if (!plan->is_absent[i] &&
		    peer_fits(peers[i], part, &mixes[mix], workers, repetition))
			cell_measure(
			    plan, part, mix, peers[i], workers, repetition);
}

static void
mix_measure(
    struct plan *plan, const struct part *part, size_t mix, unsigned repetition)
{
	const char *at = plan->workers;

	if (!part->takes_workers) {
		peers_measure(plan, part, mix, part->fn == part_deaths ? 8 : 1,
		    repetition);
		return;
	}
	while (*at != '\0') {
		unsigned workers = (unsigned)strtoul(at, NULL, 10);

		if (workers == 0 || workers > WORKERS_MAX)
			errx(2, "%s: 1 to %u workers", at, WORKERS_MAX);
		peers_measure(plan, part, mix, workers, repetition);
		at += strcspn(at, ",");
		at += *at == ',';
	}
}

static void
plan_walk(struct plan *plan)
{
	for (unsigned n = 1; n <= plan->repetitions; n++)
		for (size_t i = 0; parts[i].name != NULL; i++)
			for (size_t m = 0; mixes[m].name != NULL; m++)
				if ((n == 1 || parts[i].repeats) &&
				    plan->stream[m].n != 0 &&
				    bench_list_has(
					plan->parts, parts[i].name) &&
				    bench_list_has(
					mixes[m].parts, parts[i].name))
					mix_measure(plan, &parts[i], m, n);
}

/* ---- What there is ------------------------------------------------------- */

static void
cell_nothing(struct cell *cell)
{
	(void)cell;
}

/* NULL, or why PEER can't be measured here. */
static const char *
peer_probe(const struct peer *peer)
{
	static struct report report;
	struct report *shared = bench_map(sizeof(*shared));
	const struct mix mix = { .limit = UINT64_C(64) << 20 };
	const struct stream stream = { .mix = &mix };
	struct cell cell = { peer, &stream, 1, 0, shared };

	cell_run(&cell, cell_nothing, 10);
	report = *shared;
	munmap(shared, sizeof(*shared));
	return report.why[0] == '\0' ? NULL : report.why;
}

static void
peers_choose(struct plan *plan, bool is_list)
{
	for (size_t i = 0; peers[i] != NULL; i++) {
		const char *name = peers[i]->name, *why;

		plan->is_absent[i] = !bench_list_has(plan->peers, name);
		if (plan->is_absent[i])
			continue;
		why = peer_probe(peers[i]);
		plan->is_absent[i] = why != NULL;
		if (is_list)
			printf("peer %s%s%s\n", name,
			    why == NULL ? "" : ": unavailable: ",
			    why == NULL ? "" : why);
		else if (why != NULL)
			fprintf(
			    stderr, "bench/cache: without %s: %s\n", name, why);
		fflush(stdout);
	}
}

/* Is any part that is asked for measured of MIX? */
static bool
mix_is_asked(const struct plan *plan, const struct mix *mix)
{
	bool is_asked = false;

	for (size_t i = 0; parts[i].name != NULL; i++)
		is_asked |= bench_list_has(plan->parts, parts[i].name) &&
		    bench_list_has(mix->parts, parts[i].name);
	return is_asked && bench_list_has(plan->mixes, mix->name);
}

static void
mixes_choose(struct plan *plan, bool is_list)
{
	for (size_t i = 0; mixes[i].name != NULL; i++) {
		const char *why = NULL;

		if (!mix_is_asked(plan, &mixes[i]))
			continue;
		why = stream_make(&mixes[i], &plan->stream[i]);
		if (why != NULL)
			plan->stream[i].n = 0;
		if (is_list)
			printf("mix %s (%s)%s%s\n", mixes[i].name,
			    mixes[i].parts,
			    why == NULL ? "" : ": unavailable: ",
			    why == NULL ? "" : why);
		else if (why != NULL)
			fprintf(stderr, "bench/cache: without %s: %s\n",
			    mixes[i].name, why);
	}
}

static bool
plan_parse(struct plan *plan, int argc, char *argv[])
{
	bool is_list = false;
	int option;

	while ((option = getopt(argc, argv, "k:h:w:p:r:t:b:d:y:l")) != -1)
		switch (option) {
		case 'k':
			plan->parts = optarg;
			break;
		case 'h':
			plan->peers = optarg;
			break;
		case 'w':
			plan->mixes = optarg;
			break;
		case 'p':
			plan->workers = optarg;
			break;
		case 'r':
			plan->repetitions = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 't':
			plan->seconds = strtod(optarg, NULL);
			break;
		case 'b':
			plan->budget = strtod(optarg, NULL);
			break;
		case 'd':
			bench_folder = optarg;
			break;
		case 'y':
			python_driver = optarg;
			break;
		case 'l':
			is_list = true;
			break;
		default:
			errx(2, "see bench/README.md");
		}
	return is_list;
}

/* ---- The folder of servers ----------------------------------------------- */

static char folder[64];
static pid_t folder_owner;

static int
path_remove(
    const char *path, const struct stat *about, int kind, struct FTW *walk)
{
	(void)about, (void)kind, (void)walk;
	return remove(path);
}

/* Whoever exits calls it; the folder is the main process's. */
static void
folder_remove(void)
{
	if (getpid() == folder_owner &&
	    nftw(folder, path_remove, 8, FTW_DEPTH | FTW_PHYS) != 0)
		warn("%s", folder);
}

/* In memory if that can be, as LMDB and diskcache write there. */
static void
folder_make(void)
{
	snprintf(folder, sizeof(folder), "/dev/shm/shmalloc-bench.XXXXXX");
	if (mkdtemp(folder) == NULL) {
		snprintf(folder, sizeof(folder), "/tmp/shmalloc-bench.XXXXXX");
		if (mkdtemp(folder) == NULL)
			err(1, "%s", folder);
	}
	folder_owner = getpid();
	server_folder = folder;
	if (atexit(folder_remove) != 0)
		errx(1, "atexit");
}

int
main(int argc, char *argv[])
{
	static struct plan plan = { .workers = "1,2,4,16",
		.repetitions = 3,
		.seconds = 0.2,
		.budget = 1e9 };
	bool is_list;

	bench_folder = getenv("SHMALLOC_WORKLOADS");
	is_list = plan_parse(&plan, argc, argv);
	folder_make();
	peers_choose(&plan, is_list);
	mixes_choose(&plan, is_list);
	if (is_list)
		return 0;
	plan.is_counting = true;
	plan_walk(&plan);
	plan.is_counting = false;
	if (plan.cells == 0)
		errx(2, "nothing to measure; -l lists the names");
	bench_about("bench/cache/cache", argv + 1);
	puts("part,mix,peer,workers,repetition,figure,value");
	/* Or each process of a measurement would have it in its buffer. */
	fflush(stdout);
	plan.start = seconds_now();
	plan_walk(&plan);
	if (plan.left_out > 0)
		fprintf(stderr,
		    "bench/cache: the time was up: %u of %u cells are left "
		    "out\n",
		    plan.left_out, plan.cells);
	else
		fprintf(stderr, "bench/cache: done in %.0f s\n",
		    seconds_now() - plan.start);
	return 0;
}
