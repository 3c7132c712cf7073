/*
 * Freezing a stopped process: its registers, its mask and its private memory,
 * so that it can go on from the same instruction more than once.  What it
 * shares is the segment, which copies restore; the kernel's own state of it
 * (descriptors, mappings) doesn't change in the operations that are frozen.
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "tests/kill/freeze.h"

#define RED_ZONE 256 /* below the stack pointer */

static void
area_add(struct frozen *frozen, uint64_t from, uint64_t to)
{
	struct frozen_area *area;

	frozen->area =
	    realloc(frozen->area, (frozen->n + 1) * sizeof(*frozen->area));
	if (!frozen->area)
		abort();
	area = &frozen->area[frozen->n++];
	area->address = from;
	area->len = to - from;
	area->data = malloc(area->len);
	if (!area->data)
		abort();
}

/* List the private memory that PID can write. */
static bool
areas_list(struct frozen *frozen, pid_t pid, uint64_t stack)
{
	char path[64], line[512];
	FILE *maps;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long long from, to;
		char access[8];

		if (sscanf(line, "%llx-%llx %7s", &from, &to, access) != 3 ||
		    strcmp(access, "rw-p") != 0)
			continue;
		if (stack >= from && stack < to && stack - from > RED_ZONE)
			from = (stack - RED_ZONE) & ~UINT64_C(15);
		area_add(frozen, from, to);
	}
	if (maps)
		(void)fclose(maps);
	return frozen->n > 0;
}

#ifdef __x86_64__

static uint64_t
stack_of(const struct frozen *frozen)
{
	return frozen->regs.rsp;
}

static bool
registers_move(struct frozen *frozen, pid_t pid, bool is_load)
{
	struct iovec rest = { frozen->rest,
		is_load ? frozen->rest_len : sizeof(frozen->rest) };
	bool is_good;

	if (is_load)
		return ptrace(PTRACE_SETREGS, pid, NULL, &frozen->regs) == 0 &&
		    ptrace(PTRACE_SETREGSET, pid, (void *)NT_X86_XSTATE,
			&rest) == 0 &&
		    ptrace(PTRACE_SETSIGMASK, pid, (void *)sizeof(frozen->mask),
			&frozen->mask) == 0;
	is_good = ptrace(PTRACE_GETREGS, pid, NULL, &frozen->regs) == 0 &&
	    ptrace(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &rest) == 0 &&
	    ptrace(PTRACE_GETSIGMASK, pid, (void *)sizeof(frozen->mask),
		&frozen->mask) == 0;
	frozen->rest_len = rest.iov_len;
	return is_good;
}

#else

static uint64_t
stack_of(const struct frozen *frozen)
{
	(void)frozen;
	return 0;
}

/* Which registers there are is not known here: the tests that freeze fail. */
static bool
registers_move(struct frozen *frozen, pid_t pid, bool is_load)
{
	(void)frozen;
	(void)pid;
	(void)is_load;
	return false;
}

#endif

bool
freeze_save(struct frozen *frozen, pid_t pid)
{
	memset(frozen, 0, sizeof(*frozen));
	if (!registers_move(frozen, pid, false) ||
	    !areas_list(frozen, pid, stack_of(frozen)))
		return false;
	for (size_t i = 0; i < frozen->n; i++) {
		struct frozen_area *area = &frozen->area[i];
		struct iovec here = { area->data, area->len };
		struct iovec there = { (void *)(uintptr_t)area->address,
			area->len };

		if (process_vm_readv(pid, &here, 1, &there, 1, 0) !=
		    (ssize_t)area->len)
			return false;
	}
	return true;
}

bool
freeze_load(struct frozen *frozen, pid_t pid)
{
	for (size_t i = 0; i < frozen->n; i++) {
		struct frozen_area *area = &frozen->area[i];
		struct iovec here = { area->data, area->len };
		struct iovec there = { (void *)(uintptr_t)area->address,
			area->len };

		if (process_vm_writev(pid, &here, 1, &there, 1, 0) !=
		    (ssize_t)area->len)
			return false;
	}
	return registers_move(frozen, pid, true);
}

void
freeze_free(struct frozen *frozen)
{
	for (size_t i = 0; i < frozen->n; i++)
		free(frozen->area[i].data);
	free(frozen->area);
	memset(frozen, 0, sizeof(*frozen));
}
