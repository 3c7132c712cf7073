#include "server/adopt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/journal.h"
#include "server/log.h"
#include "server/segment.h"
#include "server/slot.h"
#include "server/tune.h"
#include "shm/stats.h"

static bool
is_mode(int fd, mode_t type)
{
	struct stat st;
	return fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

static bool
is_pins(int fd)
{
	struct stat st;
	return fd >= 0 && fstat(fd, &st) == 0 &&
	    st.st_size == (off_t)sizeof(struct shm_pins);
}

/* ---- Segments ------------------------------------------------------------ */

bool
adopt_segment_fds(const struct kept *entry, int *ret_fd, int *ret_pins_fd)
{
	/* Their order under a name is not kept everywhere. */
	unsigned pins = is_pins(entry->fd[0]) ? 0 : 1;
	if (entry->n_fds != 2 || !is_pins(entry->fd[pins]))
		return false;
	*ret_fd = entry->fd[1 - pins];
	*ret_pins_fd = entry->fd[pins];
	return true;
}

/* The order of two descriptors under a name is not kept everywhere. */
static int
segment_take(struct server *server, struct kept *entry,
    const struct store_segment_name *name, struct segment **ret_segment)
{
	unsigned pins = is_pins(entry->fd[0]) ? 0 : 1;
	if (entry->n_fds != 2 || !is_pins(entry->fd[pins]))
		return SHM_EINVAL;
	int pins_fd = kept_take(entry, pins);
	int fd = kept_take(entry, 1 - pins);
	return segment_adopt(server, name, fd, pins_fd, ret_segment);
}

/* What an operator set; of two, one was to replace the other. */
static void
evict_take(struct segment *segment, struct kept_list *kept)
{
	for (size_t i = 0; i < kept->n; i++) {
		struct kept *entry = &kept->entry[i];
		uint64_t ms;
		if (!store_read_evict(entry->name, segment, &ms))
			continue;
		close(kept_take(entry, 0));
		segment->evict_ms_kept = ms;
		segment->is_evict_kept = true;
		return;
	}
}

static bool
segment_try(struct server *server, struct kept_list *kept, struct kept *entry)
{
	struct store_segment_name name;
	struct segment *segment;
	int error = SHM_EINVAL;
	if (strncmp(entry->name, "segment/", 8) != 0)
		return false;
	if (store_read_segment(entry->name, &name))
		error = segment_take(server, entry, &name, &segment);
	if (error != 0) {
		log_error("%s cannot be taken over (error %d); clients keep "
			  "the memory that they have, and a new one is made",
		    entry->name, error);
		/* Or it would be kept for ever, beside its successor. */
		store_remove(&server->store, entry->name);
		return false;
	}
	evict_take(segment, kept);
	tune_recover(segment, &server->config);
	journal_note(JOURNAL_SEGMENT, segment, NULL, "taken over, %s",
	    segment_start_names[segment->start]);
	log_info("segment %s: taken over, %s", segment->name,
	    segment_start_names[segment->start]);
	return true;
}

uint32_t
adopt_segments(struct server *server, struct kept_list *kept)
{
	uint32_t n = 0;
	for (size_t i = 0; i < kept->n; i++)
		n += segment_try(server, kept, &kept->entry[i]);
	return n;
}

/* ---- Clients ------------------------------------------------------------- */

/* What was kept of each of a segment's slots. */
struct register_of {
	struct kept *entry[SHM_CLIENTS];
	struct store_client_name name[SHM_CLIENTS];
};

static void
register_fill(struct register_of *all, const struct segment *segment,
    const struct kept_list *kept)
{
	struct store_client_name name;
	struct shm_client_stats stats;
	memset(all->entry, 0, sizeof all->entry);
	for (size_t i = 0; i < kept->n; i++) {
		struct kept *entry = &kept->entry[i];
		if (strncmp(entry->name, "client/", 7) != 0 ||
		    !store_read_client(entry->name, &name) ||
		    name.id[0] != segment->id[0] ||
		    name.id[1] != segment->id[1])
			continue;
		/* Forgotten too late: the slot has another client, or none. */
		if (!shm_client_read((struct shm_seg *)(uintptr_t)&segment->seg,
			name.slot, &stats) ||
		    stats.generation != name.generation)
			continue;
		all->entry[name.slot] = entry;
		all->name[name.slot] = name;
	}
}

/* Its connection, with which the listener goes on, or NULL. */
static struct conn *
conn_take(struct server *server, struct kept *entry)
{
	for (unsigned i = 0; i < entry->n_fds; i++)
		if (is_mode(entry->fd[i], S_IFSOCK))
			return listen_adopt(
			    &server->attach, kept_take(entry, i));
	return NULL;
}

static int
pidfd_take(struct kept *entry)
{
	for (unsigned i = 0; i < entry->n_fds; i++)
		if (entry->fd[i] >= 0 && !is_mode(entry->fd[i], S_IFSOCK))
			return kept_take(entry, i);
	return -1;
}

/*
 * The process of a LIVE slot of which nothing was kept, by the pid that the
 * segment has.  *RET_PIDFD is -1 if there is none; then it never learned its
 * slot, or has died.  Whether that process is still the client is for
 * slot_sweep to find out, which looks again and again.  The pid may be
 * anybody's: who was found so is not kept, nor killed.  SHM_ESYSTEM: it cannot
 * be told, for want of descriptors or memory, or from this pid namespace.
 */
static int
lost_find(pid_t pid, int *ret_pidfd)
{
	*ret_pidfd = -1;
	if (pid == getpid())
		return 0;
	*ret_pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	if (*ret_pidfd >= 0)
		return 0;
	return pid > 0 && (errno == ESRCH || errno == EINVAL || errno == ENOENT)
	    ? 0
	    : SHM_ESYSTEM;
}

static void
client_take(struct server *server, struct segment *segment,
    const struct register_of *all, const struct shm_client_stats *stats)
{
	struct kept *entry = all->entry[stats->slot];
	struct slot_identity who = { .index = stats->slot,
		.generation = stats->generation,
		.pid = (pid_t)stats->pid,
		.uid = stats->uid,
		.gid = stats->gid,
		.command = stats->command,
		.is_dead = stats->state == SHM_CLIENT_DEAD,
		.is_read_only = (stats->flags & SHM_CLIENT_READ_ONLY) != 0,
		.pidfd = -1 };
	if (entry != NULL) {
		who.pid = all->name[stats->slot].pid;
		who.uid = all->name[stats->slot].uid;
		who.gid = all->name[stats->slot].gid;
		who.pidfd = pidfd_take(entry);
		who.conn = conn_take(server, entry);
	}
	/* Also if its connection was kept and its pidfd could not be: who has
	 * no pidfd would be taken for dead. */
	int error = 0;
	if (who.pidfd < 0 && !who.is_dead && !segment->is_restored) {
		error = lost_find(who.pid, &who.pidfd);
		who.is_guessed = true;
	}
	if (error == 0)
		error = slot_adopt(server, segment, &who);
	else if (who.conn != NULL)
		conn_close(who.conn, "its process cannot be watched");
	if (error != 0)
		log_error("segment %s: pid %d cannot be watched; "
			  "what it holds stays until the next daemon",
		    segment->name, (int)who.pid);
}

void
adopt_clients(struct server *server, struct kept_list *kept)
{
	struct segment *segment;
	struct shm_client_stats stats;
	struct register_of *all = malloc(sizeof *all);
	if (all == NULL) {
		log_error("no memory to take clients over");
		return;
	}
	TAILQ_FOREACH(segment, &server->segments, link)
	{
		uint32_t n = 0;
		if (segment->start == SEGMENT_COLD)
			continue;
		register_fill(all, segment, kept);
		for (uint32_t i = SHM_DAEMON_SLOT + 1; i < SHM_CLIENTS; i++)
			if (shm_client_read(&segment->seg, i, &stats)) {
				client_take(server, segment, all, &stats);
				n++;
			}
		log_info("segment %s: %" PRIu32 " clients are known",
		    segment->name, n);
	}
	free(all);
}

/* Nobody took what is under it. */
static bool
is_left(const struct kept *entry)
{
	for (unsigned i = 0; i < entry->n_fds; i++)
		if (entry->fd[i] >= 0)
			return true;
	return false;
}

void
adopt_end(struct server *server, struct kept_list *kept)
{
	for (size_t i = 0; i < kept->n; i++)
		if (is_left(&kept->entry[i]))
			store_remove(&server->store, kept->entry[i].name);
	kept_release(kept);
}
