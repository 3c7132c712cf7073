/*
 * One run of an operation from a heap state: its processes, and the states of
 * the segment that it goes through.
 */
#ifndef TESTS_KILL_RUN_H
#define TESTS_KILL_RUN_H

#include "tests/kill/kill.h"

/* Sums over the arenas, to see which path an operation took. */
struct kill_counts {
	uint64_t allocs, splits, fast, extends, coalesced, drained, pushed;
	uint64_t punched, consolidations, arenas, repairs, epoch;
};

struct kill_run {
	const struct kill_op *op;
	enum kill_state state;
	bool with_signals;
	struct kill_rig rig;
	struct kill_copy copy;
	struct kill_trace trace;
	pid_t pid;     /* the process; the traced thread may be another */
	pid_t other;   /* the other client's */
	uint32_t slot; /* the victim's client; 0: everybody is one */
	struct kill_summary before, last;
	struct kill_counts counts;
	uint64_t states, changes;
};

/* Start everything, up to the operation's first instruction; with WITH_SIGNALS
 * it is run by signals_run(). */
bool run_begin(struct kill_run *run, const char *daemon_path,
    const struct kill_op *op, enum kill_state state, bool with_signals);

/* Kill everything. */
void run_end(struct kill_run *run);

/* Step one instruction; *RET_CHANGED: it has changed the segment, and the
 * shadow is what it is now. */
enum kill_stop run_step(struct kill_run *run, bool *ret_changed);

/* Judge the present state in the copy, and note what recovery leaves. */
bool run_judge(struct kill_run *run);

/* Step to the end, judging every state.  AT is told each state's number. */
typedef bool kill_state_fn(struct kill_run *run, void *arg);
bool run_all(struct kill_run *run, kill_state_fn *at, void *arg);

/* Has the operation taken the path that it is for? */
bool run_went(const struct kill_run *run);

/* How much was tried. */
struct kill_points {
	uint64_t runs, steps, states;
};

/* Kill the recovery of the present state at each of its own; recover.c. */
bool recover_test(struct kill_run *run, struct kill_points *points);

/* In the victim: run an operation in which signals come, and what follows it;
 * signals.c. */
bool signals_run(struct kill_scene *scene, kill_fn *run);

/* Send signals at every state of an operation that signals_run() runs. */
bool signals_test(struct kill_run *run, struct kill_points *points);

/* Does the long form of everything run? */
bool kill_is_long(void);

#endif
