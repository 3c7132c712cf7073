#include "server/slot.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/attach.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/proc.h"
#include "server/reap.h"
#include "server/server.h"
#include "server/value.h"

static void
on_death(evutil_socket_t fd, short what, void *arg)
{
	struct slot *slot = arg;
	(void)fd;
	(void)what;
	slot_end(slot, "its process has ended");
}

/* A client that writes over the table of clients must not get us to give out a
 * slot twice. */
static bool
is_taken(const void *arg, uint32_t index)
{
	const struct segment *segment = arg;
	return segment->slots[index] != NULL;
}

int
slot_open(struct server *server, struct segment *segment, struct conn *conn,
    int pidfd, const struct shm_identity *who, struct slot **ret_slot)
{
	int error = SHM_ENOMEM;
	struct slot *slot = calloc(1, sizeof *slot);
	if (slot == NULL)
		goto fail;
	slot->death = event_new(server->base, pidfd, EV_READ, on_death, slot);
	if (slot->death == NULL || event_add(slot->death, NULL) != 0)
		goto fail_slot;
	struct shm_identity identity = *who;
	identity.is_taken = is_taken;
	identity.arg = segment;
	error = shm_client_open(
	    &segment->seg, &identity, &slot->index, &slot->generation);
	if (error != 0)
		goto fail_slot;
	slot->server = server;
	slot->segment = segment;
	slot->conn = conn;
	slot->pid = conn->peer.pid;
	slot->uid = conn->peer.uid;
	slot->gid = conn->peer.gid;
	slot->is_read_only = (who->flags & SHM_CLIENT_READ_ONLY) != 0;
	slot->pidfd = pidfd;
	snprintf(slot->command, sizeof slot->command, "%s", who->command);
	segment->slots[slot->index] = slot;
	segment->n_slots++;
	server->had_client = true;
	store_slot(&server->store, slot);
	*ret_slot = slot;
	return 0;
fail_slot:
	if (slot->death != NULL)
		event_free(slot->death);
	free(slot);
fail:
	close(pidfd);
	return error;
}

static void
slot_free(struct slot *slot)
{
	store_slot_remove(&slot->server->store, slot);
	slot->segment->slots[slot->index] = NULL;
	slot->segment->n_slots--;
	if (slot->death != NULL)
		event_free(slot->death);
	if (slot->pidfd >= 0)
		close(slot->pidfd);
	if (slot->conn != NULL)
		attach_forget(slot->conn);
	free(slot);
}

void
slot_forget(struct slot *slot, const char *why)
{
	struct conn *conn = slot->conn;
	if (slot->state == SLOT_RECLAIMING)
		reap_remove(&slot->server->reaper, slot);
	slot_free(slot);
	if (conn != NULL)
		conn_close(conn, why);
}

/* ---- The end of a client ------------------------------------------------ */

static void
reclaim_begin(struct slot *slot)
{
	struct shm_clients_read read = { 0 };
	slot->state = SLOT_RECLAIMING;
	slot->died_ms = server_now_ms();
	slot->noticed = server_time();
	if (!shm_client_read(&slot->segment->seg, slot->index, &slot->last))
		memset(&slot->last, 0, sizeof slot->last);
	read.slot[slot->index] = &slot->last;
	shm_clients_readers(&slot->segment->seg, &read);
}

void
slot_end(struct slot *slot, const char *why)
{
	struct segment *segment = slot->segment;
	if (slot->state == SLOT_RECLAIMING)
		return;
	reclaim_begin(slot);
	if (slot->death != NULL)
		event_del(slot->death);
	journal_note(JOURNAL_DEATH, segment, slot, "%s", why);
	log_debug("segment %s: slot %" PRIu32 ", pid %d (%s): %s",
	    segment->name, slot->index, (int)slot->pid, slot->command, why);
	slot->n_locks = shm_client_locks(&segment->seg, slot->index);
	shm_client_death(&segment->seg, slot->index);
	reap_add(&slot->server->reaper, slot);
}

int
slot_kill(struct slot *slot)
{
	if (slot->is_guessed) {
		errno = EPERM;
		return SHM_EPERM;
	}
	/* Its death is on its way already if it is gone. */
	if (syscall(SYS_pidfd_send_signal, slot->pidfd, SIGKILL, NULL, 0) ==
		0 ||
	    errno == ESRCH)
		return 0;
	return errno == EPERM ? SHM_EPERM : SHM_ESYSTEM;
}

void
slot_answer(struct slot *slot)
{
	struct conn *conn = slot->conn;
	if (conn == NULL || !slot->is_detached)
		return;
	slot->conn = NULL;
	attach_detached(conn);
}

/* What the kernel said counts, not what the segment says. */
static void
end_remember(struct slot *slot)
{
	char bytes[VALUE_LEN];
	slot->last.pid = (uint32_t)slot->pid;
	slot->last.uid = slot->uid;
	segment_remember(slot->segment, slot);
	value_format("bytes", slot->sum.bytes, bytes);
	journal_note(JOURNAL_RECLAIM, slot->segment, slot,
	    "%s in %" PRIu64 " chunks came back", bytes, slot->sum.chunks);
	log_info("segment %s: pid %d (%s) %s: %s in %" PRIu64
		 " chunks came back after %" PRIu64 " ms",
	    slot->segment->name, (int)slot->pid, slot->command,
	    slot->is_detached ? "detached" : "died", bytes, slot->sum.chunks,
	    server_now_ms() - slot->died_ms);
}

void
slot_reclaimed(struct slot *slot)
{
	end_remember(slot);
	slot_answer(slot);
	struct conn *conn = slot->conn;
	slot_free(slot);
	if (conn != NULL)
		conn_close(conn, NULL);
}

