/*
 * A daemon that is led to a function of its own, one instruction further at a
 * time, and killed there.
 */
#ifndef TESTS_DAEMON_TRACEE_H
#define TESTS_DAEMON_TRACEE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct tracee {
	pid_t pid;       /* all of its threads are traced */
	pid_t tid;       /* the one that is at the function */
	uint64_t at;     /* the function's address, 0: none is watched */
	long word;       /* that was there before the breakpoint */
	uint64_t ret_at; /* where it returns to, and the stack then */
	uint64_t ret_sp;
};

/* Trace the process PID, which goes on. */
bool tracee_seize(struct tracee *tracee, pid_t pid);

/* Stop it when it calls the function NAME, which its program must have. */
bool tracee_watch(struct tracee *tracee, const char *name);

/* Wait until it does; false: not within 20 seconds. */
bool tracee_arrive(struct tracee *tracee);

/* Step at most MOST instructions, to the function's return at most; how many
 * were stepped. */
uint64_t tracee_step(struct tracee *tracee, uint64_t most);

/* Kill it, wherever it is. */
void tracee_kill(struct tracee *tracee);

#endif
