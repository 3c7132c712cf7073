/*
 * The tracer: see tests/kill/kill.h.  Prints TAP, a test an operation, with how
 * many instructions were stepped and how many distinct states were judged.
 *
 *	step SHMALLOCD [NAME...]
 *
 * The daemon is stopped meanwhile, so that nobody else changes the segment; a
 * detach goes on without its answer.
 *
 * Kills at each instruction are the same as kills at each distinct state:
 *between two instructions that do not change the segment there is nothing to
 *tell them apart by.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/access.h"
#include "shm/thread.h"
#include "tests/kill/kill.h"

#define MAX_STEPS 2000000

/* ---- The child ----------------------------------------------------------- */

static void
child_run(const struct kill_op *op)
{
	struct kill_scene scene = { 0 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (shmalloc_attach(NULL, NULL, &scene.heap) != 0 ||
	    shmalloc_root(scene.heap, "kill", &scene.slot) != 0 ||
	    !op->prepare(&scene))
		_exit(10);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(11);
	(void)raise(SIGSTOP);
	if (!op->run(&scene))
		_exit(12);
	(void)raise(SIGSTOP);
	_exit(0);
}

/* ---- The tracer ---------------------------------------------------------- */

/* The states of one run, in order, as recovery leaves them. */
struct run {
	const struct kill_op *op;
	struct kill_rig *rig;
	struct kill_copy copy;
	pid_t pid;
	uint32_t slot;
	struct kill_summary before, last;
	uint64_t steps, states, changes;
};

static bool
stop_wait(pid_t pid, int *ret_status)
{
	return waitpid(pid, ret_status, 0) == pid && WIFSTOPPED(*ret_status);
}

/* Judge the present state.  What recovery leaves may change once, from what it
 * was before to what it is after. */
static bool
state_judge(struct run *run)
{
	struct kill_summary now;

	if (!copy_restore(&run->copy, &run->rig->live) ||
	    !judge(&run->copy, run->slot, &now)) {
		(void)printf("# at step %llu, state %llu of '%s'\n",
		    (unsigned long long)run->steps,
		    (unsigned long long)run->states, run->op->name);
		return false;
	}
	if (run->states++ == 0)
		run->before = run->last = now;
	if (!kill_summary_same(&now, &run->last)) {
		run->changes++;
		run->last = now;
	}
	return true;
}

/* Step until the operation's end; each distinct state is judged. */
static bool
child_step(struct run *run)
{
	int status;

	for (; run->steps < MAX_STEPS; run->steps++) {
		if (ptrace(PTRACE_SINGLESTEP, run->pid, NULL, NULL) != 0 ||
		    waitpid(run->pid, &status, 0) != run->pid)
			return false;
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			(void)printf("# the child ended early: %x\n", status);
			return false;
		}
		if (WSTOPSIG(status) == SIGSTOP)
			return true;
		if (copy_notice(&run->copy, &run->rig->live) &&
		    !state_judge(run))
			return false;
	}
	(void)printf("# no end after %d steps\n", MAX_STEPS);
	return false;
}

/* Which slot the child has: that of the thread record with its id. */
static uint32_t
slot_find(const struct shm_seg *seg, pid_t pid)
{
	for (uint32_t i = SHM_DAEMON_THREAD + 1; i < shm_threads_used(seg);
	     i++) {
		uint64_t owner = shm_thread_owner(seg, i);

		if (shm_owner_slot(owner) &&
		    shm_load(&seg->threads[i].tid) == (uint32_t)pid)
			return shm_owner_slot(owner);
	}
	return 0;
}

/* Hold every arena's lock as the daemon's thread, which is stopped. */
static void
arenas_hold(struct shm_seg *seg, bool is_held)
{
	uint32_t n = shm_load(&seg->super->n_arenas);
	uint32_t generation =
	    shm_load(&seg->clients[SHM_DAEMON_SLOT].generation);
	uint32_t word = SHM_DAEMON_THREAD | (generation & 255) << 16;

	for (uint32_t i = 0; i < n; i++)
		shm_store(&seg->arenas[i].lock, is_held ? word : 0);
}

static bool
op_trace(struct run *run)
{
	struct kill_rig *rig = run->rig;
	int status;
	bool is_good;

	if (!stop_wait(run->pid, &status) || !rig_map(rig, run->pid))
		return false;
	run->slot = slot_find(&rig->live, run->pid);
	if (run->slot == 0 || kill(rig->daemon, SIGSTOP) != 0)
		return false;
	if (run->op->is_contended)
		arenas_hold(&rig->live, true);
	is_good = copy_open(&run->copy, &rig->live);
	if (is_good) {
		(void)copy_notice(&run->copy, &rig->live);
		is_good = state_judge(run) && child_step(run);
	}
	if (run->op->is_contended)
		arenas_hold(&rig->live, false);
	copy_close(&run->copy);
	(void)kill(rig->daemon, SIGCONT);
	return is_good && run->changes <= 1;
}

static bool
op_run(struct kill_rig *rig, const struct kill_op *op, struct run *run)
{
	bool is_good;

	memset(run, 0, sizeof(*run));
	run->op = op;
	run->rig = rig;
	run->pid = fork();
	if (run->pid == 0)
		child_run(op);
	is_good = run->pid > 0 && op_trace(run);
	(void)kill(run->pid, SIGKILL);
	(void)waitpid(run->pid, NULL, 0);
	if (run->changes > 1)
		(void)printf("# what is left changed %llu times\n",
		    (unsigned long long)run->changes);
	return is_good;
}

static bool
is_wanted(const char *name, int argc, char *argv[])
{
	if (argc <= 2)
		return true;
	for (int i = 2; i < argc; i++)
		if (strstr(name, argv[i]))
			return true;
	return false;
}

int
main(int argc, char *argv[])
{
	uint64_t steps = 0, states = 0, n = 0;
	struct kill_rig rig;
	cpu_set_t one;
	int failed = 0;

	if (argc < 2)
		return 2;
	/* Tracer and child take turns: on one core that is much cheaper. */
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu() < 0 ? 0 : (unsigned)sched_getcpu(), &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < kill_n_ops; i++) {
		struct run run = { 0 };
		bool is_good;

		if (!is_wanted(kill_ops[i].name, argc, argv))
			continue;
		is_good = rig_start(&rig, argv[1]) &&
		    op_run(&rig, &kill_ops[i], &run);
		rig_stop(&rig);
		(void)printf("%sok %llu - %s: %llu kill points, %llu distinct "
			     "states\n",
		    is_good ? "" : "not ", (unsigned long long)++n,
		    kill_ops[i].name, (unsigned long long)run.steps,
		    (unsigned long long)run.states);
		failed += !is_good;
		steps += run.steps;
		states += run.states;
	}
	(void)printf("# %llu kill points, %llu distinct states\n1..%llu\n",
	    (unsigned long long)steps, (unsigned long long)states,
	    (unsigned long long)n);
	return failed != 0;
}
