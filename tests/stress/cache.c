/*
 * Many processes use one cache at random, and are killed and stopped; what they
 * find is checked against what may be there.
 *
 *	cache [SECONDS [WORKERS [SEED]]]
 *
 * A value says which key it belongs to and how often that was stored, and is
 * filled with a pattern of both.  Some keys belong to one worker each, which
 * has noted how far it came before and after each store: there no value may be
 * older than the last one noted, nor be there after a delete was noted.  In the
 * end the cache is removed, and nothing may be left.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmalloc/cache.h>
#include <shmalloc/control.h>

#include "tests/stress/pattern.h"

#define WORKERS_MAX 32
#define OWN         64   /* keys of each worker */
#define COMMON      4000 /* keys of all */
#define VALUE_MAX   3000
#define LIMIT       (1u << 20)

/* How far the owner of a key came: it is shared memory outside the segment. */
struct progress {
	_Atomic uint32_t begun; /* the highest number it may have stored */
	_Atomic uint32_t least; /* what is there has at least this one */
};

struct board {
	struct progress own[WORKERS_MAX][OWN];
	_Atomic uint64_t found, missed, wrong, calls;
	_Atomic uint32_t stop;
};

static struct board *board;

/* The first bytes of a value; the rest is a pattern. */
struct value {
	uint32_t owner, key, number, len;
};

static _Noreturn void
wrong(const char *what, const struct value *value, uint32_t other)
{
	warnx("%s: key %u.%u number %u, length %u; %u", what, value->owner,
	    value->key, value->number, value->len, other);
	atomic_fetch_add(&board->wrong, 1);
	_exit(1);
}

static unsigned char
value_byte(const struct value *value, uint32_t at)
{
	return (unsigned char)(value->owner * 7 + value->key * 31 +
	    value->number * 13 + at);
}

static void
value_fill(unsigned char *buffer, const struct value *value)
{
	memcpy(buffer, value, sizeof(*value));
	for (uint32_t i = sizeof(*value); i < value->len; i++)
		buffer[i] = value_byte(value, i);
}

/* Is what was found for KEY of OWNER a value of that key, whole? */
static struct value
value_check(
    const struct shmalloc_cache_view *view, uint32_t owner, uint32_t key)
{
	const unsigned char *bytes = view->value;
	struct value value = { 0, 0, 0, 0 };

	if (view->len < sizeof(value))
		wrong("short", &value, (uint32_t)view->len);
	memcpy(&value, bytes, sizeof(value));
	if (value.owner != owner || value.key != key || value.len != view->len)
		wrong("another's value", &value, key);
	for (uint32_t i = sizeof(value); i < value.len; i++)
		if (bytes[i] != value_byte(&value, i))
			wrong("torn", &value, i);
	return value;
}

/* ---- A worker ------------------------------------------------------------ */

struct worker {
	struct shmalloc_cache *cache;
	uint64_t random;
	uint32_t number;
	unsigned char buffer[VALUE_MAX];
};

/* The name of a key: some are long. */
struct name {
	char text[400];
	struct shmalloc_bytes bytes;
};

static void
name_make(uint32_t owner, uint32_t key, struct name *ret_name)
{
	int len = snprintf(ret_name->text, sizeof(ret_name->text), "%u.%u.%*s",
	    owner, key, key % 5 == 0 ? 300 : 3, "key");

	ret_name->bytes =
	    (struct shmalloc_bytes){ ret_name->text, (size_t)len };
}

static uint32_t
random_below(struct worker *worker, uint32_t n)
{
	return (uint32_t)(pattern_random(&worker->random) >> 33) % n;
}

static void
result_check(int result, const char *what)
{
	if (result >= 0 || result == SHMALLOC_CACHE_EMISS ||
	    result == SHMALLOC_EEXIST || result == SHMALLOC_ECHANGED ||
	    result == SHMALLOC_CACHE_ELEASE)
		return;
	warnx("%s: %s", what, shmalloc_cache_strerror(result));
	atomic_fetch_add(&board->wrong, 1);
	_exit(1);
}

