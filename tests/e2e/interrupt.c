/*
 * Calls that a signal interrupts: left by a jump, or called from a handler, on
 * this stack or another.  Run by interrupt.bats; each test has a daemon of its
 * own.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "tests/e2e/client.h"

#define TIMES   100
#define OBJECTS 128
#define STACK   (256 * 1024)

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31) /* of <linux/signal.h> */
#endif

static struct shmalloc *heap;
static sigjmp_buf away;
static volatile sig_atomic_t is_inside;

static void
signal_take(int signal, void (*handler)(int signal), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	CHECK_EQ(sigaction(signal, &action, NULL), 0);
}

/* SIGALRM every USEC; 0: no more. */
static void
alarms_come(long usec)
{
	struct itimerval timer = { { 0, usec }, { 0, usec } };

	CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* ---- Jumps ------------------------------------------------------------------
 */

static void
on_jump(int signal)
{
	(void)signal;
	if (is_inside)
		siglongjmp(away, 1);
}

/* A call is made, and left by a jump. */
static void
call_leave(long usec)
{
	if (sigsetjmp(away, 1) == 0) {
		alarms_come(usec);
		is_inside = 1;
		for (;;)
			shmalloc_free(heap, shmalloc_alloc(heap, 5000));
	}
	is_inside = 0;
	alarms_come(0);
}

/* Do WHAT, DEPTH bytes further down the stack. */
static __attribute__((noinline)) void
deeper(size_t depth, void (*what)(void))
{
	volatile char room[depth + 1];

	room[0] = room[depth] = 1;
	what();
	CHECK(room[0] == room[depth]);
}

static shmalloc_off kept;

/* Whatever is asked for is done. */
static void
calls_are_served(void)
{
	shmalloc_off off = shmalloc_alloc(heap, 100);

	CHECK(off != 0);
	CHECK(shmalloc_usable_size(heap, kept) >= 64);
	shmalloc_free(heap, kept);
	CHECK_EQ(shmalloc_usable_size(heap, kept), 0);
	shmalloc_free(heap, off);
}

static void
deeper_after_jump(void)
{
	heap = heap_attach(NULL, 0);
	signal_take(SIGALRM, on_jump, 0);
	for (long i = 0; i < TIMES; i++) {
		kept = shmalloc_alloc(heap, 64);
		call_leave(100 + i * 7);
		deeper((size_t)i * 200, calls_are_served);
	}
	shmalloc_detach(heap);
}

static void
on_serve(int signal)
{
	(void)signal;
	calls_are_served();
}

static void
signal_raise(void)
{
	CHECK_EQ(raise(SIGUSR1), 0);
}

/* A handler that interrupts something else, where the call was. */
static void
handler_after_jump(void)
{
	heap = heap_attach(NULL, 0);
	signal_take(SIGALRM, on_jump, 0);
	signal_take(SIGUSR1, on_serve, 0);
	for (long i = 0; i < TIMES; i++) {
		kept = shmalloc_alloc(heap, 64);
		call_leave(100 + i * 7);
		deeper((size_t)i * 200, signal_raise);
	}
	shmalloc_detach(heap);
}

/* ---- Handlers that call -----------------------------------------------------
 */

static volatile sig_atomic_t n_refused, n_served;

static void
handler_call(void)
{
	shmalloc_off off = shmalloc_alloc(heap, 5000);

	if (off) {
		n_served++;
		memset(shmalloc_ptr(heap, off), 0xee, 5000);
		shmalloc_free(heap, off);
	} else {
		CHECK_EQ(errno, EDEADLK);
		n_refused++;
	}
}

static void
on_call(int signal)
{
	int saved = errno;

	(void)signal;
	deeper(n_refused % 4 * 300u, handler_call);
	errno = saved;
}

struct object {
	shmalloc_off off;
	size_t size;
};

static void
object_check(const struct object *object)
{
	const unsigned char *p = shmalloc_ptr(heap, object->off);

	for (size_t i = 0; i < object->size; i++)
		CHECK(p[i] == object->size % 251);
}

/* Until so many handlers found a call, nobody's bytes are anybody else's. */
static void
objects_churn(int until)
{
	struct object object[OBJECTS] = { 0 };
	unsigned random = 1;

	while (n_refused < until) {
		struct object *o;

		random = random * 1103515245u + 12345;
		o = &object[random >> 8 & (OBJECTS - 1)];
		if (o->off) {
			object_check(o);
			shmalloc_free(heap, o->off);
			o->off = 0;
			continue;
		}
		o->size = 16 + (random >> 16) % 3000;
		o->off = shmalloc_alloc(heap, o->size);
		CHECK(o->off != 0);
		memset(
		    shmalloc_ptr(heap, o->off), (int)(o->size % 251), o->size);
	}
	for (int i = 0; i < OBJECTS; i++)
		shmalloc_free(heap, object[i].off);
}

static void
call_in_handler(void)
{
	heap = heap_attach(NULL, 0);
	signal_take(SIGALRM, on_call, 0);
	alarms_come(300);
	objects_churn(TIMES);
	alarms_come(0);
	shmalloc_detach(heap);
}

/* ---- Other stacks -----------------------------------------------------------
 */

/* Run WHAT in a thread whose stack lies beside the one for its signals. */
struct stacks {
	char *own, *alternate;
	int flags;
	void (*what)(void);
};

static void *
stacks_use(void *arg)
{
	const struct stacks *stacks = arg;
	stack_t stack = { .ss_sp = stacks->alternate,
		.ss_size = STACK,
		.ss_flags = stacks->flags };
	sigset_t alarm;

	CHECK_EQ(sigaltstack(&stack, NULL), 0);
	CHECK_EQ(sigemptyset(&alarm), 0);
	CHECK_EQ(sigaddset(&alarm, SIGALRM), 0);
	CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &alarm, NULL), 0);
	stacks->what();
	return NULL;
}

