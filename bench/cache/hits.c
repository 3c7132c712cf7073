/*
 * Hits: one process gets what the stream asks for and stores what misses, and
 * the share of hits in its second half is what counts; then what is live and
 * resident.  For the peer that tells what its limit is spent on, exact policies
 * are simulated with the same bytes for entries, each taking what it takes
 * there, and with the whole limit for keys and values alone.
 */
#include "bench/cache/cache.h"

static void
policies_report(struct cell *cell, double bytes, double overhead, uint32_t from)
{
	const struct stream *stream = cell->stream;
	struct report *report = cell->report;
	double limit = (double)stream->mix->limit;

	report_add(report, "lru",
	    policy_hits(POLICY_LRU, stream, bytes, overhead, from));
	report_add(report, "s3fifo",
	    policy_hits(POLICY_S3FIFO, stream, bytes, overhead, from));
	report_add(report, "s3fifo_bare",
	    policy_hits(POLICY_S3FIFO, stream, limit, 0, from));
}

void
part_hits(struct cell *cell)
{
	const struct peer *peer = cell->peer;
	const struct stream *stream = cell->stream;
	uint32_t from = stream->n / 2;
	uint64_t tables = 0, fixed = 0, all = 0;
	struct live live;

	peer->attach();
	if (peer->account != NULL) {
		peer->account(&tables, &all);
		fixed = all - tables;
	}
	stream_replay(cell, 0, from);
	report_add(cell->report, "hit_ratio",
	    (double)stream_replay(cell, from, stream->n) / (stream->n - from));
	live = live_count(cell);
	report_add(cell->report, "live_bytes", (double)live.bytes);
	report_add(cell->report, "entries", (double)live.entries);
	report_add(cell->report, "resident_bytes", (double)peer->resident());
	if (peer->account == NULL)
		return;
	peer->account(&tables, &all);
	report_add(cell->report, "counted_bytes", (double)all);
	report_add(cell->report, "table_bytes", (double)tables);
	policies_report(cell, (double)(stream->mix->limit - tables - fixed),
	    (double)(all - tables - fixed - live.bytes) / (double)live.entries,
	    from);
}
