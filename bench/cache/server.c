/* Servers of peers: started in a folder of the run, ended with the cell. */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/cache/cache.h"

const char *server_folder;

static pid_t server_pid;

static _Noreturn void
server_main(char *const argv[], pid_t parent)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		_exit(127);
	execvp(argv[0], argv);
	_exit(127);
}

/* Does somebody listen at PATH? */
static bool
socket_answers(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool answers;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	answers = fd >= 0 &&
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	if (fd >= 0)
		close(fd);
	return answers;
}

const char *
server_start(char *const argv[], const char *path)
{
	const struct timespec tick = { 0, 10000000 };
	static char why[128];
	pid_t self = getpid();

	unlink(path);
	server_pid = fork();
	if (server_pid < 0)
		return "fork";
	if (server_pid == 0)
		server_main(argv, self);
	snprintf(why, sizeof(why), "%s did not start", argv[0]);
	for (int i = 0; i < 500; i++, nanosleep(&tick, NULL)) {
		if (socket_answers(path))
			return NULL;
		if (waitpid(server_pid, NULL, WNOHANG) != 0)
			return why;
	}
	server_stop();
	return why;
}

void
server_stop(void)
{
	kill(server_pid, SIGKILL);
	waitpid(server_pid, NULL, 0);
}

uint64_t
server_resident(void)
{
	return resident_private(server_pid);
}

/* ---- Memory -------------------------------------------------------------- */

uint64_t
resident_private(pid_t pid)
{
	char path[64], line[200];
	unsigned long long kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	file = fopen(path, "re");
	if (file == NULL)
		peer_fail("%s", path);
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Anonymous: %llu kB", &kib) == 1)
			break;
	fclose(file);
	return kib * 1024;
}

uint64_t
resident_files(void)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	struct stat stat_of;
	uint64_t bytes = 0;
	char target[64];

	if (folder == NULL)
		peer_fail("/proc/self/fd");
	while ((entry = readdir(folder)) != NULL) {
		ssize_t len = readlinkat(
		    dirfd(folder), entry->d_name, target, sizeof(target));

		if (len >= 7 && memcmp(target, "/memfd:", 7) == 0 &&
		    fstat(atoi(entry->d_name), &stat_of) == 0)
			bytes += (uint64_t)stat_of.st_blocks * 512;
	}
	closedir(folder);
	return bytes;
}

/* ---- Peers in general ---------------------------------------------------- */

const struct peer *peer_used;

_Noreturn void
peer_fail(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "\n%s: ", peer_used->name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	_exit(1);
}

void
peer_get_each(unsigned n, const struct entry request[], int64_t ret_len[])
{
	static char buffer[VALUE_MAX];

	for (unsigned i = 0; i < n; i++) {
		ret_len[i] = peer_used->get(&request[i], buffer);
		if (ret_len[i] >= 0 &&
		    !entry_is_right(&request[i], buffer, ret_len[i]))
			peer_fail("wrong content");
	}
}

void
peer_set_each(unsigned n, const struct entry entry[])
{
	for (unsigned i = 0; i < n; i++)
		peer_used->set(&entry[i]);
}
