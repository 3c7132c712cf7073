/*
 * Deaths: workers get and set, then half of them are killed while they do, and
 * the others go on.  Before and after: how many calls a worker makes, the
 * longest one, and what is live and resident while all rest.
 */
#include <err.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/cache/cache.h"
#include "bench/tails.h"

enum phase { PHASE_REST, PHASE_BEFORE, PHASE_AFTER, PHASE_END };

struct worker {
	_Alignas(128) _Atomic bool rests;
	/* By phase. */
	uint64_t calls[PHASE_END], longest[PHASE_END], hits[PHASE_END];
};

struct deaths {
	_Atomic int phase;
	struct worker worker[WORKERS_MAX];
};

static void
pause_ns(double seconds)
{
	struct timespec time = { (time_t)seconds,
		(long)((seconds - (double)(time_t)seconds) * 1e9) };

	nanosleep(&time, NULL);
}

static void
worker_step(struct cell *cell, struct worker *worker, int phase, uint32_t at,
    struct entry *entry)
{
	static char buffer[VALUE_MAX];
	uint32_t request = cell->stream->request[at];
	uint64_t start = tails_now(), ns;
	int64_t len = -1;

	stream_key(cell->stream, request & ~REQUEST_SET, entry);
	if (!(request & REQUEST_SET))
		len = cell->peer->get(entry, buffer);
	if (len >= 0 && !entry_is_right(entry, buffer, len))
		peer_fail("wrong content");
	if (len < 0) {
		stream_value(cell->stream, request & ~REQUEST_SET, at, entry);
		cell->peer->set(entry);
	}
	ns = tails_now() - start;
	worker->calls[phase]++;
	if (ns > worker->longest[phase])
		worker->longest[phase] = ns;
}

static void
worker_main(struct cell *cell, unsigned number, void *arg)
{
	struct deaths *deaths = arg;
	struct worker *worker = &deaths->worker[number];
	uint32_t n = cell->stream->n;
	uint32_t at = (uint32_t)((uint64_t)n * number / cell->workers);
	struct entry entry;
	int phase;

	entry_init(&entry);
	while ((phase = atomic_load(&deaths->phase)) != PHASE_END) {
		atomic_store(&worker->rests, phase == PHASE_REST);
		if (phase == PHASE_REST) {
			pause_ns(0.001);
			continue;
		}
		worker_step(cell, worker, phase, at, &entry);
		at = at + 1 == n ? 0 : at + 1;
	}
}

/* Let the workers from FIRST on rest.  False: one of them ended instead. */
static bool
workers_rest(
    struct cell *cell, struct deaths *deaths, const pid_t pid[], unsigned first)
{
	atomic_store(&deaths->phase, PHASE_REST);
	for (unsigned i = first; i < cell->workers; i++)
		while (!atomic_load(&deaths->worker[i].rests)) {
			if (waitpid(pid[i], NULL, WNOHANG) != 0)
				return false;
			pause_ns(0.001);
		}
	return true;
}

static void
phase_report(struct cell *cell, const struct deaths *deaths, enum phase phase)
{
	bool is_after = phase == PHASE_AFTER;
	unsigned first = cell->workers / 2;
	uint64_t calls = 0, longest = 0;
	struct live live = live_count(cell);

	/* Of those that live on. */
	for (unsigned i = first; i < cell->workers; i++) {
		calls += deaths->worker[i].calls[phase];
		if (deaths->worker[i].longest[phase] > longest)
			longest = deaths->worker[i].longest[phase];
	}
	report_add(cell->report, is_after ? "calls_after" : "calls_before",
	    (double)calls / cell->seconds);
	report_add(cell->report, is_after ? "longest_after" : "longest_before",
	    (double)longest);
	report_add(cell->report, is_after ? "live_after" : "live_before",
	    (double)live.bytes);
	report_add(cell->report,
	    is_after ? "resident_after" : "resident_before",
	    (double)cell->peer->resident());
}

void
part_deaths(struct cell *cell)
{
	struct deaths *deaths = bench_map(sizeof(*deaths));
	unsigned half = cell->workers / 2;
	pid_t pid[WORKERS_MAX];

	for (unsigned i = 0; i < cell->workers; i++)
		pid[i] = worker_start(cell, i, worker_main, deaths);
	cell->peer->attach();
	fill_all(cell);
	atomic_store(&deaths->phase, PHASE_BEFORE);
	pause_ns(cell->seconds);
	if (!workers_rest(cell, deaths, pid, 0))
		peer_fail("a worker ended");
	phase_report(cell, deaths, PHASE_BEFORE);
	atomic_store(&deaths->phase, PHASE_AFTER);
	/* Working when they are killed. */
	pause_ns(cell->seconds / 4);
	for (unsigned i = 0; i < half; i++)
		if (kill(pid[i], SIGKILL) != 0)
			err(1, "kill");
	pause_ns(cell->seconds * 3 / 4);
	if (workers_rest(cell, deaths, pid, half))
		phase_report(cell, deaths, PHASE_AFTER);
	else
		snprintf(cell->report->why, sizeof(cell->report->why),
		    "a worker failed after others were killed");
	atomic_store(&deaths->phase, PHASE_END);
}
