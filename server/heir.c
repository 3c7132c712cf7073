#include "server/heir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/frame.h"
#include "proto/shmalloc.pb-c.h"
#include "server/job.h"
#include "server/log.h"
#include "server/recall.h"
#include "shm/daemon.h"

/* How long either waits for the other. */
#define PATIENCE_SECONDS 10
#define HEIR_NAME        "heir"
#define OUT_NAME         "out/heir"

static void
patience_set(int fd)
{
	struct timeval time = { .tv_sec = PATIENCE_SECONDS };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

/* ---- The new one --------------------------------------------------------- */

static int
control_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int n = snprintf(
	    address.sun_path, sizeof address.sun_path, "%s/control", path);
	if (n < 0 || (size_t)n >= sizeof address.sun_path)
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 &&
	    connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int
reply_read(const Proto__Reply *reply, const int *fds, unsigned n)
{
	if (reply->has_error && reply->error == 0 && n == 1)
		return 0;
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	log_error("the daemon that runs does not let us take over: %.200s",
	    reply->message != NULL && *reply->message != '\0'
		? reply->message
		: "it gives no reason");
	return SHM_EPERM;
}

/* Ask over CONTROL; the socket over which everything comes. */
static int
takeover_ask(int control, int *ret_fd)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__TakeoverRequest takeover = PROTO__TAKEOVER_REQUEST__INIT;
	ProtobufCMessage *reply;
	int fds[PROTO_MAX_FDS];
	unsigned n = PROTO_MAX_FDS;
	request.has_protocol = 1;
	request.protocol = PROTO_VERSION;
	request.body_case = PROTO__REQUEST__BODY_TAKEOVER;
	request.takeover = &takeover;
	int error = proto_send(
	    control, &request.base, NULL, 0, PATIENCE_SECONDS * 1000);
	if (error == 0)
		error = proto_recv(control, &proto__reply__descriptor,
		    PROTO_MAX_REPLY, PATIENCE_SECONDS * 1000, &reply, fds, &n);
	if (error != 0) {
		log_error(
		    "the daemon that runs does not answer (error %d)", error);
		return error;
	}
	error = reply_read((Proto__Reply *)reply, fds, n);
	protobuf_c_message_free_unpacked(reply, NULL);
	if (error == 0)
		*ret_fd = fds[0];
	return error;
}

/* Take what comes over FD until its END, and keep it with our keeper. */
static int
all_receive(struct server *server, int fd, struct kept_list *kept)
{
	struct kept_message message;
	int fds[KEPT_FDS];
	unsigned n;
	for (;;) {
		int r = kept_receive(fd, 0, &message, fds, &n);
		if (r == 1 && message.kind == KEPT_END)
			return 0;
		if (r != 1 || message.kind != KEPT_ADD)
			return r < 0 ? r : SHM_EPROTO;
		store_put(&server->store, message.name, fds, n);
		int error = kept_add(kept, message.name, fds, n);
		if (error != 0)
			return error;
	}
}

/* Keep nothing, for it is the old one's again; last goes what says so. */
static void
all_forget(struct server *server, const struct kept_list *kept)
{
	for (size_t i = 0; i < kept->n; i++)
		if (strcmp(kept->entry[i].name, HEIR_NAME) != 0)
			store_remove(&server->store, kept->entry[i].name);
	recall_drop(server);
	store_remove(&server->store, HEIR_NAME);
}

/*
 * From here on the old one must not go on; it has ended when we return.  READY
 * cannot be sent any more if it has ended (with a READY that a daemon of ours
 * sent before, or with nobody who would start it again), or if it goes on: then
 * it says so.
 */
static int
end_await(struct server *server, int fd, const struct kept_list *kept)
{
	struct kept_message message = { 0 };
	int fds[KEPT_FDS];
	unsigned n;
	bool is_late = kept_send(fd, KEPT_READY, "", NULL, 0) != 0;
	/* What he says stays there for the next, too. */
	int r = kept_receive(fd, MSG_PEEK, &message, fds, &n);
	close(fd);
	if (r == 1 || (is_late && r != 0)) {
		log_error("the daemon that ran did not wait for us, and goes "
			  "on");
		all_forget(server, kept);
		return SHM_EEXIST;
	}
	if (r != 0)
		log_warn("the daemon that ran takes long to end");
	store_remove(&server->store, HEIR_NAME);
	return 0;
}

