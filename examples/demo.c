/*
 * The programs behind ./demo: examples/demo.sh calls them one after the other.
 * They know nothing of shmalloc but its two public headers.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <shmalloc/control.h>
#include <shmalloc/shmalloc.h>

#include "examples/board.h"
#include "examples/cache.h"
#include "examples/records.h"
#include "examples/worker.h"

#define ALL_RECORDS_MIN 64u /* fewer would not show anything */

static struct shmalloc *
heap_attach(const char *label, uint32_t flags)
{
	struct shmalloc_options options = SHMALLOC_OPTIONS_INIT;
	struct shmalloc *heap;
	int error;

	options.label = label;
	options.flags = flags;
	error = shmalloc_attach(NULL, &options, &heap);
	if (error != 0)
		errx(1, "attach: %s", shmalloc_strerror(error));
	return heap;
}

static uint64_t
number_parse(const char *text, uint64_t least, uint64_t most)
{
	char *end;
	uint64_t number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || end == text || number < least ||
	    number > most)
		errx(2, "%s: not a number from %" PRIu64 " to %" PRIu64, text,
		    least, most);
	return number;
}

/* ---- Preparing and clearing up ------------------------------------------- */

/* prepare RECORDS [FILE...]: write the records' file, say what is in it. */
static int
run_prepare(int n, char *arg[])
{
	struct records records;
	const struct records_head *head;

	records_build(arg[0], n - 1, arg + 1);
	records = records_open(arg[0]);
	head = records.head;
	if (head->n < ALL_RECORDS_MIN)
		errx(1,
		    "only %" PRIu64 " records; name more files, or a folder",
		    head->n);
	printf("%" PRIu64 " records, %" PRIu64 " bytes in all, from %" PRIu64
	       " to %" PRIu64 " bytes each\n",
	    head->n, head->bytes, head->smallest, head->largest);
	return 0;
}

/* create RECORDS: make the cache, its limit half of the data, and the board. */
static int
run_create(int n, char *arg[])
{
	struct records records = records_open(arg[0]);
	const struct records_head *head = records.head;
	struct cache_options options = { .limit = head->bytes / 2,
		.mean = head->bytes / head->n,
		.largest = head->largest };
	struct shmalloc *heap = heap_attach("demo: create", 0);

	(void)n;
	if (cache_create(heap, WORKER_CACHE_ROOT, &options) != 0)
		err(1, "the cache");
	board_create(heap, head->n);
	shmalloc_detach(heap);
	return 0;
}

/* destroy: remove what create made. */
static int
run_destroy(int n, char *arg[])
{
	struct shmalloc *heap = heap_attach("demo: destroy", 0);

	(void)n, (void)arg;
	if (cache_destroy(heap, WORKER_CACHE_ROOT) != 0)
		err(1, "the cache");
	board_destroy(heap);
	shmalloc_detach(heap);
	return 0;
}

/* ---- Running ------------------------------------------------------------- */

/* work RECORDS NUMBER: be a worker until SIGTERM. */
static int
run_work(int n, char *arg[])
{
	struct records records = records_open(arg[0]);
	unsigned number = (unsigned)number_parse(arg[1], 1, BOARD_WORKERS);
	struct shmalloc *heap;
	char label[32];
	int status;

	(void)n;
	snprintf(label, sizeof(label), "worker %u", number);
	heap = heap_attach(label, 0);
	status = worker_run(heap, &records, number);
	shmalloc_detach(heap);
	return status;
}

/* What all workers together may add at the same moment: see examples/cache.h,
 * BOUND. */
static uint64_t
limit_slack(const struct records *records)
{
	return BOARD_WORKERS *
	    (records->head->largest + sizeof(struct cache_entry) + 4096);
}

/*
 * watch RECORDS SECONDS: attach with a read-only mapping and show how the
 * workers get on.  Exit 1 if the cache was seen above its limit.
 */
