#include "tests/daemon/scene.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmalloc/control.h>
#include <shmalloc/shmalloc.h>

#include "shm/access.h"
#include "shm/lock.h"
#include "shm/thread.h"

#define WORKERS    2
#define OBJECTS    400
#define WAIT_MS    20000
#define CONTROL_MS 5000

/* What the processes tell each other; not in the segment. */
struct board {
	_Atomic uint64_t wrong, failures;
	_Atomic uint32_t rest, n_resting, stop;
};

static struct board *board;
static pid_t workers[WORKERS];
static struct shmalloc *heap;
static unsigned n_tunes;

static bool
eventually(bool (*is_so)(void))
{
	const struct timespec tick = { 0, 5000000 };

	for (int i = 0; i < WAIT_MS / 5; i++) {
		if (is_so())
			return true;
		(void)nanosleep(&tick, NULL);
	}
	return false;
}

/* ---- Clients at work -------------------------------------------------------
 */

struct object {
	shmalloc_off off;
	size_t len;
	unsigned char fill;
};

static void
object_check(const struct object *object)
{
	const unsigned char *p = shmalloc_ptr(heap, object->off);

	for (size_t i = 0; i < object->len; i += 97)
		if (p[i] != object->fill)
			atomic_fetch_add(&board->wrong, 1);
}

static void
object_replace(struct object *object, unsigned *random)
{
	/* One of 32 is large enough for pages of its own. */
	unsigned bits = rand_r(random) % 32 == 0 ? 18 : 12;

	if (object->off != 0) {
		object_check(object);
		shmalloc_free(heap, object->off);
	}
	object->len = 1 + (size_t)rand_r(random) % (1u << bits);
	object->fill = (unsigned char)rand_r(random);
	object->off = shmalloc_alloc(heap, object->len);
	if (object->off == 0)
		atomic_fetch_add(&board->failures, 1);
	else
		memset(
		    shmalloc_ptr(heap, object->off), object->fill, object->len);
}

static void
worker_rest(void)
{
	const struct timespec tick = { 0, 1000000 };

	if (!atomic_load(&board->rest))
		return;
	atomic_fetch_add(&board->n_resting, 1);
	while (atomic_load(&board->rest))
		(void)nanosleep(&tick, NULL);
	atomic_fetch_sub(&board->n_resting, 1);
}

