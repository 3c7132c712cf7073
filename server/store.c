#include "server/store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "server/http.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/server.h"
#include "server/slot.h"
#include "server/tune.h"

/* ---- The service manager ------------------------------------------------- */

#ifdef HAVE_LIBSYSTEMD

/* systemd says so from version 254 on; before, its unit does. */
bool
store_is_offered(void)
{
	const char *most = getenv("FDSTORE");
	return getenv("NOTIFY_SOCKET") != NULL && most != NULL &&
	    atoi(most) > 0;
}

/* Kept, or one of the sockets; of each of these one is enough. */
static bool
is_name(const struct kept_list *kept, const char *name)
{
	static const char *const sockets[] = { "attach", "control",
		"control-ro" };
	for (size_t i = 0; i < sizeof sockets / sizeof *sockets; i++)
		if (strcmp(name, sockets[i]) == 0)
			return kept_get(kept, name) == NULL;
	return strchr(name, '/') != NULL;
}

static int
fd_inherit(struct kept_list *kept, const char *name, int fd)
{
	if (is_name(kept, name))
		return kept_add(kept, name, &fd, 1);
	log_warn("the service manager hands over '%s', which is not used; its "
		 "sockets are FileDescriptorName=attach, control and "
		 "control-ro",
	    name);
	close(fd);
	return 0;
}

int
store_inherit(struct kept_list *ret_kept)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(true, &names), error = 0;
	for (int i = 0; i < n; i++) {
		int one =
		    fd_inherit(ret_kept, names[i], SD_LISTEN_FDS_START + i);
		if (one != 0)
			error = one;
		free(names[i]);
	}
	free(names);
	return error;
}