static int
run_watch(int n, char *arg[])
{
	struct records records = records_open(arg[0]);
	uint64_t ticks = number_parse(arg[1], 1, 3600) * 2;
	struct shmalloc *heap = heap_attach("demo: watch", SHMALLOC_READ_ONLY);
	_Atomic uint32_t *versions;
	struct board *board = board_open(heap, &versions);
	bool is_terminal = isatty(STDOUT_FILENO), is_within = true;
	struct cache cache;

	(void)n;
	if (cache_open(heap, WORKER_CACHE_ROOT, &cache) != 0)
		err(1, WORKER_CACHE_ROOT);
	for (uint64_t i = 0; i < ticks; i++) {
		const struct timespec tick = { 0, 500000000 };
		struct cache_census census;
		uint64_t lookups;

		nanosleep(&tick, NULL);
		census = cache_count(&cache);
		lookups = board_sum(board, BOARD_LOOKUPS);
		if (census.bytes > census.limit + limit_slack(&records))
			is_within = false;
		if (!is_terminal && i % 2 == 0)
			continue;
		printf("%s   %10" PRIu64 " look-ups, %2" PRIu64
		       " %% from the cache; %6" PRIu64
		       " entries in it, %3" PRIu64 " %% of its limit%s",
		    is_terminal ? "\r" : "", lookups,
		    board_sum(board, BOARD_HITS) * 100 / (lookups + 1),
		    census.entries, census.bytes * 100 / census.limit,
		    is_terminal ? "" : "\n");
		fflush(stdout);
	}
	if (is_terminal)
		putchar('\n');
	shmalloc_detach(heap);
	return is_within ? 0 : 1;
}

/* ---- Judging ------------------------------------------------------------- */

static void
verdict(bool is_ok, const char *claim, uint64_t figure)
{
	printf(
	    "%s - %s (%" PRIu64 ")\n", is_ok ? "ok" : "not ok", claim, figure);
}

/* report: judge what the workers counted; a line for each claim. */
static int
run_report(int n, char *arg[])
{
	static const struct {
		enum board_count count;
		bool is_to_be_zero;
		const char *claim;
	} claims[] = {
		{ BOARD_HITS, false, "look-ups were answered by the cache" },
		{ BOARD_ANSWERS, false,
		    "private copies were compared again before they were "
		    "freed" },
		{ BOARD_REPLACED, false,
		    "entries were replaced by a newer version" },
		{ BOARD_WITHDRAWN, false, "entries were withdrawn" },
		{ BOARD_EVICTED, false,
		    "entries were evicted to stay within the limit" },
		{ BOARD_READ_REPLACED, false,
		    "entries were replaced while a reader held them, who "
		    "read on unharmed" },
		{ BOARD_READ_WITHDRAWN, false,
		    "entries were withdrawn while a reader held them" },
		{ BOARD_NO_MEMORY, true, "no allocation failed" },
	};
	struct shmalloc *heap = heap_attach("demo: report", SHMALLOC_READ_ONLY);
	_Atomic uint32_t *versions;
	struct board *board = board_open(heap, &versions);
	uint64_t lookups = board_sum(board, BOARD_LOOKUPS);

	(void)n, (void)arg;
	verdict(lookups > 0 && board_sum(board, BOARD_WRONG) == 0,
	    "every look-up returned the right bytes", lookups);
	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		uint64_t sum = board_sum(board, claims[i].count);

		verdict((sum == 0) == claims[i].is_to_be_zero, claims[i].claim,
		    sum);
	}
	shmalloc_detach(heap);
	return 0;
}

/* ---- Asking the daemon --------------------------------------------------- */

static struct shmalloc_control *
control_connect(void)
{
	struct shmalloc_control *control;
	int error = shmalloc_control_connect(NULL, 0, &control);

	if (error != 0)
		errx(1, "control socket: %s", shmalloc_strerror(error));
	return control;
}

