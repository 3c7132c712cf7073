/*
 * The daemon under test, and copies of its segment.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shm/commit.h"
#include "tests/kill/kill.h"

/* ---- The daemon ---------------------------------------------------------- */

static void
daemon_exec(const char *path, const char *dir)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)execl(path, "shmallocd", "--socket", dir, "--size", "64M",
	    "--reserve", "4G", (char *)NULL);
	perror(path);
	_exit(127);
}

static bool
socket_wait(const char *dir)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/attach", dir);
	for (int i = 0; i < 1000; i++) {
		struct timespec pause = { 0, 10000000 };
		struct stat status;

		if (stat(path, &status) == 0)
			return true;
		(void)nanosleep(&pause, NULL);
	}
	return false;
}

bool
rig_start(struct kill_rig *rig, const char *daemon_path)
{
	memset(rig, 0, sizeof(*rig));
	(void)strcpy(rig->dir, "/tmp/shmalloc-kill-XXXXXX");
	if (!mkdtemp(rig->dir))
		return false;
	rig->daemon = fork();
	if (rig->daemon == 0)
		daemon_exec(daemon_path, rig->dir);
	return rig->daemon > 0 && socket_wait(rig->dir) &&
	    setenv("SHMALLOC_SOCKET", rig->dir, 1) == 0;
}

void
rig_stop(struct kill_rig *rig)
{
	if (rig->live.base)
		shm_seg_unmap(&rig->live);
	if (rig->daemon > 0) {
		(void)kill(rig->daemon, SIGCONT);
		(void)kill(rig->daemon, SIGTERM);
		(void)waitpid(rig->daemon, NULL, 0);
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

/* ---- Copies -------------------------------------------------------------- */

static int
memfd_like(uint64_t size)
{
	int fd = memfd_create("shmalloc-copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ==
		0)
		return fd;
	return -1;
}

static bool
is_committed(const struct shm_seg *seg, uint64_t page)
{
	return shm_committed_prefix(seg, page * SHM_PAGE + 1, 1) == 1;
}

bool
copy_open(struct kill_copy *copy, const struct shm_seg *live)
{
	int fd = memfd_like(live->len);
	int pins = memfd_like(sizeof(struct shm_pins));

	memset(copy, 0, sizeof(*copy));
	if (fd < 0 || pins < 0 ||
	    pwrite(fd, live->base, 4 * SHM_PAGE, 0) != 4 * SHM_PAGE ||
	    pwrite(pins, live->pins, sizeof(struct shm_pins), 0) !=
		sizeof(struct shm_pins))
		return false;
	return shm_seg_map(fd, pins, false, &copy->seg) == 0;
}

void
copy_close(struct kill_copy *copy)
{
	if (copy->seg.base)
		shm_seg_unmap(&copy->seg);
	free(copy->shadow);
	free(copy->pages);
}

/* List the live segment's committed pages; true if the list has changed. */
static bool
pages_list(struct kill_copy *copy, const struct shm_seg *live)
{
	uint64_t end = live->heap + shm_load(&live->super->watermark);
	size_t n = 0, room = shm_committed_total(live) + 64;
	uint64_t *pages = malloc(room * sizeof(*pages));
	bool is_new;

	for (uint64_t page = 0; pages && page < end / SHM_PAGE; page++) {
		uint64_t word = shm_load(&live->committed[page / 64]);

		if (word == 0) {
			page |= 63;
			continue;
		}
		if (!is_committed(live, page))
			continue;
		if (n == room)
			break;
		pages[n++] = page;
	}
	is_new = n != copy->n_pages ||
	    memcmp(pages, copy->pages, n * sizeof(*pages)) != 0;
	free(copy->pages);
	copy->pages = pages;
	copy->n_pages = n;
	return is_new;
}

bool
copy_notice(struct kill_copy *copy, const struct shm_seg *live)
{
	bool has_changed = pages_list(copy, live);

	if (has_changed) {
		free(copy->shadow);
		copy->shadow =
		    malloc(copy->n_pages * SHM_PAGE + sizeof(struct shm_pins));
		if (!copy->shadow)
			abort();
	}
	for (size_t i = 0; i < copy->n_pages; i++) {
		char *seen = copy->shadow + i * SHM_PAGE;
		const char *now = live->base + copy->pages[i] * SHM_PAGE;

		if (!has_changed && memcmp(seen, now, SHM_PAGE) == 0)
			continue;
		memcpy(seen, now, SHM_PAGE);
		has_changed = true;
	}
	return has_changed;
}

bool
copy_restore(struct kill_copy *copy, const struct shm_seg *live)
{
	struct shm_seg *seg = &copy->seg;

	if (fallocate(seg->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		(off_t)seg->len) != 0)
		return false;
	for (size_t i = 0; i < copy->n_pages; i++)
		memcpy(seg->base + copy->pages[i] * SHM_PAGE,
		    copy->shadow + i * SHM_PAGE, SHM_PAGE);
	memcpy(seg->pins, live->pins, sizeof(struct shm_pins));
	return true;
}