/* ---- A process without a socket ----------------------------------------- */

bool
slot_has_ended(const struct slot *slot)
{
	struct pollfd poll_fd = { .fd = slot->pidfd, .events = POLLIN };
	return slot->pidfd < 0 || poll(&poll_fd, 1, 0) > 0;
}

/*
 * Has SLOT's process left the segment?  One that has just learned its slot has
 * not mapped it yet: it says so when it has, unless we say first that it is too
 * late, and then it asks again.  Who may not write does not say it, and has
 * nothing here but readers' records.
 */
static bool
mapping_is_gone(const struct slot *slot)
{
	struct shm_seg *seg = &slot->segment->seg;
	if (proc_maps(slot->pid, seg->fd) != PROC_GONE)
		return false;
	if (slot->is_read_only && !shm_client_has_pins(seg, slot->index))
		return false;
	if (!slot->is_read_only && shm_client_take_back(seg, slot->index))
		return true;
	/* It was there since; is it now? */
	return proc_maps(slot->pid, seg->fd) == PROC_GONE;
}

/* What became of SLOT's process?  True if that ended the slot. */
static bool
fate_settle(struct slot *slot)
{
	if (!slot->is_told) {
		slot_end(slot, "it left before it had an answer");
		return true;
	}
	if (slot_has_ended(slot)) {
		slot_end(slot, "its process has ended");
		return true;
	}
	if (!mapping_is_gone(slot))
		return false;
	/* The pid may have been reused between the two looks. */
	slot_end(slot,
	    slot_has_ended(slot) ? "its process has ended"
				 : "its process runs another program");
	return true;
}

void
slot_socket_ended(struct slot *slot)
{
	slot->conn = NULL;
	slot->socket_ended_ms = server_now_ms();
	if (slot->state != SLOT_RECLAIMING)
		fate_settle(slot);
}

void
slot_settle_process(struct segment *segment, pid_t pid)
{
	for (uint32_t i = 0; i < SHM_CLIENTS; i++) {
		struct slot *slot = segment->slots[i];
		if (slot == NULL || slot->pid != pid || pid == 0 ||
		    slot->state == SLOT_RECLAIMING)
			continue;
		if (slot->conn == NULL)
			fate_settle(slot);
		else if (conn_is_ended(slot->conn))
			conn_close(slot->conn, NULL);
	}
}

/* It had time to end, and did not. */
static void
orphan_note(struct slot *slot)
{
	if (slot->state == SLOT_ORPHANED ||
	    server_now_ms() - slot->socket_ended_ms < SLOT_ORPHAN_MS)
		return;
	slot->state = SLOT_ORPHANED;
	journal_note(JOURNAL_ORPHAN, slot->segment, slot,
	    "closed its socket and lives on; what it holds stays");
	log_warn("segment %s: pid %d (%s) closed its socket and lives on; what "
		 "it holds stays until it ends",
	    slot->segment->name, (int)slot->pid, slot->command);
}

void
slot_sweep(struct segment *segment)
{
	for (uint32_t i = 0; i < SHM_CLIENTS; i++) {
		struct slot *slot = segment->slots[i];
		if (slot != NULL && slot->conn == NULL &&
		    slot->state != SLOT_RECLAIMING && !fate_settle(slot))
			orphan_note(slot);
	}
}

/* ---- From an earlier daemon ---------------------------------------------- */

/* Its reclaim had begun; it waits for an answer if it is alive. */
static void
reclaim_resume(struct slot *slot)
{
	reclaim_begin(slot);
	slot->is_detached = slot->conn != NULL && !slot_has_ended(slot);
	reap_add(&slot->server->reaper, slot);
}

static int
death_watch(struct slot *slot)
{
	if (slot->pidfd < 0)
		return 0;
	slot->death =
	    event_new(slot->server->base, slot->pidfd, EV_READ, on_death, slot);
	return slot->death != NULL && event_add(slot->death, NULL) == 0
	    ? 0
	    : SHM_ENOMEM;
}

static void
adopted_fill(struct slot *slot, const struct slot_identity *who)
{
	slot->conn = who->conn;
	slot->is_told = true;
	slot->index = who->index;
	slot->generation = who->generation;
	slot->pid = who->pid;
	slot->uid = who->uid;
	slot->gid = who->gid;
	slot->pidfd = who->pidfd;
	slot->is_guessed = who->is_guessed;
	slot->is_read_only = who->is_read_only;
	slot->socket_ended_ms = server_now_ms();
	snprintf(slot->command, sizeof slot->command, "%s", who->command);
	if (slot->conn == NULL)
		return;
	slot->is_conn_kept = true;
	slot->conn->owner = slot;
	conn_set_idle(slot->conn, 0);
}

int
slot_adopt(struct server *server, struct segment *segment,
    const struct slot_identity *who)
{
	struct slot *slot = calloc(1, sizeof *slot);
	if (slot == NULL)
		goto fail;
	slot->server = server;
	slot->segment = segment;
	slot->pidfd = who->pidfd;
	if (death_watch(slot) != 0)
		goto fail_slot;
	adopted_fill(slot, who);
	segment->slots[slot->index] = slot;
	segment->n_slots++;
	server->had_client = true;
	if (who->is_dead)
		reclaim_resume(slot);
	else if (slot->pidfd < 0)
		slot_end(slot, "it died while no daemon ran");
	return 0;
fail_slot:
	if (slot->death != NULL)
		event_free(slot->death);
	free(slot);
fail:
	if (who->pidfd >= 0)
		close(who->pidfd);
	if (who->conn != NULL)
		conn_close(who->conn, "no memory for its records");
	return SHM_ENOMEM;
}
