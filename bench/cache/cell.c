/* A measurement's process, its workers, and what they report. */
#include <err.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/cache/cache.h"

void
report_add(struct report *report, const char *name, double value)
{
	if (report->n == FIGURES_MAX)
		errx(1, "more than %u figures", FIGURES_MAX);
	snprintf(report->figure[report->n].name, sizeof(report->figure[0].name),
	    "%s", name);
	report->figure[report->n++].value = value;
}

double
report_get(const struct report *report, const char *name)
{
	for (unsigned i = 0; i < report->n; i++)
		if (strcmp(report->figure[i].name, name) == 0)
			return report->figure[i].value;
	return 0;
}

/* ---- Processes ----------------------------------------------------------- */

pid_t
child_start(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	return 0;
}

static _Noreturn void
cell_main(struct cell *cell, cell_fn *fn, unsigned seconds)
{
	const char *why;

	/* Which ends it, and so all that it started. */
	alarm(seconds);
	peer_used = cell->peer;
	why = cell->peer->open(cell->stream->mix->limit);
	if (why != NULL)
		snprintf(
		    cell->report->why, sizeof(cell->report->why), "%s", why);
	else
		fn(cell);
	if (why == NULL && cell->peer->close != NULL)
		cell->peer->close();
	_exit(0);
}

void
cell_run(struct cell *cell, cell_fn *fn, unsigned seconds)
{
	struct report *report = cell->report;
	pid_t pid = child_start();
	int status;

	if (pid == 0)
		cell_main(cell, fn, seconds);
	if (waitpid(pid, &status, 0) != pid)
		err(1, "waitpid");
	if (status == 0 || report->why[0] != '\0')
		return;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(report->why, sizeof(report->why), "too slow");
	else
		snprintf(report->why, sizeof(report->why),
		    "it failed (status %d)", status);
}

static void
worker_pin(unsigned number)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(number % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		err(1, "sched_setaffinity");
}

pid_t
worker_start(struct cell *cell, unsigned number,
    void (*fn)(struct cell *cell, unsigned number, void *arg), void *arg)
{
	pid_t pid = child_start();

	if (pid != 0)
		return pid;
	if (!cell->peer->is_server)
		worker_pin(number);
	cell->peer->attach();
	fn(cell, number, arg);
	_exit(0);
}

void
workers_wait(unsigned n)
{
	int status;

	for (unsigned i = 0; i < n; i++)
		if (wait(&status) < 0 || status != 0)
			_exit(1);
}

/* ---- All entries --------------------------------------------------------- */

struct entry *
entries_of_many(void)
{
	static struct entry entry[MANY];

	for (unsigned i = 0; i < MANY && entry[i].value == NULL; i++)
		entry_init(&entry[i]);
	return entry;
}

void
fill_keys(struct cell *cell, uint32_t id, uint32_t end)
{
	struct entry *entry = entries_of_many();
	unsigned many = 0;

	for (; id < end; id++) {
		stream_key(cell->stream, id, &entry[many]);
		stream_value(cell->stream, id, 0, &entry[many]);
		if (++many < MANY && id + 1 < end)
			continue;
		cell->peer->set_many(many, entry);
		many = 0;
	}
}

void
fill_all(struct cell *cell)
{
	const struct stream *stream = cell->stream;

	if (!stream->mix->overflows)
		fill_keys(cell, 0, stream->ids);
	else
		stream_replay(cell, 0, stream->n / 4);
}

/* Those of the stream's requests that are sent together, from AT on. */
static unsigned
many_make(
    const struct stream *stream, uint32_t at, uint32_t end, struct entry *entry)
{
	unsigned n = 0;

	for (; n < MANY && at + n < end; n++)
		stream_key(
		    stream, stream->request[at + n] & ~REQUEST_SET, &entry[n]);
	return n;
}

/* Store what was not there, at its front; how many it were. */
static unsigned
many_misses(const struct stream *stream, uint32_t at, unsigned n,
    struct entry *entry, const int64_t len[])
{
	unsigned misses = 0;

	for (unsigned i = 0; i < n; i++)
		if (len[i] < 0) {
			uint32_t id = stream->request[at + i] & ~REQUEST_SET;

			stream_key(stream, id, &entry[misses]);
			stream_value(stream, id, at + i, &entry[misses]);
			misses++;
		}
	return misses;
}

uint32_t
stream_replay(struct cell *cell, uint32_t at, uint32_t end)
{
	const struct peer *peer = cell->peer;
	struct entry *entry = entries_of_many();
	int64_t len[MANY];
	uint32_t hits = 0;
	unsigned n, misses;

	for (; at < end; at += n) {
		n = many_make(
		    cell->stream, at, peer->is_server ? end : at + 1, entry);
		peer->get_many(n, entry, len);
		misses = many_misses(cell->stream, at, n, entry, len);
		peer->set_many(misses, entry);
		hits += n - misses;
	}
	return hits;
}

struct live
live_count(const struct cell *cell)
{
	const struct stream *stream = cell->stream;
	struct entry *entry = entries_of_many();
	struct live live = { 0, 0 };
	int64_t len[MANY];
	unsigned many = 0;

	for (uint32_t id = 0; id < stream->ids; id++) {
		stream_key(stream, id, &entry[many]);
		if (++many < MANY && id + 1 < stream->ids)
			continue;
		cell->peer->get_many(many, entry, len);
		for (unsigned i = 0; i < many; i++)
			if (len[i] >= 0) {
				live.entries++;
				live.bytes +=
				    (uint64_t)len[i] + entry[i].key_len;
			}
		many = 0;
	}
	return live;
}
