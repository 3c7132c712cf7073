/*
 * The daemon under test and its segment.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/access.h"
#include "shm/commit.h"
#include "tests/kill/kill.h"

static void
daemon_exec(const char *path, const char *dir, const char *size,
    const char *const param[KILL_PARAMS])
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* A small reservation: less to walk in each judgement.  Larger chunks
	 * come from arenas in one step. */
	(void)execl(path, "shmallocd", "--socket", dir, "--size", size,
	    "--reserve", "256M", "--no-keeper", "-p", "tcache.max=32K",
	    param[0] ? "-p" : (char *)NULL, param[0],
	    param[1] ? "-p" : (char *)NULL, param[1],
	    param[2] ? "-p" : (char *)NULL, param[2], (char *)NULL);
	perror(path);
	_exit(127);
}

static bool
socket_wait(const char *dir)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/attach", dir);
	for (int i = 0; i < 5000; i++) {
		struct timespec pause = { 0, 2000000 };
		struct stat status;

		if (stat(path, &status) == 0)
			return true;
		(void)nanosleep(&pause, NULL);
	}
	return false;
}

bool
rig_start(struct kill_rig *rig, const char *daemon_path, const char *size,
    const char *const param[KILL_PARAMS])
{
	memset(rig, 0, sizeof(*rig));
	(void)strcpy(rig->dir, "/tmp/shmalloc-kill-XXXXXX");
	if (!mkdtemp(rig->dir))
		return false;
	rig->daemon = fork();
	if (rig->daemon == 0)
		daemon_exec(daemon_path, rig->dir, size, param);
	return rig->daemon > 0 && socket_wait(rig->dir) &&
	    setenv("SHMALLOC_SOCKET", rig->dir, 1) == 0;
}

void
rig_stop(struct kill_rig *rig)
{
	static const char *const names[] = { "attach", "control", "control-ro",
		"lock" };
	char path[128];

	if (rig->live.base)
		shm_seg_unmap(&rig->live);
	if (rig->daemon > 0) {
		(void)kill(rig->daemon, SIGKILL);
		(void)waitpid(rig->daemon, NULL, 0);
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", rig->dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(rig->dir);
}

/* A descriptor of our own for PID's open file whose name begins with PREFIX and
 * whose size is, or isn't, that of the pins. */
static int
fd_borrow(pid_t pid, bool is_pins)
{
	for (int fd = 3; fd < 64; fd++) {
		char path[64], name[128];
		struct stat status;
		ssize_t len;

		(void)snprintf(
		    path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
		len = readlink(path, name, sizeof(name) - 1);
		if (len <= 0 || stat(path, &status) != 0)
			continue;
		name[len] = 0;
		if (strncmp(name, "/memfd:shmalloc:", 16) != 0 ||
		    (status.st_size == sizeof(struct shm_pins)) != is_pins)
			continue;
		return open(path, O_RDWR | O_CLOEXEC);
	}
	return -1;
}

bool
rig_map(struct kill_rig *rig, pid_t pid)
{
	int fd = fd_borrow(pid, false), pins = fd_borrow(pid, true);

	if (fd < 0 || pins < 0)
		return false;
	if (rig->live.base)
		shm_seg_unmap(&rig->live);
	return shm_seg_map(fd, pins, false, &rig->live) == 0;
}

bool
rig_daemon_hold(struct kill_rig *rig)
{
	int status;

	return kill(rig->daemon, SIGSTOP) == 0 &&
	    waitpid(rig->daemon, &status, WUNTRACED) == rig->daemon &&
	    WIFSTOPPED(status);
}

void
rig_daemon_go(struct kill_rig *rig)
{
	(void)kill(rig->daemon, SIGCONT);
}

void
rig_arenas_hold(struct kill_rig *rig, bool is_held)
{
	struct shm_seg *seg = &rig->live;
	uint32_t n = shm_load(&seg->super->n_arenas);
	uint32_t generation =
	    shm_load(&seg->clients[SHM_DAEMON_SLOT].generation);
	uint32_t word = SHM_DAEMON_THREAD | (generation & 255) << 16;

	for (uint32_t i = 0; i < n; i++)
		shm_store(&seg->arenas[i].lock, is_held ? word : 0);
}

uint32_t
rig_slot(const struct shm_seg *seg, pid_t pid)
{
	for (uint32_t i = SHM_DAEMON_SLOT + 1; i < SHM_CLIENTS; i++) {
		const struct shm_client *client = &seg->clients[i];

		if (shm_committed_prefix(seg, shm_offset_of(seg, client),
			sizeof(*client)) < sizeof(*client))
			break;
		if (shm_load(&client->state) == SHM_CLIENT_LIVE &&
		    shm_load(&client->pid) == (uint32_t)pid)
			return i;
	}
	return 0;
}
