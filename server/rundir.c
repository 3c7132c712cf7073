#include "server/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/log.h"

#define SYSTEM_DIR "/run/shmalloc"
#define LOCK_NAME  "lock"

#define LOCK_TRIES  100
#define LOCK_TRY_MS 10

/* $XDG_RUNTIME_DIR/shmalloc, where it is there or is ours to make. */
static bool
runtime_dir(char *ret, size_t len)
{
	struct stat st;
	const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
	if (runtime == NULL || runtime[0] != '/')
		return false;
	int n = snprintf(ret, len, "%s/shmalloc", runtime);
	if (n < 0 || (size_t)n >= len)
		return false;
	if (stat(ret, &st) == 0)
		return S_ISDIR(st.st_mode);
	return geteuid() != 0;
}

int
rundir_resolve(const char *configured, char *ret, size_t len)
{
	const char *dir = configured;
	if (dir == NULL)
		dir = secure_getenv("SHMALLOC_SOCKET");
	if ((dir == NULL || *dir == '\0') && runtime_dir(ret, len))
		return 0;
	if (dir == NULL || *dir == '\0')
		dir = SYSTEM_DIR;
	int n = snprintf(ret, len, "%s", dir);
	return n > 0 && (size_t)n < len ? 0 : SHM_EINVAL;
}

static int
dir_make(struct rundir *dir, mode_t mode)
{
	bool is_new = mkdir(dir->path, 0700) == 0;
	bool is_there = !is_new && errno == EEXIST;
	if (is_there && !dir->is_made)
		return 0;
	/* mkdir obeys the umask; the mode is what was asked for.  One that a
	 * daemon before made was asked for by that. */
	if ((is_new || is_there) && chmod(dir->path, mode) == 0) {
		dir->is_made = true;
		return 0;
	}
	log_error("cannot make the socket directory %s: %s", dir->path,
	    strerror(errno));
	return SHM_ESYSTEM;
}

/* Whoever may write there could put his own sockets in our place. */
static int
dir_verify(const struct rundir *dir)
{
	struct stat st;
	if (fstat(dir->fd, &st) != 0)
		return SHM_ESYSTEM;
	if (st.st_uid != geteuid() && st.st_uid != 0) {
		log_error("%s belongs to user %u; choose a directory of your "
			  "own with --socket",
		    dir->path, (unsigned)st.st_uid);
		return SHM_EPERM;
	}
	if ((st.st_mode & S_IWOTH) != 0) {
		log_error("anybody may write to %s; take that away (chmod "
			  "o-w) or choose another directory with --socket",
		    dir->path);
		return SHM_EPERM;
	}
	/* One of its own is what many users' files are for. */
	if ((st.st_mode & S_IWGRP) != 0 && st.st_gid != getegid()) {
		log_error("group %u may write to %s; take that away (chmod "
			  "g-w) or choose another directory with --socket",
		    (unsigned)st.st_gid, dir->path);
		return SHM_EPERM;
	}
	return 0;
}

static void
holder_log(const struct rundir *dir)
{
	char pid[16] = "";
	ssize_t n = pread(dir->lock_fd, pid, sizeof pid - 1, 0);
	pid[n > 0 ? n : 0] = '\0';
	log_error("another shmallocd (pid %.*s) serves %s; stop it, or choose "
		  "another directory with --socket",
	    (int)strspn(pid, "0123456789"), pid, dir->path);
}

