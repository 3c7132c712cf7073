#include "server/control.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/job.h"
#include "server/log.h"
#include "server/proc.h"
#include "server/server.h"
#include "shm/latency.h"

#define IDLE_MS (5u * 60 * 1000)

/* ---- Verbs -------------------------------------------------------------- */

struct verb {
	Proto__Request__BodyCase body;
	const char *name;
	int (*run)(struct call *call);
	bool is_change;      /* needs the admin role */
	bool is_segmentless; /* is about no segment in particular */
	/* The part that walks the segment, done before `run` and elsewhere;
	 * see server/job.h.  NULL: there is none. */
	int (*work)(struct call *call);
};

static const struct verb verbs[] = {
	{ PROTO__REQUEST__BODY_STATUS, "status", verb_status, false, false,
	    NULL },
	{ PROTO__REQUEST__BODY_STATS, "stats", verb_stats, false, false,
	    verb_stats_work },
	{ PROTO__REQUEST__BODY_CLIENTS, "clients", verb_clients, false, false,
	    NULL },
	{ PROTO__REQUEST__BODY_MAP, "map", verb_map, false, false,
	    verb_map_work },
	{ PROTO__REQUEST__BODY_TUNE_LIST, "tune list", verb_tune_list, false,
	    false, NULL },
	{ PROTO__REQUEST__BODY_TUNE_SET, "tune set", verb_tune_set, true, false,
	    NULL },
	{ PROTO__REQUEST__BODY_TUNE_RESET, "tune reset", verb_tune_reset, true,
	    false, NULL },
	{ PROTO__REQUEST__BODY_TUNE_REVERT, "tune revert", verb_tune_revert,
	    true, false, NULL },
	{ PROTO__REQUEST__BODY_TUNE_SAVE, "tune save", verb_tune_save, true,
	    true, NULL },
	{ PROTO__REQUEST__BODY_TRIM, "trim", verb_trim, true, false,
	    verb_trim_work },
	{ PROTO__REQUEST__BODY_CHECK, "check", verb_check, false, false,
	    verb_check_work },
	{ PROTO__REQUEST__BODY_SEGMENT_LIST, "segment list", verb_segment_list,
	    false, true, NULL },
	{ PROTO__REQUEST__BODY_SEGMENT_CREATE, "segment create",
	    verb_segment_create, true, true, NULL },
	{ PROTO__REQUEST__BODY_SEGMENT_DESTROY, "segment destroy",
	    verb_segment_destroy, true, true, NULL },
	{ PROTO__REQUEST__BODY_ROOTS, "roots", verb_roots, false, false, NULL },
	{ PROTO__REQUEST__BODY_ROOT_REMOVE, "roots --remove", verb_root_remove,
	    true, false, NULL },
	{ PROTO__REQUEST__BODY_TAKEOVER, "takeover", verb_takeover, true, true,
	    NULL },
	{ PROTO__REQUEST__BODY_VERSION, "version", verb_version, false, true,
	    NULL },
	{ PROTO__REQUEST__BODY_LOCKS, "locks", verb_locks, false, false, NULL },
	{ PROTO__REQUEST__BODY_FIT, "fit", verb_fit, false, false,
	    verb_fit_work },
	{ PROTO__REQUEST__BODY_EVICT, "clients evict", verb_evict, true, false,
	    NULL },
	{ PROTO__REQUEST__BODY_LATENCY, "latency", verb_latency, false, false,
	    NULL },
	{ PROTO__REQUEST__BODY_PROFILE, "profile", verb_profile, false, false,
	    verb_profile_work },
	{ PROTO__REQUEST__BODY_EVENTS, "events", verb_events, false, true,
	    NULL },
};

static const struct verb *
verb_find(Proto__Request__BodyCase body)
{
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (verbs[i].body == body)
			return &verbs[i];
	return NULL;
}

/* A repair or a reset changes the segment, looking does not. */
static bool
verb_changes(const struct verb *verb, const Proto__Request *request)
{
	if (verb->body == PROTO__REQUEST__BODY_LATENCY)
		return request->latency->reset;
	if (verb->body == PROTO__REQUEST__BODY_CHECK)
		return request->check->repair;
	return verb->is_change;
}

