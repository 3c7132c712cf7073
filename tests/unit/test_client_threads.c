/*
 * The library under many threads, each doing everything with everybody's
 * objects: what ThreadSanitizer sees of the protocols between processes.
 */
#include <criterion/criterion.h>

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/cache.h"
#include "shm/daemon.h"
#include "shm/stats.h"
#include "tests/unit/attachment.h"

#define THREADS 4
#define SLOTS   32
#define KEPT    64

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define ROUNDS 8000
#endif
#endif
#ifndef ROUNDS
#define ROUNDS 40000
#endif

static struct shmalloc heap;
static shmalloc_slot *slots;

/* An object says its own size, and its bytes follow from it. */
static shmalloc_off
object_make(uint32_t size)
{
	shmalloc_off off = shmalloc_alloc(&heap, size + sizeof(size));
	unsigned char *p = shmalloc_ptr(&heap, off);

	cr_assert_neq(off, 0);
	memcpy(p, &size, sizeof(size));
	memset(p + sizeof(size), (int)(size % 251), size);
	return off;
}

static bool
object_is_good(shmalloc_off off)
{
	const unsigned char *p = shmalloc_ptr(&heap, off);
	uint32_t size;

	memcpy(&size, p, sizeof(size));
	return size == 0 ||
	    (p[sizeof(size)] == size % 251 &&
		p[sizeof(size) + size - 1] == size % 251);
}

static void
object_replace(shmalloc_slot *slot, shmalloc_off desired)
{
	shmalloc_off expected = shmalloc_slot_load(slot);
	int error;

	if (expected == desired)
		return;
	error = shmalloc_publish(&heap, slot, expected, desired);
	if (error == 0 && expected)
		cr_assert_eq(shmalloc_retire(&heap, expected), 0);
	else if (error != 0) {
		cr_assert_eq(error, SHMALLOC_ECHANGED);
		shmalloc_free(&heap, desired);
	}
}

static void
object_read(const shmalloc_slot *slot)
{
	shmalloc_off off;

	cr_assert_eq(shmalloc_enter(&heap), 0);
	off = shmalloc_slot_load(slot);
	if (off)
		cr_assert(object_is_good(off));
	cr_assert_eq(shmalloc_exit(&heap), 0);
}

static void *
everything_do(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	shmalloc_off kept[KEPT] = { 0 };

	for (int i = 0; i < ROUNDS; i++) {
		uint32_t size = (uint32_t)rand_r(&seed) % 3000;
		shmalloc_slot *slot = &slots[rand_r(&seed) % SLOTS];
		shmalloc_off *mine = &kept[rand_r(&seed) % KEPT];

		switch (rand_r(&seed) % 4) {
		case 0:
			object_replace(
			    slot, rand_r(&seed) % 4 ? object_make(size) : 0);
			break;
		case 1:
			shmalloc_free(&heap, *mine);
			*mine = object_make(size);
			break;
		default:
			object_read(slot);
		}
	}
	shmalloc_free_batch(&heap, KEPT, kept);
	return NULL;
}

static void
finding_ignore(void *arg, const struct shm_finding *finding)
{
	(void)arg;
	(void)finding;
}

Test(client_threads, threads_share_one_attachment_and_nothing_is_lost)
{
	pthread_t thread[THREADS];
	struct shm_reclaimed sum = { 0 };
	struct shm_stats stats;
	shmalloc_off table;

	attachment_make(&heap);
	table = shmalloc_zalloc(&heap, SLOTS, sizeof(*slots));
	slots = shmalloc_ptr(&heap, table);
	for (uintptr_t i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&thread[i], NULL, everything_do,
				 (void *)(i + 1)),
		    0);
	for (size_t i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_join(thread[i], NULL), 0);
	for (size_t i = 0; i < SLOTS; i++) {
		shmalloc_off off = shmalloc_slot_load(&slots[i]);

		if (off == 0)
			continue;
		cr_assert_eq(shmalloc_publish(&heap, &slots[i], off, 0), 0);
		cr_assert_eq(shmalloc_retire(&heap, off), 0);
	}
	cr_assert_eq(heap.seg.clients[heap.slot].misuses, 0);
	shm_client_death(&heap.seg, heap.slot);
	for (int i = 0; i < 8; i++)
		if (shm_reclaim_step(&heap.seg, heap.slot, 1000000, &sum) == 1)
			break;
	cr_assert_eq(shm_check(&heap.seg, false, finding_ignore, NULL), 0);
	cr_assert_eq(shm_stats_read(&heap.seg, true, &stats), 0);
	cr_assert_eq(stats.bytes.allocated, 0);
	cr_assert_eq(stats.bytes.cached, 0);
	cr_assert_eq(stats.bytes.pending, 0);
	shm_stats_release(&stats);
}

/* The daemon may sum up between a client's two subtractions. */
Test(client_threads, a_sum_below_none_of_what_waits_refuses_nothing)
{
	const struct shm_tunable_change limit = { SHM_PARAM_retire_limit,
		4096 };
	uint32_t bad;

	attachment_make(&heap);
	cr_assert_eq(shm_tunables_set(&heap.seg, 1, &limit, &bad), 0);
	shm_store(&heap.seg.super->retired_bytes, -100);
	cr_expect_neq(shmalloc_alloc(&heap, 100000), 0);
	shm_store(&heap.seg.super->retired_bytes, 4097);
	cr_expect_eq(shmalloc_alloc(&heap, 100000), 0);
}

static sigjmp_buf away;

static void
on_alarm(int signal)
{
	(void)signal;
	siglongjmp(away, 1);
}

/* A socket that takes connections and never answers. */
static void
silence_listen(char path[108])
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/shmalloc-test-XXXXXX";
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	cr_assert_not_null(mkdtemp(dir));
	(void)snprintf(path, 108, "%s/attach", dir);
	(void)strcpy(address.sun_path, path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fd, 1), 0);
}

Test(client_threads, a_jump_out_of_the_question_for_the_daemon_leaves_no_lock)
{
	struct itimerval soon = { .it_value = { .tv_usec = 20000 } };
	int ends[2];

	attachment_make(&heap);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	(void)close(ends[1]);
	heap.socket = ends[0];
	(void)strcpy(heap.segment, "default");
	silence_listen(heap.path);
	(void)signal(SIGALRM, on_alarm);
	if (sigsetjmp(away, 1) == 0) {
		cr_assert_eq(setitimer(ITIMER_REAL, &soon, NULL), 0);
		atomic_store(&heap.looked_ms, shm_clock_ms() - 100000);
		(void)heap_is_gone(&heap);
		for (;;)
			(void)pause();
	}
	cr_expect_eq(pthread_mutex_trylock(&heap.guard->lock), 0);
	(void)unlink(heap.path);
	*strrchr(heap.path, '/') = '\0';
	(void)rmdir(heap.path);
}
