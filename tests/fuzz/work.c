#include "tests/fuzz/work.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#include "proto/frame.h"
#include "server/control.h"
#include "server/reader.h"
#include "server/server.h"
#include "server/tune.h"
#include "server/tune_timed.h"
#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/heap.h"
#include "shm/stats.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/image.h"

static struct server server;
static struct segment segment;

/* Nobody else is there, so what is waited for never comes. */
int
nanosleep(const struct timespec *wait, struct timespec *ret_left)
{
	(void)wait;
	(void)ret_left;
	return 0;
}

int
sched_yield(void)
{
	return 0;
}

void
work_begin(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	config_init(&server.config);
	server.store.link = -1;
	TAILQ_INIT(&server.segments);
	strcpy(segment.name, "fuzz");
	segment.mode = 0600;
	TAILQ_INSERT_TAIL(&server.segments, &segment, link);
}

/* ---- What operators ask for ---------------------------------------------- */

/* Do WORK, then RUN, as control.c and job.c do, and pack the answer. */
static void
verb_walk(struct shm_seg *seg, const Proto__Request *request,
    int (*work)(struct call *call), int (*run)(struct call *call))
{
	Proto__Reply reply = PROTO__REPLY__INIT;
	struct pool pool = { 0 };
	struct call call = { .server = &server,
		.segment = &segment,
		.request = request,
		.reply = &reply,
		.pool = &pool,
		.fd = -1,
		.who = "the fuzzer" };
	uint8_t *frame;
	size_t len;
	int error;

	segment.seg = *seg;
	error = work != NULL ? work(&call) : 0;
	FUZZ_CHECK(error <= 0 && (error < 0 || run(&call) <= 0));
	*seg = segment.seg;
	FUZZ_CHECK(proto_pack(&reply.base, PROTO_MAX_REPLY, &frame, &len) == 0);
	free(frame);
	pool_release(&pool);
}

static void
verb_do(struct shm_seg *seg, const Proto__Request *request,
    int (*run)(struct call *call))
{
	verb_walk(seg, request, NULL, run);
}

static void
job_status(struct shm_seg *seg, uint32_t choice)
{
	Proto__Request request = PROTO__REQUEST__INIT;

	(void)choice;
	verb_do(seg, &request, verb_status);
	verb_do(seg, &request, verb_segment_list);
	verb_do(seg, &request, verb_locks);
}

static void
job_stats(struct shm_seg *seg, uint32_t choice)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__StatsRequest stats = PROTO__STATS_REQUEST__INIT;

	request.stats = &stats;
	stats.exact = choice & 1;
	/* As control.c has it: only the exact form walks, and needs locks. */
	if (stats.exact)
		verb_walk(seg, &request, verb_stats_work, verb_stats);
	else
		verb_do(seg, &request, verb_stats);
}

static void
job_clients(struct shm_seg *seg, uint32_t choice)
{
	struct shm_client_stats client;
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__ClientsRequest clients = PROTO__CLIENTS_REQUEST__INIT;

	(void)choice;
	request.clients = &clients;
	verb_do(seg, &request, verb_clients);
	for (uint32_t i = 0; i < 2 * IMAGE_CLIENTS; i++)
		(void)shm_client_read(seg, i, &client);
}

static void
job_map(struct shm_seg *seg, uint32_t choice)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__MapRequest map = PROTO__MAP_REQUEST__INIT;

	request.map = &map;
	map.has_arena = choice >> 1 & 1;
	map.arena = choice >> 2;
	map.cells = choice & 1 ? 65536 : 0;
	verb_walk(seg, &request, verb_map_work, verb_map);
}

static void
job_fit(struct shm_seg *seg, uint32_t choice)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__FitRequest fit = PROTO__FIT_REQUEST__INIT;

	request.fit = &fit;
	fit.size_bytes = UINT64_C(1) << choice % 41;
	fit.count = choice;
	verb_walk(seg, &request, verb_fit_work, verb_fit);
}

static void
job_roots(struct shm_seg *seg, uint32_t choice)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__RootRemoveRequest remove = PROTO__ROOT_REMOVE_REQUEST__INIT;
	char name[] = "r0";

	verb_do(seg, &request, verb_roots);
	request.root_remove = &remove;
	remove.name = name;
	name[1] = (char)('0' + choice % 3);
	verb_do(seg, &request, verb_root_remove);
}

static void
job_trim(struct shm_seg *seg, uint32_t choice)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__TrimRequest trim = PROTO__TRIM_REQUEST__INIT;

	request.trim = &trim;
	trim.dry_run = choice & 1;
	trim.has_arena = choice >> 1 & 1;
	trim.arena = choice >> 2;
	verb_walk(seg, &request, verb_trim_work, verb_trim);
}