/* ---- A call ------------------------------------------------------------- */

int
call_fail(
    struct call *call, int error, const char *subject, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	call->reply->error = error;
	call->reply->message = pool_strdup(call->pool, text);
	call->reply->subject =
	    subject != NULL ? pool_strdup(call->pool, subject) : NULL;
	call->reply->body_case = PROTO__REPLY__BODY__NOT_SET;
	return error;
}

void
call_timed(const struct call *call)
{
	if (call->segment != NULL)
		shm_latency_add(call->segment->seg.super, SHM_LATENCY_CONTROL,
		    shm_clock_ns() - call->since_ns);
}

int
call_done(struct call *call)
{
	call->reply->done = pool_alloc(call->pool, sizeof(Proto__Done));
	proto__done__init(call->reply->done);
	call->reply->body_case = PROTO__REPLY__BODY_DONE;
	return 0;
}

bool
call_try_again(unsigned *tries)
{
	struct timespec wait = { .tv_nsec = CALL_TRY_MS * 1000000 };
	if (++*tries >= CALL_TRIES)
		return false;
	nanosleep(&wait, NULL);
	return true;
}

bool
call_walk_was_busy(struct call *call, int error)
{
	if (error != SHM_ERETRY && error != SHM_EBUSY)
		return false;
	call_fail(call, SHM_EBUSY, NULL,
	    error == SHM_ERETRY ? "an arena's lock could not be had; try again"
				: "the daemon is ending");
	return true;
}

static int
role_check(struct call *call, const struct verb *verb)
{
	const struct conn *conn = call->conn;
	if (!verb_changes(verb, call->request))
		return 0;
	if (conn->ops != &control_ops)
		return call_fail(call, SHM_EPERM, NULL,
		    "%s changes something, which the socket %s does not "
		    "allow; use the socket control",
		    verb->name, conn->ops->name);
	if (peer_role(&conn->peer, &call->server->policy) != PEER_ADMIN)
		return call_fail(call, SHM_EPERM, NULL,
		    "%s needs root, the daemon's user or a member of "
		    "admin_group; you are user %u",
		    verb->name, (unsigned)conn->peer.uid);
	return 0;
}

static int
segment_choose(struct call *call, const struct verb *verb)
{
	const char *name = call->request->segment;
	if (verb->is_segmentless)
		return 0;
	if (name == NULL || *name == '\0')
		name = "default";
	call->segment = segment_find(call->server, name);
	if (call->segment != NULL)
		return 0;
	return call_fail(call, SHM_ENOSEGMENT, verb_text(call, name, 64),
	    "there is no segment '%s'", verb_text(call, name, 64));
}

/* Does REQUEST, for VERB, walk the segment? */
static bool
verb_walks(const struct verb *verb, const Proto__Request *request)
{
	if (verb->body == PROTO__REQUEST__BODY_STATS)
		return request->stats->exact;
	return verb->work != NULL;
}

/* Answer CALL now; but a walk is a job: then *RET_IS_JOB. */
static int
verb_run(struct call *call, const struct verb *verb, bool *ret_is_job)
{
	log_debug("%s: %s", call->who, verb->name);
	if (!verb_walks(verb, call->request))
		return verb->run(call);
	if (job_waits(call))
		return call_fail(call, SHM_EBUSY, NULL,
		    "a request of user %u that walks a segment waits already; "
		    "try again later",
		    (unsigned)call->conn->peer.uid);
	*ret_is_job = job_start(call, verb->work, verb->run);
	if (*ret_is_job)
		return 0;
	int error = verb->work(call);
	return error != 0 ? error : verb->run(call);
}