static void
worker_run(unsigned random)
{
	static struct object object[OBJECTS];
	const struct timespec pause = { 0, 100000 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (shmalloc_attach(NULL, NULL, &heap) != 0)
		_exit(1);
	while (!atomic_load(&board->stop)) {
		for (int i = 0; i < 32; i++)
			object_replace(
			    &object[(unsigned)rand_r(&random) % OBJECTS],
			    &random);
		worker_rest();
		(void)nanosleep(&pause, NULL);
	}
	for (int i = 0; i < OBJECTS; i++)
		if (object[i].off != 0) {
			object_check(&object[i]);
			shmalloc_free(heap, object[i].off);
		}
	shmalloc_detach(heap);
	_exit(0);
}

static bool
all_rest(void)
{
	return atomic_load(&board->n_resting) == WORKERS;
}

static bool
nobody_rests(void)
{
	return atomic_load(&board->n_resting) == 0;
}

/* ---- Asking ----------------------------------------------------------------
 */

static struct shmalloc_control *
control_open(void)
{
	struct shmalloc_control *control;

	return shmalloc_control_connect(NULL, CONTROL_MS, &control) == 0
	    ? control
	    : NULL;
}

bool
scene_is_served(void)
{
	struct shmalloc_control *control = control_open();
	struct shmalloc_reply *reply;
	bool is_served =
	    control && shmalloc_control_status(control, NULL, &reply) == 0;

	if (is_served)
		shmalloc_control_free(reply);
	shmalloc_control_disconnect(control);
	return is_served;
}

static uint64_t
number(const struct shmalloc_record *record, const char *key)
{
	uint64_t value;

	return record && shmalloc_control_uint(record, key, &value) == 0
	    ? value
	    : UINT64_MAX;
}

/* ---- Judging ----------------------------------------------------------------
 */

static bool
nobody_dies(void)
{
	struct shmalloc_control *control = control_open();
	struct shmalloc_reply *reply;
	bool is_so = false;

	if (control && shmalloc_control_status(control, NULL, &reply) == 0) {
		is_so = number(shmalloc_control_object(
				   shmalloc_control_root(reply), "clients"),
			    "dying") == 0;
		shmalloc_control_free(reply);
	}
	shmalloc_control_disconnect(control);
	return is_so;
}

static bool
segment_is_sound(struct shmalloc_control *control)
{
	struct shmalloc_reply *reply;
	uint64_t n;

	if (shmalloc_control_check(control, NULL, 0, &reply) != 0) {
		(void)printf(
		    "# check: %s\n", shmalloc_control_message(control));
		return false;
	}
	n = number(shmalloc_control_root(reply), "findings_total");
	for (size_t i = 0; n && i < n; i++) {
		const struct shmalloc_record *one = shmalloc_control_item(
		    shmalloc_control_root(reply), "findings", i);

		if (one)
			(void)printf(
			    "# %s\n", shmalloc_control_string(one, "text"));
	}
	shmalloc_control_free(reply);
	return n == 0;
}

static bool
bytes_add_up(struct shmalloc_control *control)
{
	static const char *const parts[] = { "in_use_chunks", "cached",
		"pending", "free_binned", "free_fast", "free_top",
		"extents_used", "extents_free", "metadata", "unused" };
	struct shmalloc_reply *reply;
	const struct shmalloc_record *bytes;
	uint64_t sum = 0, size;

	if (shmalloc_control_stats(control, NULL, SHMALLOC_EXACT, &reply) !=
	    0) {
		(void)printf(
		    "# stats: %s\n", shmalloc_control_message(control));
		return false;
	}
	bytes = shmalloc_control_object(shmalloc_control_root(reply), "bytes");
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		sum += number(bytes, parts[i]);
	size = number(
	    shmalloc_control_object(shmalloc_control_root(reply), "segment"),
	    "size_bytes");
	shmalloc_control_free(reply);
	if (sum == size)
		return true;
	(void)printf("# %" PRIu64 " bytes, and %" PRIu64 " are accounted for\n",
	    size, sum);
	return false;
}

static uint64_t
tunable(struct shmalloc_control *control, const char *name)
{
	struct shmalloc_reply *reply;
	uint64_t value = UINT64_MAX;

	if (shmalloc_control_tune_list(control, NULL, name, 0, &reply) != 0)
		return value;
	value = number(shmalloc_control_item(
			   shmalloc_control_root(reply), "parameters", 0),
	    "value");
	shmalloc_control_free(reply);
	return value;
}

/* scene_tune() sets both, to values that belong together. */
static bool
tunables_agree(struct shmalloc_control *control)
{
	uint64_t decay = tunable(control, "decay_ms");
	uint64_t pad = tunable(control, "top_pad");

	if (pad == (decay / 1000) * 4096)
		return true;
	(void)printf("# decay_ms=%" PRIu64 " and top_pad=%" PRIu64
		     " were not set together\n",
	    decay, pad);
	return false;
}

static bool
judge_resting(void)
{
	struct shmalloc_control *control;
	bool is_good;

	if (!eventually(nobody_dies)) {
		(void)printf("# the dead are not reclaimed\n");
		return false;
	}
	control = control_open();
	if (!control)
		return false;
	is_good = segment_is_sound(control) && bytes_add_up(control) &&
	    tunables_agree(control) && atomic_load(&board->wrong) == 0 &&
	    atomic_load(&board->failures) == 0;
	if (atomic_load(&board->wrong))
		(void)printf("# a client read what it had not written\n");
	if (atomic_load(&board->failures))
		(void)printf("# an allocation failed\n");
	/* Of scene_create(). */
	(void)shmalloc_control_segment_destroy(control, "made", SHMALLOC_FORCE);
	shmalloc_control_disconnect(control);
	return is_good;
}

bool
scene_judge(void)
{
	bool is_good;

	atomic_store(&board->rest, 1);
	is_good = eventually(all_rest) && judge_resting();
	atomic_store(&board->rest, 0);
	return is_good && eventually(nobody_rests);
}

/* ---- What the daemon is made to do ------------------------------------------
 */

/* It could not make the daemon do anything: say so, and end. */
static _Noreturn void
trigger_fail(const char *which)
{
	const struct shmalloc_failure *failure =
	    heap ? shmalloc_last_failure(heap) : NULL;

	(void)printf("# %s: failed (%s)\n", which,
	    failure ? failure->reason : "no heap");
	(void)fflush(stdout);
	_exit(1);
}

void
scene_create(void)
{
	struct shmalloc_segment_options options = SHMALLOC_SEGMENT_OPTIONS_INIT;
	struct shmalloc_control *control = control_open();

	options.limit_bytes = 8 << 20;
	if (!control ||
	    shmalloc_control_segment_create(control, "made", &options) != 0)
		trigger_fail(__func__);
}

void
scene_destroy(void)
{
	struct shmalloc_control *control = control_open();

	scene_create();
	if (!control ||
	    shmalloc_control_segment_destroy(control, "made", SHMALLOC_FORCE) !=
		0)
		trigger_fail(__func__);
}

void
scene_attach(void)
{
	if (shmalloc_attach(NULL, NULL, &heap) != 0 ||
	    shmalloc_alloc(heap, 100) == 0)
		trigger_fail(__func__);
	(void)pause();
}

void
scene_trim(void)
{
	struct shmalloc_control *control = control_open();
	struct shmalloc_reply *reply;

	if (!control ||
	    shmalloc_control_trim(
		control, NULL, SHMALLOC_ALL_ARENAS, 0, &reply) != 0)
		trigger_fail(__func__);
}

/* Set decay_ms, and with it top_pad: see tunables_agree(). */
static void
tunables_set(unsigned decay_s)
{
	struct shmalloc_control *control = control_open();
	struct shmalloc_reply *reply;
	char decay[16], pad[16];
	struct shmalloc_assignment set[] = { { "decay_ms", decay },
		{ "top_pad", pad } };

	(void)snprintf(decay, sizeof(decay), "%us", decay_s);
	(void)snprintf(pad, sizeof(pad), "%uK", 4 * decay_s);
	if (!control ||
	    shmalloc_control_tune_set(control, NULL, 2, set, 0, &reply) != 0)
		trigger_fail(__func__);
	shmalloc_control_free(reply);
	shmalloc_control_disconnect(control);
}

void
scene_tune(void)
{
	tunables_set(4 + n_tunes % 50);
}

/*
 * Take from the top, slowly enough for the daemon to commit ahead of it.  It
 * does so when less than half of top_pad is left: with a pad of half a
 * megabyte, that is so at every third tick or so.  What is free elsewhere is
 * taken first; with all of it given back, that is soon done.
 */
void
scene_grow(void)
{
	const struct timespec pause = { 0, 300000 };

	tunables_set(128);
	scene_trim();
	if (shmalloc_attach(NULL, NULL, &heap) != 0)
		trigger_fail(__func__);
	for (int i = 0; i < 20000; i++) {
		if (shmalloc_alloc(heap, 20000) == 0)
			trigger_fail(__func__);
		(void)nanosleep(&pause, NULL);
	}
}

/* Attach, and have one of everything. */
static void
client_begin(void)
{
	shmalloc_slot *slot;
	shmalloc_off off;

	if (shmalloc_attach(NULL, NULL, &heap) != 0 ||
	    shmalloc_root(heap, "kill", &slot) != 0)
		trigger_fail(__func__);
	for (size_t len = 16; len < 300000; len += len / 4 + 3)
		for (int i = 0; i < 4; i++)
			if (shmalloc_alloc(heap, len) == 0)
				trigger_fail(__func__);
	for (int i = 0; i < 3; i++) {
		off = shmalloc_slot_load(slot);
		if (shmalloc_publish(
			heap, slot, off, shmalloc_alloc(heap, 200)) == 0 &&
		    off != 0 && i < 2)
			(void)shmalloc_retire(heap, off);
	}
}

void
scene_die(void)
{
	client_begin();
	(void)raise(SIGKILL);
}

static int
own_fd(bool is_pins)
{
	for (int fd = 3; fd < 64; fd++) {
		char path[64], name[128];
		struct stat st;
		ssize_t len;

		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		len = readlink(path, name, sizeof(name) - 1);
		if (len <= 0 || stat(path, &st) != 0)
			continue;
		name[len] = 0;
		if (strncmp(name, "/memfd:shmalloc:", 16) == 0 &&
		    (st.st_size == sizeof(struct shm_pins)) == is_pins)
			return open(path, O_RDWR | O_CLOEXEC);
	}
	return -1;
}

/* Take the lock of arena 0 as this process's thread, behind the library's back:
 * it is killed as if it were inside of it. */
static bool
arena_lock(struct shm_seg *seg)
{
	for (uint32_t i = SHM_DAEMON_THREAD + 1; i < shm_threads_used(seg);
	     i++) {
		uint64_t owner = shm_thread_owner(seg, i);
		uint32_t slot = shm_owner_slot(owner);
		struct shm_self self;

		if (slot == 0 ||
		    shm_load(&seg->threads[i].tid) != (uint32_t)getpid())
			continue;
		shm_self_init(&self, seg, slot,
		    shm_load(&seg->clients[slot].generation), i,
		    shm_owner_generation(owner));
		for (int try = 0; try < 100000; try++)
			if (shm_arena_trylock(&seg->arenas[0], &self))
				return true;
		return false;
	}
	return false;
}

void
scene_die_locked(void)
{
	struct shm_seg seg;

	client_begin();
	if (shm_seg_map(own_fd(false), own_fd(true), false, &seg) != 0 ||
	    !arena_lock(&seg))
		trigger_fail(__func__);
	(void)raise(SIGKILL);
}

/* ---- Beginning and end -------------------------------------------------- */

bool
scene_prepare(void)
{
	shmalloc_off off[64];

	n_tunes++;
	for (int i = 0; i < 64; i++)
		off[i] = shmalloc_alloc(heap, 1000 + (size_t)i * 1500);
	for (int i = 0; i < 64; i++) {
		if (off[i] == 0)
			return false;
		shmalloc_free(heap, off[i]);
	}
	return true;
}

bool
scene_open(void)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		return false;
	for (int i = 0; i < WORKERS; i++) {
		unsigned random = (unsigned)rand();

		workers[i] = fork();
		if (workers[i] == 0)
			worker_run(random);
	}
	scene_tune();
	return shmalloc_attach(NULL, NULL, &heap) == 0;
}

