/*
 * See shm/stats.h.  The bytes come from shm/stats_exact.c or stats_quick.c; the
 * rest is copied from counters.
 */
#include "shm/stats.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "shm/commit.h"
#include "shm/lock.h"
#include "shm/tally.h"
#include "shm/thread.h"
#include "shm/walk.h"

/* ---- Arenas -------------------------------------------------------------- */

static void
counters_copy(struct shm_arena_stats *out, struct shm_arena *arena)
{
	struct shm_arena_counters *counters = &arena->counters;

	out->locked = shm_load(&arena->locked);
	out->busy = shm_load(&arena->busy);
	out->slept = shm_load(&arena->slept);
	out->slept_on_dead = shm_load(&arena->slept_on_dead);
	out->slept_us = shm_load(&arena->slept_us);
	out->slept_longest_us = shm_load(&arena->slept_longest_us);
	out->owner_deaths = shm_load(&arena->owner_deaths);
	out->repairs = shm_load(&arena->repairs);
	out->remote_pushed = shm_load(&arena->remote_pushed);
	out->fails = shm_load(&arena->fails);
	out->peak_used = shm_load(&arena->peak_used);
	out->allocs = shm_load(&counters->allocs);
	out->frees = shm_load(&counters->frees);
	out->splits = shm_load(&counters->splits);
	out->coalesced_forward = shm_load(&counters->coalesced_forward);
	out->coalesced_back = shm_load(&counters->coalesced_back);
	out->drained = shm_load(&counters->drained);
	out->consolidations = shm_load(&counters->consolidations);
	out->extends = shm_load(&counters->extends);
	out->trims = shm_load(&counters->trims);
	out->punched = shm_load(&counters->punched);
}

static void
lock_copy(const struct shm_seg *seg, struct shm_arena_stats *out, uint32_t word)
{
	uint32_t slot;

	out->is_locked = word != 0;
	out->lock_thread = shm_lock_thread(word);
	if (word == 0 || out->lock_thread >= SHM_THREADS)
		return;
	out->lock_ms = shm_load(&seg->super->clock_ms) -
	    shm_load(&seg->arenas[out->id].since_ms);
	slot = out->lock_thread == SHM_DAEMON_THREAD
	    ? SHM_DAEMON_SLOT
	    : shm_owner_slot(shm_thread_owner(seg, out->lock_thread));
	if (slot == 0 || !shm_client_is_there(seg, slot))
		return;
	out->lock_slot = slot;
	out->lock_pid = shm_load(&seg->clients[slot].pid);
}

static void
arena_copy(struct shm_seg *seg, uint32_t index, struct shm_arena_stats *out)
{
	struct shm_arena *arena = &seg->arenas[index];

	out->id = index;
	out->state = shm_load(&arena->state);
	lock_copy(seg, out, shm_load(&arena->lock));
	counters_copy(out, arena);
}

static void
arenas_copy(struct shm_seg *seg, struct shm_stats *stats)
{
	for (uint32_t i = 0; i < stats->n_arenas; i++)
		arena_copy(seg, i, &stats->arenas[i]);
}

bool
shm_arena_read(
    struct shm_seg *seg, uint32_t index, struct shm_arena_stats *ret_arena)
{
	uint32_t n = shm_get(&seg->super->n_arenas);

	if (index >= n || index >= seg->max_arenas)
		return false;
	memset(ret_arena, 0, sizeof(*ret_arena));
	arena_copy(seg, index, ret_arena);
	return true;
}

/* ---- The segment --------------------------------------------------------- */

static void
clients_copy(struct shm_stats *stats, const struct shm_clients_sum *sum)
{
	stats->allocs = sum->allocs;
	stats->frees = sum->frees;
	stats->misuses = sum->misuses;
	stats->cache_misses = sum->cache_misses;
	stats->cache_hits = shm_cache_hits(sum->allocs, sum->cache_misses);
	stats->refills = sum->refills;
	stats->flushes = sum->flushes;
	stats->remote_pushed = sum->remote_pushed;
	stats->clients_live = sum->live;
	stats->clients_dead = sum->dead;
	memcpy(stats->failures, sum->failures, sizeof(stats->failures));
	for (uint32_t i = 0; i < SHM_COUNTED; i++) {
		struct shm_bin_stats *bin = &stats->bins[i];

		bin->id = i;
		bin->size = i < SHM_CLASS_EXTENTS
		    ? shm_class_size(i)
		    : (uint64_t)SHM_PAGE << (i - SHM_CLASS_EXTENTS);
		bin->allocs = sum->class_allocs[i];
		bin->requested = sum->class_requested[i];
		bin->frees = sum->class_frees[i];
		bin->cache_misses = sum->class_misses[i];
		bin->cache_hits =
		    shm_cache_hits(bin->allocs, bin->cache_misses);
	}
}

static void
super_copy(struct shm_seg *seg, struct shm_stats *stats)
{
	struct shm_super *super = seg->super;

	stats->seconds = (uint64_t)time(NULL);
	stats->recovered_locks = shm_load(&super->recovered_locks);
	stats->recovered_clients = shm_load(&super->recovered_clients);
	stats->recovered_chunks = shm_load(&super->recovered_chunks);
	stats->recovered_bytes = shm_load(&super->recovered_bytes);
	stats->starts = shm_load(&super->starts);
	stats->punched = shm_load(&super->punched);
	stats->created = super->created;
	memcpy(stats->name, super->name, sizeof(stats->name));
	stats->name[sizeof(stats->name) - 1] = '\0';
}

static uint64_t
resident_read(const struct shm_seg *seg)
{
	struct stat status;

	if (fstat(seg->fd, &status) != 0 || status.st_blocks < 0)
		return 0;
	return (uint64_t)status.st_blocks * 512;
}