static void
stacks_run(bool is_above, int flags, void (*what)(void))
{
	char *room = mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct stacks stacks = { room, room + STACK, flags, what };
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all;

	CHECK(room != MAP_FAILED);
	if (!is_above) {
		stacks.own = room + STACK;
		stacks.alternate = room;
	}
	/* Signals are the thread's. */
	CHECK_EQ(sigfillset(&all), 0);
	CHECK_EQ(pthread_sigmask(SIG_BLOCK, &all, NULL), 0);
	CHECK_EQ(pthread_attr_init(&attr), 0);
	CHECK_EQ(pthread_attr_setstack(&attr, stacks.own, STACK), 0);
	CHECK_EQ(pthread_create(&thread, &attr, stacks_use, &stacks), 0);
	CHECK_EQ(pthread_join(thread, NULL), 0);
	CHECK_EQ(pthread_attr_destroy(&attr), 0);
	CHECK_EQ(munmap(room, 2 * STACK), 0);
}

static void
churn_under_alarms(void)
{
	alarms_come(300);
	objects_churn(n_refused + TIMES / 4);
	alarms_come(0);
}

/* The call is on the thread's stack, the handler on the one for signals. */
static void
call_in_handler_elsewhere(void)
{
	heap = heap_attach(NULL, 0);
	signal_take(SIGALRM, on_call, SA_ONSTACK);
	for (int i = 0; i < 4; i++)
		stacks_run(
		    i & 1, i & 2 ? (int)SS_AUTODISARM : 0, churn_under_alarms);
	shmalloc_detach(heap);
}

static void
on_leave(int signal)
{
	(void)signal;
	is_inside = 1;
	for (;;)
		shmalloc_free(heap, shmalloc_alloc(heap, 5000));
}

/* A handler's call is left by a jump out of the stack for signals. */
static void
handlers_call_leave(void)
{
	sigset_t some;

	CHECK_EQ(sigemptyset(&some), 0);
	CHECK_EQ(sigaddset(&some, SIGUSR1), 0);
	CHECK_EQ(pthread_sigmask(SIG_UNBLOCK, &some, NULL), 0);
	for (long i = 0; i < TIMES; i++) {
		kept = shmalloc_alloc(heap, 64);
		if (sigsetjmp(away, 1) == 0) {
			alarms_come(100 + i * 7);
			CHECK_EQ(raise(SIGUSR1), 0);
		}
		is_inside = 0;
		alarms_come(0);
		deeper((size_t)i * 200, calls_are_served);
	}
}

static void
jump_from_elsewhere(void)
{
	heap = heap_attach(NULL, 0);
	signal_take(SIGALRM, on_jump, SA_ONSTACK);
	signal_take(SIGUSR1, on_leave, SA_ONSTACK);
	stacks_run(false, 0, handlers_call_leave);
	stacks_run(true, 0, handlers_call_leave);
	shmalloc_detach(heap);
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "deeper_after_jump", deeper_after_jump },
		{ "handler_after_jump", handler_after_jump },
		{ "call_in_handler", call_in_handler },
		{ "call_in_handler_elsewhere", call_in_handler_elsewhere },
		{ "jump_from_elsewhere", jump_from_elsewhere },
	};

	return test_run(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