static void
job_check(struct shm_seg *seg, uint32_t choice)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__CheckRequest check = PROTO__CHECK_REQUEST__INIT;

	request.check = &check;
	check.repair = choice & 1;
	verb_walk(seg, &request, verb_check_work, verb_check);
}

static void
job_tune(struct shm_seg *seg, uint32_t choice)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__TuneListRequest list = PROTO__TUNE_LIST_REQUEST__INIT;
	Proto__TuneSetRequest set = PROTO__TUNE_SET_REQUEST__INIT;
	Proto__TuneResetRequest reset = PROTO__TUNE_RESET_REQUEST__INIT;
	Proto__Assignment one = PROTO__ASSIGNMENT__INIT, *ones = &one;
	char name[] = "top_pad", small[] = "4K", large[] = "2M";

	request.tune_list = &list;
	verb_do(seg, &request, verb_tune_list);
	request.tune_set = &set;
	set.set = &ones;
	set.n_set = 1;
	one.name = name;
	one.value = choice & 1 ? large : small;
	verb_do(seg, &request, verb_tune_set);
	request.tune_reset = &reset;
	if (choice & 2)
		verb_do(seg, &request, verb_tune_reset);
}

/* ---- What it does by itself -----------------------------------------------
 */

static void
job_tick(struct shm_seg *seg, uint32_t choice)
{
	(void)shm_repair_dead_locks(seg);
	for (uint32_t i = 0; i < 1 + choice % 3; i++)
		(void)shm_tick(seg);
	segment.seg = *seg;
	reader_tick(&segment);
	tune_timed_tick(&server, &segment);
}

static void
job_reclaim(struct shm_seg *seg, uint32_t choice)
{
	struct shm_reclaimed sum = { 0 };
	uint32_t slot = SHM_DAEMON_SLOT + 1 + choice % IMAGE_CLIENTS;

	if (choice & 64)
		shm_client_death(seg, slot);
	for (int i = 0; i < 8; i++)
		FUZZ_CHECK(shm_reclaim_step(
			       seg, slot, choice & 128 ? 10 : 4096, &sum) <= 1);
}

static void
job_attach(struct shm_seg *seg, uint32_t choice)
{
	const struct shm_identity who = {
		.pid = 1, .flags = choice & 1, .label = "new"
	};
	uint32_t slot, generation;

	if (shm_client_open(seg, &who, &slot, &generation) != 0)
		return;
	FUZZ_CHECK(slot > SHM_DAEMON_SLOT && slot < SHM_CLIENTS);
	shm_client_death(seg, slot);
}

/* A daemon that is killed, and the next one. */
static void
job_start(struct shm_seg *seg, uint32_t choice)
{
	if (shm_daemon_start(seg) == 0 && choice & 1)
		shm_daemon_stop(seg);
}

static void
job_rebuild(struct shm_seg *seg, uint32_t choice)
{
	struct shm_self self;
	struct shm_arena *arena = &seg->arenas[choice % 3];

	shm_daemon_self(seg, &self);
	if (!shm_arena_trylock(arena, &self))
		return;
	FUZZ_CHECK(shm_arena_rebuild_locked(&self, arena) <= 0);
	shm_arena_unlock(arena);
	seg->has_miscount = !shm_commit_recount(seg);
}

static uint64_t
bytes_sum(const struct shm_bytes *bytes)
{
	return bytes->in_use_chunks + bytes->cached + bytes->pending +
	    bytes->free_binned + bytes->free_fast + bytes->free_top +
	    bytes->extents_used + bytes->extents_free + bytes->metadata +
	    bytes->unused;
}

/* Whatever is read adds up. */
static void
job_identity(struct shm_seg *seg, uint32_t choice)
{
	struct shm_stats stats;

	if (shm_stats_read(seg, choice & 1, &stats) != 0)
		return;
	FUZZ_CHECK(bytes_sum(&stats.bytes) == stats.bytes.size);
	shm_stats_release(&stats);
}

/* ---- The table ------------------------------------------------------------
 */

static void (*const jobs[])(struct shm_seg *seg, uint32_t choice) = {
	job_status,
	job_stats,
	job_clients,
	job_map,
	job_roots,
	job_check,
	job_identity,
	job_tick,
	job_trim,
	job_tune,
	job_reclaim,
	job_attach,
	job_rebuild,
	job_start,
	job_fit,
};

const uint32_t work_jobs = sizeof(jobs) / sizeof(jobs[0]);

void
work_do(struct shm_seg *seg, uint32_t i, uint32_t choice)
{
	jobs[i % work_jobs](seg, choice);
}
