#include "server/server.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/adopt.h"
#include "server/attach.h"
#include "server/control.h"
#include "server/heir.h"
#include "server/http.h"
#include "server/job.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/onlooker.h"
#include "server/reap.h"
#include "server/recall.h"
#include "server/save.h"
#include "server/timer.h"
#include "shm/daemon.h"

/* Connections to each of the sockets of operators. */
#define CONTROL_MAX 64

uint64_t
server_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

double
server_time(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)(now.tv_nsec / 1000) / 1e6;
}

/* ---- Starting and stopping ------------------------------------------------
 */

static void
on_signal(evutil_socket_t number, short what, void *arg)
{
	struct server *server = arg;
	(void)what;
	if (number == SIGHUP) {
		server_reload(server);
		return;
	}
	if (number == SIGUSR1 && server->store.link < 0) {
		log_warn("SIGUSR1 is for a daemon with a keeper, which would "
			 "start the next; going on");
		return;
	}
	log_info("stopping on signal %d", (int)number);
	/* The service manager may start us again at once, and gives all back;
	 * if it does not, it removes the directory. */
	server->is_leaving |= server->store.is_systemd;
	if (number == SIGUSR1)
		server->is_leaving = server->is_again = true;
	event_base_loopbreak(server->base);
}

static int
signals_init(struct server *server)
{
	static const int numbers[SERVER_SIGNALS] = { SIGTERM, SIGINT, SIGHUP,
		SIGUSR1 };
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < SERVER_SIGNALS; i++) {
		server->signals[i] =
		    evsignal_new(server->base, numbers[i], on_signal, server);
		if (server->signals[i] == NULL ||
		    event_add(server->signals[i], NULL) != 0)
			return SHM_ENOMEM;
	}
	sigset_t waiting;
	sigemptyset(&waiting);
	keeper_signals(&waiting);
	sigprocmask(SIG_UNBLOCK, &waiting, NULL);
	return 0;
}

/* A client costs two descriptors, its connection and its pidfd. */
static void
descriptors_raise(void)
{
	struct rlimit limit;
	kept_room_raise();
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur < 2 * SHM_CLIENTS)
		log_warn(
		    "only %llu files may be open, which is enough for "
		    "about %llu clients; raise the hard limit (ulimit -Hn, "
		    "LimitNOFILE=)",
		    (unsigned long long)limit.rlim_cur,
		    (unsigned long long)limit.rlim_cur / 2);
}

/* Little to do, but others wait for it: the daemon goes first. */
static void
priority_raise(const struct server *server)
{
	int by = (int)config_number(&server->config, NULL, CONFIG_PRIORITY);
	if (by == 0 || getpriority(PRIO_PROCESS, 0) != 0)
		return;
	if (setpriority(PRIO_PROCESS, 0, -by) != 0)
		log_debug("the scheduling priority stays as it is: %s",
		    strerror(errno));
}

/* Whether users other than the daemon's are let in. */
static bool
is_shared(const struct server *server)
{
	const struct config *config = &server->config;
	bool is_open = (config_number(config, NULL, CONFIG_MODE) & 0077) != 0 ||
	    server->policy.admin_group != PEER_NO_GROUP ||
	    server->policy.monitor_group != PEER_ANY_GROUP;
	for (size_t i = 0; i < config->n_segments; i++)
		is_open |=
		    (config_number(config, config->segments[i], CONFIG_MODE) &
			0077) != 0;
	return is_open || geteuid() == 0;
}

/* What would fail afterwards fails while the one that runs can go on. */
static int
takeover(struct server *server, const char *path, struct kept_list *kept)
{
	int error = rundir_verify(path);
	if (error == 0)
		error = listen_address(&server->attach, path);
	if (error == 0)
		error = listen_address(&server->control, path);
	if (error == 0)
		error = listen_address(&server->control_ro, path);
	if (error == 0)
		error = listen_address(&server->keeper, path);
	return error != 0 ? error : heir_take(server, path, kept);
}

static int
dir_open(struct server *server, struct kept_list *kept)
{
	char path[PATH_MAX];
	struct rundir_kept before = { .lock_fd = -1,
		.leader = server->store.link >= 0 ? getppid() : 0 };
	const char *configured = config_text(&server->config, CONFIG_SOCKET);
	if (rundir_resolve(configured, path, sizeof path) != 0) {
		log_error("the socket directory's name is empty or too long");
		return SHM_EINVAL;
	}
	if (server->options->is_takeover) {
		int error = takeover(server, path, kept);
		if (error != 0)
			return error;
	}
	struct kept *lock = kept_find(kept, "lock/");
	if (lock != NULL)
		before.is_made = strcmp(lock->name, "lock/1") == 0;
	before.lock_fd = kept_take(lock, 0);
	int error = rundir_open(
	    path, is_shared(server) ? 0755 : 0700, &before, &server->dir);
	if (error != 0 || server->dir.is_lock_kept)
		return error;
	/* Nobody's by now: somebody removed its file. */
	if (lock != NULL)
		store_remove(&server->store, lock->name);
	store_lock(&server->store, server);
	return 0;
}

