/*
 * The connection of the control interface: connect, ask one question, take its
 * answer.  See <shmalloc/control.h>.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "client/control_internal.h"
#include "client/path.h"
#include "proto/frame.h"

#define TIMEOUT_MS      5000
#define TIMEOUT_WALK_MS 60000
#define RETRY_MS        10
#define PATH_LEN        sizeof(((struct sockaddr_un *)0)->sun_path)

int
shmalloc_control_path(const char *dir, char *buf, size_t len)
{
	return shmalloc_socket_path(buf, len, dir, "control");
}

/* Connect to the socket NAME; while its backlog is full, again. */
static int
socket_open(const char *dir, const char *name, int timeout_ms)
{
	char path[PATH_LEN];
	int r = shmalloc_socket_path(path, sizeof(path), dir, name);

	if (r < 0)
		return r;
	for (int waited = 0;; waited += RETRY_MS) {
		r = shmalloc_socket_connect(path);
		if (r != SHMALLOC_EBUSY)
			return r;
		if (waited >= timeout_ms)
			return SHMALLOC_ETIMEDOUT;
		poll(NULL, 0, RETRY_MS);
	}
}

/* `control`, or where that isn't for us, `control-ro`. */
static int
socket_choose(const char *dir, int timeout_ms, int *ret_is_read_only)
{
	int fd = socket_open(dir, "control", timeout_ms);
	int other, saved = errno;

	*ret_is_read_only = 0;
	if (fd != SHMALLOC_EPERM && fd != SHMALLOC_EUNREACHABLE)
		return fd;
	other = socket_open(dir, "control-ro", timeout_ms);
	if (other < 0) {
		errno = saved;
		return fd;
	}
	*ret_is_read_only = 1;
	return other;
}

static int
keeper_choose(const char *dir, int timeout_ms, int *ret_is_read_only)
{
	*ret_is_read_only = 1;
	return socket_open(dir, "keeper", timeout_ms);
}

static int
control_open(const char *dir, int timeout_ms,
    int (*choose)(const char *dir, int timeout_ms, int *ret_is_read_only),
    struct shmalloc_control **ret_control)
{
	struct shmalloc_control *control = calloc(1, sizeof(*control));
	int saved;

	if (control == NULL)
		return SHMALLOC_ESYSTEM;
	control->timeout_ms = timeout_ms;
	control->fd = choose(dir, timeout_ms == 0 ? TIMEOUT_MS : timeout_ms,
	    &control->is_read_only);
	if (control->fd < 0) {
		int r = control->fd;

		saved = errno;
		free(control);
		errno = saved;
		return r;
	}
	*ret_control = control;
	return 0;
}

int
shmalloc_control_connect(
    const char *dir, int timeout_ms, struct shmalloc_control **ret_control)
{
	return control_open(dir, timeout_ms, socket_choose, ret_control);
}

int
shmalloc_control_connect_keeper(
    const char *dir, int timeout_ms, struct shmalloc_control **ret_control)
{
	return control_open(dir, timeout_ms, keeper_choose, ret_control);
}

void
shmalloc_control_disconnect(struct shmalloc_control *control)
{
	if (control == NULL)
		return;
	if (control->fd >= 0)
		close(control->fd);
	free(control->message);
	free(control->subject);
	free(control);
}

int
shmalloc_control_is_read_only(const struct shmalloc_control *control)
{
	return control->is_read_only;
}

const char *
shmalloc_control_message(const struct shmalloc_control *control)
{
	if (control->message != NULL)
		return control->message;
	return shmalloc_strerror(control->error);
}

const char *
shmalloc_control_subject(const struct shmalloc_control *control)
{
	return control->subject;
}

void
shmalloc_control_free(struct shmalloc_reply *reply)
{
	if (reply == NULL)
		return;
	proto__reply__free_unpacked(reply->message, NULL);
	free(reply);
}

/* Forget the last request's error. */
static void
error_clear(struct shmalloc_control *control)
{
	free(control->message);
	free(control->subject);
	control->message = NULL;
	control->subject = NULL;
	control->error = 0;
}

static char *
string_copy(const char *string)
{
	return string == NULL || string[0] == '\0' ? NULL : strdup(string);
}

/* The stream can't be used after R: nobody knows where the next reply begins.
 */
static int
stream_fail(struct shmalloc_control *control, int r)
{
	int saved = errno;

	close(control->fd);
	control->fd = -1;
	errno = saved;
	return r;
}

static int
exchange(struct shmalloc_control *control, const Proto__Request *request,
    int timeout_ms, Proto__Reply **ret_message)
{
	ProtobufCMessage *message;
	int r;

	if (control->fd < 0)
		return SHMALLOC_EUNREACHABLE;
	r = proto_send(control->fd, &request->base, NULL, 0, timeout_ms);
	/* One that refuses us at once may be gone before it was asked. */
	if (r < 0 && r != PROTO_EUNREACHABLE)
		return stream_fail(control, r);
	r = proto_recv(control->fd, &proto__reply__descriptor, PROTO_MAX_REPLY,
	    timeout_ms, &message, NULL, NULL);
	if (r < 0)
		return stream_fail(control, r);
	*ret_message = (Proto__Reply *)(void *)message;
	return 0;
}

/* What the daemon's answer says, before anybody looks into its body. */
static int
reply_check(struct shmalloc_control *control, const Proto__Reply *message,
    Proto__Reply__BodyCase body)
{
	if (message->has_error && message->error < 0) {
		control->message = string_copy(message->message);
		control->subject = string_copy(message->subject);
		return message->error;
	}
	if (message->has_protocol && message->protocol != PROTO_VERSION)
		return stream_fail(control, SHMALLOC_EVERSION);
	if (message->body_case != body || message->done == NULL)
		return stream_fail(control, SHMALLOC_EPROTO);
	return 0;
}

static int
request_run(struct shmalloc_control *control, const Proto__Request *request,
    Proto__Reply__BodyCase body, int timeout_ms,
    struct shmalloc_reply **ret_reply)
{
	struct shmalloc_reply *reply;
	Proto__Reply *message;
	int r = exchange(control, request, timeout_ms, &message);

	if (r < 0)
		return r;
	r = reply_check(control, message, body);
	reply = r < 0 || ret_reply == NULL ? NULL : malloc(sizeof(*reply));
	if (reply == NULL) {
		proto__reply__free_unpacked(message, NULL);
		return r < 0 || ret_reply == NULL ? r : SHMALLOC_ESYSTEM;
	}
	reply->message = message;
	*ret_reply = reply;
	return 0;
}

int
shmalloc_control_request(struct shmalloc_control *control,
    Proto__Request *request, const char *segment, Proto__Reply__BodyCase body,
    int is_walk, struct shmalloc_reply **ret_reply)
{
	int timeout_ms = is_walk ? TIMEOUT_WALK_MS : TIMEOUT_MS;
	char *copy = segment == NULL ? NULL : strdup(segment);

	error_clear(control);
	if (segment != NULL && copy == NULL)
		return control->error = SHMALLOC_ESYSTEM;
	if (control->timeout_ms != 0)
		timeout_ms = control->timeout_ms;
	request->has_protocol = 1;
	request->protocol = PROTO_VERSION;
	request->segment = copy;
	control->error =
	    request_run(control, request, body, timeout_ms, ret_reply);
	free(copy);
	return control->error;
}
