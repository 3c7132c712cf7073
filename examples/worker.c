#include "examples/worker.h"

#include <err.h>
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "examples/board.h"
#include "examples/cache.h"

#define ANSWERS    512u         /* private copies that a worker holds */
#define ANSWER_LEN (256u << 10) /* bytes; longer values are not copied */

/* A private copy of what a look-up found. */
struct answer {
	shmalloc_off off; /* 0: none */
	size_t record;
	uint32_t version;
};

struct worker {
	struct shmalloc *heap;
	struct cache cache;
	const struct records *records;
	_Atomic uint32_t *newest; /* one version a record */
	struct board_row *row;
	uint64_t random;
	uint64_t step; /* from one record to the next less popular one */
	struct answer answer[ANSWERS];
	unsigned next_answer;
};

static volatile sig_atomic_t is_stopping;

static void
on_stop(int number)
{
	(void)number;
	is_stopping = 1;
}

/* splitmix64 (Vigna). */
static uint64_t
random_next(struct worker *worker)
{
	uint64_t x = worker->random += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/*
 * A record's number by Zipf popularity with s = 1: for u uniform in [0, 1),
 * (n+1)^u is 1 + rank with P(rank = k) = log((k+2)/(k+1)) / log(n+1), which is
 * about 1/(k+1.5).  Every worker gives the same rank to the same record.
 */
static size_t
record_pick(struct worker *worker)
{
	uint64_t n = worker->records->head->n;
	double u = (double)(random_next(worker) >> 11) * 0x1p-53;
	uint64_t rank = (uint64_t)pow((double)(n + 1), u) - 1;

	return (rank < n ? rank : n - 1) * worker->step % n;
}

/* A step that meets every one of N records: coprime to N. */
static uint64_t
step_for(uint64_t n)
{
	for (uint64_t step = n * 2 / 3 + 1;; step++) {
		uint64_t a = step, b = n;

		while (b != 0) {
			uint64_t rest = a % b;

			a = b;
			b = rest;
		}
		if (a == 1)
			return step;
	}
}

static const struct record *
record_of(const struct worker *worker, size_t number)
{
	return &worker->records->record[number];
}

static struct cache_key
key_of(const struct worker *worker, size_t number)
{
	const struct record *record = record_of(worker, number);

	return (struct cache_key){ records_key(worker->records, record),
		record->key_len };
}

static uint32_t
newest_of(const struct worker *worker, size_t number)
{
	return atomic_load(&worker->newest[number]);
}

/* Compare bytes with the truth and count it if they are wrong. */
static void
bytes_judge(struct worker *worker, size_t number, uint32_t version,
    const unsigned char *bytes, uint64_t len)
{
	if (!records_equal(worker->records, record_of(worker, number), version,
		bytes, len))
		board_add(worker->row, BOARD_WRONG, 1);
}

static void
no_memory(struct worker *worker)
{
	if (errno != EFBIG)
		board_add(worker->row, BOARD_NO_MEMORY, 1);
}

/* ---- Private copies ------------------------------------------------------ */

/* Compare a copy once more and free it. */
static void
answer_drop(struct worker *worker, struct answer *answer)
{
	const struct record *record = record_of(worker, answer->record);

	if (answer->off == 0)
		return;
	bytes_judge(worker, answer->record, answer->version,
	    shmalloc_ptr(worker->heap, answer->off), record->value_len);
	board_add(worker->row, BOARD_ANSWERS, 1);
	shmalloc_free(worker->heap, answer->off);
	answer->off = 0;
}

/* Keep a copy of what VIEW shows in the place of the oldest one. */
static void
answer_keep(struct worker *worker, size_t number, const struct cache_view *view)
{
	struct answer *answer = &worker->answer[worker->next_answer];

	worker->next_answer = (worker->next_answer + 1) % ANSWERS;
	answer_drop(worker, answer);
	if (view->entry->value_len > ANSWER_LEN)
		return;
	answer->off = shmalloc_alloc(worker->heap, view->entry->value_len);
	if (answer->off == 0) {
		no_memory(worker);
		return;
	}
	answer->record = number;
	answer->version = view->entry->version;
	memcpy(shmalloc_ptr(worker->heap, answer->off), view->value,
	    view->entry->value_len);
}

/* ---- The three things a worker does -------------------------------------- */

/* Put the newest version of the record into the cache. */
static void
record_store(struct worker *worker, size_t number)
{
	const struct record *record = record_of(worker, number);
	uint32_t version = newest_of(worker, number);
	unsigned char *value;
	shmalloc_off off = cache_prepare(&worker->cache, key_of(worker, number),
	    version, record->value_len, &value);

	if (off == 0) {
		no_memory(worker);
		return;
	}
	records_compose(worker->records, record, version, value);
	(void)cache_store(&worker->cache, off);
}

/*
 * If VIEW has left its slot while we hold it, count by whom, and see that its
 * bytes are what they were.
 */
static void
view_judge_again(
    struct worker *worker, size_t number, const struct cache_view *view)
{
	static const enum board_count count[CACHE_FATES] = {
		[CACHE_REPLACED] = BOARD_READ_REPLACED,
		[CACHE_WITHDRAWN] = BOARD_READ_WITHDRAWN,
		[CACHE_EVICTED] = BOARD_READ_EVICTED,
	};
	enum cache_fate fate = cache_view_fate(view);

	if (fate == CACHE_PRESENT || fate >= CACHE_FATES)
		return;
	bytes_judge(worker, number, view->entry->version, view->value,
	    view->entry->value_len);
	board_add(worker->row, count[fate], 1);
}

/* Inside enter: use the entry where it lies.  False: not there, or too old. */
static bool
record_read(struct worker *worker, size_t number, bool is_slow)
{
	uint32_t oldest = newest_of(worker, number);
	struct cache_view view;

	if (!cache_find(&worker->cache, key_of(worker, number), &view))
		return false;
	if (view.entry->version < oldest) {
		board_add(worker->row, BOARD_STALE, 1);
		return false;
	}
	if (view.entry->version > newest_of(worker, number))
		board_add(worker->row, BOARD_WRONG, 1);
	bytes_judge(worker, number, view.entry->version, view.value,
	    view.entry->value_len);
	answer_keep(worker, number, &view);
	if (is_slow)
		sched_yield();
	view_judge_again(worker, number, &view);
	return true;
}

static void
record_look_up(struct worker *worker, size_t number, bool is_slow)
{
	bool is_hit;

	if (shmalloc_enter(worker->heap) != 0)
		errx(1, "a reader's pin could not be had");
	is_hit = record_read(worker, number, is_slow);
	if (shmalloc_exit(worker->heap) != 0)
		errx(1, "a reader's pin was lost");
	board_add(worker->row, BOARD_LOOKUPS, 1);
	if (is_hit)
		board_add(worker->row, BOARD_HITS, 1);
	else
		record_store(worker, number);
}

/* A new version appears in the database, then in the cache. */
static void
record_change(struct worker *worker, size_t number)
{
	atomic_fetch_add(&worker->newest[number], 1);
	record_store(worker, number);
}

static void
worker_step(struct worker *worker)
{
	size_t number = record_pick(worker);
	unsigned dice = (unsigned)(random_next(worker) & 1023);

	if (dice < 20)
		record_change(worker, number);
	else if (dice < 30)
		(void)cache_withdraw(&worker->cache, key_of(worker, number));
	else
		record_look_up(worker, number, dice < 50);
}

/* Copy to the board what the cache counts in this process. */
static void
worker_report(struct worker *worker)
{
	const uint64_t *fates = worker->cache.fates;
	_Atomic uint64_t *count = worker->row->count;

	atomic_store(&count[BOARD_REPLACED], fates[CACHE_REPLACED]);
	atomic_store(&count[BOARD_WITHDRAWN], fates[CACHE_WITHDRAWN]);
	atomic_store(&count[BOARD_EVICTED], fates[CACHE_EVICTED]);
}

int
worker_run(
    struct shmalloc *heap, const struct records *records, unsigned number)
{
	static struct worker worker;
	struct sigaction action = { .sa_handler = on_stop };
	struct board *board = board_open(heap, &worker.newest);

	worker.heap = heap;
	worker.records = records;
	worker.row = &board->row[number - 1];
	worker.random = number * UINT64_C(0x2545f4914f6cdd1d);
	worker.step = step_for(records->head->n);
	if (cache_open(heap, WORKER_CACHE_ROOT, &worker.cache) != 0)
		err(1, WORKER_CACHE_ROOT);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	atomic_store(&worker.row->pid, (uint64_t)getpid());
	while (!is_stopping) {
		worker_step(&worker);
		worker_report(&worker);
	}
	for (unsigned i = 0; i < ANSWERS; i++)
		answer_drop(&worker, &worker.answer[i]);
	return atomic_load(&worker.row->count[BOARD_WRONG]) == 0 ? 0 : 1;
}
