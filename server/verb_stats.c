/*
 * status, stats, version: what a segment is and how full.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "server/control.h"
#include "server/server.h"
#include "server/slot.h"
#include "server/tune.h"
#include "shm/access.h"
#include "shm/stats.h"

Proto__DaemonInfo *
verb_daemon_info(struct call *call)
{
	Proto__DaemonInfo *info = pool_alloc(call->pool, sizeof *info);
	uint64_t up_ms = server_now_ms() - call->server->started_ms;
	proto__daemon_info__init(info);
	info->version = pool_strdup(call->pool, PACKAGE_VERSION);
	if (!call->server->is_onlooker) {
		CALL_PUT(info, pid, (uint32_t)getpid());
		CALL_PUT(info, uptime_seconds, (double)up_ms / 1e3);
		info->start_mode = pool_strdup(call->pool,
		    segment_start_names[call->segment != NULL
			    ? call->segment->start
			    : call->server->start]);
	}
	if (call->segment != NULL) {
		const struct shm_super *super = call->segment->seg.super;
		uint64_t starts = shm_load(&super->starts);
		CALL_PUT(info, restarts, starts > 0 ? starts - 1 : 0);
		CALL_PUT(info, crash_recoveries, shm_load(&super->crashes));
	}
	return info;
}

static uint32_t
slots_count(const struct segment *segment, bool is_reclaiming)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < SHM_CLIENTS; i++)
		n += segment->slots[i] != NULL &&
		    (segment->slots[i]->state == SLOT_RECLAIMING) ==
			is_reclaiming;
	return n;
}

/* The same by what the segment says, when there is no daemon to ask. */
static uint32_t
slots_count_there(const struct segment *segment, bool is_dead)
{
	struct shm_seg *seg = (struct shm_seg *)(uintptr_t)&segment->seg;
	struct shm_client_stats client;
	uint32_t n = 0;
	for (uint32_t i = SHM_DAEMON_SLOT + 1; i < SHM_CLIENTS; i++)
		n += shm_client_read(seg, i, &client) &&
		    (client.state == SHM_CLIENT_DEAD) == is_dead;
	return n;
}

static uint32_t
clients_count(
    const struct call *call, const struct segment *segment, bool is_dying)
{
	return call->server->is_onlooker ? slots_count_there(segment, is_dying)
					 : slots_count(segment, is_dying);
}

Proto__SegmentInfo *
verb_segment_info(struct call *call, const struct segment *segment)
{
	Proto__SegmentInfo *info = pool_alloc(call->pool, sizeof *info);
	const struct shm_seg *seg = &segment->seg;
	uint64_t watermark = shm_load(&seg->super->watermark);
	proto__segment_info__init(info);
	info->name = pool_strdup(call->pool, segment->name);
	CALL_PUT(info, size_bytes, seg->heap + watermark);
	CALL_PUT(info, limit_bytes, tune_value(segment, SHM_PARAM_limit_hard));
	CALL_PUT(info, reserved_bytes, shm_seg_reserve(seg));
	CALL_PUT(info, layout, SHM_LAYOUT);
	CALL_PUT(info, created, segment->created);
	info->id = pool_printf(call->pool, "%016" PRIx64 "%016" PRIx64,
	    segment->id[1], segment->id[0]);
	CALL_PUT(info, clients, clients_count(call, segment, false));
	CALL_PUT(info, mode, segment->mode);
	CALL_PUT(info, uid, segment->owner);
	CALL_PUT(info, gid, segment->group);
	CALL_PUT(
	    info, quota_bytes, tune_value(segment, SHM_PARAM_limit_client));
	return info;
}

Proto__ClientCounts *
verb_client_counts(struct call *call, const struct segment *segment)
{
	Proto__ClientCounts *counts = pool_alloc(call->pool, sizeof *counts);
	const struct shm_super *super = segment->seg.super;
	proto__client_counts__init(counts);
	CALL_PUT(counts, alive, clients_count(call, segment, false));
	CALL_PUT(counts, dying, clients_count(call, segment, true));
	CALL_PUT(counts, reclaimed_total, shm_load(&super->recovered_clients));
	if (segment->last_reclaimed > 0)
		CALL_PUT(counts, last_reclaimed, segment->last_reclaimed);
	return counts;
}

/* Read CALL's segment's statistics; the caller releases them. */
static int
stats_read(struct call *call, bool is_exact, struct shm_stats *ret_stats)
{
	unsigned tries = 0;
	int error;
	do
		error =
		    shm_stats_read(&call->segment->seg, is_exact, ret_stats);
	while (error == SHM_ERETRY && call_try_again(&tries));
	if (call_walk_was_busy(call, error))
		return SHM_EBUSY;
	if (error != 0)
		return call_fail(call, error, NULL,
		    "the segment's statistics cannot be read (error %d)",
		    error);
	return 0;
}

/* ---- Parts of the answer ------------------------------------------------- */

