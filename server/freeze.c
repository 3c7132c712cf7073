#include "server/freeze.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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
		if (freeze->tid[i - 1] == tid)
			return true;
	return false;
}

static int
room_make(struct freeze *freeze)
{
	if (freeze->n < freeze->room)
		return 0;
	size_t room = freeze->room == 0 ? 64 : 2 * freeze->room;
	pid_t *grown = realloc(freeze->tid, room * sizeof *grown);
	if (grown == NULL)
		return SHM_ENOMEM;
	freeze->tid = grown;
	freeze->room = room;
	return 0;
}

/* Wait until TID has stopped, or ended. */
static int
stop_await(pid_t tid)
{
	uint64_t end = server_now_ms() + PATIENCE_MS;
	struct timespec pause = { .tv_nsec = 100000 };
	int status;
	for (;;) {
		pid_t r = waitpid(tid, &status, __WALL | WNOHANG);
		if (r == tid || (r < 0 && errno == ECHILD))
			return 0;
		if (server_now_ms() >= end)
			return SHM_EBUSY;
		nanosleep(&pause, NULL);
	}
}

/* 1: it is held now; 0: it has ended. */
static int
thread_hold(struct freeze *freeze, pid_t tid)
{
	int error = room_make(freeze);
	if (error != 0)
		return error;
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0)
		return errno == ESRCH ? 0 : SHM_EPERM;
	freeze->tid[freeze->n++] = tid;
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0)
		return errno == ESRCH ? 1 : SHM_EPERM;
	error = stop_await(tid);
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
		int r = thread_hold(freeze, tid);
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
		ptrace(PTRACE_DETACH, freeze->tid[i], NULL, NULL);
	free(freeze->tid);
	*freeze = (struct freeze){ 0 };
}
