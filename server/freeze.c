#include "server/freeze.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/server.h"
#include "server/slot.h"

#define PATIENCE_MS 2000

static bool
is_held(const struct freeze *freeze, pid_t tid)
{
	for (size_t i = freeze->n; i > 0; i--)
		if (freeze->thread[i - 1].tid == tid)
			return true;
	return false;
}

static int
room_make(struct freeze *freeze)
{
	if (freeze->n < freeze->room)
		return 0;
	size_t room = freeze->room == 0 ? 64 : 2 * freeze->room;
	struct freeze_thread *grown =
	    realloc(freeze->thread, room * sizeof *grown);
	if (grown == NULL)
		return SHM_ENOMEM;
	freeze->thread = grown;
	freeze->room = room;
	return 0;
}

/* Wait until THREAD has stopped, or ended.  A stop that is none of ours is for
 * the delivery of a signal, which would be lost. */
static int
stop_await(struct freeze_thread *thread)
{
	uint64_t end = server_now_ms() + PATIENCE_MS;
	struct timespec pause = { .tv_nsec = 100000 };
	int status;
	for (;;) {
		pid_t r = waitpid(thread->tid, &status, __WALL | WNOHANG);
		if (r == thread->tid && WIFSTOPPED(status) && status >> 16 == 0)
			thread->signal = WSTOPSIG(status);
		if (r == thread->tid || (r < 0 && errno == ECHILD))
			return 0;
		if (server_now_ms() >= end)
			return SHM_EBUSY;
		nanosleep(&pause, NULL);
	}
}

/* Whether thread TID of PID is no more, or a zombie: of a main thread that left
 * while others go on, for one. */
static bool
thread_has_ended(pid_t pid, pid_t tid)
{
	char path[64], stat[512];
	snprintf(
	    path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return errno == ENOENT;
	size_t n = fread(stat, 1, sizeof stat - 1, file);
	/* It is gone since. */
	bool has_gone = ferror(file) != 0 && errno == ESRCH;
	fclose(file);
	stat[n] = '\0';
	const char *name_end = strrchr(stat, ')');
	return has_gone ||
	    (name_end != NULL && strncmp(name_end, ") ", 2) == 0 &&
		(name_end[2] == 'Z' || name_end[2] == 'X'));
}

/* 1: it is held now; 0: it has ended. */
static int
thread_hold(struct freeze *freeze, pid_t pid, pid_t tid)
{
	int error = room_make(freeze);
	if (error != 0)
		return error;
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0)
		return errno == ESRCH || thread_has_ended(pid, tid) ? 0
								    : SHM_EPERM;
	struct freeze_thread *thread = &freeze->thread[freeze->n++];
	*thread = (struct freeze_thread){ .tid = tid };
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0)
		return errno == ESRCH ? 1 : SHM_EPERM;
	error = stop_await(thread);
	return error != 0 ? error : 1;
}

/* Once over PID's threads: how many were new, or an error. */
static int
threads_hold(struct freeze *freeze, pid_t pid)
{
	char path[64];
	int n_new = 0;
	struct dirent *entry;
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path);
	if (tasks == NULL)
		return errno == ENOENT ? 0 : SHM_EPERM;
	while (n_new >= 0 && (entry = readdir(tasks)) != NULL) {
		pid_t tid = (pid_t)atoi(entry->d_name);
		if (tid <= 0 || is_held(freeze, tid))
			continue;
		int r = thread_hold(freeze, pid, tid);
		n_new = r < 0 ? r : n_new + r;
	}
	closedir(tasks);
	return n_new;
}

/* Those that it holds cannot make others: at some time there are no new ones.
 */
static int
process_hold(struct freeze *freeze, pid_t pid)
{
	int n;
	/* Of another pid namespace: nobody knows where. */
	if (pid <= 0)
		return SHM_EPERM;
	do
		n = threads_hold(freeze, pid);
	while (n > 0);
	return n;
}

int
freeze_begin(
    const struct segment *segment, struct freeze *ret_freeze, pid_t *ret_pid)
{
	*ret_freeze = (struct freeze){ 0 };
	for (uint32_t i = 0; i < SHM_CLIENTS; i++) {
		const struct slot *slot = segment->slots[i];
		if (slot == NULL || slot->pid == getpid() ||
		    slot_has_ended(slot) ||
		    (slot->state == SLOT_RECLAIMING && !slot->is_detached))
			continue;
		int error = process_hold(ret_freeze, slot->pid);
		if (error == 0)
			continue;
		*ret_pid = slot->pid;
		freeze_end(ret_freeze);
		return error;
	}
	return 0;
}

void
freeze_end(struct freeze *freeze)
{
	for (size_t i = 0; i < freeze->n; i++)
		ptrace(PTRACE_DETACH, freeze->thread[i].tid, NULL,
		    (void *)(intptr_t)freeze->thread[i].signal);
	free(freeze->thread);
	*freeze = (struct freeze){ 0 };
}