/* The service manager's socket, or the one that was kept, or a new one. */
static int
listener_open(struct server *server, struct listener *listener, mode_t mode,
    gid_t group, struct kept_list *kept)
{
	char name[KEPT_NAME];
	snprintf(name, sizeof name, "socket/%s", listener->ops->name);
	int given = kept_take(kept_get(kept, listener->ops->name), 0);
	bool is_kept;
	int error = listen_open(listener, &server->dir, mode, group,
	    given >= 0 ? given : kept_take(kept_get(kept, name), 0), &is_kept);
	listener->is_given = given >= 0 && is_kept;
	if (error == 0 && given >= 0 && !is_kept)
		log_warn("the service manager listens elsewhere than on %s; "
			 "see ListenStream= of its socket unit",
		    listener->address.sun_path);
	if (error != 0 || is_kept)
		return error;
	store_remove(&server->store, name);
	store_listener(&server->store, listener);
	return 0;
}

/* The socket that a keeper answers, if there is one. */
static int
keeper_listener_open(
    struct server *server, mode_t mode, gid_t group, struct kept_list *kept)
{
	struct listener *listener = &server->keeper;
	if (server->store.link < 0)
		return listen_address(listener, server->dir.path) == 0
		    ? listen_remove_stale(listener)
		    : SHM_EINVAL;
	int error = listener_open(server, listener, mode, group, kept);
	if (error == 0)
		event_del(listener->event);
	return error;
}

static int
listeners_open(struct server *server, struct kept_list *kept)
{
	gid_t admin = server->policy.admin_group;
	gid_t monitor = server->policy.monitor_group;
	bool is_anybody = monitor == PEER_ANY_GROUP;
	int error = listener_open(server, &server->control,
	    admin == PEER_NO_GROUP ? 0600 : 0660, admin, kept);
	if (error == 0)
		error = listener_open(server, &server->control_ro,
		    is_anybody ? 0666 : 0660,
		    is_anybody ? PEER_NO_GROUP : monitor, kept);
	if (error == 0)
		error = keeper_listener_open(server, is_anybody ? 0666 : 0660,
		    is_anybody ? PEER_NO_GROUP : monitor, kept);
	/* Last: who can attach finds all of the daemon ready. */
	if (error == 0)
		error = listener_open(
		    server, &server->attach, 0666, PEER_NO_GROUP, kept);
	return error;
}

/*
 * Those that were kept, those that only the file has (a start that was killed
 * may have kept some of it), those that are configured.  Where there are some
 * that were kept, no error is worth losing them: it is logged.
 */
static int
segments_open(struct server *server, struct kept_list *kept)
{
	const struct segment *segment;
	const char *path = server->options->save_path;
	bool is_going_on = adopt_segments(server, kept) > 0;
	int error =
	    path != NULL ? save_read(server, path, &server->is_save_read) : 0;
	if (error != 0 && !is_going_on)
		return error;
	TAILQ_FOREACH(segment, &server->segments, link)
	if (segment->start > server->start)
		server->start = segment->start;
	error = segment_create_configured(server, &server->config);
	return is_going_on ? 0 : error;
}

static void
listener_init(struct server *server, struct listener *listener,
    const struct conn_ops *ops, uint32_t max,
    int (*admit)(struct conn *conn, const char **ret_why))
{
	listener->ops = ops;
	listener->owner = server;
	listener->base = server->base;
	listener->fd = -1;
	listener->max = max;
	listener->admit = admit;
	LIST_INIT(&listener->conns);
}

static int
loop_init(struct server *server)
{
	server->base = event_base_new();
	if (server->base == NULL)
		return SHM_ENOMEM;
	uint64_t max =
	    config_number(&server->config, NULL, CONFIG_MAX_CONNECTIONS);
	listener_init(
	    server, &server->attach, &attach_ops, (uint32_t)max, attach_admit);
	listener_init(
	    server, &server->control, &control_ops, CONTROL_MAX, control_admit);
	listener_init(server, &server->control_ro, &control_ro_ops, CONTROL_MAX,
	    control_admit);
	listener_init(server, &server->keeper, &onlooker_ops, 0, NULL);
	int error = reap_init(&server->reaper, server->base);
	return error != 0 ? error : signals_init(server);
}

static void
before_log(const struct keeper_legacy *legacy)
{
	if (legacy->before == 0)
		return;
	bool is_signal = WIFSIGNALED(legacy->status);
	log_warn("the daemon before, pid %d, ended with %s %d; going on where "
		 "it was",
	    (int)legacy->before, is_signal ? "signal" : "status",
	    is_signal ? WTERMSIG(legacy->status) : WEXITSTATUS(legacy->status));
	if (legacy->n_crashes > 0)
		log_warn("that was end %u by itself; the keeper gives up "
			 "after %d in a row",
		    legacy->n_crashes, KEEPER_CRASHES);
}