/* Look up anybody's own key: it may be missing, not outdated. */
static void
own_look(struct worker *worker, uint32_t owner, uint32_t key)
{
	struct progress *progress = &board->own[owner][key];
	uint32_t least = atomic_load(&progress->least), number;
	struct shmalloc_cache_view view;
	struct name name;
	int result;

	name_make(owner, key, &name);
	result = shmalloc_cache_pin(worker->cache, name.bytes, &view);
	result_check(result, "pin");
	atomic_fetch_add(result == 0 ? &board->found : &board->missed, 1);
	if (result != 0)
		return;
	struct value value = value_check(&view, owner, key);

	number = atomic_load(&progress->begun);
	if (value.number < least)
		wrong("outdated", &value, least);
	if (value.number > number)
		wrong("from the future", &value, number);
	shmalloc_cache_release(worker->cache, &view);
}

/* Store one's own key anew, or delete it. */
static void
own_change(struct worker *worker, uint32_t key)
{
	struct progress *progress = &board->own[worker->number][key];
	uint32_t next = atomic_load(&progress->begun) + 1;
	struct value value = { worker->number, key, next,
		(uint32_t)sizeof(value) + random_below(worker, 2000) };
	struct name name;
	int result;

	name_make(worker->number, key, &name);
	if (random_below(worker, 4) == 0) {
		result = shmalloc_cache_delete(worker->cache, name.bytes);
		result_check(result, "delete");
		/* None that was begun may be there from now on. */
		atomic_store(&progress->least, next);
		atomic_store(&progress->begun, next);
		return;
	}
	value_fill(worker->buffer, &value);
	atomic_store(&progress->begun, next);
	result = shmalloc_cache_set(worker->cache, name.bytes,
	    (struct shmalloc_bytes){ worker->buffer, value.len }, NULL);
	result_check(result, "set");
	atomic_store(&progress->least, next);
}

/* ---- Keys that all change ------------------------------------------------ */

static struct shmalloc_bytes
common_value(struct worker *worker, uint32_t key)
{
	struct value value = { WORKERS_MAX, key,
		(uint32_t)pattern_random(&worker->random),
		(uint32_t)sizeof(value) + random_below(worker, 900) };

	value_fill(worker->buffer, &value);
	return (struct shmalloc_bytes){ worker->buffer, value.len };
}

static void
common_get(struct worker *worker, uint32_t key, struct name *name)
{
	struct shmalloc_cache_view view;
	int result = shmalloc_cache_get(worker->cache, name->bytes,
	    worker->buffer, sizeof(worker->buffer), &view);

	result_check(result, "get");
	atomic_fetch_add(result == 0 ? &board->found : &board->missed, 1);
	if (result == 0)
		(void)value_check(&view, WORKERS_MAX, key);
}

static void
common_load(struct worker *worker, uint32_t key, struct name *name)
{
	struct shmalloc_cache_patience patience = { 50, 5 };
	struct shmalloc_cache_lease lease;
	struct shmalloc_cache_view view;
	int result = shmalloc_cache_take(
	    worker->cache, name->bytes, &patience, &view, &lease);

	if (result == SHMALLOC_ETIMEDOUT)
		return;
	result_check(result, "take");
	if (result == 0) {
		(void)value_check(&view, WORKERS_MAX, key);
		shmalloc_cache_release(worker->cache, &view);
	} else if (random_below(worker, 16) == 0) {
		/* Forgotten: void after 50 ms. */
	} else if (random_below(worker, 8) == 0) {
		result_check(
		    shmalloc_cache_waive(worker->cache, name->bytes, &lease),
		    "waive");
	} else {
		result_check(shmalloc_cache_fill(worker->cache, name->bytes,
				 &lease, common_value(worker, key), NULL),
		    "fill");
	}
}

static void
common_cas(struct worker *worker, uint32_t key, struct name *name)
{
	struct shmalloc_cache_view view;

	if (shmalloc_cache_get(worker->cache, name->bytes, NULL, 0, &view) == 0)
		result_check(shmalloc_cache_cas(worker->cache, name->bytes,
				 view.version, common_value(worker, key), NULL),
		    "cas");
}

