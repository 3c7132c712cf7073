/*
 * trim, check, roots: what is done to a segment's heap.
 */
#include <inttypes.h>
#include <string.h>

#include "server/control.h"
#include "server/journal.h"
#include "server/log.h"
#include "server/server.h"
#include "shm/access.h"
#include "shm/daemon.h"
#include "shm/stats.h"

#define FINDINGS_MAX 100

static int
arena_check(struct call *call, bool has_arena, uint32_t arena, int32_t *ret)
{
	uint32_t n = shm_load(&call->segment->seg.super->n_arenas);
	*ret = -1;
	if (!has_arena)
		return 0;
	if (arena >= n || arena >= SHM_ARENAS)
		return call_fail(call, SHM_ERANGE, NULL,
		    "there is no arena %" PRIu32 "; there are %" PRIu32, arena,
		    n);
	*ret = (int32_t)arena;
	return 0;
}

int
verb_trim_work(struct call *call)
{
	const Proto__TrimRequest *request = call->request->trim;
	int32_t arena;
	int error =
	    arena_check(call, request->has_arena, request->arena, &arena);
	if (error != 0)
		return error;
	Proto__Trimmed *to = pool_alloc(call->pool, sizeof *to);
	proto__trimmed__init(to);
	to->schema = pool_strdup(call->pool, "shmalloc.trim/1");
	CALL_PUT(
	    to, bytes, shm_trim(&call->segment->seg, arena, request->dry_run));
	CALL_PUT(to, dry_run, request->dry_run);
	call->work = to;
	return 0;
}

int
verb_trim(struct call *call)
{
	Proto__Trimmed *to = call->work;
	if (!to->dry_run)
		journal_note(JOURNAL_OPERATOR, call->segment, NULL,
		    "trimmed by %s: %" PRIu64 " bytes", call->who, to->bytes);
	if (!to->dry_run)
		log_info("segment %s: trimmed by %s: %" PRIu64 " bytes",
		    call->segment->name, call->who, to->bytes);
	call->reply->trimmed = to;
	call->reply->body_case = PROTO__REPLY__BODY_TRIMMED;
	return 0;
}

/* ---- check --------------------------------------------------------------- */

struct checking {
	struct call *call;
	Proto__Checked *to;
};

static void
on_finding(void *arg, const struct shm_finding *finding)
{
	struct checking *checking = arg;
	struct call *call = checking->call;
	Proto__Checked *to = checking->to;
	to->findings_total++;
	to->repaired += finding->is_repaired;
	if (to->n_findings >= FINDINGS_MAX)
		return;
	Proto__Finding *one = pool_alloc(call->pool, sizeof *one);
	proto__finding__init(one);
	CALL_PUT(one, invariant, finding->invariant);
	if (finding->arena >= 0)
		CALL_PUT(one, arena, (uint32_t)finding->arena);
	CALL_PUT(one, offset, finding->off);
	CALL_PUT(one, repaired, finding->is_repaired);
	one->text = pool_strdup(call->pool, finding->text);
	to->findings[to->n_findings++] = one;
}

static void
checked_reset(struct call *call, Proto__Checked *to)
{
	proto__checked__init(to);
	to->schema = pool_strdup(call->pool, "shmalloc.check/1");
	to->findings =
	    pool_array(call->pool, FINDINGS_MAX, sizeof(*to->findings));
	CALL_PUT(to, findings_total, 0);
	CALL_PUT(to, repaired, 0);
	CALL_PUT(to, arenas, shm_load(&call->segment->seg.super->n_arenas));
}

int
verb_check_work(struct call *call)
{
	bool repair = call->request->check->repair;
	unsigned tries = 0;
	int r;
	Proto__Checked *to = pool_alloc(call->pool, sizeof *to);
	struct checking checking = { call, to };
	do {
		checked_reset(call, to);
		r = shm_check(
		    &call->segment->seg, repair, on_finding, &checking);
	} while (r == SHM_ERETRY && call_try_again(&tries));
	if (call_walk_was_busy(call, r))
		return SHM_EBUSY;
	if (r < 0)
		return call_fail(call, r, NULL,
		    "the segment is so damaged "
		    "that it cannot be walked");
	CALL_PUT(to, left, to->findings_total - to->repaired);
	call->work = to;
	return 0;
}

int
verb_check(struct call *call)
{
	Proto__Checked *to = call->work;
	journal_note(JOURNAL_OPERATOR, call->segment, NULL,
	    "checked by %s: %" PRIu64 " findings, %" PRIu64 " repaired",
	    call->who, to->findings_total, to->repaired);
	if (to->findings_total > 0)
		log_warn("segment %s: check by %s: %" PRIu64
			 " findings, %" PRIu64 " repaired",
		    call->segment->name, call->who, to->findings_total,
		    to->repaired);
	call->reply->checked = to;
	call->reply->body_case = PROTO__REPLY__BODY_CHECKED;
	return 0;
}
