/*
 * Stepping a thread, one instruction at a time, knowing what each may touch.
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "tests/kill/kill.h"

#define KNOWN      8192 /* decoded instructions that are remembered */
#define INSN_BYTES 16
#define WIDEST     64 /* bytes that one instruction touches */

bool
trace_maps(struct kill_trace *trace)
{
	char path[64], line[512];
	FILE *maps;

	trace->base = trace->pins = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)trace->pid);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long long from, to;

		if (!strstr(line, "/memfd:shmalloc") ||
		    sscanf(line, "%llx-%llx", &from, &to) != 2)
			continue;
		/* Of a recoverer's several copies, the one that is watched. */
		if (to - from >= trace->seg->len && !trace->base)
			trace->base = from;
		else if (to - from >= sizeof(struct shm_pins) &&
		    to - from < trace->seg->len && !trace->pins)
			trace->pins = from;
	}
	if (maps)
		(void)fclose(maps);
	return trace->base && trace->pins;
}

bool
trace_begin(struct kill_trace *trace, pid_t pid, const struct shm_seg *seg)
{
	memset(trace, 0, sizeof(*trace));
	trace->pid = pid;
	trace->seg = seg;
	trace->known = calloc(KNOWN, sizeof(*trace->known));
	return trace->known != NULL;
}

void
trace_end(struct kill_trace *trace)
{
	free(trace->known);
	trace->known = NULL;
}

/* ---- What comes next ----------------------------------------------------- */

#ifdef __x86_64__

static uint64_t
register_of(const struct user_regs_struct *regs, int number)
{
	const uint64_t value[] = { regs->rax, regs->rcx, regs->rdx, regs->rbx,
		regs->rsp, regs->rbp, regs->rsi, regs->rdi, regs->r8, regs->r9,
		regs->r10, regs->r11, regs->r12, regs->r13, regs->r14,
		regs->r15 };

	return number < 0 ? 0 : value[number];
}

/* Is the memory at ADDRESS shared?  Then touch and off say what it is. */
static bool
address_note(struct kill_trace *trace, uint64_t address)
{
	uint64_t end = address + WIDEST;

	if (trace->base && end > trace->base &&
	    address < trace->base + trace->seg->len) {
		trace->touch = KILL_SEGMENT;
		trace->off = address > trace->base ? address - trace->base : 0;
	} else if (trace->pins && end > trace->pins &&
	    address < trace->pins + sizeof(struct shm_pins)) {
		trace->touch = KILL_PINS;
		trace->off = 0;
	} else {
		return false;
	}
	return true;
}

static void
touch_find(struct kill_trace *trace, const struct user_regs_struct *regs)
{
	const struct kill_insn *insn = &trace->insn;

	trace->touch = KILL_NOTHING;
	switch (insn->kind) {
	case INSN_PLAIN:
		break;
	case INSN_MEMORY:
		(void)address_note(trace,
		    register_of(regs, insn->base) +
			register_of(regs, insn->index) * (uint64_t)insn->scale +
			(uint64_t)insn->disp);
		break;
	case INSN_STRING:
		if (!address_note(trace, regs->rdi))
			(void)address_note(trace, regs->rsi);
		break;
	case INSN_SYSCALL:
	case INSN_VAGUE:
		trace->touch = KILL_ANYTHING;
		break;
	}
}

/* Read the instruction at RIP, which may end at the end of a mapping. */
static size_t
code_read(pid_t pid, uint64_t rip, uint8_t code[INSN_BYTES])
{
	struct iovec here = { code, INSN_BYTES };
	size_t room = SHM_PAGE - rip % SHM_PAGE;
	struct iovec there[2] = { { (void *)(uintptr_t)rip, INSN_BYTES } };
	ssize_t n;

	if (room < INSN_BYTES) {
		there[0].iov_len = room;
		there[1].iov_base = (void *)(uintptr_t)(rip + room);
		there[1].iov_len = INSN_BYTES - room;
	}
	n = process_vm_readv(
	    pid, &here, 1, there, room < INSN_BYTES ? 2 : 1, 0);
	return n > 0 ? (size_t)n : 0;
}

bool
trace_look(struct kill_trace *trace)
{
	struct user_regs_struct regs;
	struct kill_insn *known;
	uint8_t code[INSN_BYTES];

	if (ptrace(PTRACE_GETREGS, trace->pid, NULL, &regs) != 0)
		return false;
	known = &trace->known[(regs.rip * UINT64_C(0x9e3779b97f4a7c15)) >> 51];
	if (known->rip != regs.rip) {
		insn_decode(code, code_read(trace->pid, regs.rip, code), known);
		known->rip = regs.rip;
	}
	trace->insn = *known;
	touch_find(trace, &regs);
	return true;
}

#else

bool
trace_look(struct kill_trace *trace)
{
	trace->insn.kind = INSN_VAGUE;
	trace->insn.is_locked = true;
	trace->touch = KILL_ANYTHING;
	return true;
}

#endif

/* ---- Going on ------------------------------------------------------------ */

/* Go on by REQUEST, with SIGNAL, to the next stop.  One of the test's signals
 * that was blocked when it was sent is delivered when it comes. */
static enum kill_stop
stop_wait(struct kill_trace *trace, enum __ptrace_request request, int signal)
{
	int status;

	do {
		if (ptrace(request, trace->pid, NULL,
			(void *)(intptr_t)signal) != 0 ||
		    waitpid(trace->pid, &status, __WALL) != trace->pid)
			return KILL_BROKEN;
		signal = WIFSTOPPED(status) ? WSTOPSIG(status) : 0;
	} while (signal == SIGUSR1 || signal == SIGUSR2);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return KILL_ENDED;
	if (!WIFSTOPPED(status)) {
		(void)printf("# the child ended early: %x\n", status);
		return KILL_BROKEN;
	}
	if (signal == SIGSTOP)
		return KILL_STOPPED;
	if (signal == SIGTRAP)
		return KILL_STEPPED;
	(void)printf("# the child was stopped by signal %d\n", signal);
	return KILL_BROKEN;
}

enum kill_stop
trace_step(struct kill_trace *trace, int signal)
{
	bool was_syscall = trace->insn.kind == INSN_SYSCALL;
	enum kill_stop stop = stop_wait(trace, PTRACE_SINGLESTEP, signal);

	trace->steps++;
	if (was_syscall && !trace->base && stop == KILL_STEPPED)
		(void)trace_maps(trace);
	return stop;
}

enum kill_stop
trace_run(struct kill_trace *trace)
{
	return stop_wait(trace, PTRACE_CONT, 0);
}
