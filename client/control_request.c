/*
 * The requests of the control interface, one function each: fill a message,
 * send it, give its reply.  See <shmalloc/control.h>.
 */
#include <stdlib.h>
#include <string.h>

#include "client/control_internal.h"

/*
 * protobuf-c's strings aren't const, but packing does not write to them.  One
 * place knows that.
 */
static char *
string_for_message(const char *string)
{
	union {
		const char *in;
		char *out;
	} cast = { .in = string };

	return cast.out;
}

int
shmalloc_control_status(struct shmalloc_control *control, const char *segment,
    struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__StatusRequest status = PROTO__STATUS_REQUEST__INIT;

	request.body_case = PROTO__REQUEST__BODY_STATUS;
	request.status = &status;
	return shmalloc_control_request(control, &request, segment,
	    PROTO__REPLY__BODY_STATUS, 0, ret_reply);
}

int
shmalloc_control_stats(struct shmalloc_control *control, const char *segment,
    unsigned flags, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__StatsRequest stats = PROTO__STATS_REQUEST__INIT;

	stats.has_exact = 1;
	stats.exact = (flags & SHMALLOC_EXACT) != 0;
	request.body_case = PROTO__REQUEST__BODY_STATS;
	request.stats = &stats;
	return shmalloc_control_request(control, &request, segment,
	    PROTO__REPLY__BODY_STATS, stats.exact, ret_reply);
}

int
shmalloc_control_clients(struct shmalloc_control *control, const char *segment,
    uint32_t pid, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__ClientsRequest clients = PROTO__CLIENTS_REQUEST__INIT;

	clients.has_pid = pid != 0;
	clients.pid = pid;
	request.body_case = PROTO__REQUEST__BODY_CLIENTS;
	request.clients = &clients;
	return shmalloc_control_request(control, &request, segment,
	    PROTO__REPLY__BODY_CLIENTS, 0, ret_reply);
}

int
shmalloc_control_evict(
    struct shmalloc_control *control, const char *segment, uint32_t pid)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__EvictRequest evict = PROTO__EVICT_REQUEST__INIT;

	request.body_case = PROTO__REQUEST__BODY_EVICT;
	request.evict = &evict;
	evict.has_pid = 1;
	evict.pid = pid;
	return shmalloc_control_request(
	    control, &request, segment, PROTO__REPLY__BODY_DONE, 0, NULL);
}

int
shmalloc_control_locks(struct shmalloc_control *control, const char *segment,
    struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__LocksRequest locks = PROTO__LOCKS_REQUEST__INIT;

	request.body_case = PROTO__REQUEST__BODY_LOCKS;
	request.locks = &locks;
	return shmalloc_control_request(
	    control, &request, segment, PROTO__REPLY__BODY_LOCKS, 0, ret_reply);
}

int
shmalloc_control_latency(struct shmalloc_control *control, const char *segment,
    unsigned flags, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__LatencyRequest latency = PROTO__LATENCY_REQUEST__INIT;

	latency.has_reset = 1;
	latency.reset = (flags & SHMALLOC_RESET) != 0;
	request.body_case = PROTO__REQUEST__BODY_LATENCY;
	request.latency = &latency;
	return shmalloc_control_request(control, &request, segment,
	    PROTO__REPLY__BODY_LATENCY, 0, ret_reply);
}

int
shmalloc_control_profile(struct shmalloc_control *control, const char *segment,
    struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__ProfileRequest profile = PROTO__PROFILE_REQUEST__INIT;

	request.body_case = PROTO__REQUEST__BODY_PROFILE;
	request.profile = &profile;
	return shmalloc_control_request(control, &request, segment,
	    PROTO__REPLY__BODY_PROFILE, 1, ret_reply);
}

int
shmalloc_control_events(struct shmalloc_control *control, const char *segment,
    uint64_t after, uint32_t most, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__EventsRequest events = PROTO__EVENTS_REQUEST__INIT;

	events.has_after = events.has_most = 1;
	events.after = after;
	events.most = most;
	request.body_case = PROTO__REQUEST__BODY_EVENTS;
	request.events = &events;
	return shmalloc_control_request(control, &request, segment,
	    PROTO__REPLY__BODY_EVENTS, 0, ret_reply);
}

int
shmalloc_control_map(struct shmalloc_control *control, const char *segment,
    uint32_t arena, uint32_t cells, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__MapRequest map = PROTO__MAP_REQUEST__INIT;

	map.has_arena = arena != SHMALLOC_ALL_ARENAS;
	map.arena = arena;
	map.has_cells = cells != 0;
	map.cells = cells;
	request.body_case = PROTO__REQUEST__BODY_MAP;
	request.map = &map;
	return shmalloc_control_request(
	    control, &request, segment, PROTO__REPLY__BODY_MAP, 1, ret_reply);
}

