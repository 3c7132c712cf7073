#include "server/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

void
proc_command(pid_t pid, char *ret, size_t len)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	snprintf(ret, len, "?");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t n = read(fd, ret, len - 1);
	close(fd);
	if (n <= 0) {
		snprintf(ret, len, "?");
		return;
	}
	ret[n] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

bool
proc_is_stopped(pid_t pid)
{
	char path[64], text[256];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	/* The name between parentheses may hold any of them. */
	const char *end = strrchr(text, ')');
	return end != NULL && end[1] == ' ' && (end[2] == 'T' || end[2] == 't');
}

/* What the maps file FILE says about the file ST. */
static enum proc_mapping
maps_search(FILE *file, const struct stat *st)
{
	enum proc_mapping found = PROC_EXITING;
	char *line = NULL;
	size_t cap = 0;
	unsigned major, minor;
	unsigned long ino;
	while (getline(&line, &cap, file) > 0) {
		found = PROC_GONE;
		if (sscanf(line, "%*s %*s %*s %x:%x %lu", &major, &minor,
			&ino) == 3 &&
		    ino == st->st_ino && major == major(st->st_dev) &&
		    minor == minor(st->st_dev)) {
			found = PROC_MAPPED;
			break;
		}
	}
	/* What could not be read to its end says nothing. */
	if (found != PROC_MAPPED && ferror(file))
		found = errno == ESRCH ? PROC_EXITING : PROC_UNKNOWN;
	free(line);
	return found;
}

static enum proc_mapping
task_maps(int tasks, const char *tid, const struct stat *st)
{
	char path[64];
	snprintf(path, sizeof path, "%.20s/maps", tid);
	int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ESRCH ? PROC_EXITING
							 : PROC_UNKNOWN;
	FILE *file = fdopen(fd, "r");
	if (file == NULL) {
		close(fd);
		return PROC_UNKNOWN;
	}
	enum proc_mapping found = maps_search(file, st);
	fclose(file);
	return found;
}

/*
 * Each thread is asked, because one that has ended shows no memory although
 * the others go on (a main thread that left by pthread_exit).
 */
enum proc_mapping
proc_maps(pid_t pid, int fd)
{
	struct stat st;
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	if (pid <= 0 || fstat(fd, &st) != 0)
		return PROC_UNKNOWN;
	DIR *tasks = opendir(path);
	if (tasks == NULL)
		return errno == ENOENT ? PROC_EXITING : PROC_UNKNOWN;
	enum proc_mapping sum = PROC_EXITING;
	struct dirent *entry;
	while ((entry = readdir(tasks)) != NULL && sum != PROC_MAPPED) {
		if (entry->d_name[0] == '.')
			continue;
		enum proc_mapping one =
		    task_maps(dirfd(tasks), entry->d_name, &st);
		if (one == PROC_MAPPED || sum == PROC_EXITING ||
		    one == PROC_UNKNOWN)
			sum = one;
	}
	closedir(tasks);
	return sum;
}

int
proc_pidfd_pid(int fd, pid_t *ret_pid)
{
	char path[64], line[128];
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return SHM_EINVAL;
	int error = SHM_EINVAL;
	int pid;
	while (error != 0 && fgets(line, sizeof line, file) != NULL) {
		if (sscanf(line, "Pid: %d", &pid) == 1) {
			*ret_pid = (pid_t)pid;
			error = 0;
		}
	}
	fclose(file);
	return error;
}
