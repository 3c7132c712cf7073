/* Holding clients still: what they were about to get they get, and what has
 * ended holds nobody up. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/freeze.h"
#include "server/slot.h"

#define HOLDS 1000

static struct segment segment;
static struct slot slot;
static _Atomic uint32_t *shared; /* [0] got, [1] sent, [2] ready, [3] end */

static void
on_signal(int number)
{
	(void)number;
	atomic_fetch_add(&shared[0], 1);
}

/* The client, in a child. */
static _Noreturn void
client_run(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGRTMIN, &action, NULL);
	atomic_store(&shared[2], 1);
	for (;;)
		pause();
}

/* Has the main thread ended, though the process hasn't? */
static bool
main_is_over(void)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)getpid());
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	if (fscanf(file, "%*d %*[^)]) %c", &state) != 1)
		state = 0;
	fclose(file);
	return state == 'Z';
}

static _Noreturn void *
thread_run(void *arg)
{
	(void)arg;
	while (!main_is_over())
		usleep(100);
	atomic_store(&shared[2], 1);
	for (;;)
		pause();
}

/* Its main thread leaves; not by pthread_exit(), which ThreadSanitizer cannot
 * follow in the main thread. */
static _Noreturn void
leaver_run(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, thread_run, NULL);
	syscall(SYS_exit, 0);
	abort();
}

static void
client_start(void (*run)(void))
{
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(shared, MAP_FAILED);
	slot.pid = fork();
	if (slot.pid == 0)
		run();
	cr_assert_gt(slot.pid, 0);
	slot.pidfd = (int)syscall(SYS_pidfd_open, slot.pid, 0);
	cr_assert_geq(slot.pidfd, 0);
	segment.slots[2] = &slot;
	while (atomic_load(&shared[2]) == 0)
		usleep(100);
}

static void
client_end(void)
{
	kill(slot.pid, SIGKILL);
	waitpid(slot.pid, NULL, 0);
	close(slot.pidfd);
}

static void
hold_once(void)
{
	struct freeze freeze;
	pid_t pid;

	cr_assert_eq(freeze_begin(&segment, &freeze, &pid), 0);
	freeze_end(&freeze);
}

static _Noreturn void
sender_run(void)
{
	union sigval value = { 0 };

	while (atomic_load(&shared[3]) == 0)
		if (sigqueue(slot.pid, SIGRTMIN, value) == 0)
			atomic_fetch_add(&shared[1], 1);
	_exit(0);
}

Test(server_freeze, no_signal_is_lost)
{
	uint32_t got, sent;
	pid_t sender;

	client_start(client_run);
	sender = fork();
	if (sender == 0)
		sender_run();
	for (int i = 0; i < HOLDS; i++)
		hold_once();
	atomic_store(&shared[3], 1);
	waitpid(sender, NULL, 0);
	sent = atomic_load(&shared[1]);
	for (int i = 0; i < 100 && atomic_load(&shared[0]) < sent; i++)
		usleep(100000);
	got = atomic_load(&shared[0]);
	cr_assert_eq(got, sent, "%u of %u", got, sent);
	client_end();
}

Test(server_freeze, a_main_thread_that_left_holds_nobody_up)
{
	client_start(leaver_run);
	hold_once();
	client_end();
}

Test(server_freeze, a_zombie_holds_nobody_up)
{
	siginfo_t info;

	client_start(client_run);
	kill(slot.pid, SIGKILL);
	cr_assert_eq(
	    waitid(P_PID, (id_t)slot.pid, &info, WEXITED | WNOWAIT), 0);
	hold_once();
	client_end();
}