int
shmalloc_control_fit(struct shmalloc_control *control, const char *segment,
    uint64_t size, uint64_t count, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__FitRequest fit = PROTO__FIT_REQUEST__INIT;

	fit.has_size_bytes = 1;
	fit.size_bytes = size;
	fit.has_count = 1;
	fit.count = count == 0 ? 1 : count;
	request.body_case = PROTO__REQUEST__BODY_FIT;
	request.fit = &fit;
	return shmalloc_control_request(
	    control, &request, segment, PROTO__REPLY__BODY_FIT, 1, ret_reply);
}

int
shmalloc_control_tune_list(struct shmalloc_control *control,
    const char *segment, const char *name, unsigned flags,
    struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__TuneListRequest list = PROTO__TUNE_LIST_REQUEST__INIT;

	list.name = string_for_message(name);
	list.has_changed = 1;
	list.changed = (flags & SHMALLOC_CHANGED) != 0;
	request.body_case = PROTO__REQUEST__BODY_TUNE_LIST;
	request.tune_list = &list;
	return shmalloc_control_request(control, &request, segment,
	    PROTO__REPLY__BODY_PARAMETERS, 0, ret_reply);
}

static int
tune_set(struct shmalloc_control *control, const char *segment, size_t n,
    Proto__Assignment *assignment, Proto__Assignment **list, double seconds,
    unsigned flags, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__TuneSetRequest set = PROTO__TUNE_SET_REQUEST__INIT;

	for (size_t i = 0; i < n; i++)
		list[i] = &assignment[i];
	set.n_set = n;
	set.set = list;
	set.has_dry_run = 1;
	set.dry_run = (flags & SHMALLOC_DRY_RUN) != 0;
	set.has_for_seconds = seconds >= 0;
	set.for_seconds = seconds;
	request.body_case = PROTO__REQUEST__BODY_TUNE_SET;
	request.tune_set = &set;
	return shmalloc_control_request(control, &request, segment,
	    PROTO__REPLY__BODY_CHANGES, 0, ret_reply);
}

/* For SECONDS, or if they are negative for good. */
static int
assignments_send(struct shmalloc_control *control, const char *segment,
    size_t n, const struct shmalloc_assignment set[], double seconds,
    unsigned flags, struct shmalloc_reply **ret_reply)
{
	Proto__Assignment *assignment = calloc(n, sizeof(*assignment));
	Proto__Assignment **list = calloc(n, sizeof(*list));
	int r = SHMALLOC_ESYSTEM;

	if (n == 0)
		r = SHMALLOC_EINVAL;
	else if (assignment != NULL && list != NULL) {
		for (size_t i = 0; i < n; i++) {
			proto__assignment__init(&assignment[i]);
			assignment[i].name = string_for_message(set[i].name);
			assignment[i].value = string_for_message(set[i].value);
		}
		r = tune_set(control, segment, n, assignment, list, seconds,
		    flags, ret_reply);
	}
	free(list);
	free(assignment);
	return r;
}

int
shmalloc_control_tune_set(struct shmalloc_control *control, const char *segment,
    size_t n, const struct shmalloc_assignment set[], unsigned flags,
    struct shmalloc_reply **ret_reply)
{
	return assignments_send(control, segment, n, set, -1, flags, ret_reply);
}

int
shmalloc_control_tune_set_for(struct shmalloc_control *control,
    const char *segment, size_t n, const struct shmalloc_assignment set[],
    double seconds, unsigned flags, struct shmalloc_reply **ret_reply)
{
	if (!(seconds > 0))
		return SHMALLOC_EINVAL;
	return assignments_send(
	    control, segment, n, set, seconds, flags, ret_reply);
}

int
shmalloc_control_tune_revert(struct shmalloc_control *control,
    const char *segment, unsigned flags, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__TuneRevertRequest revert = PROTO__TUNE_REVERT_REQUEST__INIT;

	revert.has_dry_run = 1;
	revert.dry_run = (flags & SHMALLOC_DRY_RUN) != 0;
	request.body_case = PROTO__REQUEST__BODY_TUNE_REVERT;
	request.tune_revert = &revert;
	return shmalloc_control_request(control, &request, segment,
	    PROTO__REPLY__BODY_CHANGES, 0, ret_reply);
}

int
shmalloc_control_tune_save(
    struct shmalloc_control *control, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__TuneSaveRequest save = PROTO__TUNE_SAVE_REQUEST__INIT;

	request.body_case = PROTO__REQUEST__BODY_TUNE_SAVE;
	request.tune_save = &save;
	return shmalloc_control_request(
	    control, &request, NULL, PROTO__REPLY__BODY_SAVED, 0, ret_reply);
}

int
shmalloc_control_tune_reset(struct shmalloc_control *control,
    const char *segment, const char *name, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__TuneResetRequest reset = PROTO__TUNE_RESET_REQUEST__INIT;

	reset.name = string_for_message(name);
	request.body_case = PROTO__REQUEST__BODY_TUNE_RESET;
	request.tune_reset = &reset;
	return shmalloc_control_request(control, &request, segment,
	    PROTO__REPLY__BODY_CHANGES, 0, ret_reply);
}

