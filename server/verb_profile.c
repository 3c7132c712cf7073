/*
 * profile: the heap profile; see shm/sample.h.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "server/control.h"
#include "server/pprof.h"
#include "server/server.h"
#include "shm/access.h"

/* What an answer has beside the profile itself. */
#define ROOM 1024u

static void
profile_put(
    struct call *call, const struct pprof *pprof, Proto__HeapProfile *to)
{
	const struct shm_seg *seg = &call->segment->seg;
	proto__heap_profile__init(to);
	to->schema = pool_strdup(call->pool, "shmalloc.profile/1");
	CALL_PUT(to, time, server_time());
	CALL_PUT(to, sample_bytes,
	    shm_load(&seg->tunables->value[SHM_PARAM_profile_sample_bytes]));
	CALL_PUT(to, samples, pprof->samples);
	CALL_PUT(to, objects, pprof->objects);
	CALL_PUT(to, bytes, pprof->bytes);
	CALL_PUT(to, taken, shm_load(&seg->super->sampled));
	CALL_PUT(to, lost, shm_load(&seg->super->samples_lost));
	to->has_pprof = 1;
	to->pprof.len = pprof->len;
	to->pprof.data = pool_array(call->pool, pprof->len, 1);
	memcpy(to->pprof.data, pprof->data, pprof->len);
	call->work = to;
}

int
verb_profile_work(struct call *call)
{
	struct pprof pprof;
	int error =
	    pprof_make(&call->segment->seg, call->segment->name, &pprof);
	if (error != 0)
		return call_fail(call, error, NULL, "out of memory");
	if (pprof.len < PROTO_MAX_REPLY - ROOM)
		profile_put(call, &pprof,
		    pool_alloc(call->pool, sizeof(Proto__HeapProfile)));
	else
		error = call_fail(call, SHM_ERANGE, NULL,
		    "the profile has %" PRIu64 " samples, more than an answer "
		    "holds; raise profile.sample_bytes",
		    pprof.samples);
	free(pprof.data);
	return error;
}

int
verb_profile(struct call *call)
{
	call->reply->profile = call->work;
	call->reply->body_case = PROTO__REPLY__BODY_PROFILE;
	return 0;
}