static int
call_run(struct call *call, bool *ret_is_job)
{
	const Proto__Request *request = call->request;
	const struct verb *verb = verb_find(request->body_case);
	if (request->protocol != PROTO_VERSION)
		return call_fail(call, SHM_EVERSION, NULL,
		    "the tool speaks protocol %" PRIu32
		    " and the daemon (" PACKAGE_VERSION ") %u; install the "
		    "same version of both",
		    request->protocol, PROTO_VERSION);
	if (verb == NULL)
		return call_fail(call, SHM_EUNKNOWN, NULL,
		    "the daemon (" PACKAGE_VERSION
		    ") does not know this request");
	int error = role_check(call, verb);
	if (error == 0)
		error = segment_choose(call, verb);
	return error != 0 ? error : verb_run(call, verb, ret_is_job);
}

void
control_ask(struct server *server, const Proto__Request *request,
    bool (*done)(struct call *call), void *asker)
{
	Proto__Reply reply = PROTO__REPLY__INIT;
	struct pool pool = { 0 };
	struct call call = { .server = server,
		.request = request,
		.reply = &reply,
		.pool = &pool,
		.fd = -1,
		.who = "the daemon",
		.done = done,
		.asker = asker };
	bool is_job = false;
	(void)call_run(&call, &is_job); /* the reply has the error */
	if (!is_job && !done(&call))
		pool_release(&pool);
}

int
control_answer(struct call *call)
{
	bool is_job = false;
	return call_run(call, &is_job);
}

static void
who_write(struct call *call)
{
	char command[32];
	const struct peer *peer = &call->conn->peer;
	proc_command(peer->pid, command, sizeof command);
	snprintf(call->who, sizeof call->who, "uid %u (pid %d, %s)",
	    (unsigned)peer->uid, (int)peer->pid, command);
}

static void
on_message(struct conn *conn, const ProtobufCMessage *message)
{
	Proto__Reply reply = PROTO__REPLY__INIT;
	struct pool pool = { 0 };
	struct call call = { .server = conn->listener->owner,
		.conn = conn,
		.request = (const Proto__Request *)message,
		.reply = &reply,
		.pool = &pool,
		.fd = -1,
		.since_ns = shm_clock_ns() };
	CALL_PUT(&reply, protocol, PROTO_VERSION);
	CALL_PUT(&reply, error, 0);
	who_write(&call);
	bool is_job = false;
	if (call_run(&call, &is_job) != 0)
		log_debug("%s: refused: %s", call.who, reply.message);
	if (is_job)
		return;
	call_timed(&call);
	conn_send(conn, &reply.base, &call.fd, call.fd >= 0 ? 1 : 0);
	pool_release(&pool);
}

/* ---- The connection ------------------------------------------------------ */

static void
on_refused(struct conn *conn, int error, const char *why)
{
	Proto__Reply reply = PROTO__REPLY__INIT;
	CALL_PUT(&reply, protocol, PROTO_VERSION);
	CALL_PUT(&reply, error, error);
	reply.message = (char *)(uintptr_t)why;
	conn_send_last(conn, &reply.base);
}

static void
on_close(struct conn *conn, const char *why)
{
	uint32_t more;
	job_forget(conn);
	if (why != NULL && log_allowed(&conn->listener->limit, &more))
		log_warn("%s: connection of pid %d (uid %u) closed: %s (and "
			 "%u more)",
		    conn->ops->name, (int)conn->peer.pid,
		    (unsigned)conn->peer.uid, why, more);
	listen_forget(conn);
}

int
control_admit(struct conn *conn, const char **ret_why)
{
	const struct server *server = conn->listener->owner;
	enum peer_role role = peer_role(&conn->peer, &server->policy);
	*ret_why = "this user may not ask; see monitor_group and admin_group "
		   "in shmallocd.conf(5)";
	return role == PEER_NOBODY ? SHM_EPERM : 0;
}

/* Both sockets' but for the name: what may be asked is decided by the verb. */
#define CONTROL_OPS(socket)                                                    \
	{                                                                      \
		.name = (socket), .type = &proto__request__descriptor,         \
		.max_in = PROTO_MAX_REQUEST, .max_out = PROTO_MAX_REPLY,       \
		.idle_ms = IDLE_MS, .on_message = on_message,                  \
		.on_refused = on_refused, .on_close = on_close,                \
	}

const struct conn_ops control_ops = CONTROL_OPS("control");
const struct conn_ops control_ro_ops = CONTROL_OPS("control-ro");
