#include "server/slot.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/attach.h"
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
	error = shm_client_open(
	    &segment->seg, who, &slot->index, &slot->generation);
	if (error != 0)
		goto fail_slot;
	slot->server = server;
	slot->segment = segment;
	slot->conn = conn;
	slot->pid = conn->peer.pid;
	slot->uid = conn->peer.uid;
	slot->gid = conn->peer.gid;
	slot->pidfd = pidfd;
	snprintf(slot->command, sizeof slot->command, "%s", who->command);
	segment->slots[slot->index] = slot;
	segment->n_slots++;
	server->had_client = true;
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
	slot->segment->slots[slot->index] = NULL;
	slot->segment->n_slots--;
	event_free(slot->death);
	close(slot->pidfd);
	if (slot->conn != NULL)
		attach_forget(slot->conn);
	free(slot);
}

void
slot_forget(struct slot *slot)
{
	struct conn *conn = slot->conn;
	if (slot->state == SLOT_RECLAIMING)
		reap_remove(&slot->server->reaper, slot);
	slot_free(slot);
	if (conn != NULL)
		conn_close(conn, "its segment was destroyed");
}

/* ---- The end of a client ------------------------------------------------ */

void
slot_end(struct slot *slot, const char *why)
{
	struct segment *segment = slot->segment;
	if (slot->state == SLOT_RECLAIMING)
		return;
	slot->state = SLOT_RECLAIMING;
	slot->died_ms = server_now_ms();
	event_del(slot->death);
	if (!shm_client_read(&segment->seg, slot->index, &slot->last))
		memset(&slot->last, 0, sizeof slot->last);
	log_debug("segment %s: slot %" PRIu32 ", pid %d (%s): %s",
	    segment->name, slot->index, (int)slot->pid, slot->command, why);
	shm_client_death(&segment->seg, slot->index);
	reap_add(&slot->server->reaper, slot);
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
	segment_remember(
	    slot->segment, &slot->last, slot->sum.bytes, slot->sum.chunks);
	value_format("bytes", slot->sum.bytes, bytes);
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

static bool
process_has_ended(const struct slot *slot)
{
	struct pollfd poll_fd = { .fd = slot->pidfd, .events = POLLIN };
	return poll(&poll_fd, 1, 0) > 0;
}

/* What became of SLOT's process?  True if that ended the slot. */
static bool
fate_settle(struct slot *slot)
{
	if (process_has_ended(slot)) {
		slot_end(slot, "its process has ended");
		return true;
	}
	if (proc_maps(slot->pid, slot->segment->seg.fd) != PROC_GONE)
		return false;
	/* The pid may have been reused between the two looks. */
	slot_end(slot,
	    process_has_ended(slot) ? "its process has ended"
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
