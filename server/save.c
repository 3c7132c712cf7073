#include "server/save.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/freeze.h"
#include "server/log.h"
#include "server/save_file.h"
#include "server/store.h"
#include "server/tune.h"
#include "server/value.h"
#include "shm/commit.h"
#include "shm/daemon.h"

/* ---- Writing ------------------------------------------------------------- */

/* N bytes of FD from OFF; what was punched meanwhile reads as zeros. */
static int
range_put(struct save_file *file, enum save_kind kind, int fd, uint64_t off,
    uint64_t n)
{
	while (n > 0) {
		uint32_t len = n < SAVE_BLOCK ? (uint32_t)n : SAVE_BLOCK;
		ssize_t got = pread(fd, file->block, len, (off_t)off);
		if (got != (ssize_t)len)
			return SHM_ESYSTEM;
		int error = save_put(file, kind, off, file->block, len);
		if (error != 0)
			return error;
		off += len;
		n -= len;
	}
	return 0;
}

/* The bytes of memory that the file FD really has. */
static uint64_t
bytes_allocated(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

/* Region by region, most of which have nothing; never more than there is,
 * whatever the bits say. */
static int
memory_put(struct save_file *file, const struct shm_seg *seg)
{
	uint64_t left = bytes_allocated(seg->fd);
	int error = 0;
	for (uint64_t off = 0; error == 0 && off < seg->len;) {
		uint64_t room = SHM_REGION - off % SHM_REGION;
		if (off % SHM_REGION == 0 &&
		    shm_committed_pages(seg, off, room) == 0) {
			off += room;
			continue;
		}
		uint64_t n = shm_committed_prefix(seg, off, room);
		if (n > left)
			return SHM_ECORRUPT;
		left -= n;
		if (n > 0)
			error = range_put(file, SAVE_MEMORY, seg->fd, off, n);
		off += n > 0 ? n : SHM_PAGE;
	}
	return error;
}

static int
segment_put(struct save_file *file, const struct segment *segment)
{
	struct save_segment head = { .mode = segment->mode,
		.uid = segment->owner,
		.gid = segment->group,
		.size = segment->size,
		.reserved = segment->seg.len,
		.created = (uint64_t)segment->created };
	snprintf(head.name, sizeof head.name, "%s", segment->name);
	int error = save_put(file, SAVE_SEGMENT, 0, &head, sizeof head);
	if (error == 0)
		error = memory_put(file, &segment->seg);
	if (error == 0)
		error = range_put(file, SAVE_PINS, segment->seg.pins_fd, 0,
		    sizeof(struct shm_pins));
	return error;
}

/* Clients that its owner lets write could make it say anything, until they are
 * held still. */
static bool
is_plausible(const struct segment *segment)
{
	const struct shm_seg *seg = &segment->seg;
	uint64_t committed = shm_committed_pages(seg, 0, seg->len) * SHM_PAGE;
	uint64_t limit = tune_value(segment, SHM_PARAM_limit_hard);
	return committed <= bytes_allocated(seg->fd) &&
	    limit <= shm_seg_reserve(seg);
}

/* Hold the clients of SEGMENT still.  False: why not was logged, and it is left
 * out of the save. */
static bool
clients_hold(struct segment *segment, struct freeze *freeze)
{
	pid_t pid = 0;
	int error = freeze_begin(segment, freeze, &pid);
	if (error != 0)
		log_error("segment %s: pid %d cannot be held still (%s), so "
			  "it is not saved; stop clients before the daemon",
		    segment->name, (int)pid,
		    error == SHM_EBUSY ? "it does not stop"
				       : "the system refuses");
	return error == 0;
}

/* Write SEGMENT, or leave it out, which is logged, if it makes no sense: others
 * than its clients may have it mapped, and go on. */
static int
segment_save(
    struct save_file *file, struct segment *segment, uint32_t *ret_left)
{
	struct save_mark before = save_here(file);
	int error = SHM_ECORRUPT;
	if (is_plausible(segment)) {
		shm_daemon_stop(&segment->seg);
		error = segment_put(file, segment);
	}
	if (error != SHM_ECORRUPT)
		return error;
	log_error("segment %s: is damaged, and not saved", segment->name);
	++*ret_left;
	return save_rewind(file, &before);
}

/* Write all that can be; *RET_LEFT segments are left out. */
static int
all_save(struct server *server, struct save_file *file, uint32_t *ret_left)
{
	struct segment *segment;
	struct freeze freeze;
	struct save_head head = { .magic = SAVE_MAGIC, .layout = SHM_LAYOUT };
	int error = save_put(file, SAVE_HEAD, 0, &head, sizeof head);
	TAILQ_FOREACH(segment, &server->segments, link)
	{
		if (error != 0)
			break;
		if (!clients_hold(segment, &freeze)) {
			++*ret_left;
			continue;
		}
		error = segment_save(file, segment, ret_left);
		freeze_end(&freeze);
	}
	if (error == 0)
		error = save_put(file, SAVE_END, 0, NULL, 0);
	return error;
}

int
save_write(struct server *server, const char *path)
{
	struct save_file file;
	char bytes[VALUE_LEN];
	uint64_t began_ms = server_now_ms();
	uint32_t left = 0;
	int error = save_create(&file, path);
	if (error != 0)
		return error;
	error = all_save(server, &file, &left);
	error = save_commit(&file, error);
	if (error != 0)
		return error;
	value_format("bytes", file.n_bytes, bytes);
	log_info("saved %" PRIu32 " segment(s), %s, to %s in %" PRIu64 " ms",
	    segment_count(server) - left, bytes, path,
	    server_now_ms() - began_ms);
	return left == 0 ? 0 : SHM_ECORRUPT;
}

/* ---- Reading ------------------------------------------------------------- */

/* A segment on its way in. */
struct incoming {
	struct save_segment head;
	int fd, pins_fd;  /* -1: it is there already, and is not taken */
	bool is_begun;    /* a segment is on its way */
	uint32_t n_taken; /* so far; they are at the end of the server's */
};

static int
incoming_open(struct server *server, struct incoming *in,
    const struct save_file *file, const struct save_record *record)
{
	if (record->len != sizeof in->head)
		return SHM_ECORRUPT;
	memcpy(&in->head, file->block, sizeof in->head);
	if (memchr(in->head.name, '\0', sizeof in->head.name) == NULL ||
	    config_name_error(in->head.name) != NULL ||
	    (in->head.mode & ~0777u) != 0)
		return SHM_ECORRUPT;
	in->is_begun = true;
	if (segment_find(server, in->head.name) != NULL)
		return 0;
	return shm_seg_files(in->head.name, in->head.reserved,
	    (in->head.mode & 0666) | 0600, &in->fd, &in->pins_fd);
}

static int
block_take(const struct incoming *in, const struct save_file *file,
    const struct save_record *record)
{
	bool is_pins = record->kind == SAVE_PINS;
	uint64_t end = is_pins ? sizeof(struct shm_pins) : in->head.reserved;
	if (record->off > end || record->len > end - record->off)
		return SHM_ECORRUPT;
	if (in->fd < 0)
		return 0;
	ssize_t n = pwrite(is_pins ? in->pins_fd : in->fd, file->block,
	    record->len, (off_t)record->off);
	return n == (ssize_t)record->len ? 0 : SHM_ESYSTEM;
}

/* The segment is whole: it becomes one of the server's. */
static int
incoming_adopt(struct server *server, struct incoming *in)
{
	struct segment *segment;
	struct store_segment_name name = { .mode = in->head.mode,
		.uid = in->head.uid,
		.gid = in->head.gid,
		.size = in->head.size,
		.second = in->head.created };
	int fd = in->fd, pins_fd = in->pins_fd;
	snprintf(name.name, sizeof name.name, "%s", in->head.name);
	/* Clients of the former one have another memory. */
	int error = shm_seg_rename(fd, pins_fd, name.id);
	if (error == 0 && (name.uid != geteuid() || name.gid != getegid()) &&
	    fchown(fd, name.uid, name.gid) != 0)
		error = SHM_EPERM;
	if (error != 0)
		return error;
	in->fd = in->pins_fd = -1;
	error = segment_adopt(server, &name, fd, pins_fd, &segment);
	if (error != 0)
		return error;
	in->n_taken++;
	segment->is_restored = true;
	tune_recover(segment, &server->config);
	return 0;
}

static void
incoming_close(struct incoming *in)
{
	if (in->fd >= 0)
		close(in->fd);
	if (in->pins_fd >= 0)
		close(in->pins_fd);
	in->fd = in->pins_fd = -1;
}

static int
record_take(struct server *server, struct incoming *in,
    const struct save_file *file, const struct save_record *record)
{
	int error = 0;
	switch (record->kind) {
	case SAVE_SEGMENT:
	case SAVE_END:
		if (in->fd >= 0)
			error = incoming_adopt(server, in);
		if (error == 0 && record->kind == SAVE_SEGMENT)
			error = incoming_open(server, in, file, record);
		return error;
	case SAVE_MEMORY:
	case SAVE_PINS:
		return in->is_begun ? block_take(in, file, record)
				    : SHM_ECORRUPT;
	default:
		return SHM_ECORRUPT;
	}
}

/* How many were taken. */
static int
all_read(struct server *server, struct save_file *file, uint32_t *ret_n)
{
	struct save_record record;
	struct incoming in = { .fd = -1, .pins_fd = -1 };
	int error;
	do {
		error = save_get(file, &record);
		if (error == 0)
			error = record_take(server, &in, file, &record);
	} while (error == 0 && record.kind != SAVE_END);
	incoming_close(&in);
	*ret_n = in.n_taken;
	return error;
}

/* The last N segments were read from PATH: all of it, or it is damaged and
 * they are not taken. */
static void
taken_settle(struct server *server, const char *path, uint32_t n, bool is_whole)
{
	struct segment *segment = TAILQ_LAST(&server->segments, segment_list);
	for (uint32_t i = 0; i < n; i++) {
		struct segment *before =
		    TAILQ_PREV(segment, segment_list, link);
		if (is_whole) {
			store_segment(&server->store, segment);
			log_info(
			    "segment %s: read from %s", segment->name, path);
		} else {
			segment_leave(server, segment);
		}
		segment = before;
	}
}

int
save_read(struct server *server, const char *path, bool *ret_is_read)
{
	struct save_file file;
	uint32_t n = 0;
	int error = save_open(&file, path);
	if (error == SHM_ENOTFOUND)
		return 0;
	if (error == 0) {
		error = all_read(server, &file, &n);
		save_close(&file);
	}
	if (error != 0)
		save_error_log(path, error);
	taken_settle(server, path, n, error == 0);
	*ret_is_read = error == 0;
	return error;
}

void
save_remove(const char *path)
{
	if (unlink(path) != 0)
		log_error("cannot remove %s: %s; remove it, for what it has is "
			  "stale",
		    path, strerror(errno));
}
