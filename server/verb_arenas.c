/*
 * The parts of stats that go arena by arena and bin by bin.
 */
#include "server/control.h"
#include "server/tune.h"
#include "shm/stats.h"

/* An arena is fragmented that has so much free, twice the reference size at
 * least, and hardly any of it in pieces of that size.  Less than this is what
 * is left between the objects of any heap that is in use. */
#define FRAGMENTED_RATIO 0.9
#define FRAGMENTED_FREE  (UINT64_C(1) << 20)

/* ---- Arenas and bins ------------------------------------------------------
 */

static Proto__ArenaActivity *
arena_activity_put(struct call *call, const struct shm_arena_stats *from)
{
	Proto__ArenaActivity *to = pool_alloc(call->pool, sizeof *to);
	proto__arena_activity__init(to);
	CALL_PUT(to, allocs, from->allocs);
	CALL_PUT(to, frees, from->frees);
	CALL_PUT(to, splits, from->splits);
	CALL_PUT(to, coalesced_forward, from->coalesced_forward);
	CALL_PUT(to, coalesced_back, from->coalesced_back);
	CALL_PUT(to, remote_pushed, from->remote_pushed);
	CALL_PUT(to, remote_drained, from->drained);
	CALL_PUT(to, consolidations, from->consolidations);
	CALL_PUT(to, extends, from->extends);
	CALL_PUT(to, trims, from->trims);
	CALL_PUT(to, punched_bytes, from->punched);
	return to;
}

static Proto__Lock *
arena_lock_put(struct call *call, const struct shm_arena_stats *from)
{
	Proto__Lock *to = pool_alloc(call->pool, sizeof *to);
	proto__lock__init(to);
	CALL_PUT(to, acquisitions, from->locked);
	CALL_PUT(to, busy, from->busy);
	CALL_PUT(to, waits, from->slept);
	CALL_PUT(to, waits_on_dead, from->slept_on_dead);
	CALL_PUT(to, owner_deaths, from->owner_deaths);
	CALL_PUT(to, repairs, from->repairs);
	if (from->is_locked) {
		CALL_PUT(to, holder_pid, from->lock_pid);
		CALL_PUT(to, holder_slot, from->lock_slot);
	}
	return to;
}

static const char *
arena_state(const struct shm_arena_stats *from, uint64_t free, uint64_t ref)
{
	if (from->state == SHM_ARENA_SICK)
		return "sick";
	if (free >= FRAGMENTED_FREE && free >= 2 * ref &&
	    (double)from->unusable > FRAGMENTED_RATIO * (double)free)
		return "fragmented";
	return "ok";
}

static Proto__ArenaStats *
arena_put(struct call *call, const struct shm_arena_stats *from, bool is_exact)
{
	Proto__ArenaStats *to = pool_alloc(call->pool, sizeof *to);
	const struct shm_bytes *bytes = &from->bytes;
	uint64_t ref = tune_value(call->segment, SHM_PARAM_frag_reference_size);
	uint64_t free = bytes->free_binned + bytes->free_fast +
	    bytes->free_top + bytes->extents_free;
	uint64_t live = bytes->in_use_chunks + bytes->extents_used;
	proto__arena_stats__init(to);
	CALL_PUT(to, id, from->id);
	to->state = pool_strdup(call->pool, arena_state(from, free, ref));
	CALL_PUT(to, size_bytes, bytes->size);
	/* The quick statistics don't divide what isn't free. */
	CALL_PUT(to, used_bytes, is_exact ? bytes->allocated : live);
	if (is_exact) {
		CALL_PUT(to, overhead_bytes,
		    bytes->metadata +
			(live > bytes->allocated ? live - bytes->allocated
						 : 0));
		CALL_PUT(to, cached_bytes, bytes->cached);
		CALL_PUT(to, pending_bytes, bytes->pending);
	}
	CALL_PUT(to, free_bytes, free);
	CALL_PUT(to, largest_free_bytes, bytes->largest_free);
	if (is_exact)
		CALL_PUT(to, chunks, from->chunks);
	CALL_PUT(to, free_chunks, from->free_chunks);
	CALL_PUT(to, peak_used_bytes, from->peak_used);
	if (free > 0)
		CALL_PUT(
		    to, unusable_ratio, (double)from->unusable / (double)free);
	CALL_PUT(to, fails, from->fails);
	to->activity = arena_activity_put(call, from);
	to->lock = arena_lock_put(call, from);
	return to;
}

void
verb_arenas_put(
    struct call *call, const struct shm_stats *stats, Proto__Stats *to)
{
	to->arenas =
	    pool_array(call->pool, stats->n_arenas, sizeof(*to->arenas));
	for (uint32_t i = 0; i < stats->n_arenas; i++)
		to->arenas[to->n_arenas++] =
		    arena_put(call, &stats->arenas[i], stats->is_exact);
}

void
verb_bins_put(
    struct call *call, const struct shm_stats *stats, Proto__Stats *to)
{
	to->bins = pool_array(call->pool, SHM_COUNTED, sizeof(*to->bins));
	for (uint32_t i = 0; i < SHM_COUNTED; i++) {
		const struct shm_bin_stats *from = &stats->bins[i];
		if (from->allocs == 0 && from->live == 0 &&
		    from->free_chunks == 0)
			continue;
		Proto__BinStats *bin = pool_alloc(call->pool, sizeof *bin);
		proto__bin_stats__init(bin);
		CALL_PUT(bin, id, from->id);
		CALL_PUT(bin, size_bytes, from->size);
		CALL_PUT(bin, allocs, from->allocs);
		CALL_PUT(bin, requested_bytes, from->requested);
		CALL_PUT(bin, frees, from->frees);
		CALL_PUT(bin, cache_hits, from->cache_hits);
		CALL_PUT(bin, cache_misses, from->cache_misses);
		if (stats->is_exact) {
			CALL_PUT(bin, live, from->live);
			CALL_PUT(bin, live_bytes, from->live_bytes);
			CALL_PUT(bin, free_chunks, from->free_chunks);
			CALL_PUT(bin, free_bytes, from->free_bytes);
		}
		to->bins[to->n_bins++] = bin;
	}
}
