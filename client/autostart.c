/*
 * A private daemon for programs that want one without an operator: started by
 * the first client, and ended when its last has left (--idle-exit).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/heap.h"

/* Make DIR for its owner alone, or see that it is so. */
static int
dir_own(const char *dir)
{
	struct stat status;

	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return SHMALLOC_ESYSTEM;
	if (lstat(dir, &status) != 0)
		return SHMALLOC_ESYSTEM;
	return S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
		(status.st_mode & 077) == 0
	    ? 0
	    : SHMALLOC_EPERM;
}

int
heap_private_dir(char *dir, size_t len)
{
	const char *named = secure_getenv("SHMALLOC_SOCKET");
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	const char *temporary = secure_getenv("TMPDIR");
	int n;

	if (named && *named)
		n = snprintf(dir, len, "%s", named);
	else if (runtime && *runtime == '/')
		n = snprintf(dir, len, "%s/shmalloc", runtime);
	else
		n = snprintf(dir, len, "%s/shmalloc-%lu",
		    temporary && *temporary == '/' ? temporary : "/tmp",
		    (unsigned long)geteuid());
	if (n < 0 || (size_t)n >= len)
		return SHMALLOC_EINVAL;
	return dir_own(dir);
}

/* Without what a service manager told the program: it is not about the daemon,
 * which would keep things there instead of with a keeper of its own. */
static char **
environment_make(void)
{
	static const char *const names[] = {
		"NOTIFY_SOCKET=", "FDSTORE=", "LISTEN_", "WATCHDOG_"
	};
	size_t n = 0, n_left = 0;
	char **left;

	while (environ && environ[n])
		n++;
	left = calloc(n + 1, sizeof(*left));
	for (size_t i = 0; left && i < n; i++) {
		bool is_managers = false;

		for (size_t j = 0; j < sizeof(names) / sizeof(*names); j++)
			is_managers |= strncmp(environ[i], names[j],
					   strlen(names[j])) == 0;
		if (!is_managers)
			left[n_left++] = environ[i];
	}
	return left;
}

/* In the grandchild: become the daemon. */
static void
daemon_exec(char *dir, char **environment)
{
	char name[] = "shmallocd", option[] = "--socket",
	     idle[] = "--idle-exit";
	char *args[] = { name, option, dir, idle, NULL };
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
	    dup2(null, 2) < 0)
		_exit(127);
	closefrom(3);
	(void)setsid();
	environ = environment;
	(void)execv(SHMALLOC_SBINDIR "/shmallocd", args);
	(void)execvp("shmallocd", args);
	_exit(127);
}

int
heap_autostart(char *dir)
{
	/* Before the fork: another thread may have the allocator's lock. */
	char **environment = environment_make();
	pid_t child = environment ? fork() : -1;
	int status;

	if (child != 0)
		free(environment);
	if (child < 0)
		return SHMALLOC_ESYSTEM;
	if (child == 0) {
		/* Twice, so that the program gets no child to wait for. */
		child = fork();
		if (child == 0)
			daemon_exec(dir, environment);
		_exit(child < 0 ? 1 : 0);
	}
	while (waitpid(child, &status, 0) < 0) {
		/* The program ignores SIGCHLD: whether the daemon answers is
		 * all that can be known. */
		if (errno == ECHILD)
			return 0;
		if (errno != EINTR)
			return SHMALLOC_ESYSTEM;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0
							     : SHMALLOC_ESYSTEM;
}
