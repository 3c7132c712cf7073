/*
 * Several processes use the table of examples/cache.c at once: they find,
 * store, replace and withdraw entries, and compare every byte that they find,
 * also of an entry that leaves the table while they hold it.  One of them is
 * killed in the middle, and another takes its place.
 *
 *	crowd [WORKERS [ROUNDS]]
 *
 * Entry I has a length of its own; in version V each of its bytes is I + V.
 */
#include "examples/cache.h"

#include <err.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROOT    "crowd"
#define ENTRIES 500u
#define LEN_MAX 3000u

/* What the workers count; it isn't to outlive them. */
static struct tally {
	_Atomic uint32_t version[ENTRIES]; /* the newest there is */
	_Atomic uint64_t lookups, hits, left, wrong;
} * tally;

static uint32_t
len_of(uint32_t i)
{
	return 1 + i * 7919 % LEN_MAX;
}

static struct cache_key
key_of(const uint32_t *i)
{
	return (struct cache_key){ i, sizeof(*i) };
}

static bool
is_right(uint32_t i, const struct cache_view *view)
{
	unsigned char byte = (unsigned char)(i + view->entry->version);

	for (uint64_t at = 0; at < view->entry->value_len; at++)
		if (view->value[at] != byte)
			return false;
	return view->entry->value_len == len_of(i) &&
	    view->entry->version <= atomic_load(&tally->version[i]);
}

/* Inside: judge what was found, and once more when others had their turn. */
static void
view_judge(uint32_t i, const struct cache_view *view)
{
	bool is_good = is_right(i, view);

	sched_yield();
	if (cache_view_fate(view) != CACHE_PRESENT)
		atomic_fetch_add(&tally->left, 1);
	if (!is_good || !is_right(i, view))
		atomic_fetch_add(&tally->wrong, 1);
	atomic_fetch_add(&tally->hits, 1);
}

static bool
entry_find(struct cache *cache, uint32_t i)
{
	struct cache_view view;
	bool is_found;

	if (shmalloc_enter(cache->heap) != 0)
		errx(1, "a reader's pin could not be had");
	is_found = cache_find(cache, key_of(&i), &view);
	if (is_found)
		view_judge(i, &view);
	if (shmalloc_exit(cache->heap) != 0)
		errx(1, "a reader's pin was lost");
	atomic_fetch_add(&tally->lookups, 1);
	return is_found;
}

static void
entry_store(struct cache *cache, uint32_t i, uint32_t version)
{
	unsigned char *value;
	shmalloc_off off =
	    cache_prepare(cache, key_of(&i), version, len_of(i), &value);

	if (off == 0)
		err(1, "an entry of %" PRIu32 " bytes", len_of(i));
	memset(value, (int)(i + version), len_of(i));
	(void)cache_store(cache, off);
}

/* A look-up, most times; sometimes a new version, or none. */
static void
round_play(struct cache *cache, unsigned *seed)
{
	uint32_t i = (uint32_t)rand_r(seed) % ENTRIES;
	int dice = rand_r(seed) % 16;

	if (dice == 0)
		entry_store(
		    cache, i, atomic_fetch_add(&tally->version[i], 1) + 1);
	else if (dice == 1)
		(void)cache_withdraw(cache, key_of(&i));
	else if (!entry_find(cache, i))
		entry_store(cache, i, atomic_load(&tally->version[i]));
}

static void
worker_fork(struct cache *cache, unsigned seed, unsigned rounds, bool is_ill)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid > 0)
		return;
	for (unsigned i = 0; i < rounds; i++) {
		/* With an entry in hand that nobody else knows of. */
		if (is_ill && i == rounds / 2 &&
		    shmalloc_alloc(cache->heap, LEN_MAX) != 0)
			raise(SIGKILL);
		round_play(cache, &seed);
	}
	_exit(0);
}

/* Wait for all; the first that was killed is succeeded.  False: one failed. */
static bool
workers_wait(struct cache *cache, unsigned seed, unsigned rounds)
{
	bool is_good = true;

	for (int status; wait(&status) > 0;)
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
			puts("a worker was killed: another takes its place");
			fflush(stdout);
			worker_fork(cache, seed, rounds / 2, false);
		} else if (status != 0) {
			is_good = false;
		}
	return is_good;
}

int
main(int argc, char *argv[])
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 4;
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 50000;
	struct cache_options options = { .limit = ENTRIES * LEN_MAX / 4,
		.mean = LEN_MAX / 2,
		.largest = LEN_MAX };
	struct shmalloc *heap;
	struct cache cache;
	int error = shmalloc_attach(NULL, NULL, &heap);

	if (error != 0)
		errx(1, "%s", shmalloc_strerror(error));
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED || cache_create(heap, ROOT, &options) != 0 ||
	    cache_open(heap, ROOT, &cache) != 0)
		err(1, "the table");
	for (unsigned i = 0; i < n; i++)
		worker_fork(&cache, i, rounds, i == 0);
	bool is_good = workers_wait(&cache, n, rounds);
	struct cache_census census = cache_count(&cache);

	printf("%" PRIu64 " look-ups, %" PRIu64 " found, %" PRIu64
	       " of these left the table meanwhile, %" PRIu64 " wrong\n"
	       "%" PRIu64 " entries, %" PRIu64 " of %" PRIu64 " bytes\n",
	    tally->lookups, tally->hits, tally->left, tally->wrong,
	    census.entries, census.bytes, census.limit);
	if (cache_destroy(heap, ROOT) != 0)
		err(1, "the table");
	shmalloc_detach(heap);
	return is_good && tally->wrong == 0 ? 0 : 1;
}