static Proto__Bytes *
bytes_put(struct call *call, const struct shm_bytes *from)
{
	Proto__Bytes *bytes = pool_alloc(call->pool, sizeof *bytes);
	proto__bytes__init(bytes);
	CALL_PUT(bytes, requested, from->requested);
	CALL_PUT(bytes, allocated, from->allocated);
	CALL_PUT(bytes, in_use_chunks, from->in_use_chunks);
	CALL_PUT(bytes, cached, from->cached);
	CALL_PUT(bytes, pending, from->pending);
	CALL_PUT(bytes, free_binned, from->free_binned);
	CALL_PUT(bytes, free_fast, from->free_fast);
	CALL_PUT(bytes, free_top, from->free_top);
	CALL_PUT(bytes, extents_used, from->extents_used);
	CALL_PUT(bytes, extents_free, from->extents_free);
	CALL_PUT(bytes, metadata, from->metadata);
	CALL_PUT(bytes, active, from->active);
	CALL_PUT(bytes, resident, from->resident);
	CALL_PUT(bytes, retained, from->retained);
	CALL_PUT(bytes, unused, from->unused);
	CALL_PUT(bytes, committed, from->committed);
	CALL_PUT(bytes, largest_free, from->largest_free);
	return bytes;
}

Proto__Failures *
verb_failures(struct call *call, const uint64_t from[SHM_FAILURES])
{
	Proto__Failures *failures = pool_alloc(call->pool, sizeof *failures);
	proto__failures__init(failures);
	CALL_PUT(failures, full, from[SHM_FAIL_FULL]);
	CALL_PUT(failures, fragmented, from[SHM_FAIL_FRAGMENTED]);
	CALL_PUT(failures, quota, from[SHM_FAIL_QUOTA]);
	CALL_PUT(failures, too_large, from[SHM_FAIL_TOO_LARGE]);
	CALL_PUT(failures, reader, from[SHM_FAIL_READER]);
	CALL_PUT(failures, system, from[SHM_FAIL_SYSTEM]);
	return failures;
}

static void
recoveries_put(
    struct call *call, const struct shm_stats *stats, Proto__Stats *to)
{
	to->recoveries = pool_alloc(call->pool, sizeof *to->recoveries);
	proto__recoveries__init(to->recoveries);
	CALL_PUT(to->recoveries, locks, stats->recovered_locks);
	CALL_PUT(to->recoveries, clients, stats->recovered_clients);
	CALL_PUT(to->recoveries, chunks, stats->recovered_chunks);
	CALL_PUT(to->recoveries, bytes, stats->recovered_bytes);
}

static void
activity_put(struct call *call, const struct shm_stats *stats, Proto__Stats *to)
{
	to->activity = pool_alloc(call->pool, sizeof *to->activity);
	proto__activity__init(to->activity);
	CALL_PUT(to->activity, allocs, stats->allocs);
	CALL_PUT(to->activity, frees, stats->frees);
	CALL_PUT(to->activity, cache_hits, stats->cache_hits);
	CALL_PUT(to->activity, cache_misses, stats->cache_misses);
	CALL_PUT(to->activity, refills, stats->refills);
	CALL_PUT(to->activity, flushes, stats->flushes);
	CALL_PUT(to->activity, remote_pushed, stats->remote_pushed);
	CALL_PUT(to->activity, misuses, stats->misuses);
	CALL_PUT(to->activity, punched_bytes, stats->punched);
}

static Proto__Unusable *
unusable_put(struct call *call, uint64_t size, double ratio)
{
	Proto__Unusable *unusable = pool_alloc(call->pool, sizeof *unusable);
	proto__unusable__init(unusable);
	CALL_PUT(unusable, size_bytes, size);
	if (ratio >= 0)
		CALL_PUT(unusable, ratio, ratio);
	return unusable;
}

static void
unusables_put(
    struct call *call, const struct shm_stats *stats, Proto__Fragmentation *to)
{
	to->unusable =
	    pool_array(call->pool, SHM_FRAG_SIZES + 1, sizeof(*to->unusable));
	for (size_t i = 0; i < SHM_FRAG_SIZES; i++)
		to->unusable[to->n_unusable++] =
		    unusable_put(call, shm_frag_sizes[i], stats->unusable[i]);
	uint64_t reference =
	    tune_value(call->segment, SHM_PARAM_frag_reference_size);
	to->unusable[to->n_unusable++] =
	    unusable_put(call, reference, stats->unusable_reference);
	CALL_PUT(to, reference_bytes, reference);
}

static void
free_sizes_put(
    struct call *call, const struct shm_stats *stats, Proto__Fragmentation *to)
{
	to->free_sizes =
	    pool_array(call->pool, SHM_FREE_HISTOGRAM, sizeof(*to->free_sizes));
	for (size_t i = 0; i < SHM_FREE_HISTOGRAM; i++) {
		if (stats->free_histogram[i] == 0)
			continue;
		Proto__FreeSizes *sizes = pool_alloc(call->pool, sizeof *sizes);
		proto__free_sizes__init(sizes);
		CALL_PUT(sizes, size_bytes, UINT64_C(1) << i);
		CALL_PUT(sizes, n, stats->free_histogram[i]);
		to->free_sizes[to->n_free_sizes++] = sizes;
	}
}