static uint64_t
bytes_free(const struct shm_bytes *bytes)
{
	return bytes->free_binned + bytes->free_fast + bytes->free_top +
	    bytes->extents_free;
}

/* What follows from what was summed: the identity among it. */
static void
bytes_finish(struct shm_seg *seg, struct shm_bytes *bytes)
{
	bytes->active = bytes->in_use_chunks + bytes->cached + bytes->pending +
	    bytes->extents_used + bytes->metadata;
	bytes->size = bytes->active + bytes_free(bytes) + bytes->unused;
	bytes->committed = shm_committed_total(seg) * SHM_PAGE;
	bytes->resident = resident_read(seg);
	bytes->retained =
	    bytes->size > bytes->committed ? bytes->size - bytes->committed : 0;
	bytes->limit = shm_load(&seg->tunables->value[SHM_PARAM_limit_hard]);
	bytes->reserved = seg->len;
}

static void
fragmentation_copy(struct shm_stats *stats, const struct shm_tally *tally)
{
	uint64_t used = stats->bytes.in_use_chunks + stats->bytes.extents_used;

	stats->fragmentation_internal =
	    used == 0 ? -1 : 1 - (double)stats->bytes.requested / (double)used;
	for (int i = 0; i < SHM_FRAG_SIZES; i++)
		stats->unusable[i] = shm_tally_unusable(tally, i);
	stats->unusable_reference = shm_tally_unusable(tally, SHM_FRAG_SIZES);
	stats->bytes.largest_free = tally->largest;
	memcpy(stats->free_histogram, tally->histogram,
	    sizeof(stats->free_histogram));
}

/* ---- Peaks --------------------------------------------------------------- */

#define BYTES_FIELDS (sizeof(struct shm_bytes) / sizeof(uint64_t))

static_assert(sizeof(struct shm_bytes) % sizeof(uint64_t) == 0 &&
	BYTES_FIELDS <= SHM_PEAKS,
    "a peak for each number of bytes");

/* Raise PEAK to VALUE; true if that was higher. */
static bool
peak_raise(_Atomic uint64_t *peak, uint64_t value)
{
	uint64_t old = shm_load(peak);

	while (old < value)
		if (shm_cas(peak, &old, value))
			return true;
	return false;
}

/* Raise the peaks by what was read, unless the view is read-only, and copy
 * them. */
static void
peaks_update(struct shm_seg *seg, struct shm_stats *stats)
{
	struct shm_super *super = seg->super;
	const struct shm_bytes *bytes = &stats->bytes;
	uint64_t now[BYTES_FIELDS], peak[BYTES_FIELDS];

	memcpy(now, bytes, sizeof(now));
	if (!seg->is_read_only &&
	    peak_raise(&super->peak_live, bytes->allocated))
		shm_store(&super->peak_footprint, bytes->committed);
	for (size_t i = 0; i < BYTES_FIELDS; i++) {
		if (!seg->is_read_only)
			(void)peak_raise(&super->peak[i], now[i]);
		peak[i] = shm_load(&super->peak[i]);
		peak[i] = peak[i] > now[i] ? peak[i] : now[i];
	}
	memcpy(&stats->peak, peak, sizeof(peak));
	stats->fragmentation_realised = shm_load(&super->peak_live) == 0
	    ? -1
	    : (double)shm_load(&super->peak_footprint) /
		    (double)shm_load(&super->peak_live) -
		1;
}

static void
arena_peaks(struct shm_seg *seg, struct shm_stats *stats)
{
	for (uint32_t i = 0; i < stats->n_arenas; i++) {
		struct shm_arena_stats *out = &stats->arenas[i];
		struct shm_bytes *bytes = &out->bytes;
		uint64_t used;

		bytes->active = bytes->size - bytes_free(bytes);
		used = bytes->active - bytes->metadata;
		if (!seg->is_read_only)
			(void)peak_raise(&seg->arenas[i].peak_used, used);
		if (used > out->peak_used)
			out->peak_used = used;
	}
}

/* ---- Reading ------------------------------------------------------------- */

int
shm_stats_read(struct shm_seg *seg, bool is_exact, struct shm_stats *ret_stats)
{
	struct shm_stats *stats = ret_stats;
	struct shm_clients_sum *sum = malloc(sizeof(*sum));
	struct shm_stats_job job = { .seg = seg, .stats = stats };
	int error = sum ? 0 : SHM_ENOMEM;

	memset(stats, 0, sizeof(*stats));
	if (error)
		return error;
	stats->is_exact = is_exact;
	stats->n_arenas = shm_walk_arenas(seg);
	stats->arenas = calloc(stats->n_arenas + 1, sizeof(*stats->arenas));
	if (!stats->arenas) {
		free(sum);
		return SHM_ENOMEM;
	}
	shm_clients_sum(seg, sum);
	clients_copy(stats, sum);
	super_copy(seg, stats);
	arenas_copy(seg, stats);
	job.clients = sum;
	job.below = shm_committed_pages(seg, 0, seg->heap) * SHM_PAGE;
	shm_tally_begin(&job.tally, seg);
	if (is_exact)
		error = shm_stats_exact(&job);
	else
		shm_stats_quick(&job);
	free(sum);
	if (error) {
		shm_stats_release(stats);
		return error;
	}
	bytes_finish(seg, &stats->bytes);
	fragmentation_copy(stats, &job.tally);
	peaks_update(seg, stats);
	arena_peaks(seg, stats);
	return 0;
}

void
shm_stats_release(struct shm_stats *stats)
{
	free(stats->arenas);
	stats->arenas = NULL;
	stats->n_arenas = 0;
}
