/*
 * Attaching to a segment, again in a forked child, and detaching.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client/cache.h"
#include "client/path.h"
#include "proto/frame.h"
#include "proto/shmalloc.pb-c.h"
#include "shm/access.h"
#include "shm/thread.h"

#define TIMEOUT_MS 5000
#define RETRY_MS   10
#define DETACH_MS  2000
#define LOOK_MS    1000
#define PROBE_MS   200
/* Daemons that may be killed, one after the other, before they answer us. */
#define TRIES      16

static int64_t
now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int
left_ms(int64_t deadline)
{
	int64_t left = deadline - now_ms();

	return left > 0 ? (int)left : 0;
}

/* ---- Reaching the daemon ------------------------------------------------- */

/* Is there a socket, so that it makes sense to wait for its daemon? */
static bool
is_worth_waiting(int error, const char *path)
{
	return error == SHMALLOC_EBUSY ||
	    (error == SHMALLOC_EUNREACHABLE && access(path, F_OK) == 0);
}

/* Connect to the socket at PATH. */
static int
path_reach(const char *path, bool is_starting, int64_t deadline)
{
	for (;;) {
		struct timespec pause = { 0, RETRY_MS * 1000000L };
		int fd = shmalloc_socket_connect(path);

		if (fd >= 0 || left_ms(deadline) == 0)
			return fd;
		if (!is_worth_waiting(fd, path) &&
		    !(is_starting && fd == SHMALLOC_EUNREACHABLE))
			return fd;
		(void)nanosleep(&pause, NULL);
	}
}

/* Connect to the attach socket in DIR (NULL: the rule's), and note which it
 * is: who serves there is who may replace this daemon. */
static int
daemon_reach(
    struct shmalloc *heap, const char *dir, bool is_starting, int64_t deadline)
{
	int error =
	    shmalloc_socket_path(heap->path, sizeof(heap->path), dir, "attach");

	return error ? error : path_reach(heap->path, is_starting, deadline);
}

static bool
wants_autostart(const struct shmalloc *heap)
{
	const char *value = secure_getenv("SHMALLOC_AUTOSTART");

	return (heap->flags & SHMALLOC_AUTOSTART) ||
	    (value && strcmp(value, "1") == 0);
}

/* Connect, to a daemon that is started for it if that was asked for. */
static int
daemon_connect(struct shmalloc *heap, int64_t deadline)
{
	char dir[108];
	int fd, error;

	if (!wants_autostart(heap))
		return daemon_reach(heap, NULL, false, deadline);
	fd = daemon_reach(heap, NULL, false, 0);
	if (fd != SHMALLOC_EUNREACHABLE)
		return fd;
	error = heap_private_dir(dir, sizeof(dir));
	if (error)
		return error;
	fd = daemon_reach(heap, dir, false, 0);
	if (fd != SHMALLOC_EUNREACHABLE)
		return fd;
	error = heap_autostart(dir);
	return error ? error : daemon_reach(heap, dir, true, deadline);
}

/* ---- The conversation ---------------------------------------------------- */

static void
fds_close(unsigned n, int fds[])
{
	for (unsigned i = 0; i < n; i++)
		(void)close(fds[i]);
}

enum ask {
	ASK_FIRST,
	ASK_FORKED, /* of the segment that the parent had */
	ASK_PROBE,  /* whether that is still there; no slot */
};

/* Ask for a slot. */
static int
slot_ask(struct shmalloc *heap, int socket, enum ask ask, int64_t deadline)
{
	Proto__ClientMessage message = PROTO__CLIENT_MESSAGE__INIT;
	Proto__AttachRequest request = PROTO__ATTACH_REQUEST__INIT;
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0), error;

	request.has_protocol = request.has_layout = 1;
	request.protocol = PROTO_VERSION;
	request.layout = SHM_LAYOUT;
	request.segment = heap->segment;
	request.label = heap->label;
	request.has_read_only = request.has_forked = 1;
	request.read_only = (heap->flags & SHMALLOC_READ_ONLY) != 0;
	request.forked = ask == ASK_FORKED;
	request.has_probe = request.probe = ask == ASK_PROBE;
	if (ask != ASK_FIRST) {
		request.has_id_lo = request.has_id_hi = 1;
		request.id_lo = heap->seg.super->id[0];
		request.id_hi = heap->seg.super->id[1];
	}
	message.body_case = PROTO__CLIENT_MESSAGE__BODY_ATTACH;
	message.attach = &request;
	error = proto_send(
	    socket, &message.base, &pidfd, pidfd >= 0, left_ms(deadline));
	/* A daemon that needs none may have the kernel refuse them. */
	if (error == PROTO_ESYSTEM && errno == EPERM)
		error = proto_send(
		    socket, &message.base, NULL, 0, left_ms(deadline));
	if (pidfd >= 0)
		(void)close(pidfd);
	return error;
}

