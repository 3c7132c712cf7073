/* Who is at the other end, what they may, and which pidfd is believed. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/peer.h"
#include "server/proc.h"

static gid_t groups[] = { 40, 41 };
static struct peer someone = {
	.pid = 7, .uid = 1000, .gid = 30, .groups = groups, .n_groups = 2
};

static int
pidfd_of(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	cr_assert_geq(fd, 0);
	return fd;
}

Test(server_peer, the_kernel_says_who_connected)
{
	struct peer peer;
	int pair[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	cr_assert_eq(peer_identify(pair[0], &peer), 0);
	cr_assert_eq(peer.pid, getpid());
	cr_assert_eq(peer.uid, geteuid());
	cr_assert_eq(peer.gid, getegid());
	peer_release(&peer);
}

Test(server_peer, a_pidfd_of_the_peer_becomes_readable_when_it_dies)
{
	int pair[2], pidfd;
	const char *reason;
	struct peer peer;
	pid_t child, pid;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	child = getpid();
	cr_assert_eq(peer_identify(pair[0], &peer), 0);
	cr_assert_eq(
	    peer_pidfd(pair[0], &peer, pidfd_of(child), &pidfd, &reason), 0);
	cr_assert_eq(proc_pidfd_pid(pidfd, &pid), 0);
	cr_assert_eq(pid, child);
	peer_release(&peer);
}

Test(server_peer, a_sent_pidfd_must_name_the_peers_pid)
{
	struct peer me = { .pid = getpid() };
	struct peer other = { .pid = getppid() };
	struct peer invisible = { .pid = 0 };
	int pidfd = pidfd_of(getpid());
	int file = open("/dev/null", O_RDONLY);

	cr_assert(peer_accepts(&me, pidfd));
	cr_assert_not(peer_accepts(&other, pidfd));
	cr_assert_not(peer_accepts(&invisible, pidfd));
	cr_assert_not(peer_accepts(&me, -1));
	cr_assert_not(peer_accepts(&me, file));
	cr_assert_not(peer_accepts(&me, 9999));
}

Test(server_peer, a_pidfd_of_the_dead_is_not_accepted)
{
	pid_t child = fork();
	struct peer peer = { .pid = child };
	int pidfd;

	if (child == 0)
		_exit(0);
	pidfd = pidfd_of(child);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	cr_assert_not(peer_accepts(&peer, pidfd));
}

Test(server_peer, one_class_of_permission_bits_counts)
{
	struct peer root = { .uid = 0 };

	cr_assert(peer_may(&someone, 1000, 1, 0600, PEER_READ | PEER_WRITE));
	cr_assert_not(peer_may(&someone, 1000, 30, 0466, PEER_WRITE));
	cr_assert(peer_may(&someone, 1, 30, 0640, PEER_READ));
	cr_assert(peer_may(&someone, 1, 41, 0640, PEER_READ));
	cr_assert_not(peer_may(&someone, 1, 41, 0640, PEER_WRITE));
	cr_assert_not(peer_may(&someone, 1, 41, 0606, PEER_READ));
	cr_assert_not(peer_may(&someone, 1, 2, 0660, PEER_READ));
	cr_assert(peer_may(&someone, 1, 2, 0664, PEER_READ));
	cr_assert(peer_may(&root, 1, 2, 0000, PEER_READ | PEER_WRITE));
}

Test(server_peer, roles_follow_user_and_groups)
{
	struct peer_policy policy = { .uid = 500,
		.admin_group = PEER_NO_GROUP,
		.monitor_group = PEER_ANY_GROUP };
	struct peer root = { .uid = 0 }, daemon = { .uid = 500 };

	cr_assert_eq(peer_role(&root, &policy), PEER_ADMIN);
	cr_assert_eq(peer_role(&daemon, &policy), PEER_ADMIN);
	cr_assert_eq(peer_role(&someone, &policy), PEER_MONITOR);
	policy.monitor_group = 99;
	cr_assert_eq(peer_role(&someone, &policy), PEER_NOBODY);
	policy.monitor_group = 41;
	cr_assert_eq(peer_role(&someone, &policy), PEER_MONITOR);
	policy.admin_group = 40;
	cr_assert_eq(peer_role(&someone, &policy), PEER_ADMIN);
}

/* ---- What a process maps ------------------------------------------------ */

static int
memfd_make(void)
{
	int fd = (int)syscall(SYS_memfd_create, "test", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, 8192), 0);
	return fd;
}

Test(server_peer, a_mapping_is_found_by_its_file)
{
	int fd = memfd_make(), other = memfd_make();

	cr_assert_neq(
	    mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	cr_assert_eq(proc_maps(getpid(), fd), PROC_MAPPED);
	cr_assert_eq(proc_maps(getpid(), other), PROC_GONE);
}

Test(server_peer, a_process_that_runs_another_program_has_lost_its_mapping)
{
	int fd = memfd_make(), ready[2];
	char byte;
	pid_t child;

	cr_assert_neq(
	    mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
	child = fork();
	if (child == 0) {
		execlp("sleep", "sleep", "60", (char *)NULL);
		_exit(127);
	}
	close(ready[1]);
	/* The pipe closes as the new program begins. */
	cr_assert_eq(read(ready[0], &byte, 1), 0);
	cr_assert_eq(proc_maps(child, fd), PROC_GONE);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

Test(server_peer, a_process_that_has_ended_is_not_said_to_run_another_program)
{
	int fd = memfd_make();
	siginfo_t info;
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	cr_assert_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
	cr_assert_eq(proc_maps(child, fd), PROC_EXITING);
	waitpid(child, NULL, 0);
	cr_assert_eq(proc_maps(child, fd), PROC_EXITING);
	cr_assert_eq(proc_maps(0, fd), PROC_UNKNOWN);
}

static void *
thread_wait(void *arg)
{
	(void)arg;
	pause();
	return NULL;
}

/* Wait until the main thread of PID is a zombie while the process lives. */
static void
leader_await_end(pid_t pid)
{
	char path[64], state = ' ';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	while (state != 'Z') {
		file = fopen(path, "re");
		cr_assert_not_null(file);
		cr_assert_eq(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
		fclose(file);
		usleep(1000);
	}
}

Test(server_peer, a_main_thread_that_ended_hides_no_mapping)
{
	int fd = memfd_make();
	pid_t child;

	cr_assert_neq(
	    mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	child = fork();
	if (child == 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, thread_wait, NULL);
		pthread_exit(NULL);
	}
	leader_await_end(child);
	cr_assert_eq(proc_maps(child, fd), PROC_MAPPED);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}
