#include "server/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/journal.h"
#include "server/server.h"
#include "server/slot.h"
#include "server/tune.h"
#include "shm/daemon.h"

const char *const segment_start_names[] = {
	[SEGMENT_COLD] = "cold",
	[SEGMENT_WARM] = "warm",
	[SEGMENT_RECOVERED] = "recovered",
};

struct segment *
segment_find(struct server *server, const char *name)
{
	struct segment *segment;
	TAILQ_FOREACH(segment, &server->segments, link)
	if (strcmp(segment->name, name) == 0)
		return segment;
	return NULL;
}

uint32_t
segment_count(const struct server *server)
{
	uint32_t n = 0;
	const struct segment *segment;
	TAILQ_FOREACH(segment, &server->segments, link)
	n++;
	return n;
}

uint32_t
segment_clients(const struct server *server)
{
	uint32_t n = 0;
	const struct segment *segment;
	TAILQ_FOREACH(segment, &server->segments, link)
	n += segment->n_slots;
	return n;
}

/* ---- Making ------------------------------------------------------------ */

/*
 * The file's own permission bits stop a client from opening its descriptor
 * again with more rights.  The daemon needs the owner's for itself.
 */
static int
file_give(int fd, const struct segment_spec *spec)
{
	uid_t owner = spec->owner == CONFIG_NOBODY ? geteuid() : spec->owner;
	gid_t group = spec->group == CONFIG_NOBODY ? getegid() : spec->group;
	if (owner == geteuid() && group == getegid())
		return 0;
	return fchown(fd, owner, group) == 0 ? 0 : SHM_EPERM;
}

static int
spec_check(struct server *server, const struct segment_spec *spec,
    const char **ret_why)
{
	uint64_t most =
	    config_number(&server->config, NULL, CONFIG_MAX_SEGMENTS);
	const struct shm_param_info *limit = &shm_params[SHM_PARAM_limit_hard];
	*ret_why = config_name_error(spec->name);
	if (*ret_why != NULL)
		return SHM_EINVAL;
	*ret_why = "there is a segment of that name";
	if (segment_find(server, spec->name) != NULL)
		return SHM_EEXIST;
	*ret_why = "there are as many segments as max_segments allows";
	if (segment_count(server) >= most)
		return SHM_EBUSY;
	*ret_why = "its size is below 1M or above 1024T";
	if (spec->size < limit->min || spec->size > limit->max)
		return SHM_ERANGE;
	*ret_why = "its reserve is below its size";
	if (spec->reserve != 0 && spec->reserve < spec->size)
		return SHM_ERANGE;
	*ret_why = "its mode is no permission bits";
	if ((spec->mode & ~0777u) != 0)
		return SHM_EINVAL;
	return 0;
}

static int
memory_create(struct segment *segment, const struct segment_spec *spec,
    const char **ret_why)
{
	int fd, pins_fd;
	struct shm_seg_options options = { .name = spec->name,
		.limit = spec->size,
		.reserve = spec->reserve,
		.mode = (spec->mode & 0666) | 0600 };
	*ret_why = "the system refused its memory";
	int error = shm_seg_create(&options, &fd, &pins_fd);
	if (error == SHM_EINVAL)
		*ret_why = "its size or its reserve is too large: with its "
			   "tables a segment has 2T at most";
	if (error != 0)
		return error;
	*ret_why = "only root may give it to another owner, or to a group that "
		   "the daemon is not in";
	error = file_give(fd, spec);
	if (error == 0) {
		*ret_why = "it could not be mapped";
		error = shm_seg_map(fd, pins_fd, false, &segment->seg);
	}
	if (error != 0) {
		close(fd);
		close(pins_fd);
		return error;
	}
	error = shm_daemon_start(&segment->seg);
	if (error != 0)
		shm_seg_unmap(&segment->seg);
	return error;
}

int
segment_create(struct server *server, const struct segment_spec *spec,
    struct segment **ret_segment, const char **ret_why)
{
	struct stat st;
	int error = spec_check(server, spec, ret_why);
	if (error != 0)
		return error;
	struct segment *segment = calloc(1, sizeof *segment);
	*ret_why = "out of memory";
	if (segment == NULL)
		return SHM_ENOMEM;
	snprintf(segment->name, sizeof segment->name, "%s", spec->name);
	segment->mode = spec->mode;
	segment->size = spec->size;
	segment->created = server_time();
	segment->evict_ms = shm_params[SHM_PARAM_reader_evict_ms].def;
	error = memory_create(segment, spec, ret_why);
	if (error == 0 && fstat(segment->seg.fd, &st) != 0) {
		error = SHM_ESYSTEM;
		shm_seg_unmap(&segment->seg);
	}
	if (error != 0) {
		free(segment);
		return error;
	}
	memcpy(segment->id, segment->seg.super->id, sizeof segment->id);
	segment->owner = st.st_uid;
	segment->group = st.st_gid;
	TAILQ_INSERT_TAIL(&server->segments, segment, link);
	*ret_segment = segment;
	return 0;
}