static int
slot_receive(
    struct shmalloc *heap, int socket, int64_t deadline, int fds[PROTO_MAX_FDS])
{
	ProtobufCMessage *message = NULL;
	Proto__ServerMessage *reply;
	unsigned n = PROTO_MAX_FDS;
	int error = proto_recv(socket, &proto__server_message__descriptor,
	    PROTO_MAX_ATTACH, left_ms(deadline), &message, fds, &n);

	if (error)
		return error;
	reply = (Proto__ServerMessage *)message;
	if (reply->body_case != PROTO__SERVER_MESSAGE__BODY_ATTACHED)
		error = SHMALLOC_EPROTO;
	else if (reply->attached->error)
		error = reply->attached->error < 0 ? reply->attached->error
						   : SHMALLOC_EPROTO;
	else if (n != 2 || reply->attached->slot <= SHM_DAEMON_SLOT ||
	    reply->attached->slot >= SHM_CLIENTS)
		error = SHMALLOC_EPROTO;
	if (error == 0) {
		heap->slot = reply->attached->slot;
		heap->generation = reply->attached->generation;
	} else {
		fds_close(n, fds);
	}
	protobuf_c_message_free_unpacked(message, NULL);
	return error;
}

/* Connect, ask, receive.  *RET_IS_LOST: a daemon was there, and ended before it
 * answered. */
static int
client_try(struct shmalloc *heap, bool is_forked, int64_t deadline,
    bool *ret_is_lost, int *ret_socket, int fds[])
{
	int socket = is_forked ? path_reach(heap->path, false, deadline)
			       : daemon_connect(heap, deadline);
	int error;

	*ret_is_lost = false;
	if (socket < 0)
		return socket;
	error = slot_ask(
	    heap, socket, is_forked ? ASK_FORKED : ASK_FIRST, deadline);
	if (error == 0)
		error = slot_receive(heap, socket, deadline, fds);
	if (error) {
		(void)close(socket);
		*ret_is_lost = error == SHMALLOC_EUNREACHABLE;
		return error;
	}
	*ret_socket = socket;
	return 0;
}

/*
 * Become a client.  The socket and descriptors are the caller's.  While no
 * daemon runs but a keeper does, we wait among those who want to connect; a
 * connection that a daemon had accepted ends with it, unless it had granted a
 * slot, and we ask the next one.
 */
static int
client_become(struct shmalloc *heap, bool is_forked, int *ret_socket, int fds[])
{
	int64_t deadline = now_ms() + heap->timeout_ms;
	struct timespec pause = { 0, RETRY_MS * 1000000L };
	bool is_lost;
	int error;

	for (int i = 0;; i++) {
		error = client_try(
		    heap, is_forked, deadline, &is_lost, ret_socket, fds);
		/* The one that answered last has ended, and none came. */
		if (i > 0 && error == SHMALLOC_ETIMEDOUT)
			return SHMALLOC_EUNREACHABLE;
		if (!is_lost || i == TRIES || left_ms(deadline) == 0)
			return error;
		(void)nanosleep(&pause, NULL);
	}
}

/* ---- Attachments --------------------------------------------------------- */

static int
options_take(struct shmalloc *heap, const char *segment,
    const struct shmalloc_options *options)
{
	const uint32_t known = SHMALLOC_READ_ONLY | SHMALLOC_AUTOSTART;

	if (!segment)
		segment = "default";
	if (strlen(segment) >= sizeof(heap->segment) || !*segment)
		return SHMALLOC_EINVAL;
	(void)strcpy(heap->segment, segment);
	heap->timeout_ms = TIMEOUT_MS;
	if (!options || options->size == 0)
		return 0;
	if (options->size < sizeof(*options) || options->reserved ||
	    (options->flags & ~known))
		return SHMALLOC_EINVAL;
	heap->flags = options->flags;
	if (options->attach_timeout_ms)
		heap->timeout_ms = options->attach_timeout_ms < INT32_MAX
		    ? options->attach_timeout_ms
		    : INT32_MAX;
	if (options->label)
		(void)snprintf(
		    heap->label, sizeof(heap->label), "%s", options->label);
	return 0;
}

