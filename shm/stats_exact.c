/*
 * The exact statistics: every head is looked at, by shm_walk().  What is summed
 * is what the walk reported, so the byte identity holds by construction, also
 * while clients go on.
 */
#include <stdlib.h>

#include "shm/chunk.h"
#include "shm/commit.h"
#include "shm/tally.h"
#include "shm/thread.h"

struct exact {
	struct shm_stats_job *job;
	struct shm_tally *tally; /* one for each arena */
};

/* Does the client in SLOT live, in the life that GENERATION names? */
static bool
client_lives(const struct shm_seg *seg, uint32_t slot, uint32_t generation)
{
	if (slot == SHM_DAEMON_SLOT)
		return true;
	return shm_client_is_there(seg, slot) &&
	    shm_load(&seg->clients[slot].state) == SHM_CLIENT_LIVE &&
	    ((shm_load(&seg->clients[slot].generation) ^ generation) &
		(SHM_TAG_GENERATIONS - 1)) == 0;
}

static bool
owner_lives(const struct shm_seg *seg, const struct shm_piece *piece)
{
	uint64_t owner;

	if (shm_state_is_client(piece->state))
		return client_lives(seg, piece->owner, piece->generation);
	if (!shm_state_is_thread(piece->state))
		return true;
	if (piece->owner >= SHM_THREADS)
		return false;
	owner = shm_thread_owner(seg, piece->owner);
	return client_lives(
	    seg, shm_owner_slot(owner), (uint32_t)(owner >> 16 & 0xffff));
}

static void
free_count(struct exact *exact, struct shm_arena_stats *arena,
    const struct shm_piece *piece)
{
	struct shm_stats *stats = exact->job->stats;
	struct shm_bytes *bytes = &arena->bytes;
	bool is_extent = piece->kind == SHM_PIECE_EXTENT;

	if (is_extent) {
		bytes->extents_free += piece->len;
	} else {
		uint32_t bin = shm_class((uint32_t)piece->len);

		stats->bins[bin].free_chunks++;
		stats->bins[bin].free_bytes += piece->len;
		if (piece->state == SHM_FAST)
			bytes->free_fast += piece->len;
		else if (piece->is_top)
			bytes->free_top += piece->len;
		else
			bytes->free_binned += piece->len;
	}
	arena->free_chunks++;
	shm_tally_add(&exact->tally[arena->id], piece->len,
	    is_extent ? piece->len : piece->len - SHM_CHUNK_OVER);
}

static void
live_count(struct exact *exact, struct shm_arena_stats *arena,
    const struct shm_piece *piece)
{
	struct shm_stats *stats = exact->job->stats;
	bool is_extent = piece->kind == SHM_PIECE_EXTENT;
	uint32_t bin = is_extent ? shm_class_of_pages(piece->len / SHM_PAGE)
				 : shm_class((uint32_t)piece->len);

	if (is_extent)
		arena->bytes.extents_used += piece->len;
	else
		arena->bytes.in_use_chunks += piece->len;
	arena->bytes.allocated +=
	    is_extent ? piece->len : piece->len - SHM_CHUNK_OVER;
	arena->bytes.requested += piece->requested;
	arena->chunks++;
	stats->bins[bin].live++;
	stats->bins[bin].live_bytes += piece->len;
}

static void
piece_count(void *arg, const struct shm_piece *piece)
{
	struct exact *exact = arg;
	struct shm_stats *stats = exact->job->stats;
	struct shm_arena_stats *arena;

	if (piece->kind == SHM_PIECE_UNUSED) {
		stats->bytes.unused += piece->len;
		return;
	}
	if (piece->arena >= stats->n_arenas) {
		/* An arena made since we began: the next reading shows it. */
		stats->bytes.pending += piece->len;
		return;
	}
	arena = &stats->arenas[piece->arena];
	arena->bytes.size += piece->len;
	if (piece->kind == SHM_PIECE_TAIL)
		arena->bytes.metadata += piece->len;
	else if (piece->state == SHM_FREE || piece->state == SHM_FAST)
		free_count(exact, arena, piece);
	else if (piece->state == SHM_REMOTE || piece->state == SHM_RETIRED ||
	    piece->state == SHM_UNLINKED ||
	    !owner_lives(exact->job->seg, piece))
		arena->bytes.pending += piece->len;
	else if (piece->state == SHM_CACHED)
		arena->bytes.cached += piece->len;
	else
		live_count(exact, arena, piece);
}

/* What users asked for of the live chunks of BIN: as many bytes each as the
 * average of all that were allocated there. */
static uint64_t
requested_estimate(
    const struct shm_bin_stats *bin, const struct shm_clients_sum *clients)
{
	uint64_t usable = bin->live_bytes - bin->live * SHM_CHUNK_OVER;
	uint64_t n = clients->class_allocs[bin->id];
	double guess;

	if (n == 0)
		return usable;
	guess = (double)clients->class_requested[bin->id] / (double)n *
	    (double)bin->live;
	return guess < (double)usable ? (uint64_t)guess : usable;
}

static void
arena_finish(struct shm_stats_job *job, struct shm_arena_stats *arena,
    const struct shm_tally *tally)
{
	struct shm_bytes *bytes = &arena->bytes, *all = &job->stats->bytes;

	bytes->largest_free = tally->largest;
	arena->unusable = tally->bytes - tally->useful[SHM_FRAG_SIZES];
	shm_tally_merge(&job->tally, tally);
	all->requested += bytes->requested;
	all->allocated += bytes->allocated;
	all->in_use_chunks += bytes->in_use_chunks;
	all->cached += bytes->cached;
	all->pending += bytes->pending;
	all->free_binned += bytes->free_binned;
	all->free_fast += bytes->free_fast;
	all->free_top += bytes->free_top;
	all->extents_used += bytes->extents_used;
	all->extents_free += bytes->extents_free;
	all->metadata += bytes->metadata;
	job->stats->objects += arena->chunks;
}

int
shm_stats_exact(struct shm_stats_job *job)
{
	struct shm_stats *stats = job->stats;
	struct shm_tally *tally = calloc(stats->n_arenas, sizeof(*tally));
	struct exact exact = { job, tally };
	int error;

	if (!tally)
		return SHM_ENOMEM;
	for (uint32_t i = 0; i < stats->n_arenas; i++)
		shm_tally_begin(&tally[i], job->seg);
	error = shm_walk(job->seg, -1, piece_count, &exact);
	if (error)
		goto out;
	stats->bytes.metadata = job->below;
	for (uint32_t i = 0; i < stats->n_arenas; i++)
		arena_finish(job, &stats->arenas[i], &tally[i]);
	for (uint32_t i = 0; i < SHM_CLASS_EXTENTS; i++)
		if (stats->bins[i].live)
			stats->bytes.requested +=
			    requested_estimate(&stats->bins[i], job->clients);
out:
	free(tally);
	return error;
}
