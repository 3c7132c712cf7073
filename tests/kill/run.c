/*
 * See tests/kill/run.h.
 */
#include "tests/kill/run.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/access.h"

#define MAX_STEPS 4000000

bool
kill_is_long(void)
{
	return getenv("SHMALLOC_CHECK_ALL") != NULL;
}

/* ---- The processes ------------------------------------------------------- */

struct part {
	const struct kill_op *op;
	enum kill_state state;
	bool with_signals;
};

/* What the traced thread does. */
static void
victim_act(const struct part *part)
{
	const struct kill_op *op = part->op;
	struct kill_scene scene = { 0 };

	if (!(op->flags & KILL_RAW) &&
	    (shmalloc_attach(NULL, NULL, &scene.heap) != 0 ||
		shmalloc_root(scene.heap, "kill", &scene.slot) != 0 ||
		!scene_begin(&scene, part->state) ||
		(op->prepare && !op->prepare(&scene)) ||
		!scene_fill(&scene, part->state)))
		_exit(10);
	if ((op->flags & KILL_FORKS) &&
	    syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) != 0)
		for (;;)
			(void)pause();
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(11);
	(void)raise(SIGSTOP);
	if (!(part->with_signals ? signals_run(&scene, op->run)
				 : op->run(&scene)) &&
	    !((op->flags & KILL_MAY_FAIL) && part->state >= KILL_NEARLY &&
		errno == ENOMEM))
		_exit(12);
	if (op->flags & KILL_ENDS)
		return;
	(void)raise(SIGSTOP);
	_exit(0);
}

static void *
victim_thread(void *arg)
{
	victim_act(arg);
	return NULL;
}

static void
victim_main(struct part *part)
{
	pthread_t thread;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!(part->op->flags & KILL_THREAD))
		victim_act(part);
	else if (pthread_create(&thread, NULL, victim_thread, part) == 0)
		(void)pthread_join(thread, NULL);
	_exit(0);
}

static void
other_main(const struct kill_op *op)
{
	struct kill_scene scene = { 0 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (shmalloc_attach(NULL, NULL, &scene.heap) != 0 ||
	    shmalloc_root(scene.heap, "kill", &scene.slot) != 0 ||
	    !op->other(&scene))
		_exit(20);
	(void)raise(SIGSTOP);
	if (op->act && !op->act(&scene))
		_exit(21);
	(void)raise(SIGSTOP);
	_exit(0);
}

static bool
other_wait(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status))
		return true;
	(void)printf("# the other client ended: %x\n", status);
	return false;
}

static bool
other_begin(struct kill_run *run)
{
	bool is_held = run->op->flags & KILL_HOLD;

	run->other = fork();
	if (run->other == 0)
		other_main(run->op);
	if (run->other < 0 || !other_wait(run->other))
		return false;
	if (!run->op->act)
		return true;
	if (is_held)
		rig_arenas_hold(&run->rig, true);
	(void)kill(run->other, SIGCONT);
	if (!other_wait(run->other))
		return false;
	if (is_held)
		rig_arenas_hold(&run->rig, false);
	return true;
}

/* Wait until the thread that will be stepped has stopped. */
static pid_t
victim_wait(const struct kill_run *run)
{
	int status = 0;
	pid_t pid;

	do
		pid = waitpid(-1, &status, __WALL);
	while (pid == run->rig.daemon || (pid < 0 && errno == EINTR));
	if (pid > 0 && WIFSTOPPED(status))
		return pid;
	(void)printf("# the child was not ready: %x\n", status);
	return -1;
}

static bool
victim_begin(struct kill_run *run)
{
	struct part part = { run->op, run->state, run->with_signals };
	pid_t tid;

	/* What it inherits of ours would be frozen with it. */
	(void)malloc_trim(0);
	run->pid = fork();
	if (run->pid == 0)
		victim_main(&part);
	tid = run->pid < 0 ? -1 : victim_wait(run);
	if (tid < 0)
		return false;
	if (run->op->other)
		run->slot = rig_slot(&run->rig.live, run->pid);
	return trace_begin(&run->trace, tid, &run->rig.live);
}