static int
guard_make(struct shmalloc *heap)
{
	struct heap_guard *guard = mmap(NULL, SHM_PAGE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (guard == MAP_FAILED)
		return SHMALLOC_ENOMEM;
	if (madvise(guard, SHM_PAGE, MADV_WIPEONFORK) != 0) {
		(void)munmap(guard, SHM_PAGE);
		return SHMALLOC_ESYSTEM;
	}
	heap->guard = guard;
	return 0;
}

/* Tell the daemon that the segment is mapped.  False: the slot is not ours any
 * more.  Who may only read has nothing there that others could take. */
static bool
slot_confirm(struct shmalloc *heap)
{
	return (heap->flags & SHMALLOC_READ_ONLY) ||
	    shm_client_confirm(&heap->seg, heap->slot);
}

/* Become a client, and map the segment. */
static int
heap_try(struct shmalloc *heap)
{
	int fds[PROTO_MAX_FDS];
	int error = client_become(heap, false, &heap->socket, fds);

	if (error)
		return error;
	error = shm_seg_map(fds[0], fds[1],
	    (heap->flags & SHMALLOC_READ_ONLY) != 0, &heap->seg);
	if (error == 0)
		return 0;
	fds_close(2, fds);
	(void)close(heap->socket);
	return error;
}

/* A daemon that came meanwhile may have taken us for somebody who has gone. */
static int
heap_open(struct shmalloc *heap)
{
	int error;

	for (int i = 0; i < TRIES; i++) {
		error = heap_try(heap);
		if (error)
			return error;
		if (slot_confirm(heap)) {
			atomic_store(&heap->guard->is_attached, true);
			return 0;
		}
		shm_seg_unmap(&heap->seg);
		(void)close(heap->socket);
	}
	return SHMALLOC_EUNREACHABLE;
}

int
shmalloc_attach(const char *segment, const struct shmalloc_options *options,
    struct shmalloc **ret_heap)
{
	struct shmalloc *heap;
	int error;

	if (!ret_heap)
		return SHMALLOC_EINVAL;
	heap = calloc(1, sizeof(*heap));
	if (!heap)
		return SHMALLOC_ENOMEM;
	error = options_take(heap, segment, options);
	if (error == 0)
		error = guard_make(heap);
	if (error == 0)
		error = heap_open(heap);
	if (error) {
		if (heap->guard)
			(void)munmap(heap->guard, SHM_PAGE);
		free(heap);
		return error;
	}
	*ret_heap = heap;
	return 0;
}

/* In the child: the parent's connection isn't ours, the mapping is. */
static int
child_attach_locked(struct shmalloc *heap)
{
	int fds[PROTO_MAX_FDS], socket;
	int error = client_become(heap, true, &socket, fds);

	if (error)
		return error;
	fds_close(2, fds);
	/* The mapping was there before the slot, so it can't have been missed.
	 */
	if (!slot_confirm(heap)) {
		(void)close(socket);
		return SHMALLOC_EUNREACHABLE;
	}
	(void)close(heap->socket);
	heap->socket = socket;
	atomic_store(&heap->guard->is_attached, true);
	return 0;
}

int
heap_attach_child(struct shmalloc *heap)
{
	int error = 0;

	if (atomic_load(&heap->guard->is_attached))
		return 0;
	(void)pthread_mutex_lock(&heap->guard->lock);
	if (!atomic_load(&heap->guard->is_attached))
		error = child_attach_locked(heap);
	(void)pthread_mutex_unlock(&heap->guard->lock);
	return error;
}

/* ---- Is it still our daemon? --------------------------------------------- */

/* Both the daemon and who would have kept our connection for the next. */
static bool
daemon_has_ended(int socket)
{
	struct pollfd poll_fd = { .fd = socket, .events = POLLRDHUP };

	return poll(&poll_fd, 1, 0) > 0 &&
	    (poll_fd.revents & (POLLRDHUP | POLLHUP)) != 0;
}

/* Ask whoever serves there now; SHMALLOC_EGONE: another segment. */
static int
daemon_probe(struct shmalloc *heap)
{
	int64_t deadline = now_ms() + PROBE_MS;
	int fds[PROTO_MAX_FDS];
	int socket = path_reach(heap->path, false, 0), error;

	if (socket < 0)
		return socket;
	error = slot_ask(heap, socket, ASK_PROBE, deadline);
	if (error == 0)
		error = slot_receive(heap, socket, deadline, fds);
	(void)close(socket);
	return error;
}

/* Look whether another segment has taken this one's place, unless somebody else
 * looks, or changes the connection. */
static void
gone_look(struct shmalloc *heap, uint32_t now)
{
	struct heap_guard *guard = heap->guard;

	if (pthread_mutex_trylock(&guard->lock) != 0)
		return;
	atomic_store(&heap->looked_ms, now);
	if (atomic_load(&guard->is_attached) && heap->socket >= 0 &&
	    daemon_has_ended(heap->socket) &&
	    daemon_probe(heap) == SHMALLOC_EGONE)
		atomic_store(&heap->is_gone, true);
	(void)pthread_mutex_unlock(&guard->lock);
}

bool
heap_is_gone(struct shmalloc *heap)
{
	uint32_t now = shm_clock_ms(), before = atomic_load(&heap->looked_ms);
	sigset_t signals;

	if (SHM_LIKELY(now - before < LOOK_MS) || atomic_load(&heap->is_gone))
		return atomic_load(&heap->is_gone);
	heap_signals_hold(&signals);
	gone_look(heap, now);
	heap_signals_release(&signals);
	return atomic_load(&heap->is_gone);
}

/* ---- Detaching and reporting --------------------------------------------- */

/* Give the slot back.  If the daemon doesn't answer, the end of the mapping
 * says the same. */
static void
slot_return(struct shmalloc *heap)
{
	Proto__ClientMessage message = PROTO__CLIENT_MESSAGE__INIT;
	Proto__Detach detach = PROTO__DETACH__INIT;
	ProtobufCMessage *reply = NULL;
	int fds[PROTO_MAX_FDS];
	unsigned n = PROTO_MAX_FDS;

	message.body_case = PROTO__CLIENT_MESSAGE__BODY_DETACH;
	message.detach = &detach;
	if (proto_send(heap->socket, &message.base, NULL, 0, DETACH_MS) != 0 ||
	    proto_recv(heap->socket, &proto__server_message__descriptor,
		PROTO_MAX_ATTACH, DETACH_MS, &reply, fds, &n) != 0)
		return;
	fds_close(n, fds);
	protobuf_c_message_free_unpacked(reply, NULL);
}

void
shmalloc_detach(struct shmalloc *heap)
{
	struct cache *cache, *next;

	if (!heap)
		return;
	/* Other threads' caches are theirs to unmap; all go back here. */
	for (cache = heap->guard->caches; cache; cache = next) {
		next = cache->next_of_heap;
		cache_end(cache);
	}
	if (atomic_load(&heap->guard->is_attached))
		slot_return(heap);
	(void)close(heap->socket);
	shm_seg_unmap(&heap->seg);
	free(heap->guard->orphans);
	(void)munmap(heap->guard, SHM_PAGE);
	free(heap);
}

void
heap_report_misuse(struct shmalloc *heap, int kind, uint64_t off, uint32_t tag)
{
	Proto__ClientMessage message = PROTO__CLIENT_MESSAGE__INIT;
	Proto__MisuseReport report = PROTO__MISUSE_REPORT__INIT;

	report.has_kind = report.has_off = report.has_tid = report.has_tag = 1;
	report.kind = (Proto__MisuseKind)kind;
	report.off = off;
	report.tid = (uint32_t)syscall(SYS_gettid);
	report.tag = tag;
	message.body_case = PROTO__CLIENT_MESSAGE__BODY_MISUSE;
	message.misuse = &report;
	/* Best effort: the counter in the segment is what counts. */
	if (proto_send(heap->socket, &message.base, NULL, 0, 0) != 0)
		return;
}