/* Whether the file that we locked is still the one in the directory. */
static bool
lock_is_current(const struct rundir *dir)
{
	struct stat ours, there;
	return fstat(dir->lock_fd, &ours) == 0 &&
	    fstatat(dir->fd, LOCK_NAME, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	    ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

/*
 * Whether to try again: a daemon that begins or ends holds the lock but has no
 * socket, and a client that found none may just have started us.
 */
static bool
holder_has_no_socket(const struct rundir *dir, unsigned *tries)
{
	struct timespec wait = { .tv_nsec = LOCK_TRY_MS * 1000000 };
	if (faccessat(dir->fd, "attach", F_OK, 0) == 0 || ++*tries > LOCK_TRIES)
		return false;
	nanosleep(&wait, NULL);
	return true;
}

static int
lock_take(struct rundir *dir, int kept_fd)
{
	unsigned tries = 0;
	dir->lock_fd = kept_fd;
	dir->is_lock_kept = kept_fd >= 0 && lock_is_current(dir);
	if (dir->is_lock_kept)
		return 0;
	if (kept_fd >= 0)
		close(kept_fd);
	for (;;) {
		dir->lock_fd = openat(dir->fd, LOCK_NAME,
		    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (dir->lock_fd < 0) {
			log_error("cannot open %s/" LOCK_NAME ": %s", dir->path,
			    strerror(errno));
			return SHM_ESYSTEM;
		}
		bool is_ours = flock(dir->lock_fd, LOCK_EX | LOCK_NB) == 0;
		if (is_ours && lock_is_current(dir))
			return 0;
		if (!is_ours && !holder_has_no_socket(dir, &tries)) {
			holder_log(dir);
			return SHM_EEXIST;
		}
		close(dir->lock_fd);
	}
}

/* For people, and for the message of the daemon that is refused. */
static int
lock_write_pid(const struct rundir *dir, pid_t leader)
{
	char pid[16];
	int n = snprintf(
	    pid, sizeof pid, "%d\n", (int)(leader > 0 ? leader : getpid()));
	if (ftruncate(dir->lock_fd, 0) == 0 &&
	    pwrite(dir->lock_fd, pid, (size_t)n, 0) == n)
		return 0;
	log_error(
	    "cannot write %s/" LOCK_NAME ": %s", dir->path, strerror(errno));
	return SHM_ESYSTEM;
}

int
rundir_verify(const char *path)
{
	struct rundir dir;
	int n = snprintf(dir.path, sizeof dir.path, "%s", path);
	if (n < 0 || (size_t)n >= sizeof dir.path)
		return SHM_EINVAL;
	dir.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir.fd < 0)
		return 0;
	int error = dir_verify(&dir);
	close(dir.fd);
	return error;
}

static int
dir_open(struct rundir *dir)
{
	dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0) {
		log_error("cannot open the socket directory %s: %s", dir->path,
		    strerror(errno));
		return SHM_ESYSTEM;
	}
	return dir_verify(dir);
}

int
rundir_open(const char *path, mode_t mode, const struct rundir_kept *kept,
    struct rundir *ret_dir)
{
	struct rundir dir = {
		.fd = -1, .lock_fd = -1, .is_made = kept->is_made
	};
	int n = snprintf(dir.path, sizeof dir.path, "%s", path), error;
	int kept_fd = kept->lock_fd;
	error = n < 0 || (size_t)n >= sizeof dir.path ? SHM_EINVAL : 0;
	if (error == 0)
		error = dir_make(&dir, mode);
	if (error == 0)
		error = dir_open(&dir);
	if (error == 0) {
		error = lock_take(&dir, kept_fd);
		kept_fd = -1;
	}
	if (error == 0)
		error = lock_write_pid(&dir, kept->leader);
	if (error != 0)
		goto fail;
	*ret_dir = dir;
	return 0;
fail:
	if (kept_fd >= 0)
		close(kept_fd);
	if (dir.lock_fd >= 0)
		close(dir.lock_fd);
	if (dir.fd >= 0)
		close(dir.fd);
	return error;
}

void
rundir_close(struct rundir *dir, bool is_kept)
{
	if (is_kept) {
		close(dir->lock_fd);
		close(dir->fd);
		dir->fd = dir->lock_fd = -1;
		return;
	}
	if (unlinkat(dir->fd, LOCK_NAME, 0) != 0)
		log_warn("cannot remove %s/" LOCK_NAME ": %s", dir->path,
		    strerror(errno));
	close(dir->lock_fd);
	close(dir->fd);
	if (dir->is_made && rmdir(dir->path) != 0 && errno != ENOTEMPTY &&
	    errno != EEXIST)
		log_warn("cannot remove %s: %s", dir->path, strerror(errno));
	dir->fd = dir->lock_fd = -1;
}