static int
manager_put(const char *name, const int *fds, unsigned n_fds)
{
	char text[KEPT_NAME + 64];
	/* A store that polled would drop what has ended, which is just what the
	 * next daemon must learn. */
	snprintf(text, sizeof text, "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	return sd_pid_notify_with_fds(0, false, text, fds, n_fds);
}

static int
manager_remove(const char *name)
{
	char text[KEPT_NAME + 64];
	snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return sd_notify(false, text);
}

static void
manager_tell(const char *text)
{
	if (sd_notify(false, text) < 0)
		log_warn("the service manager cannot be told '%s'", text);
}

#else

bool
store_is_offered(void)
{
	return false;
}

int
store_inherit(struct kept_list *ret_kept)
{
	(void)ret_kept;
	return 0;
}

static int
manager_put(const char *name, const int *fds, unsigned n_fds)
{
	(void)name, (void)fds, (void)n_fds;
	return -ENOSYS;
}

static int
manager_remove(const char *name)
{
	(void)name;
	return -ENOSYS;
}

static void
manager_tell(const char *text)
{
	(void)text;
}

#endif

/* A name with a kind before it is one of ours. */
bool
store_is_legacy(const struct kept_list *kept)
{
	for (size_t i = 0; i < kept->n; i++)
		if (strchr(kept->entry[i].name, '/') != NULL)
			return true;
	return false;
}

/* ---- Keeping ------------------------------------------------------------- */

static void
store_lose(struct store *store, const char *why)
{
	if (!store->is_heir)
		log_error(
		    "nothing is kept any more (%s): if this daemon is killed, "
		    "clients go on with the memory that they have, but the "
		    "next "
		    "daemon starts with new segments; start one with "
		    "--takeover "
		    "now",
		    why);
	store_close(store);
}

static void
on_gone(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	store_lose(arg, "the keeper has ended");
}

void
store_open(struct store *store, struct server *server, int link)
{
	store->link = link;
	store->is_systemd = link < 0 && store_is_offered();
	if (link < 0)
		return;
	store->gone = event_new(server->base, link, EV_READ, on_gone, store);
	if (store->gone == NULL || event_add(store->gone, NULL) != 0)
		store_lose(store, "out of memory");
}

void
store_close(struct store *store)
{
	if (store->gone != NULL)
		event_free(store->gone);
	if (store->link >= 0)
		close(store->link);
	*store = (struct store){ .link = -1 };
}

void
store_put(struct store *store, const char *name, const int *fds, unsigned n_fds)
{
	if (store->link >= 0 &&
	    kept_send(store->link, KEPT_ADD, name, fds, n_fds) != 0)
		store_lose(store, strerror(errno));
	if (store->is_systemd && manager_put(name, fds, n_fds) < 0)
		store_lose(store, "the service manager does not answer");
}

void
store_remove(struct store *store, const char *name)
{
	if (store->link >= 0 &&
	    kept_send(store->link, KEPT_REMOVE, name, NULL, 0) != 0)
		store_lose(store, strerror(errno));
	if (store->is_systemd && manager_remove(name) < 0)
		store_lose(store, "the service manager does not answer");
}

void
store_say_taken(struct store *store)
{
	if (store->link >= 0 &&
	    kept_send(store->link, KEPT_END, "", NULL, 0) != 0)
		store_lose(store, strerror(errno));
}

void
store_say_ready(struct store *store)
{
	if (store->link >= 0 &&
	    kept_send(store->link, KEPT_READY, "", NULL, 0) != 0)
		store_lose(store, strerror(errno));
	manager_tell("READY=1");
}

void
store_say_stopping(void)
{
	manager_tell("STOPPING=1");
}

void
store_say_alive(void)
{
	manager_tell("WATCHDOG=1");
}

/* ---- Names --------------------------------------------------------------- */

static void
segment_name(const struct segment *segment, char ret[KEPT_NAME])
{
	snprintf(ret, KEPT_NAME,
	    "segment/%016" PRIx64 "%016" PRIx64 "/%s/%04o/%u/%u/%" PRIu64
	    "/%.0f",
	    segment->id[0], segment->id[1], segment->name, segment->mode,
	    (unsigned)segment->owner, (unsigned)segment->group, segment->size,
	    segment->created);
}

static void
evict_name(const struct segment *segment, uint64_t ms, char ret[KEPT_NAME])
{
	snprintf(ret, KEPT_NAME, "evict/%016" PRIx64 "%016" PRIx64 "/%" PRIu64,
	    segment->id[0], segment->id[1], ms);
}

static void
slot_name(const struct slot *slot, char ret[KEPT_NAME])
{
	snprintf(ret, KEPT_NAME,
	    "client/%016" PRIx64 "%016" PRIx64 "/%" PRIu32 "/%" PRIu32
	    "/%d/%u/%u",
	    slot->segment->id[0], slot->segment->id[1], slot->index,
	    slot->generation, (int)slot->pid, (unsigned)slot->uid,
	    (unsigned)slot->gid);
}

bool
store_read_segment(const char *name, struct store_segment_name *ret)
{
	int end = 0;
	return sscanf(name,
		   "segment/%16" SCNx64 "%16" SCNx64 "/%63[^/]/%" SCNo32
		   "/%u/%u/%" SCNu64 "/%" SCNu64 "%n",
		   &ret->id[0], &ret->id[1], ret->name, &ret->mode, &ret->uid,
		   &ret->gid, &ret->size, &ret->second, &end) == 8 &&
	    name[end] == '\0';
}

bool
store_read_evict(
    const char *name, const struct segment *segment, uint64_t *ret_ms)
{
	uint64_t id[2];
	int end = 0;
	return sscanf(name, "evict/%16" SCNx64 "%16" SCNx64 "/%" SCNu64 "%n",
		   &id[0], &id[1], ret_ms, &end) == 3 &&
	    name[end] == '\0' && memcmp(id, segment->id, sizeof id) == 0;
}

bool
store_read_client(const char *name, struct store_client_name *ret)
{
	int end = 0;
	return sscanf(name,
		   "client/%16" SCNx64 "%16" SCNx64 "/%" SCNu32 "/%" SCNu32
		   "/%d/%u/%u%n",
		   &ret->id[0], &ret->id[1], &ret->slot, &ret->generation,
		   &ret->pid, &ret->uid, &ret->gid, &end) == 7 &&
	    name[end] == '\0' && ret->slot < SHM_CLIENTS;
}

/* ---- Of what the server has ---------------------------------------------- */

void
store_lock(struct store *store, const struct server *server)
{
	store_put(store, server->dir.is_made ? "lock/1" : "lock/0",
	    &server->dir.lock_fd, 1);
}

void
store_journal(struct store *store)
{
	int fd = journal_fd();
	if (fd >= 0)
		store_put(store, JOURNAL_KEPT, &fd, 1);
}

void
store_listener(struct store *store, const struct listener *listener)
{
	char name[KEPT_NAME];
	snprintf(name, sizeof name, "%s%s", listener->is_given ? "" : "socket/",
	    listener->ops->name);
	store_put(store, name, &listener->fd, 1);
}

void
store_segment(struct store *store, const struct segment *segment)
{
	char name[KEPT_NAME];
	int fds[2] = { segment->seg.fd, segment->seg.pins_fd };
	segment_name(segment, name);
	store_put(store, name, fds, 2);
}

static void
evict_put(struct store *store, const struct segment *segment)
{
	char name[KEPT_NAME];
	evict_name(segment, segment->evict_ms, name);
	store_put(store, name, &segment->seg.fd, 1);
}

static void
evict_remove(struct store *store, const struct segment *segment)
{
	char name[KEPT_NAME];
	evict_name(segment, segment->evict_ms_kept, name);
	if (segment->is_evict_kept)
		store_remove(store, name);
}

/* The new one before the former goes: at any time one is kept. */
void
store_evict(struct store *store, struct segment *segment)
{
	bool is_wanted =
	    segment->source[SHM_PARAM_reader_evict_ms] == CONFIG_RUNTIME;
	if (is_wanted == segment->is_evict_kept &&
	    (!is_wanted || segment->evict_ms == segment->evict_ms_kept))
		return;
	if (is_wanted)
		evict_put(store, segment);
	evict_remove(store, segment);
	segment->is_evict_kept = is_wanted;
	segment->evict_ms_kept = segment->evict_ms;
}

void
store_segment_remove(struct store *store, const struct segment *segment)
{
	char name[KEPT_NAME];
	evict_remove(store, segment);
	segment_name(segment, name);
	store_remove(store, name);
}

void
store_slot(struct store *store, const struct slot *slot)
{
	char name[KEPT_NAME];
	slot_name(slot, name);
	if (slot->pidfd >= 0)
		store_put(store, name, &slot->pidfd, 1);
}

void
store_slot_conn(struct store *store, struct slot *slot)
{
	char name[KEPT_NAME];
	slot_name(slot, name);
	store_put(store, name, &slot->conn->fd, 1);
	slot->is_conn_kept = true;
}

void
store_slot_remove(struct store *store, const struct slot *slot)
{
	char name[KEPT_NAME];
	if (store->link < 0 && !store->is_systemd)
		return;
	slot_name(slot, name);
	store_remove(store, name);
}

/* To an heir; whose process is a guess would be none to him. */
static void
slot_give(struct store *store, struct slot *slot)
{
	if (!slot->is_guessed)
		store_slot(store, slot);
	if (slot->conn != NULL && slot->is_conn_kept)
		store_slot_conn(store, slot);
}

void
store_server(struct store *store, struct server *server)
{
	const struct listener *listeners[] = { &server->attach,
		&server->control, &server->control_ro, &server->keeper };
	struct segment *segment;
	store_lock(store, server);
	store_journal(store);
	for (size_t i = 0; i < 3; i++)
		if (listeners[i]->fd >= 0)
			store_listener(store, listeners[i]);
	int http = http_fd(server);
	if (http >= 0)
		store_put(store, HTTP_KEPT, &http, 1);
	TAILQ_FOREACH(segment, &server->segments, link)
	{
		store_segment(store, segment);
		if (segment->is_evict_kept)
			evict_put(store, segment);
		for (uint32_t i = 0; i < SHM_CLIENTS; i++)
			if (segment->slots[i] != NULL)
				slot_give(store, segment->slots[i]);
	}
}