int
shmalloc_control_trim(struct shmalloc_control *control, const char *segment,
    uint32_t arena, unsigned flags, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__TrimRequest trim = PROTO__TRIM_REQUEST__INIT;

	trim.has_arena = arena != SHMALLOC_ALL_ARENAS;
	trim.arena = arena;
	trim.has_dry_run = 1;
	trim.dry_run = (flags & SHMALLOC_DRY_RUN) != 0;
	request.body_case = PROTO__REQUEST__BODY_TRIM;
	request.trim = &trim;
	return shmalloc_control_request(control, &request, segment,
	    PROTO__REPLY__BODY_TRIMMED, 1, ret_reply);
}

int
shmalloc_control_check(struct shmalloc_control *control, const char *segment,
    unsigned flags, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__CheckRequest check = PROTO__CHECK_REQUEST__INIT;

	check.has_repair = 1;
	check.repair = (flags & SHMALLOC_REPAIR) != 0;
	request.body_case = PROTO__REQUEST__BODY_CHECK;
	request.check = &check;
	return shmalloc_control_request(control, &request, segment,
	    PROTO__REPLY__BODY_CHECKED, 1, ret_reply);
}

int
shmalloc_control_segment_list(
    struct shmalloc_control *control, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__SegmentListRequest list = PROTO__SEGMENT_LIST_REQUEST__INIT;

	request.body_case = PROTO__REQUEST__BODY_SEGMENT_LIST;
	request.segment_list = &list;
	return shmalloc_control_request(
	    control, &request, NULL, PROTO__REPLY__BODY_SEGMENTS, 0, ret_reply);
}

int
shmalloc_control_segment_create(struct shmalloc_control *control,
    const char *name, const struct shmalloc_segment_options *options)
{
	struct shmalloc_segment_options full = SHMALLOC_SEGMENT_OPTIONS_INIT;
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__SegmentCreateRequest create =
	    PROTO__SEGMENT_CREATE_REQUEST__INIT;

	memcpy(&full, options,
	    options->size < sizeof(full) ? options->size : sizeof(full));
	create.name = string_for_message(name);
	create.has_size_bytes = 1;
	create.size_bytes = full.limit_bytes;
	create.has_reserved_bytes = full.reserved_bytes != 0;
	create.reserved_bytes = full.reserved_bytes;
	create.has_mode = 1;
	create.mode = full.mode;
	create.has_quota_bytes = full.quota_bytes != 0;
	create.quota_bytes = full.quota_bytes;
	create.group = string_for_message(full.group);
	request.body_case = PROTO__REQUEST__BODY_SEGMENT_CREATE;
	request.segment_create = &create;
	return shmalloc_control_request(
	    control, &request, NULL, PROTO__REPLY__BODY_DONE, 0, NULL);
}

int
shmalloc_control_segment_destroy(
    struct shmalloc_control *control, const char *name, unsigned flags)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__SegmentDestroyRequest destroy =
	    PROTO__SEGMENT_DESTROY_REQUEST__INIT;

	destroy.name = string_for_message(name);
	destroy.has_force = 1;
	destroy.force = (flags & SHMALLOC_FORCE) != 0;
	request.body_case = PROTO__REQUEST__BODY_SEGMENT_DESTROY;
	request.segment_destroy = &destroy;
	return shmalloc_control_request(
	    control, &request, NULL, PROTO__REPLY__BODY_DONE, 0, NULL);
}

int
shmalloc_control_roots(struct shmalloc_control *control, const char *segment,
    struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__RootsRequest roots = PROTO__ROOTS_REQUEST__INIT;

	request.body_case = PROTO__REQUEST__BODY_ROOTS;
	request.roots = &roots;
	return shmalloc_control_request(
	    control, &request, segment, PROTO__REPLY__BODY_ROOTS, 0, ret_reply);
}

int
shmalloc_control_root_remove(
    struct shmalloc_control *control, const char *segment, const char *name)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__RootRemoveRequest remove = PROTO__ROOT_REMOVE_REQUEST__INIT;

	remove.name = string_for_message(name);
	request.body_case = PROTO__REQUEST__BODY_ROOT_REMOVE;
	request.root_remove = &remove;
	return shmalloc_control_request(
	    control, &request, segment, PROTO__REPLY__BODY_DONE, 0, NULL);
}

int
shmalloc_control_version(
    struct shmalloc_control *control, struct shmalloc_reply **ret_reply)
{
	Proto__Request request = PROTO__REQUEST__INIT;
	Proto__VersionRequest version = PROTO__VERSION_REQUEST__INIT;

	request.body_case = PROTO__REQUEST__BODY_VERSION;
	request.version = &version;
	return shmalloc_control_request(
	    control, &request, NULL, PROTO__REPLY__BODY_VERSION, 0, ret_reply);
}