static void
process_end(pid_t pid)
{
	if (pid <= 0)
		return;
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
}

/* ---- A run --------------------------------------------------------------- */

static void
counts_take(const struct shm_seg *seg, struct kill_counts *ret)
{
	uint32_t n = shm_load(&seg->super->n_arenas);

	memset(ret, 0, sizeof(*ret));
	ret->arenas = n;
	ret->epoch = shm_load(&seg->super->epoch);
	for (uint32_t i = 0; i < n; i++) {
		struct shm_arena *arena = &seg->arenas[i];
		struct shm_arena_counters *counters = &arena->counters;

		ret->allocs += shm_load(&counters->allocs);
		ret->splits += shm_load(&counters->splits);
		ret->fast += shm_load(&arena->fast_chunks);
		ret->extends += shm_load(&counters->extends);
		ret->coalesced += shm_load(&counters->coalesced_back) +
		    shm_load(&counters->coalesced_forward);
		ret->drained += shm_load(&counters->drained);
		ret->pushed += shm_load(&arena->remote_pushed);
		ret->punched += shm_load(&counters->punched);
		ret->consolidations += shm_load(&counters->consolidations);
		ret->repairs += shm_load(&arena->repairs);
	}
}

bool
run_went(const struct kill_run *run)
{
	const struct kill_counts *was = &run->counts;
	struct kill_counts now;
	unsigned went = 0, want = run->op->went;

	counts_take(&run->rig.live, &now);
	went |= now.splits > was->splits ? KILL_WENT_SPLIT : 0;
	went |= now.allocs > was->allocs && now.splits == was->splits
	    ? KILL_WENT_EXACT
	    : 0;
	went |= now.fast < was->fast ? KILL_WENT_FAST : 0;
	went |= now.extends > was->extends ? KILL_WENT_EXTEND : 0;
	went |= now.coalesced > was->coalesced ? KILL_WENT_COALESCE : 0;
	went |= now.drained > was->drained ? KILL_WENT_DRAIN : 0;
	went |= now.pushed > was->pushed ? KILL_WENT_PUSH : 0;
	went |= now.punched > was->punched ? KILL_WENT_PUNCH : 0;
	went |= now.consolidations > was->consolidations ? KILL_WENT_CONSOLIDATE
							 : 0;
	went |= now.arenas > was->arenas ? KILL_WENT_ARENA : 0;
	went |= now.repairs > was->repairs ? KILL_WENT_REPAIR : 0;
	went |= now.epoch > was->epoch ? KILL_WENT_EPOCH : 0;
	went |= now.fast > was->fast ? KILL_WENT_FASTBIN : 0;
	went |= run->changes == 1 ? KILL_WENT_CHANGE : 0;
	/* Other heap states lead elsewhere. */
	if ((went & want) == want ||
	    (run->op->states & (KILL_BIT(run->state) - 1)))
		return true;
	(void)printf("# it took another path: %x, not %x\n", went, want);
	return false;
}

bool
run_begin(struct kill_run *run, const char *daemon_path,
    const struct kill_op *op, enum kill_state state, bool with_signals)
{
	const char *size = state >= KILL_NEARLY ? "4M" : "64M";

	memset(run, 0, sizeof(*run));
	memset(kill_board, 0, sizeof(*kill_board));
	run->op = op;
	run->state = state;
	run->with_signals = with_signals;
	if (!rig_start(&run->rig, daemon_path, size, op->param) ||
	    !rig_map(&run->rig, run->rig.daemon) ||
	    (op->other && !other_begin(run)) || !victim_begin(run) ||
	    !rig_daemon_hold(&run->rig))
		return false;
	if (!(op->flags & KILL_RAW) && !trace_maps(&run->trace))
		return false;
	if (state == KILL_CONTENDED)
		rig_arenas_hold(&run->rig, true);
	counts_take(&run->rig.live, &run->counts);
	return copy_open(&run->copy, &run->rig.live);
}

