#include "server/onlooker.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/frame.h"
#include "server/adopt.h"
#include "server/control.h"
#include "server/log.h"
#include "server/tune.h"

#define WAIT_MS 5000

const struct conn_ops onlooker_ops = { .name = "keeper" };

/* ---- The segments -------------------------------------------------------- */

static void
segment_open(struct server *server, const struct kept *entry)
{
	struct store_segment_name name;
	int fd, pins_fd;
	if (!store_read_segment(entry->name, &name) ||
	    !adopt_segment_fds(entry, &fd, &pins_fd))
		return;
	struct segment *segment = calloc(1, sizeof *segment);
	if (segment == NULL)
		return;
	if (shm_seg_map(fd, pins_fd, true, &segment->seg) != 0) {
		free(segment);
		return;
	}
	memcpy(segment->name, name.name, sizeof segment->name);
	memcpy(segment->id, name.id, sizeof segment->id);
	segment->mode = name.mode;
	segment->owner = name.uid;
	segment->group = name.gid;
	segment->size = name.size;
	segment->created = (double)name.second;
	tune_sources_find(segment, &server->config);
	TAILQ_INSERT_TAIL(&server->segments, segment, link);
}

/* ---- A request ----------------------------------------------------------- */

/* What needs neither the daemon's own records nor a lock. */
static bool
is_answered(const Proto__Request *request)
{
	switch (request->body_case) {
	case PROTO__REQUEST__BODY_STATS:
		return !request->stats->exact;
	case PROTO__REQUEST__BODY_STATUS:
	case PROTO__REQUEST__BODY_TUNE_LIST:
	case PROTO__REQUEST__BODY_SEGMENT_LIST:
	case PROTO__REQUEST__BODY_VERSION:
		return true;
	default:
		return false;
	}
}

static void
request_run(struct call *call, enum peer_role role)
{
	const char *why;
	if (role == PEER_NOBODY)
		(void)control_admit(call->conn, &why);
	if (role == PEER_NOBODY)
		(void)call_fail(call, SHM_EPERM, NULL, "%s", why);
	else if (!is_answered(call->request))
		(void)call_fail(call, SHM_EUNREACHABLE, NULL,
		    "only the daemon can answer that; the segment has status, "
		    "statistics that are not exact, parameters");
	else
		(void)control_answer(call);
}

static int
request_answer(
    struct server *server, struct conn *conn, const ProtobufCMessage *message)
{
	Proto__Reply reply = PROTO__REPLY__INIT;
	struct pool pool = { 0 };
	struct call call = { .server = server,
		.conn = conn,
		.request = (const Proto__Request *)message,
		.reply = &reply,
		.pool = &pool,
		.fd = -1 };
	CALL_PUT(&reply, protocol, PROTO_VERSION);
	CALL_PUT(&reply, error, 0);
	request_run(&call, peer_role(&conn->peer, &server->policy));
	int error = proto_send(conn->fd, &reply.base, NULL, 0, WAIT_MS);
	pool_release(&pool);
	return error;
}

static int
requests_answer(struct server *server, int fd)
{
	struct listener listener = { .owner = server };
	struct conn conn = {
		.ops = &control_ro_ops, .listener = &listener, .fd = fd
	};
	ProtobufCMessage *message;
	int error = peer_identify(fd, &conn.peer);
	while (error == 0) {
		error = proto_recv(fd, &proto__request__descriptor,
		    PROTO_MAX_REQUEST, WAIT_MS, &message, NULL, NULL);
		if (error != 0)
			break;
		error = request_answer(server, &conn, message);
		protobuf_c_message_free_unpacked(message, NULL);
	}
	/* They leave when they know what they wanted to. */
	return error == PROTO_EUNREACHABLE ? 0 : error;
}

/* The keeper's signals are not ours, and nobody waits for us for ever. */
static void
signals_set(void)
{
	sigset_t none;
	signal(SIGALRM, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	alarm(ONLOOKER_SECONDS);
}

int
onlooker_run(
    const struct server_options *options, const struct kept_list *kept, int fd)
{
	struct server server = { .options = options,
		.is_onlooker = true,
		.dir.fd = -1,
		.heir = -1,
		.store.link = -1 };
	signals_set();
	TAILQ_INIT(&server.segments);
	/* With errors in it, root and the daemon's user may still look. */
	if (server_configure(
		options, &server.config, server_report_nothing, NULL) != 0) {
		config_release(&server.config);
		config_init(&server.config);
	}
	server_policy(&server.config, &server.policy);
	for (size_t i = 0; i < kept->n; i++)
		segment_open(&server, &kept->entry[i]);
	return requests_answer(&server, fd) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
