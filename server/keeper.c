#include "server/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/log.h"
#include "server/onlooker.h"
#include "server/server.h"

/* How long a start waits after one that did not live for a second: doubling,
 * and longer if the daemon ends by itself than if somebody kills it. */
#define PAUSE_MS        10
#define PAUSE_KILLED_MS 160
#define PAUSE_CRASH_MS  5120
#define SHORT_LIFE_MS   1000
/* The daemon must not wait for a keeper that is stopped. */
#define SEND_SECONDS    1

struct keeper {
	const struct keeper_job *job;
	struct kept_list kept;
	sigset_t mask_before;
	int signal_fd;
	int link; /* to the daemon; -1: it has let go */
	pid_t child;
	pid_t onlooker[ONLOOKER_MAX]; /* 0: free */
	int status;                   /* of the last one */
	pid_t before;
	uint64_t started_ms;
	unsigned n_crashes, n_short; /* in a row */
	bool has_served;             /* one of them */
	bool has_taken;              /* everything, from another daemon */
	bool is_stopping;
	bool is_last;   /* the child was started to be stopped */
	bool is_broken; /* something could not be kept */
};

/* ---- What the daemon says ------------------------------------------------ */

static void
link_close(struct keeper *keeper)
{
	if (keeper->link >= 0)
		close(keeper->link);
	keeper->link = -1;
}

static void
ready_note(struct keeper *keeper)
{
	if (!keeper->has_served)
		keeper->job->ready(keeper->job->arg);
	keeper->has_served = true;
}

static void
message_obey(struct keeper *keeper, const struct kept_message *message,
    const int *fds, unsigned n_fds)
{
	if (message->kind == KEPT_ADD) {
		if (kept_add(&keeper->kept, message->name, fds, n_fds) != 0)
			keeper->is_broken = true;
		return;
	}
	for (unsigned i = 0; i < n_fds; i++)
		close(fds[i]);
	if (message->kind == KEPT_REMOVE)
		kept_remove(&keeper->kept, message->name);
	else if (message->kind == KEPT_END)
		keeper->has_taken = true;
	else if (message->kind == KEPT_READY)
		ready_note(keeper);
}

/* Take what there is.  False: the sender has closed its end. */
static bool
messages_take(struct keeper *keeper)
{
	struct kept_message message;
	int fds[KEPT_FDS];
	unsigned n_fds;
	int r;
	while ((r = kept_receive(
		    keeper->link, MSG_DONTWAIT, &message, fds, &n_fds)) > 0)
		message_obey(keeper, &message, fds, n_fds);
	if (r == SHM_EINVAL || r == SHM_ESYSTEM)
		keeper->is_broken = true;
	return r == SHM_ERETRY;
}

/* ---- Signals ------------------------------------------------------------- */

void
keeper_signals(sigset_t *set)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		sigaddset(set, numbers[i]);
}

static int
signals_block(struct keeper *keeper)
{
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	keeper_signals(&mask);
	/* A caller may have left it ignored, and then nobody would tell. */
	signal(SIGCHLD, SIG_DFL);
	/* Whoever started us, or reads our log, may have gone. */
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &mask, &keeper->mask_before) != 0)
		return SHM_ESYSTEM;
	keeper->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return keeper->signal_fd >= 0 ? 0 : SHM_ESYSTEM;
}

static void onlookers_reap(struct keeper *keeper);

/* Pass signals on; true if the child may have ended. */
static bool
signals_take(struct keeper *keeper)
{
	struct signalfd_siginfo info;
	bool is_child = false;
	while (read(keeper->signal_fd, &info, sizeof info) ==
	    (ssize_t)sizeof info) {
		int number = (int)info.ssi_signo;
		if (number == SIGCHLD) {
			is_child = true;
			onlookers_reap(keeper);
			continue;
		}
		if (number == SIGTERM || number == SIGINT)
			keeper->is_stopping = true;
		if (keeper->child > 0)
			kill(keeper->child, number);
	}
	return is_child;
}

/* ---- Onlookers ----------------------------------------------------------- */