/* What is published is what is left. */
static bool
is_empty(void)
{
	struct shmalloc_control *control = control_open();
	struct shmalloc_reply *reply;
	uint64_t n = 1;

	if (control &&
	    shmalloc_control_stats(control, NULL, SHMALLOC_EXACT, &reply) ==
		0) {
		n = number(shmalloc_control_root(reply), "objects");
		shmalloc_control_free(reply);
	}
	shmalloc_control_disconnect(control);
	return n == 0;
}

bool
scene_close(void)
{
	bool is_good = true;
	shmalloc_slot *slot;
	shmalloc_off off;
	int status;

	atomic_store(&board->stop, 1);
	for (int i = 0; i < WORKERS; i++)
		is_good &= waitpid(workers[i], &status, 0) == workers[i] &&
		    status == 0;
	if (!is_good)
		(void)printf("# a client did not end as it should\n");
	if (shmalloc_root(heap, "kill", &slot) == 0 &&
	    (off = shmalloc_slot_load(slot)) != 0 &&
	    shmalloc_publish(heap, slot, off, 0) == 0)
		is_good &= shmalloc_retire(heap, off) == 0;
	shmalloc_detach(heap);
	if (!eventually(is_empty)) {
		(void)printf("# objects are left\n");
		return false;
	}
	return is_good && atomic_load(&board->wrong) == 0;
}