static void
common_use(struct worker *worker)
{
	struct shmalloc_cache_terms terms = { 1, 100 };
	struct shmalloc_cache *cache = worker->cache;
	uint32_t key = random_below(worker, COMMON);
	struct name name;

	name_make(WORKERS_MAX, key, &name);
	switch (random_below(worker, 12)) {
	case 0:
		result_check(shmalloc_cache_set(cache, name.bytes,
				 common_value(worker, key), NULL),
		    "set");
		break;
	case 1:
		result_check(shmalloc_cache_add(cache, name.bytes,
				 common_value(worker, key), &terms),
		    "add");
		break;
	case 2:
		result_check(shmalloc_cache_replace(cache, name.bytes,
				 common_value(worker, key), &terms),
		    "replace");
		break;
	case 3:
		common_cas(worker, key, &name);
		break;
	case 4:
		result_check(
		    shmalloc_cache_delete(cache, name.bytes), "delete");
		break;
	case 5:
		result_check(
		    shmalloc_cache_touch(cache, name.bytes, 200), "touch");
		break;
	case 6:
	case 7:
		common_load(worker, key, &name);
		break;
	default:
		common_get(worker, key, &name);
	}
}

static void
counter_use(struct worker *worker)
{
	struct shmalloc_bytes key = { "counter", 7 };

	result_check(
	    shmalloc_cache_increment(worker->cache, key, 1, 1, NULL, NULL),
	    "increment");
}

static void
worker_step(struct worker *worker, uint32_t n_workers)
{
	uint32_t what = random_below(worker, 1000);

	if (what < 200)
		own_change(worker, random_below(worker, OWN));
	else if (what < 500)
		own_look(worker, random_below(worker, n_workers),
		    random_below(worker, OWN));
	else if (what < 998)
		common_use(worker);
	else if (what < 999)
		counter_use(worker);
	else if (random_below(worker, 50) == 0)
		result_check(shmalloc_cache_clear(worker->cache), "clear");
	atomic_fetch_add(&board->calls, 1);
}

static struct shmalloc_cache *
cache_open(struct shmalloc *heap)
{
	struct shmalloc_cache_options options = SHMALLOC_CACHE_OPTIONS_INIT;
	struct shmalloc_cache *cache;
	int error;

	options.entries = 7;
	options.bytes = LIMIT;
	options.stale_ms = 100;
	error = shmalloc_cache_open(heap, "stress", &options, &cache);
	if (error != 0)
		errx(1, "open: %s", shmalloc_cache_strerror(error));
	return cache;
}

static struct shmalloc *
heap_attach(void)
{
	struct shmalloc *heap;
	int error = shmalloc_attach(NULL, NULL, &heap);

	if (error != 0)
		errx(1, "attach: %s", shmalloc_strerror(error));
	return heap;
}

static _Noreturn void
worker_run(uint32_t number, uint32_t n_workers, uint64_t seed)
{
	struct worker worker = { .random = seed, .number = number };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	worker.cache = cache_open(heap_attach());
	while (!atomic_load(&board->stop))
		worker_step(&worker, n_workers);
	_exit(0);
}

/* ---- The others' end ----------------------------------------------------- */

static uint64_t
bytes_allocated(void)
{
	struct shmalloc_control *control;
	struct shmalloc_reply *reply;
	uint64_t value = 0;

	if (shmalloc_control_connect(NULL, 0, &control) != 0 ||
	    shmalloc_control_stats(control, NULL, SHMALLOC_EXACT, &reply) !=
		0 ||
	    shmalloc_control_uint(
		shmalloc_control_object(shmalloc_control_root(reply), "bytes"),
		"allocated", &value) != 0)
		errx(1, "no statistics");
	shmalloc_control_free(reply);
	shmalloc_control_disconnect(control);
	return value;
}

/* Wait until as much is allocated as before; what is now. */
static uint64_t
bytes_settle(uint64_t before)
{
	struct timespec pause = { 0, 20000000 };

	for (int i = 0; i < 500 && bytes_allocated() != before; i++)
		(void)nanosleep(&pause, NULL);
	return bytes_allocated();
}

