#include "server/huge.h"

#include "server/job.h"
#include "server/log.h"
#include "server/tune.h"

#define HUGE_MOST 16 /* in one job, so that others need not wait for long */

static int
collapse_work(struct call *call)
{
	struct segment *segment = call->segment;
	shm_huge_collapse(&segment->seg, &segment->huge, HUGE_MOST);
	return 0;
}

static int
collapse_run(struct call *call)
{
	struct segment *segment = call->segment;
	segment->is_collapsing = false;
	if (segment->huge.is_denied)
		log_info("segment %s: this kernel gives no huge pages to it",
		    segment->name);
	return 0;
}

void
huge_tick(struct server *server, struct segment *segment)
{
	if (segment->is_collapsing)
		return;
	/* Also what was filled before they were switched off. */
	shm_huge_settle(&segment->seg, &segment->huge);
	if (tune_value(segment, SHM_PARAM_hugepages) == 0 ||
	    segment->huge.is_denied ||
	    !shm_huge_look(&segment->seg, &segment->huge))
		return;
	segment->is_collapsing =
	    job_background(server, segment, collapse_work, collapse_run);
}