/* Print the number under the dotted PATH of RECORD. */
static void
number_print(const struct shmalloc_record *record, char *path)
{
	char *key = strtok(path, "."), *next;
	uint64_t number;

	while ((next = strtok(NULL, ".")) != NULL) {
		record = shmalloc_control_object(record, key);
		key = next;
	}
	if (shmalloc_control_uint(record, key, &number) != 0)
		errx(1, "the daemon did not say %s", key);
	printf("%" PRIu64 "\n", number);
}

/* stat KEY.KEY: a figure of `shmallocctl stats --exact`, by its JSON name. */
static int
run_stat(int n, char *arg[])
{
	const struct timespec tick = { 0, 10000000 };
	struct shmalloc_control *control = control_connect();
	struct shmalloc_reply *reply;
	int error = SHMALLOC_EBUSY;

	(void)n;
	/* An exact count takes each arena's lock; try again if one is taken. */
	for (int i = 0; i < 200 && error == SHMALLOC_EBUSY; i++) {
		error = shmalloc_control_stats(
		    control, NULL, SHMALLOC_EXACT, &reply);
		if (error == SHMALLOC_EBUSY)
			nanosleep(&tick, NULL);
	}
	if (error != 0)
		errx(1, "stats: %s", shmalloc_control_message(control));
	number_print(shmalloc_control_root(reply), arg[0]);
	shmalloc_control_free(reply);
	shmalloc_control_disconnect(control);
	return 0;
}

/* Print a figure of the client if it is in STATE. */
static bool
client_print(
    struct shmalloc_control *control, uint32_t pid, const char *is, char *key)
{
	const struct shmalloc_record *client;
	struct shmalloc_reply *reply;
	const char *state;
	bool is_found;

	if (shmalloc_control_clients(control, NULL, pid, &reply) != 0)
		errx(1, "clients: %s", shmalloc_control_message(control));
	client =
	    shmalloc_control_item(shmalloc_control_root(reply), "clients", 0);
	state = shmalloc_control_string(client, "state");
	is_found = state != NULL && strcmp(state, is) == 0;
	if (is_found)
		number_print(client, key);
	shmalloc_control_free(reply);
	return is_found;
}

/*
 * client PID STATE KEY: wait, 5 seconds at most, until the daemon says that the
 * client is in STATE, then print a figure of it.
 */
static int
run_client(int n, char *arg[])
{
	const struct timespec tick = { 0, 10000000 };
	uint32_t pid = (uint32_t)number_parse(arg[0], 1, INT32_MAX);
	struct shmalloc_control *control = control_connect();
	int tries = 500;

	(void)n;
	while (!client_print(control, pid, arg[1], arg[2])) {
		if (--tries == 0)
			errx(
			    1, "process %" PRIu32 " was never %s", pid, arg[1]);
		nanosleep(&tick, NULL);
	}
	shmalloc_control_disconnect(control);
	return 0;
}

/* ---- Commands ------------------------------------------------------------ */

static const struct command {
	const char *name;
	int least, most; /* arguments */
	int (*run)(int n, char *arg[]);
	const char *usage;
} commands[] = {
	{ "prepare", 1, INT32_MAX, run_prepare, "RECORDS [FILE...]" },
	{ "create", 1, 1, run_create, "RECORDS" },
	{ "work", 2, 2, run_work, "RECORDS NUMBER" },
	{ "watch", 2, 2, run_watch, "RECORDS SECONDS" },
	{ "report", 0, 0, run_report, "" },
	{ "stat", 1, 1, run_stat, "KEY.KEY" },
	{ "client", 3, 3, run_client, "PID STATE KEY" },
	{ "destroy", 0, 0, run_destroy, "" },
};

int
main(int argc, char *argv[])
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *command = &commands[i];

		if (argc < 2 || strcmp(argv[1], command->name) != 0)
			continue;
		if (argc - 2 < command->least || argc - 2 > command->most)
			errx(2, "usage: demo %s %s", command->name,
			    command->usage);
		return command->run(argc - 2, argv + 2);
	}
	fprintf(stderr, "demo is started by examples/demo.sh\n");
	return 2;
}
