/*
 * Killing the recoverer.
 *
 * From a state in which the victim was killed, the recovery itself runs in a
 * traced process, on the copy: a daemon starts, reclaims in slices, gives a
 * newcomer a slot, ticks and trims.  At each distinct state of the copy it is
 * killed: in a copy of the copy the next daemon starts over, and the outcome
 * must be what the undisturbed recovery left.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/daemon.h"
#include "tests/kill/run.h"

#define SLICE      16 /* chunks that a step of the reclaim looks at */
#define MAX_SLICES 100000

/* What the daemon does; with a victim (SLOT) only that one is dead. */
static bool
recoverer_work(struct shm_seg *seg, uint32_t slot)
{
	const struct shm_identity who = { .pid = 1 };
	uint32_t first = slot ? slot : SHM_DAEMON_SLOT + 1, n, newcomer;
	uint32_t last = slot ? slot : first + 3;
	int result = 0;

	if (shm_daemon_start(seg) != 0)
		return false;
	for (uint32_t i = first; i <= last; i++)
		shm_client_death(seg, i);
	for (uint32_t i = first; i <= last; i++) {
		struct shm_reclaimed sum = { 0 };

		result = 0;
		for (n = 0; n < MAX_SLICES && result == 0; n++)
			result = shm_reclaim_step(seg, i, SLICE, &sum);
	}
	if (shm_client_open(seg, &who, &newcomer, &n) != 0)
		return false;
	(void)shm_tick(seg);
	(void)shm_trim(seg, -1, false);
	return result == 1 || kill_board->guarded;
}

static void
recoverer_main(struct shm_seg *seg, uint32_t slot)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(30);
	(void)raise(SIGSTOP);
	if (!recoverer_work(seg, slot))
		_exit(31);
	(void)raise(SIGSTOP);
	_exit(0);
}

/* The next daemon's turn, in a copy of the copy. */
static bool
successor_judge(struct kill_run *run, struct kill_copy *second)
{
	struct kill_summary now;

	copy_restore(second, &second->seg);
	if (!second->is_torn && judge(&second->seg, run->slot, &now) &&
	    kill_summary_same(&now, &run->last))
		return true;
	(void)printf("# the recoverer was killed, of step %llu, state %llu\n",
	    (unsigned long long)run->trace.steps,
	    (unsigned long long)run->states);
	return false;
}

static bool
recoverer_step(struct kill_run *run, struct kill_copy *second,
    struct kill_trace *trace, struct kill_points *points)
{
	enum kill_stop stop = KILL_STEPPED;

	(void)copy_notice(second, &run->copy.seg);
	while (stop == KILL_STEPPED) {
		if (!trace_look(trace))
			return false;
		stop = trace_step(trace, 0);
		if (stop == KILL_BROKEN)
			return false;
		if (!copy_notice_touch(second, trace))
			continue;
		points->states++;
		if (!successor_judge(run, second)) {
			(void)printf("# at its step %llu\n",
			    (unsigned long long)trace->steps);
			return false;
		}
	}
	points->steps += trace->steps;
	return stop == KILL_STOPPED && !copy_notice(second, &run->copy.seg);
}

bool
recover_test(struct kill_run *run, struct kill_points *points)
{
	struct shm_seg *seg = &run->copy.seg;
	struct kill_copy second;
	struct kill_trace trace;
	bool is_good;
	int status;
	pid_t pid;

	copy_restore(&run->copy, seg);
	pid = fork();
	if (pid == 0)
		recoverer_main(seg, run->slot);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return false;
	is_good = copy_open(&second, seg) && trace_begin(&trace, pid, seg);
	if (is_good) {
		/* Forked, so it has the copy where we have it. */
		trace.base = (uint64_t)(uintptr_t)seg->base;
		trace.pins = (uint64_t)(uintptr_t)seg->pins;
		is_good = recoverer_step(run, &second, &trace, points);
		trace_end(&trace);
	}
	copy_close(&second);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	points->runs++;
	return is_good;
}
