#include "server/attach.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/shmalloc.pb-c.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/proc.h"
#include "server/server.h"
#include "server/slot.h"

#define HANDSHAKE_MS 5000
#define WHY_LEN      256

/* An attach that is being looked at. */
struct attempt {
	struct conn *conn;
	struct server *server;
	const Proto__AttachRequest *request;
	struct segment *segment;
	bool is_read_only;
	int error;
	char why[WHY_LEN];
};

static int attempt_fail(struct attempt *attempt, int error, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

static int
attempt_fail(struct attempt *attempt, int error, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(attempt->why, sizeof attempt->why, format, args);
	va_end(args);
	attempt->error = error;
	return error;
}

static int
version_check(struct attempt *attempt)
{
	const Proto__AttachRequest *request = attempt->request;
	if (request->protocol != PROTO_VERSION)
		return attempt_fail(attempt, SHM_EVERSION,
		    "the library speaks protocol %" PRIu32
		    " and the daemon (" PACKAGE_VERSION ") %u; install the "
		    "same version of both",
		    request->protocol, PROTO_VERSION);
	if (request->layout != SHM_LAYOUT)
		return attempt_fail(attempt, SHM_EVERSION,
		    "the library knows layout %" PRIu32
		    " and the segments have %u; install the same version of "
		    "both",
		    request->layout, SHM_LAYOUT);
	return 0;
}

static int
segment_choose(struct attempt *attempt)
{
	const Proto__AttachRequest *request = attempt->request;
	const char *name =
	    request->segment != NULL ? request->segment : "default";
	attempt->segment = segment_find(attempt->server, name);
	if (attempt->segment == NULL)
		return attempt_fail(attempt, SHM_ENOSEGMENT,
		    "there is no segment '%.64s'; see shmallocctl segment list",
		    name);
	const uint64_t *id = attempt->segment->id;
	if ((request->id_lo != 0 || request->id_hi != 0) &&
	    (request->id_lo != id[0] || request->id_hi != id[1]))
		return attempt_fail(attempt, SHM_EGONE,
		    "segment '%.64s' was made anew; attach again", name);
	return 0;
}

static int
access_check(struct attempt *attempt)
{
	const struct segment *segment = attempt->segment;
	attempt->is_read_only = attempt->request->read_only;
	unsigned access =
	    attempt->is_read_only ? PEER_READ : PEER_READ | PEER_WRITE;
	if (peer_may(&attempt->conn->peer, segment->owner, segment->group,
		segment->mode, access))
		return 0;
	return attempt_fail(attempt, SHM_EPERM,
	    "segment '%s' has mode %04o, owner %u and group %u, which doesn't "
	    "let user %u %s it",
	    segment->name, segment->mode, (unsigned)segment->owner,
	    (unsigned)segment->group, (unsigned)attempt->conn->peer.uid,
	    attempt->is_read_only ? "read" : "write to");
}

/* ---- Granting ------------------------------------------------------------ */

static int
slot_grant(struct attempt *attempt, struct slot **ret_slot)
{
	struct conn *conn = attempt->conn;
	char command[32];
	const char *reason;
	int pidfd;
	if (peer_pidfd(conn->fd, &conn->peer, conn->sent_fd, &pidfd, &reason) !=
	    0)
		return attempt_fail(attempt, SHM_EPERM, "%s", reason);
	slot_settle_process(attempt->segment, conn->peer.pid);
	proc_command(conn->peer.pid, command, sizeof command);
	struct shm_identity who = { .pid = (uint32_t)conn->peer.pid,
		.uid = conn->peer.uid,
		.gid = conn->peer.gid,
		.flags = attempt->is_read_only ? SHM_CLIENT_READ_ONLY : 0,
		.label = attempt->request->label,
		.command = command };
	int error = slot_open(
	    attempt->server, attempt->segment, conn, pidfd, &who, ret_slot);
	if (error == SHM_EBUSY)
		return attempt_fail(attempt, error,
		    "all %u slots of segment '%s' are taken", SHM_CLIENTS - 2,
		    attempt->segment->name);
	if (error != 0)
		return attempt_fail(
		    attempt, error, "no memory for a client's records");
	return 0;
}

static int
descriptors_open(struct attempt *attempt, int ret_fds[2])
{
	struct segment *segment = attempt->segment;
	if (segment_descriptor(segment, attempt->is_read_only, &ret_fds[0]) !=
	    0)
		return attempt_fail(attempt, SHM_ESYSTEM,
		    "the daemon cannot open a descriptor; raise its limit of "
		    "open files");
	ret_fds[1] = fcntl(segment->seg.pins_fd, F_DUPFD_CLOEXEC, 0);
	if (ret_fds[1] >= 0)
		return 0;
	close(ret_fds[0]);
	return attempt_fail(attempt, SHM_ESYSTEM,
	    "the daemon has no descriptor left; raise its limit of open files");
}

/* The checks, in the order in which their answers make sense. */
static int
attempt_run(struct attempt *attempt, int ret_fds[2], struct slot **ret_slot)
{
	int error = version_check(attempt);
	if (error == 0)
		error = segment_choose(attempt);
	if (error == 0)
		error = access_check(attempt);
	if (error == 0 && !attempt->request->probe)
		error = descriptors_open(attempt, ret_fds);
	if (error != 0 || attempt->request->probe)
		return error;
	error = slot_grant(attempt, ret_slot);
	if (error == 0)
		return 0;
	close(ret_fds[0]);
	close(ret_fds[1]);
	return error;
}

static void
reply_init(Proto__ServerMessage *message, Proto__AttachReply *reply, int error)
{
	proto__server_message__init(message);
	proto__attach_reply__init(reply);
	message->body_case = PROTO__SERVER_MESSAGE__BODY_ATTACHED;
	message->attached = reply;
	reply->has_error = true;
	reply->error = error;
	reply->has_protocol = true;
	reply->protocol = PROTO_VERSION;
	reply->version = (char *)(uintptr_t)PACKAGE_VERSION;
}

static void
reply_refuse(struct conn *conn, int error, const char *why)
{
	Proto__ServerMessage message;
	Proto__AttachReply reply;
	reply_init(&message, &reply, error);
	reply.message = (char *)(uintptr_t)why;
	conn_send_last(conn, &message.base);
}

static void
reply_grant(struct conn *conn, const struct slot *slot, const int fds[2])
{
	Proto__ServerMessage message;
	Proto__AttachReply reply;
	const struct shm_seg *seg = &slot->segment->seg;
	reply_init(&message, &reply, 0);
	reply.has_slot = reply.has_generation = true;
	reply.slot = slot->index;
	reply.generation = slot->generation;
	reply.has_reserved_bytes = true;
	reply.reserved_bytes = seg->len;
	reply.has_id_lo = reply.has_id_hi = true;
	reply.id_lo = slot->segment->id[0];
	reply.id_hi = slot->segment->id[1];
	conn_set_idle(conn, 0);
	conn_send(conn, &message.base, fds, 2);
}

/* A pidfd that was sent has served, or was not needed. */
static void
sent_fd_close(struct conn *conn)
{
	if (conn->sent_fd >= 0)
		close(conn->sent_fd);
	conn->sent_fd = -1;
}

static void
attach_handle(struct conn *conn, const Proto__AttachRequest *request)
{
	int fds[2];
	uint32_t more;
	struct slot *slot;
	struct attempt attempt = { .conn = conn,
		.server = conn->listener->owner,
		.request = request };
	if (conn->owner != NULL) {
		conn_close(conn, "it attached twice over one connection");
		return;
	}
	/* Who has given up meanwhile asks again, over another connection. */
	if (conn_is_ended(conn)) {
		conn_close(conn, NULL);
		return;
	}
	int error = attempt_run(&attempt, fds, &slot);
	sent_fd_close(conn);
	if (error != 0) {
		if (log_allowed(&conn->listener->limit, &more))
			log_warn("attach: pid %d (uid %u) refused: %s (and %u "
				 "more)",
			    (int)conn->peer.pid, (unsigned)conn->peer.uid,
			    attempt.why, more);
		reply_refuse(conn, attempt.error, attempt.why);
		return;
	}
	if (request->probe) {
		reply_refuse(conn, 0, NULL);
		return;
	}
	conn->owner = slot;
	journal_note(JOURNAL_ATTACH, attempt.segment, slot,
	    "attached%s as slot %" PRIu32,
	    attempt.is_read_only ? " read-only" : "", slot->index);
	log_info("segment %s: pid %d (%s) of user %u attached%s as slot "
		 "%" PRIu32,
	    attempt.segment->name, (int)slot->pid, slot->command,
	    (unsigned)slot->uid, attempt.is_read_only ? " read-only" : "",
	    slot->index);
	reply_grant(conn, slot, fds);
}

/* ---- Afterwards ---------------------------------------------------------- */

static void
detach_handle(struct conn *conn)
{
	struct slot *slot = conn->owner;
	if (slot == NULL || slot->is_detached) {
		conn_close(conn, "it detached without being attached");
		return;
	}
	slot->is_detached = true;
	conn_set_idle(conn, 0);
	slot_end(slot, "it detached");
}

void
attach_detached(struct conn *conn)
{
	Proto__ServerMessage message;
	Proto__Detached reply;
	proto__server_message__init(&message);
	proto__detached__init(&reply);
	message.body_case = PROTO__SERVER_MESSAGE__BODY_DETACHED;
	message.detached = &reply;
	reply.has_error = true;
	conn->owner = NULL;
	conn_send_last(conn, &message.base);
}

void
attach_forget(struct conn *conn)
{
	conn->owner = NULL;
}

static void
misuse_handle(struct conn *conn, const Proto__MisuseReport *report)
{
	static const char *const kinds[] = {
		[PROTO__MISUSE_KIND__MISUSE_UNKNOWN] = "wrong use",
		[PROTO__MISUSE_KIND__MISUSE_INVALID_FREE] =
		    "free of what is no object",
		[PROTO__MISUSE_KIND__MISUSE_DOUBLE_FREE] = "double free",
		[PROTO__MISUSE_KIND__MISUSE_DAMAGED] =
		    "free of an object whose header was overwritten",
		[PROTO__MISUSE_KIND__MISUSE_NOT_OWNER] =
		    "use of an object that isn't its own",
	};
	struct slot *slot = conn->owner;
	struct shm_client_stats client;
	uint32_t more;
	if (slot == NULL) {
		conn_close(conn, "it reported without being attached");
		return;
	}
	size_t kind = (size_t)report->kind;
	if (kind >= sizeof kinds / sizeof *kinds)
		kind = PROTO__MISUSE_KIND__MISUSE_UNKNOWN;
	if (!shm_client_read(&slot->segment->seg, slot->index, &client))
		client.label[0] = '\0';
	if (!log_allowed(&slot->segment->misuse_limit, &more))
		return;
	journal_note(JOURNAL_MISUSE, slot->segment, slot,
	    "%s at offset %#" PRIx64 ", %" PRIu64
	    " times (and %u more reports)",
	    kinds[kind], report->off, report->has_count ? report->count : 1,
	    more);
	log_warn("segment %s: pid %d (%s, label '%s'), thread %" PRIu32
		 ": %s at offset %#" PRIx64 ", %" PRIu64
		 " times (and %u more reports); mend the program, or "
		 "set misuse=abort to get its core",
	    slot->segment->name, (int)slot->pid, slot->command, client.label,
	    report->tid, kinds[kind], report->off,
	    report->has_count ? report->count : 1, more);
}

static void
on_message(struct conn *conn, const ProtobufCMessage *base)
{
	const Proto__ClientMessage *message =
	    (const Proto__ClientMessage *)base;
	switch (message->body_case) {
	case PROTO__CLIENT_MESSAGE__BODY_ATTACH:
		attach_handle(conn, message->attach);
		break;
	case PROTO__CLIENT_MESSAGE__BODY_DETACH:
		detach_handle(conn);
		break;
	case PROTO__CLIENT_MESSAGE__BODY_MISUSE:
		misuse_handle(conn, message->misuse);
		break;
	default:
		conn_close(conn, "its message is of an unknown kind");
	}
}

/* Not before: until then its end tells the client to ask again. */
static void
on_sent(struct conn *conn)
{
	struct slot *slot = conn->owner;
	if (slot == NULL)
		return;
	slot->is_told = true;
	if (!slot->is_conn_kept)
		store_slot_conn(&slot->server->store, slot);
}

static void
on_close(struct conn *conn, const char *why)
{
	uint32_t more;
	struct slot *slot = conn->owner;
	if (why != NULL && log_allowed(&conn->listener->limit, &more))
		log_warn("attach: connection of pid %d (uid %u) closed: %s "
			 "(and %u more)",
		    (int)conn->peer.pid, (unsigned)conn->peer.uid, why, more);
	listen_forget(conn);
	conn->owner = NULL;
	if (slot == NULL)
		return;
	/* The keeper has it, too, as long as the slot is taken. */
	shutdown(conn->fd, SHUT_RDWR);
	slot_socket_ended(slot);
}

int
attach_admit(struct conn *conn, const char **ret_why)
{
	(void)conn;
	(void)ret_why;
	return 0;
}

const struct conn_ops attach_ops = {
	.name = "attach",
	.type = &proto__client_message__descriptor,
	.max_in = PROTO_MAX_ATTACH,
	.max_out = PROTO_MAX_ATTACH,
	.idle_ms = HANDSHAKE_MS,
	.takes_fd = true,
	.on_message = on_message,
	.on_refused = reply_refuse,
	.on_sent = on_sent,
	.on_close = on_close,
};