/* The events of the daemon before, or a place for ours. */
static void
journal_take(struct server *server, struct kept_list *kept)
{
	struct kept *entry = kept_get(kept, JOURNAL_KEPT);
	int fd = entry != NULL ? kept_take(entry, 0) : -1;
	if (journal_open(fd))
		return;
	if (fd >= 0)
		store_remove(&server->store, JOURNAL_KEPT);
	store_journal(&server->store);
}

static int
server_start(struct server *server, struct keeper_legacy *legacy)
{
	struct kept_list *kept = &legacy->kept;
	int error = loop_init(server);
	if (error != 0) {
		log_error("the event loop cannot be made: out of memory");
		close(legacy->link);
		return error;
	}
	store_open(&server->store, server, legacy->link);
	recall_put(server);
	descriptors_raise();
	priority_raise(server);
	before_log(legacy);
	error = dir_open(server, kept);
	if (error != 0)
		return error;
	journal_take(server, kept);
	error = segments_open(server, kept);
	if (error == 0)
		error = listeners_open(server, kept);
	if (error == 0)
		error = http_open(server, kept);
	if (error == 0)
		adopt_clients(server, kept);
	if (error == 0)
		error = timer_init(server);
	if (error == 0)
		adopt_end(server, kept);
	return error;
}

static void
server_stop(struct server *server)
{
	struct segment *segment;
	sigset_t all;
	bool is_kept = server->is_leaving;
	store_say_stopping();
	/* First: what is kept stays as it is until we have ended. */
	store_close(&server->store);
	/* Then, so that few can come whom nobody would answer. */
	listen_stop(&server->attach, is_kept);
	listen_stop(&server->control, is_kept);
	listen_stop(&server->control_ro, is_kept);
	http_stop(server, is_kept);
	listen_stop(&server->keeper, is_kept);
	timer_release(server);
	job_stop(server);
	while ((segment = TAILQ_FIRST(&server->segments)) != NULL)
		segment_leave(server, segment);
	listen_close(&server->attach);
	listen_close(&server->control);
	listen_close(&server->control_ro);
	http_close(server);
	if (server->dir.fd >= 0)
		rundir_close(&server->dir, is_kept);
	reap_release(&server->reaper);
	/* Told again, we end all the same, and with our own status. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	for (size_t i = 0; i < SERVER_SIGNALS; i++)
		if (server->signals[i] != NULL)
			event_free(server->signals[i]);
	if (server->base != NULL)
		event_base_free(server->base);
	config_release(&server->config);
}

static int
server_serve(struct server *server)
{
	do {
		if (event_base_dispatch(server->base) < 0)
			return SHM_ESYSTEM;
	} while (server->heir >= 0 && !heir_give(server));
	if (server->heir >= 0) {
		server->is_leaving = server->is_given = true;
		return 0;
	}
	const char *path = server->options->save_path;
	job_stop(server);
	return path != NULL && !server->is_again ? save_write(server, path) : 0;
}

int
server_run(const struct server_options *options, struct keeper_legacy *legacy,
    void (*ready)(void *arg), void *arg)
{
	struct server server = {
		.options = options, .dir.fd = -1, .heir = -1, .store.link = -1
	};
	TAILQ_INIT(&server.segments);
	server.attach.fd = server.control.fd = server.control_ro.fd = -1;
	server.keeper.fd = -1;
	server.started_ms = server_now_ms();
	int error = SHM_EINVAL;
	bool is_going_on = store_is_legacy(&legacy->kept);
	server.config_number = recall_number(&legacy->kept);
	if (heir_has_begun(&legacy->kept)) {
		kept_release(&legacy->kept);
		if (legacy->link >= 0)
			close(legacy->link);
		return EXIT_SUCCESS;
	}
	if (server_config_open(&server, &legacy->kept) != 0 ||
	    (server_log_configure(&server.config) != 0 && !is_going_on)) {
		config_release(&server.config);
		kept_release(&legacy->kept);
		if (legacy->link >= 0)
			close(legacy->link);
		return EXIT_FAILURE;
	}
	server_policy(&server.config, &server.policy);
	error = server_start(&server, legacy);
	if (error == 0) {
		log_info("shmallocd " PACKAGE_VERSION " serves %s with %" PRIu32
			 " segment(s)",
		    server.dir.path, segment_count(&server));
		journal_note(JOURNAL_START, NULL, NULL,
		    "shmallocd " PACKAGE_VERSION ", pid %d, serves %s, %s",
		    (int)getpid(), server.dir.path,
		    segment_start_names[server.start]);
		store_say_ready(&server.store);
		/* From here on the file gets stale, and nothing fails any more
		 * that would make it needed. */
		if (server.is_save_read)
			save_remove(options->save_path);
		if (ready != NULL)
			ready(arg);
		error = server_serve(&server);
	}
	/* The keeper tries again, with what was kept. */
	server.is_leaving |= error != 0 && store_is_legacy(&legacy->kept);
	server_stop(&server);
	/* Whoever takes over begins now. */
	if (server.heir >= 0)
		close(server.heir);
	kept_release(&legacy->kept);
	if (error == 0)
		log_info("stopped");
	if (error == 0 && server.is_again)
		return KEEPER_AGAIN;
	return error == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