/* The mapping of somebody else's memory, and whether it is what it was. */
static int
memory_adopt(struct segment *segment, int fd, int pins_fd)
{
	int error = shm_seg_map(fd, pins_fd, false, &segment->seg);
	if (error != 0) {
		close(fd);
		close(pins_fd);
		return error;
	}
	struct shm_seg *seg = &segment->seg;
	bool was_stopped = atomic_load_explicit(&seg->super->daemon_pid,
			       memory_order_relaxed) == 0;
	segment->start = was_stopped ? SEGMENT_WARM : SEGMENT_RECOVERED;
	error = SHM_ECORRUPT;
	if (memcmp(seg->super->id, segment->id, sizeof segment->id) == 0)
		error = shm_daemon_start(seg);
	if (error != 0)
		shm_seg_unmap(seg);
	return error;
}

int
segment_adopt(struct server *server, const struct store_segment_name *name,
    int fd, int pins_fd, struct segment **ret_segment)
{
	bool is_new = segment_find(server, name->name) == NULL;
	struct segment *segment = is_new ? calloc(1, sizeof *segment) : NULL;
	if (segment == NULL) {
		close(fd);
		close(pins_fd);
		return is_new ? SHM_ENOMEM : SHM_EEXIST;
	}
	snprintf(segment->name, sizeof segment->name, "%s", name->name);
	memcpy(segment->id, name->id, sizeof segment->id);
	segment->mode = name->mode;
	segment->owner = name->uid;
	segment->group = name->gid;
	segment->size = name->size;
	segment->created = (double)name->second;
	int error = memory_adopt(segment, fd, pins_fd);
	if (error != 0) {
		free(segment);
		return error;
	}
	TAILQ_INSERT_TAIL(&server->segments, segment, link);
	*ret_segment = segment;
	return 0;
}

static int
configured_create(struct server *server, const struct config *config,
    const struct config_section *section)
{
	struct segment *segment;
	const char *why;
	char size[VALUE_LEN];
	struct segment_spec spec = { .name = section->name,
		.size = config_number(config, section, CONFIG_SIZE),
		.reserve = config_number(config, section, CONFIG_RESERVE),
		.mode = (uint32_t)config_number(config, section, CONFIG_MODE),
		.owner = (uid_t)config_number(config, section, CONFIG_OWNER),
		.group = (gid_t)config_number(config, section, CONFIG_GROUP) };
	if (segment_find(server, spec.name) != NULL)
		return 0;
	int error = segment_create(server, &spec, &segment, &why);
	if (error != 0) {
		log_error("segment %s: cannot be made: %s (%s)", spec.name, why,
		    error == SHM_ESYSTEM ? strerror(errno) : "configuration");
		return error;
	}
	tune_configure(segment, config);
	store_segment(&server->store, segment);
	value_format("bytes", spec.size, size);
	journal_note(JOURNAL_SEGMENT, segment, NULL, "made, limit %s", size);
	log_info("segment %s: made, limit %s, mode %04o", segment->name, size,
	    segment->mode);
	return 0;
}

int
segment_create_configured(struct server *server, const struct config *config)
{
	int error = configured_create(server, config, &config->base);
	for (size_t i = 0; i < config->n_segments; i++) {
		int one =
		    configured_create(server, config, config->segments[i]);
		error = error != 0 ? error : one;
	}
	return error;
}

static void
segment_end(struct server *server, struct segment *segment, const char *why)
{
	for (uint32_t i = 0; i < SHM_CLIENTS; i++)
		if (segment->slots[i] != NULL)
			slot_forget(segment->slots[i], why);
	/* Another daemon's by now, maybe: V9. */
	if (!server->is_given)
		shm_daemon_stop(&segment->seg);
	TAILQ_REMOVE(&server->segments, segment, link);
	segment->is_destroyed = true;
	segment_hold(segment);
	segment_drop(segment);
}

void
segment_destroy(struct server *server, struct segment *segment)
{
	/* First: a segment without clients is better than the reverse. */
	store_segment_remove(&server->store, segment);
	segment_end(server, segment, "its segment was destroyed");
}

void
segment_leave(struct server *server, struct segment *segment)
{
	segment_end(server, segment, NULL);
}

void
segment_hold(struct segment *segment)
{
	if (segment != NULL)
		segment->n_jobs++;
}

void
segment_drop(struct segment *segment)
{
	if (segment == NULL || --segment->n_jobs > 0 || !segment->is_destroyed)
		return;
	shm_seg_unmap(&segment->seg);
	free(segment->readers);
	shm_huge_forget(&segment->huge);
	free(segment);
}

/* ---- Looking after ----------------------------------------------------- */

int
segment_descriptor(
    const struct segment *segment, bool is_read_only, int *ret_fd)
{
	char path[64];
	int fd;
	if (is_read_only) {
		snprintf(
		    path, sizeof path, "/proc/self/fd/%d", segment->seg.fd);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	} else {
		fd = fcntl(segment->seg.fd, F_DUPFD_CLOEXEC, 0);
	}
	if (fd < 0)
		return SHM_ESYSTEM;
	*ret_fd = fd;
	return 0;
}

void
segment_remember(struct segment *segment, const struct slot *slot)
{
	struct segment_past *past = &segment->past[segment->next_past];
	segment->next_past = (segment->next_past + 1) % SEGMENT_PAST;
	past->last = slot->last;
	past->ended = segment->last_reclaimed = server_time();
	past->noticed = slot->noticed;
	past->repaired = slot->repaired;
	past->bytes = slot->sum.bytes;
	past->chunks = slot->sum.chunks;
}