int
heir_take(struct server *server, const char *path, struct kept_list *kept)
{
	struct kept *entry = kept_find(kept, HEIR_NAME);
	int fd = -1, error;
	if (entry != NULL)
		return end_await(server, kept_take(entry, 0), kept);
	if (kept_find(kept, "lock/") != NULL)
		return 0;
	int control = control_connect(path);
	if (control < 0) {
		log_warn("no daemon serves %s, which we could take over from; "
			 "starting with new segments",
		    path);
		return 0;
	}
	error = takeover_ask(control, &fd);
	close(control);
	if (error != 0)
		return error;
	patience_set(fd);
	error = all_receive(server, fd, kept);
	if (error != 0) {
		log_error("the daemon that runs did not hand over everything "
			  "(error %d); it goes on",
		    error);
		close(fd);
		return error;
	}
	store_put(&server->store, HEIR_NAME, &fd, 1);
	store_say_taken(&server->store);
	return end_await(server, fd, kept);
}

/* ---- The old one --------------------------------------------------------- */

int
heir_expect(struct server *server, int *ret_fd)
{
	int fds[2];
	if (server->heir >= 0)
		return SHM_EBUSY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		return SHM_ESYSTEM;
	patience_set(fds[0]);
	server->heir = fds[0];
	*ret_fd = fds[1];
	event_base_loopbreak(server->base);
	return 0;
}

static void
segments_resume(struct server *server)
{
	struct segment *segment;
	TAILQ_FOREACH(segment, &server->segments, link)
	if (shm_daemon_start(&segment->seg) != 0)
		log_error("segment %s: is damaged", segment->name);
}

/* Whether READY is there: it stays there, for the next daemon is to find it if
 * this one is killed. */
static bool
is_ready(int link, int flags)
{
	struct kept_message message = { 0 };
	int fds[KEPT_FDS];
	unsigned n = 0;
	int r = kept_receive(link, flags | MSG_PEEK, &message, fds, &n);
	while (r == 1 && n > 0)
		close(fds[--n]);
	return r == 1 && message.kind == KEPT_READY;
}

/*
 * Whether the heir at LINK has said that he begins, with recvmsg()'s FLAGS for
 * how to wait.  If not, he can't any more (one who was stopped would go on
 * beside us), and is told.
 */
static bool
heir_begins(int link, int flags)
{
	if (is_ready(link, flags))
		return true;
	shutdown(link, SHUT_RD);
	if (is_ready(link, MSG_DONTWAIT))
		return true;
	/* He may have gone. */
	(void)!kept_send(link, KEPT_REMOVE, "", NULL, 0);
	shutdown(link, SHUT_RDWR);
	return false;
}

bool
heir_has_begun(const struct kept_list *kept)
{
	const struct kept *entry = kept_find(kept, OUT_NAME);
	if (entry == NULL)
		return false;
	if (heir_begins(entry->fd[0], MSG_DONTWAIT)) {
		log_info("another daemon has taken over");
		return true;
	}
	log_error("another daemon was about to take over; going on instead");
	return false;
}

/* All of it, then END. */
static bool
all_send(struct server *server)
{
	/* The store closes its link when that fails; ours says so then. */
	struct store heir = { .link = fcntl(server->heir, F_DUPFD_CLOEXEC, 0),
		.is_heir = true };
	store_server(&heir, server);
	bool is_sent =
	    heir.link >= 0 && kept_send(heir.link, KEPT_END, "", NULL, 0) == 0;
	store_close(&heir);
	return is_sent;
}

bool
heir_give(struct server *server)
{
	struct segment *segment;
	log_info("another daemon takes over");
	job_stop(server);
	TAILQ_FOREACH(segment, &server->segments, link)
	shm_daemon_stop(&segment->seg);
	/* Before END: once he can begin, nobody begins in our place. */
	store_put(&server->store, OUT_NAME, &server->heir, 1);
	int wait = all_send(server) ? 0 : MSG_DONTWAIT;
	if (heir_begins(server->heir, wait))
		return true;
	log_error("it did not take over; going on");
	store_remove(&server->store, OUT_NAME);
	close(server->heir);
	server->heir = -1;
	segments_resume(server);
	return false;
}