/* The socket that they come to; -1: the daemon has not made it yet. */
static int
onlooker_socket(const struct keeper *keeper)
{
	const struct kept *entry = kept_get(&keeper->kept, ONLOOKER_KEPT);
	return entry == NULL ? -1 : entry->fd[0];
}

static void
onlookers_reap(struct keeper *keeper)
{
	for (int i = 0; i < ONLOOKER_MAX; i++)
		if (keeper->onlooker[i] > 0 &&
		    waitpid(keeper->onlooker[i], NULL, WNOHANG) != 0)
			keeper->onlooker[i] = 0;
}

/* A process of its own for who has come; none if there are too many. */
static void
onlooker_start(struct keeper *keeper)
{
	int fd = accept4(onlooker_socket(keeper), NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	for (int i = 0; i < ONLOOKER_MAX; i++) {
		if (keeper->onlooker[i] > 0)
			continue;
		keeper->onlooker[i] = fork();
		if (keeper->onlooker[i] == 0) {
			link_close(keeper);
			_exit(keeper->job->look(
			    keeper->job->arg, &keeper->kept, fd));
		}
		break;
	}
	close(fd);
}

/* ---- The child ----------------------------------------------------------- */

/* In the child: what was the keeper's for our use becomes the daemon's. */
static int
child_run(struct keeper *keeper, int link)
{
	struct keeper_legacy legacy = { .kept = keeper->kept,
		.link = link,
		.status = keeper->status,
		.before = keeper->before,
		.n_crashes = keeper->n_crashes };
	struct timeval patience = { .tv_sec = SEND_SECONDS };
	/* They wait until the daemon has handlers. */
	sigset_t mask = keeper->mask_before;
	keeper_signals(&mask);
	link_close(keeper);
	close(keeper->signal_fd);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	setsockopt(link, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	return keeper->job->run(keeper->job->arg, &legacy);
}

/* 1: this is the child, and *RET_STATUS what it ends with. */
static int
child_start(struct keeper *keeper, int *ret_status)
{
	int link[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) != 0)
		return SHM_ESYSTEM;
	keeper->link = link[0];
	keeper->started_ms = server_now_ms();
	keeper->child = fork();
	if (keeper->child == 0) {
		*ret_status = child_run(keeper, link[1]);
		return 1;
	}
	close(link[1]);
	if (keeper->child > 0) {
		keeper->is_last = keeper->is_stopping;
		if (keeper->is_last)
			kill(keeper->child, SIGTERM);
		return 0;
	}
	link_close(keeper);
	return SHM_ESYSTEM;
}

/* Serve the child until it has ended, or nothing more can be kept for it. */
static void
child_watch(struct keeper *keeper)
{
	siginfo_t info = { .si_pid = 0 };
	for (;;) {
		struct pollfd fds[3] = { { keeper->signal_fd, POLLIN, 0 },
			{ keeper->link, POLLIN, 0 },
			{ onlooker_socket(keeper), POLLIN, 0 } };
		poll(fds, 3, -1);
		if ((fds[2].revents & POLLIN) != 0)
			onlooker_start(keeper);
		/* A daemon that ends closes it before its end is seen. */
		if (fds[1].revents != 0 && !messages_take(keeper))
			link_close(keeper);
		if (keeper->is_broken)
			return;
		if (fds[0].revents == 0 || !signals_take(keeper) ||
		    waitid(P_PID, (id_t)keeper->child, &info,
			WEXITED | WNOHANG | WNOWAIT) != 0 ||
		    info.si_pid == 0)
			continue;
		if (keeper->link >= 0)
			(void)!messages_take(keeper);
		link_close(keeper);
		waitpid(keeper->child, &keeper->status, 0);
		keeper->before = keeper->child;
		keeper->child = 0;
		return;
	}
}

/* ---- Again, or the end ----------------------------------------------------
 */

static bool
was_killed(const struct keeper *keeper)
{
	return WIFSIGNALED(keeper->status) &&
	    WTERMSIG(keeper->status) == SIGKILL;
}

static void
give_up(const struct keeper *keeper)
{
	bool is_signal = WIFSIGNALED(keeper->status);
	log_error("the daemon ended %u times in a row by itself (the last time "
		  "with %s %d); giving up.  Clients keep the memory that they "
		  "have; see the log above, and start shmallocd again",
	    keeper->n_crashes, is_signal ? "signal" : "status",
	    is_signal ? WTERMSIG(keeper->status) : WEXITSTATUS(keeper->status));
}

/*
 * Whether the daemon's end is ours, too; then with *RET_STATUS.  One that was
 * killed while we are told to stop has neither saved nor removed anything: one
 * more is started for that.
 */
static bool
is_over(const struct keeper *keeper, int *ret_status)
{
	bool is_exit = WIFEXITED(keeper->status);
	int code = is_exit ? WEXITSTATUS(keeper->status) : EXIT_FAILURE;
	bool is_again = is_exit && code == KEEPER_AGAIN;
	*ret_status = is_again ? EXIT_FAILURE : code;
	if (is_exit && code == EXIT_SUCCESS)
		return true;
	/* Nothing kept: it gave all back to whom it took it from. */
	if ((!keeper->has_served && !keeper->has_taken) ||
	    keeper->kept.n <= keeper->job->given.n)
		return true;
	if (keeper->is_stopping)
		return keeper->is_last || (is_exit && !is_again);
	if (is_again)
		return false;
	*ret_status = EXIT_FAILURE;
	if (keeper->n_crashes < KEEPER_CRASHES)
		return false;
	give_up(keeper);
	return true;
}

static void
end_count(struct keeper *keeper)
{
	uint64_t lived_ms = server_now_ms() - keeper->started_ms;
	bool is_asked = WIFEXITED(keeper->status) &&
	    WEXITSTATUS(keeper->status) == KEEPER_AGAIN;
	if (lived_ms >= KEEPER_SOUND_MS)
		keeper->n_crashes = 0;
	if (!was_killed(keeper) && !is_asked)
		keeper->n_crashes++;
	keeper->n_short =
	    lived_ms < SHORT_LIFE_MS && !is_asked ? keeper->n_short + 1 : 0;
}

/* Wait before the next start, until we are told to stop. */
static void
pause_make(struct keeper *keeper)
{
	int most = was_killed(keeper) ? PAUSE_KILLED_MS : PAUSE_CRASH_MS;
	int pause = PAUSE_MS;
	if (keeper->n_short == 0)
		return;
	for (unsigned i = 1; i < keeper->n_short && pause < most; i++)
		pause *= 2;
	uint64_t end = server_now_ms() + (uint64_t)pause;
	while (server_now_ms() < end && !keeper->is_stopping) {
		struct pollfd fds[2] = { { keeper->signal_fd, POLLIN, 0 },
			{ onlooker_socket(keeper), POLLIN, 0 } };
		poll(fds, 2, (int)(end - server_now_ms()) + 1);
		if ((fds[1].revents & POLLIN) != 0)
			onlooker_start(keeper);
		signals_take(keeper);
	}
}

int
keeper_run(const struct keeper_job *job)
{
	struct keeper keeper = {
		.job = job, .link = -1, .signal_fd = -1, .kept = job->given
	};
	int status = EXIT_FAILURE;
	if (signals_block(&keeper) != 0) {
		log_error("the keeper cannot start: %s", strerror(errno));
		kept_release(&keeper.kept);
		return status;
	}
	kept_room_raise();
	for (;;) {
		int r = child_start(&keeper, &status);
		if (r == 1)
			return status;
		if (r != 0) {
			log_error(
			    "cannot start the daemon: %s", strerror(errno));
			keeper.n_short++;
			pause_make(&keeper);
			if (!keeper.has_served || keeper.is_stopping)
				break;
			continue;
		}
		child_watch(&keeper);
		if (keeper.is_broken) {
			log_error("the keeper cannot keep what the daemon "
				  "needs, and ends; the daemon goes on without "
				  "one");
			break;
		}
		end_count(&keeper);
		if (is_over(&keeper, &status))
			break;
		pause_make(&keeper);
	}
	link_close(&keeper);
	kept_release(&keeper.kept);
	close(keeper.signal_fd);
	return status;
}
