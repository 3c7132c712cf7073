#include "server/kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM_FIRST 64

static void
fds_close(const int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

struct kept *
kept_get(const struct kept_list *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->entry[i].name, name) == 0)
			return &list->entry[i];
	return NULL;
}

static struct kept *
entry_new(struct kept_list *list, const char *name)
{
	if (list->n == list->room) {
		size_t room = list->room == 0 ? ROOM_FIRST : 2 * list->room;
		struct kept *grown =
		    realloc(list->entry, room * sizeof *list->entry);
		if (grown == NULL)
			return NULL;
		list->entry = grown;
		list->room = room;
	}
	struct kept *entry = &list->entry[list->n++];
	memset(entry, 0, sizeof *entry);
	snprintf(entry->name, sizeof entry->name, "%s", name);
	return entry;
}

int
kept_add(
    struct kept_list *list, const char *name, const int *fds, unsigned n_fds)
{
	struct kept *entry = kept_get(list, name);
	int error = SHM_ENOMEM;
	if (entry == NULL)
		entry = entry_new(list, name);
	if (entry == NULL)
		goto fail;
	error = SHM_EINVAL;
	if (n_fds > KEPT_FDS - entry->n_fds)
		goto fail;
	for (unsigned i = 0; i < n_fds; i++)
		entry->fd[entry->n_fds++] = fds[i];
	return 0;
fail:
	fds_close(fds, n_fds);
	return error;
}

void
kept_remove(struct kept_list *list, const char *name)
{
	struct kept *entry = kept_get(list, name);
	if (entry == NULL)
		return;
	fds_close(entry->fd, entry->n_fds);
	*entry = list->entry[--list->n];
}

struct kept *
kept_find(const struct kept_list *list, const char *prefix)
{
	for (size_t i = 0; i < list->n; i++)
		if (strncmp(list->entry[i].name, prefix, strlen(prefix)) == 0)
			return &list->entry[i];
	return NULL;
}

int
kept_take(struct kept *entry, unsigned i)
{
	if (entry == NULL || i >= entry->n_fds)
		return -1;
	int fd = entry->fd[i];
	entry->fd[i] = -1;
	return fd;
}

void
kept_release(struct kept_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		fds_close(list->entry[i].fd, list->entry[i].n_fds);
	free(list->entry);
	*list = (struct kept_list){ 0 };
}

void
kept_room_raise(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	/* Else there is as much as before. */
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- On the way ---------------------------------------------------------- */

union control {
	char buf[CMSG_SPACE(KEPT_FDS * sizeof(int))];
	struct cmsghdr align;
};

static void
fds_put(struct msghdr *msg, union control *control, const int *fds, unsigned n)
{
	size_t len = n * sizeof(int);
	memset(control, 0, sizeof *control);
	msg->msg_control = control->buf;
	msg->msg_controllen = CMSG_SPACE(len);
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(cmsg), fds, len);
}

int
kept_send(int socket, enum kept_kind kind, const char *name, const int *fds,
    unsigned n_fds)
{
	struct kept_message message = { .kind = (uint32_t)kind };
	struct iovec iov = { .iov_base = &message, .iov_len = sizeof message };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control;
	ssize_t n;
	snprintf(message.name, sizeof message.name, "%s", name);
	if (n_fds > 0)
		fds_put(&msg, &control, fds, n_fds);
	do
		n = sendmsg(socket, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof message ? 0 : SHM_ESYSTEM;
}

/* Those that came; whether all of them are there. */
static bool
fds_get(struct msghdr *msg, int ret_fds[KEPT_FDS], unsigned *ret_n)
{
	bool is_whole = (msg->msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == 0;
	*ret_n = 0;
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n && *ret_n < KEPT_FDS; i++)
			memcpy(&ret_fds[(*ret_n)++],
			    CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
	}
	return is_whole;
}

int
kept_receive(int socket, int flags, struct kept_message *ret_message,
    int ret_fds[KEPT_FDS], unsigned *ret_n_fds)
{
	struct iovec iov = { .iov_base = ret_message,
		.iov_len = sizeof *ret_message };
	union control control;
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof control.buf };
	ssize_t n;
	do
		n = recvmsg(socket, &msg, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN    ? SHM_ERETRY
		    : errno == ECONNRESET ? 0
					  : SHM_ESYSTEM;
	bool is_whole = fds_get(&msg, ret_fds, ret_n_fds);
	if (n == 0)
		return 0;
	ret_message->name[KEPT_NAME - 1] = '\0';
	if (is_whole && n == (ssize_t)sizeof *ret_message)
		return 1;
	fds_close(ret_fds, *ret_n_fds);
	*ret_n_fds = 0;
	return SHM_EINVAL;
}