static void
fragmentation_put(
    struct call *call, const struct shm_stats *stats, Proto__Stats *to)
{
	const struct shm_bytes *bytes = &stats->bytes;
	Proto__Fragmentation *frag = pool_alloc(call->pool, sizeof *frag);
	proto__fragmentation__init(frag);
	if (stats->fragmentation_internal >= 0)
		CALL_PUT(frag, internal_ratio, stats->fragmentation_internal);
	CALL_PUT(frag, largest_free_bytes, bytes->largest_free);
	unusables_put(call, stats, frag);
	free_sizes_put(call, stats, frag);
	if (bytes->allocated > 0)
		CALL_PUT(frag, resident_per_allocated,
		    (double)bytes->resident / (double)bytes->allocated);
	if (stats->fragmentation_realised > -1)
		CALL_PUT(frag, realised_ratio, stats->fragmentation_realised);
	to->fragmentation = frag;
}

/* ---- Verbs --------------------------------------------------------------- */

int
verb_stats_work(struct call *call)
{
	call->work = pool_alloc(call->pool, sizeof(struct shm_stats));
	return stats_read(call, true, call->work);
}

static void
stats_put(struct call *call, const struct shm_stats *stats)
{
	Proto__Stats *to = pool_alloc(call->pool, sizeof *to);
	proto__stats__init(to);
	to->schema = pool_strdup(call->pool, "shmalloc.stats/1");
	CALL_PUT(to, time, server_time());
	to->daemon = verb_daemon_info(call);
	to->segment = verb_segment_info(call, call->segment);
	CALL_PUT(to->segment, size_bytes, stats->bytes.size);
	CALL_PUT(to->segment, used_bytes, stats->bytes.allocated);
	CALL_PUT(to, exact, stats->is_exact);
	to->bytes = bytes_put(call, &stats->bytes);
	to->peak = bytes_put(call, &stats->peak);
	to->failures = verb_failures(call, stats->failures);
	to->clients = verb_client_counts(call, call->segment);
	recoveries_put(call, stats, to);
	activity_put(call, stats, to);
	fragmentation_put(call, stats, to);
	if (stats->is_exact)
		CALL_PUT(to, objects, stats->objects);
	verb_arenas_put(call, stats, to);
	verb_bins_put(call, stats, to);
	to->latency = verb_latencies(call, &to->n_latency);
	verb_caches_put(call, to);
	call->reply->stats = to;
	call->reply->body_case = PROTO__REPLY__BODY_STATS;
}

int
verb_stats(struct call *call)
{
	struct shm_stats quick, *stats = call->work;
	if (stats == NULL) {
		int error = stats_read(call, false, &quick);
		if (error != 0)
			return error;
		stats = &quick;
	}
	stats_put(call, stats);
	shm_stats_release(stats);
	return 0;
}

static uint32_t
sick_count(const struct shm_stats *stats)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < stats->n_arenas; i++)
		n += stats->arenas[i].state == SHM_ARENA_SICK;
	return n;
}

int
verb_status(struct call *call)
{
	struct shm_stats stats;
	int error = stats_read(call, false, &stats);
	if (error != 0)
		return error;
	Proto__Status *to = pool_alloc(call->pool, sizeof *to);
	uint64_t limit = tune_value(call->segment, SHM_PARAM_limit_hard);
	proto__status__init(to);
	to->schema = pool_strdup(call->pool, "shmalloc.status/1");
	CALL_PUT(to, time, server_time());
	to->daemon = verb_daemon_info(call);
	to->segment = verb_segment_info(call, call->segment);
	CALL_PUT(to->segment, size_bytes, stats.bytes.size);
	CALL_PUT(to->segment, used_bytes, stats.bytes.allocated);
	to->clients = verb_client_counts(call, call->segment);
	CALL_PUT(to, used_bytes, stats.bytes.active);
	if (limit > 0)
		CALL_PUT(
		    to, used_ratio, (double)stats.bytes.active / (double)limit);
	CALL_PUT(to, sick_arenas, sick_count(&stats));
	shm_stats_release(&stats);
	call->reply->status = to;
	call->reply->body_case = PROTO__REPLY__BODY_STATUS;
	return 0;
}

int
verb_version(struct call *call)
{
	Proto__Version *to = pool_alloc(call->pool, sizeof *to);
	proto__version__init(to);
	to->schema = pool_strdup(call->pool, "shmalloc.version/1");
	to->version = pool_strdup(call->pool, PACKAGE_VERSION);
	CALL_PUT(to, protocol, PROTO_VERSION);
	CALL_PUT(to, layout, SHM_LAYOUT);
	call->reply->version = to;
	call->reply->body_case = PROTO__REPLY__BODY_VERSION;
	return 0;
}
