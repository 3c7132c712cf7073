/*
 * segment list, create, destroy.
 */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <string.h>

#include "server/control.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/server.h"
#include "server/tune.h"
#include "shm/stats.h"

static Proto__SegmentInfo *
segment_put(struct call *call, struct segment *segment)
{
	struct shm_stats stats;
	Proto__SegmentInfo *info = verb_segment_info(call, segment);
	if (shm_stats_read(&segment->seg, false, &stats) == 0) {
		CALL_PUT(info, size_bytes, stats.bytes.size);
		CALL_PUT(info, used_bytes, stats.bytes.allocated);
		shm_stats_release(&stats);
	}
	return info;
}

int
verb_segment_list(struct call *call)
{
	struct segment *segment;
	Proto__SegmentList *list = pool_alloc(call->pool, sizeof *list);
	proto__segment_list__init(list);
	list->segments = pool_array(
	    call->pool, segment_count(call->server), sizeof(*list->segments));
	TAILQ_FOREACH(segment, &call->server->segments, link)
	list->segments[list->n_segments++] = segment_put(call, segment);
	call->reply->segments = list;
	call->reply->body_case = PROTO__REPLY__BODY_SEGMENTS;
	return 0;
}

/* ---- create -------------------------------------------------------------- */

static int
group_read(struct call *call, const char *text, gid_t *ret_group)
{
	uint64_t number;
	if (text == NULL || *text == '\0')
		return 0;
	if (config_group_parse(text, &number) != 0)
		return call_fail(call, SHM_EUNKNOWN, verb_text(call, text, 64),
		    "there is no group '%s'", verb_text(call, text, 64));
	*ret_group = (gid_t)number;
	return 0;
}

static int
quota_check(struct call *call, uint64_t quota)
{
	char why[TUNE_REASON_LEN];
	const struct shm_param_info *info = &shm_params[SHM_PARAM_limit_client];
	if (value_check(info, quota, why, sizeof why) == 0)
		return 0;
	return call_fail(
	    call, SHM_ERANGE, info->name, "%s: %s", info->name, why);
}

/* What the configuration says for all segments, then the quota. */
static void
created_tune(struct call *call, struct segment *segment, uint64_t quota)
{
	char reason[TUNE_REASON_LEN];
	struct tune_change change = { SHM_PARAM_limit_client,
		tune_value(segment, SHM_PARAM_limit_client), quota,
		CONFIG_RUNTIME };
	tune_configure(segment, &call->server->config);
	if (quota != 0 &&
	    tune_apply(segment, &change, 1, call->who, reason) != 0)
		log_error("segment %s: %s", segment->name, reason);
}

int
verb_segment_create(struct call *call)
{
	const Proto__SegmentCreateRequest *request =
	    call->request->segment_create;
	struct segment *segment;
	const char *why;
	char size[VALUE_LEN];
	const char *name = request->name != NULL ? request->name : "";
	struct segment_spec spec = { .name = name,
		.size = request->size_bytes,
		.reserve = request->reserved_bytes,
		.mode = request->has_mode ? request->mode : 0600,
		.owner = CONFIG_NOBODY,
		.group = CONFIG_NOBODY };
	int error = group_read(call, request->group, &spec.group);
	if (error == 0)
		error = quota_check(call, request->quota_bytes);
	if (error != 0)
		return error;
	error = segment_create(call->server, &spec, &segment, &why);
	if (error == SHM_ESYSTEM)
		return call_fail(call, error, verb_text(call, name, 64),
		    "segment '%s': %s: %s", verb_text(call, name, 64), why,
		    strerror(errno));
	if (error != 0)
		return call_fail(call, error, verb_text(call, name, 64),
		    "segment '%s': %s", verb_text(call, name, 64), why);
	created_tune(call, segment, request->quota_bytes);
	store_segment(&call->server->store, segment);
	value_format("bytes", spec.size, size);
	journal_note(JOURNAL_SEGMENT, segment, NULL, "made by %s, limit %s",
	    call->who, size);
	log_info("segment %s: made by %s, limit %s, mode %04o", segment->name,
	    call->who, size, segment->mode);
	return call_done(call);
}

/* ---- destroy ------------------------------------------------------------- */

int
verb_segment_destroy(struct call *call)
{
	const Proto__SegmentDestroyRequest *request =
	    call->request->segment_destroy;
	const char *name = request->name != NULL ? request->name : "";
	struct segment *segment = segment_find(call->server, name);
	if (segment == NULL)
		return call_fail(call, SHM_ENOSEGMENT,
		    verb_text(call, name, 64), "there is no segment '%s'",
		    verb_text(call, name, 64));
	if (segment->n_slots > 0 && !request->force)
		return call_fail(call, SHM_EBUSY, segment->name,
		    "segment '%s' has %" PRIu32
		    " client(s) attached; stop them first, or force it",
		    segment->name, segment->n_slots);
	journal_note(JOURNAL_SEGMENT, segment, NULL,
	    "destroyed by %s, with %" PRIu32 " client(s)", call->who,
	    segment->n_slots);
	log_info("segment %s: destroyed by %s, with %" PRIu32 " client(s)",
	    segment->name, call->who, segment->n_slots);
	segment_destroy(call->server, segment);
	return call_done(call);
}