void
run_end(struct kill_run *run)
{
	process_end(run->trace.pid);
	if (run->pid != run->trace.pid)
		process_end(run->pid);
	process_end(run->other);
	trace_end(&run->trace);
	copy_close(&run->copy);
	rig_stop(&run->rig);
}

/* ---- Stepping ------------------------------------------------------------ */

enum kill_stop
run_step(struct kill_run *run, bool *ret_changed)
{
	struct kill_trace *trace = &run->trace;
	bool asks;
	enum kill_stop stop;

	if (!trace_look(trace))
		return KILL_BROKEN;
	asks = (run->op->flags & KILL_ASKS) && trace->insn.kind == INSN_SYSCALL;
	if (asks)
		rig_daemon_go(&run->rig);
	stop = trace_step(trace, 0);
	if (asks && !rig_daemon_hold(&run->rig))
		return KILL_BROKEN;
	if ((run->op->flags & KILL_ENDS) && stop == KILL_STEPPED &&
	    trace->insn.kind == INSN_SYSCALL && !trace_maps(trace))
		stop = KILL_ENDED;
	*ret_changed = copy_notice_touch(&run->copy, trace);
	if (!kill_is_long() || *ret_changed || trace->touch == KILL_ANYTHING ||
	    !copy_notice(&run->copy, &run->rig.live))
		return stop;
	(void)printf("# a change was not foreseen\n");
	return KILL_BROKEN;
}

bool
run_judge(struct kill_run *run)
{
	struct kill_copy *copy = &run->copy;
	struct kill_summary now;

	copy_restore(copy, &copy->seg);
	if (copy->is_torn || !judge_commit(&copy->seg) ||
	    !judge(&copy->seg, run->slot, &now)) {
		(void)printf("# at step %llu, state %llu of '%s'\n",
		    (unsigned long long)run->trace.steps,
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

/* The daemon finds out by itself that a process runs another program. */
static bool
daemon_finds_out(struct kill_run *run)
{
	struct shm_seg *seg = &run->rig.live;

	rig_daemon_go(&run->rig);
	for (int i = 0; i < 2000; i++) {
		struct timespec pause = { 0, 5000000 };
		bool is_there = false;

		for (uint32_t k = SHM_DAEMON_SLOT + 1; k < 8; k++)
			is_there |=
			    shm_load(&seg->clients[k].state) != SHM_CLIENT_FREE;
		if (!is_there)
			return true;
		(void)nanosleep(&pause, NULL);
	}
	(void)printf("# the daemon did not notice the end\n");
	return false;
}

bool
run_all(struct kill_run *run, kill_state_fn *at, void *arg)
{
	enum kill_stop stop = KILL_STEPPED;
	bool changed;

	(void)copy_notice(&run->copy, &run->rig.live);
	if (!run_judge(run))
		return false;
	while (stop == KILL_STEPPED && run->trace.steps < MAX_STEPS) {
		stop = run_step(run, &changed);
		if (stop == KILL_BROKEN)
			return false;
		if (changed && (!run_judge(run) || (at && !at(run, arg))))
			return false;
	}
	if (stop != (run->op->flags & KILL_ENDS ? KILL_ENDED : KILL_STOPPED)) {
		(void)printf("# no end after %d steps\n", MAX_STEPS);
		return false;
	}
	if (!(run->op->flags & KILL_ASKS) &&
	    copy_notice(&run->copy, &run->rig.live)) {
		(void)printf("# a change was not foreseen\n");
		return false;
	}
	if (run->changes > 1 && !(run->op->flags & KILL_CACHE_STEPS)) {
		(void)printf("# what is left changed %llu times\n",
		    (unsigned long long)run->changes);
		return false;
	}
	if ((run->op->flags & KILL_ENDS) && !(run->op->flags & KILL_THREAD))
		return daemon_finds_out(run);
	return run_went(run);
}