/* Start a worker; 0: it is there. */
static pid_t
worker_start(uint32_t number, uint32_t n_workers, uint64_t seed)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid == 0)
		worker_run(number, n_workers, seed);
	return pid;
}

/* Kill, or stop for a while, one worker after the other, until END. */
static uint64_t
workers_kill(pid_t pid[], uint32_t n, uint64_t *random, time_t end)
{
	uint64_t kills = 0, number;

	for (; time(NULL) < end && !atomic_load(&board->wrong); kills++) {
		struct timespec life = { 0,
			(long)(pattern_random(random) % 15000000) };

		number = pattern_random(random) % n;
		(void)nanosleep(&life, NULL);
		if (kills % 3 == 0) {
			(void)kill(pid[number], SIGSTOP);
			(void)nanosleep(&life, NULL);
		}
		(void)kill(pid[number], SIGKILL);
		(void)waitpid(pid[number], NULL, 0);
		pid[number] =
		    worker_start((uint32_t)number, n, pattern_random(random));
	}
	return kills;
}

/* The sums are right after a sweep, however many were killed. */
static bool
sums_are_right(struct shmalloc_cache *cache)
{
	struct shmalloc_cache_stats stats;
	int error = shmalloc_cache_sweep(cache);

	if (error == 0)
		error = shmalloc_cache_clear(cache);
	if (error == 0)
		error = shmalloc_cache_stats(cache, &stats);
	if (error != 0)
		errx(1, "sweep: %s", shmalloc_cache_strerror(error));
	printf("cache: %" PRIu64 " entries after the clear; moved %" PRIu64
	       ", evicted %" PRIu64 " %" PRIu64 ", leases broken %" PRIu64
	       ", %" PRIu64 " places\n",
	    stats.entries, stats.count[SHMALLOC_CACHE_MOVED],
	    stats.count[SHMALLOC_CACHE_EVICTED_LIMIT],
	    stats.count[SHMALLOC_CACHE_EVICTED_PLACE],
	    stats.count[SHMALLOC_CACHE_LEASES_BROKEN], stats.places);
	return stats.entries == 0 && stats.count[SHMALLOC_CACHE_FAILED] == 0;
}

int
main(int argc, char *argv[])
{
	time_t seconds = argc > 1 ? atoi(argv[1]) : 5;
	uint32_t n = argc > 2 ? (uint32_t)atoi(argv[2]) : 4;
	uint64_t seed =
	    argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL);
	uint64_t random = seed, before = bytes_allocated(), after, kills;
	struct shmalloc_cache *cache;
	struct shmalloc *heap;
	pid_t pid[WORKERS_MAX];
	bool is_good;

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED || n == 0 || n > WORKERS_MAX)
		errx(2, "1 to %d workers", WORKERS_MAX);
	printf("cache: %u workers, seed %" PRIu64 "\n", n, seed);
	fflush(stdout);
	for (uint32_t i = 0; i < n; i++)
		pid[i] = worker_start(i, n, pattern_random(&random));
	kills = workers_kill(pid, n, &random, time(NULL) + seconds);
	atomic_store(&board->stop, 1);
	for (uint32_t i = 0; i < n; i++) {
		int status = 1;

		if (waitpid(pid[i], &status, 0) != pid[i] || status != 0)
			atomic_fetch_add(&board->wrong, 1);
	}
	heap = heap_attach();
	cache = cache_open(heap);
	is_good = sums_are_right(cache);
	if (shmalloc_cache_destroy(cache) != 0)
		errx(1, "destroy");
	shmalloc_cache_close(cache);
	shmalloc_detach(heap);
	after = bytes_settle(before);
	printf("cache: %" PRIu64 " kills, %" PRIu64 " calls, %" PRIu64
	       " found, %" PRIu64 " missed, %" PRIu64 " wrong; %" PRIu64
	       " bytes before, %" PRIu64 " after\n",
	    kills, atomic_load(&board->calls), atomic_load(&board->found),
	    atomic_load(&board->missed), atomic_load(&board->wrong), before,
	    after);
	return is_good && before == after && board->wrong == 0 &&
		board->found > 0 && board->missed > 0
	    ? 0
	    : 1;
}
