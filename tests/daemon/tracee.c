#include "tests/daemon/tracee.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARRIVE_MS 20000

/* ---- Where a function is --------------------------------------------------
 */

/* The value of the symbol NAME in the ELF file at BASE; 0: it has none. */
static uint64_t
symbol_find(const char *base, const char *name)
{
	const Elf64_Ehdr *head = (const void *)base;
	const Elf64_Shdr *section = (const void *)(base + head->e_shoff);

	for (unsigned i = 0; i < head->e_shnum; i++) {
		const Elf64_Sym *symbol;
		const char *names;
		size_t n = section[i].sh_size / sizeof(*symbol);

		if (section[i].sh_type != SHT_SYMTAB)
			continue;
		symbol = (const void *)(base + section[i].sh_offset);
		names = base + section[section[i].sh_link].sh_offset;
		for (size_t j = 0; j < n; j++)
			if (ELF64_ST_TYPE(symbol[j].st_info) == STT_FUNC &&
			    strcmp(names + symbol[j].st_name, name) == 0)
				return symbol[j].st_value;
	}
	return 0;
}

static uint64_t
program_symbol(pid_t pid, const char *name)
{
	char path[64];
	struct stat st;
	uint64_t value = 0;
	void *base;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return 0;
	base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (base != MAP_FAILED) {
		value = symbol_find(base, name);
		(void)munmap(base, (size_t)st.st_size);
	}
	(void)close(fd);
	return value;
}

/* Where the program begins in PID's memory. */
static uint64_t
program_base(pid_t pid)
{
	char path[64], line[512], exe[256];
	unsigned long start, off;
	uint64_t base = 0;
	ssize_t n;
	FILE *maps;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	if (!maps || n <= 0)
		return 0;
	exe[n] = 0;
	while (!base && fgets(line, sizeof(line), maps))
		if (strstr(line, exe) &&
		    sscanf(line, "%lx-%*x %*s %lx", &start, &off) == 2 &&
		    off == 0)
			base = start;
	(void)fclose(maps);
	return base;
}

/* ---- Tracing --------------------------------------------------------------
 */

/* Wait until one of the tracee's threads (TID, -1: any) has stopped. */
static pid_t
stop_await(pid_t tid, unsigned ms, int *ret_status)
{
	const struct timespec tick = { 0, 100000 };

	for (unsigned i = 0; i < ms * 10; i++) {
		pid_t r = waitpid(tid, ret_status, __WALL | WNOHANG);

		if (r > 0 && WIFSTOPPED(*ret_status))
			return r;
		if (r < 0 && errno != EINTR)
			return -1;
		if (r == 0)
			(void)nanosleep(&tick, NULL);
	}
	return -1;
}

static bool
registers_get(const struct tracee *tracee, struct user_regs_struct *ret)
{
	return ptrace(PTRACE_GETREGS, tracee->tid, NULL, ret) == 0;
}

bool
tracee_seize(struct tracee *tracee, pid_t pid)
{
	char path[64];
	struct dirent *entry;
	DIR *tasks;
	int n = 0;

	memset(tracee, 0, sizeof(*tracee));
	tracee->pid = tracee->tid = pid;
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks)))
		if (atoi(entry->d_name) > 0)
			n += ptrace(PTRACE_SEIZE, atoi(entry->d_name), NULL,
				 (void *)PTRACE_O_TRACECLONE) == 0;
	if (tasks)
		(void)closedir(tasks);
	return n > 0;
}

bool
tracee_watch(struct tracee *tracee, const char *name)
{
	uint64_t symbol = program_symbol(tracee->pid, name);
	uint64_t base = program_base(tracee->pid);
	int status;

	if (symbol == 0 || base == 0) {
		(void)printf("# the daemon has no function %s\n", name);
		return false;
	}
	if (ptrace(PTRACE_INTERRUPT, tracee->pid, NULL, NULL) != 0 ||
	    stop_await(tracee->pid, ARRIVE_MS, &status) != tracee->pid)
		return false;
	tracee->at = base + symbol;
	errno = 0;
	tracee->word = ptrace(
	    PTRACE_PEEKTEXT, tracee->pid, (void *)(uintptr_t)tracee->at, NULL);
	return errno == 0 &&
	    ptrace(PTRACE_POKETEXT, tracee->pid, (void *)(uintptr_t)tracee->at,
		(void *)((tracee->word & ~0xffL) | 0xccL)) == 0 &&
	    ptrace(PTRACE_CONT, tracee->pid, NULL, NULL) == 0;
}

/* Take the breakpoint out. */
static bool
breakpoint_end(struct tracee *tracee)
{
	uint64_t at = tracee->at;

	tracee->at = 0;
	return ptrace(PTRACE_POKETEXT, tracee->tid, (void *)(uintptr_t)at,
		   (void *)tracee->word) == 0;
}

bool
tracee_arrive(struct tracee *tracee)
{
	struct user_regs_struct regs;
	uint64_t at = tracee->at;
	int status;

	for (;;) {
		pid_t tid = stop_await(-1, ARRIVE_MS, &status);

		if (tid < 0)
			return false;
		tracee->tid = tid;
		if (WSTOPSIG(status) == SIGTRAP && status >> 16 == 0)
			break;
		/* Its signals are its own; threads begin and go on. */
		if (ptrace(PTRACE_CONT, tid, NULL,
			(void *)(long)(status >> 16 ? 0 : WSTOPSIG(status))) !=
		    0)
			return false;
	}
	if (!registers_get(tracee, &regs) || regs.rip != at + 1 ||
	    !breakpoint_end(tracee))
		return false;
	regs.rip = at;
	errno = 0;
	tracee->ret_sp = regs.rsp;
	tracee->ret_at = (uint64_t)ptrace(
	    PTRACE_PEEKDATA, tracee->tid, (void *)(uintptr_t)regs.rsp, NULL);
	return errno == 0 &&
	    ptrace(PTRACE_SETREGS, tracee->tid, NULL, &regs) == 0;
}

uint64_t
tracee_step(struct tracee *tracee, uint64_t most)
{
	struct user_regs_struct regs;
	uint64_t n = 0;
	int status, number = 0;

	while (n < most) {
		if (ptrace(PTRACE_SINGLESTEP, tracee->tid, NULL,
			(void *)(long)number) != 0 ||
		    waitpid(tracee->tid, &status, __WALL) != tracee->tid ||
		    !WIFSTOPPED(status))
			break;
		n++;
		number = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
		if (!registers_get(tracee, &regs) ||
		    (regs.rip == tracee->ret_at && regs.rsp > tracee->ret_sp))
			break;
	}
	return n;
}

void
tracee_kill(struct tracee *tracee)
{
	pid_t r;
	int status;

	(void)kill(tracee->pid, SIGKILL);
	/* Its other threads end first. */
	do
		r = waitpid(-1, &status, __WALL);
	while (r > 0 && (r != tracee->pid || WIFSTOPPED(status)));
}
