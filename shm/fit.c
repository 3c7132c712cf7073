/*
 * See shm/fit.h.
 *
 * One walk: what lies in pages that are there is counted at once; a piece that
 * lacks pages is noted, for how many of them there may be is known only at the
 * end, when all has been seen that could be given back for them.
 */
#include "shm/fit.h"

#include <stdlib.h>

#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/heap.h"
#include "shm/stats.h"
#include "shm/walk.h"

#define CRUMBS 32 /* of this part free is not called fragmented: see heap.c */

/* A free piece some of whose pages are not there. */
struct hole {
	uint64_t off, len;
};

struct job {
	struct shm_seg *seg;
	struct shm_fit *fit;
	uint64_t relief; /* bytes in free pieces that are too small */
	/* In bins: what a failure is judged by, shm_heap_free_space(). */
	uint64_t binned, largest_binned;
	uint64_t run;       /* regions that nobody has, up to here in a row */
	uint64_t run_total; /* objects that such runs have room for */
	uint64_t regions;   /* of all such runs */
	struct hole *hole;  /* owned */
	size_t n, room;
	bool is_failed; /* no memory for a note */
};

/* ---- What an object takes ------------------------------------------------ */

/* As client/refill.c decides. */
static void
object_measure(struct shm_self *self, uint64_t size, struct shm_fit *fit)
{
	uint64_t threshold = shm_heap_threshold(self);
	uint64_t cached = self->param[SHM_PARAM_tcache_max];

	if (cached >= threshold)
		cached = threshold - 1;
	if (self->param[SHM_PARAM_tcache_count] == 0)
		cached = 0;
	fit->is_extent = size >= threshold;
	if (fit->is_extent)
		fit->len = shm_pages_for(size) * SHM_PAGE;
	else if (size <= cached)
		fit->len = shm_cached_size(size);
	else
		fit->len = shm_chunk_size(size);
}

/* Pages of the LEN bytes at OFF that are not there. */
static uint64_t
pages_missing(const struct shm_seg *seg, uint64_t off, uint64_t len)
{
	uint64_t first = off / SHM_PAGE;
	uint64_t n = (off + len + SHM_PAGE - 1) / SHM_PAGE - first;

	return n - shm_committed_pages(seg, first * SHM_PAGE, n * SHM_PAGE);
}

/* How many objects, of MOST, the piece at OFF can hold with ROOM pages more. */
static uint64_t
objects_within(
    const struct job *job, uint64_t off, uint64_t most, uint64_t room)
{
	uint64_t low = 0, high = most;

	while (low < high) {
		uint64_t n = high - (high - low) / 2;

		if (pages_missing(job->seg, off, n * job->fit->len) <= room)
			low = n;
		else
			high = n - 1;
	}
	return low;
}

/* ---- The walk ------------------------------------------------------------ */

static void
hole_note(struct job *job, const struct shm_piece *piece)
{
	if (job->n == job->room) {
		size_t room = job->room ? 2 * job->room : 64;
		struct hole *hole =
		    realloc(job->hole, room * sizeof(*job->hole));

		if (!hole) {
			job->is_failed = true;
			return;
		}
		job->hole = hole;
		job->room = room;
	}
	job->hole[job->n++] = (struct hole){ piece->off, piece->len };
}

static void
free_add(struct job *job, const struct shm_piece *piece)
{
	struct shm_fit *fit = job->fit;
	struct shm_fit_arena *arena = &fit->arenas[piece->arena];
	uint64_t n = 0;

	if (piece->kind == SHM_PIECE_CHUNK && !piece->is_top) {
		job->binned += piece->len;
		if (piece->len > job->largest_binned)
			job->largest_binned = piece->len;
	}
	arena->free += piece->len;
	if (piece->len > arena->largest)
		arena->largest = piece->len;
	if ((piece->kind == SHM_PIECE_EXTENT) == fit->is_extent)
		n = piece->len / fit->len;
	if (n == 0) {
		job->relief +=
		    shm_committed_pages(job->seg, piece->off, piece->len) *
		    SHM_PAGE;
		return;
	}
	arena->pieces++;
	arena->objects += n;
	if (pages_missing(job->seg, piece->off, n * fit->len) == 0)
		fit->in_free += n;
	else
		hole_note(job, piece);
}

/* Count what the regions in a row have room for. */
static void
run_end(struct job *job)
{
	const struct shm_fit *fit = job->fit;

	if (fit->is_extent)
		job->run_total += job->run * SHM_REGION / fit->len;
	else
		job->run_total += job->run * (SHM_CHUNK_MAX / fit->len);
	job->regions += job->run;
	job->run = 0;
}

static void
piece_add(void *arg, const struct shm_piece *piece)
{
	struct job *job = arg;

	if (piece->kind == SHM_PIECE_UNUSED) {
		job->run += piece->len / SHM_REGION;
		return;
	}
	if (job->run != 0)
		run_end(job);
	if (piece->arena < job->fit->n_arenas &&
	    piece->kind != SHM_PIECE_TAIL &&
	    (piece->state == SHM_FREE || piece->state == SHM_FAST))
		free_add(job, piece);
}

/* ---- Room ---------------------------------------------------------------- */

/* Pages that may be committed; which of the two bounds them goes into the
 * reason. */
static uint64_t
room_read(const struct job *job)
{
	struct shm_seg *seg = job->seg;
	uint64_t limit = shm_load(&seg->tunables->value[SHM_PARAM_limit_hard]);
	uint64_t used = shm_committed_total(seg), left;
	uint64_t system = shm_load(&seg->super->system_pages);

	left = limit / SHM_PAGE > used ? limit / SHM_PAGE - used : 0;
	job->fit->reason = SHM_FAIL_FULL;
	if (system < left) {
		left = system;
		job->fit->reason = SHM_FAIL_SYSTEM;
	}
	return left + job->relief / SHM_PAGE;
}

/* What new regions serve with ROOM pages. */
static uint64_t
new_count(const struct job *job, uint64_t room)
{
	const struct shm_fit *fit = job->fit;
	uint64_t each, pages, whole, n;

	if (fit->is_extent) {
		/* And their entries in the page table, by the region. */
		pages = fit->len / SHM_PAGE;
		each = SHM_REGION_PAGES * sizeof(struct shm_page) / SHM_PAGE;
		n = room / (pages + (pages * each) / SHM_REGION_PAGES + 1);
		return n < job->run_total ? n : job->run_total;
	}
	each = SHM_CHUNK_MAX / fit->len;
	if (each == 0)
		return 0;
	pages = (each * fit->len + SHM_PAGE - 1) / SHM_PAGE;
	whole = room / pages;
	if (whole >= job->regions)
		return job->run_total;
	return whole * each + (room - whole * pages) * SHM_PAGE / fit->len;
}

/* Pages for the pieces that lack some, in order, then for new regions. */
static void
room_spend(struct job *job)
{
	struct shm_fit *fit = job->fit;
	uint64_t room = room_read(job);

	fit->room = room * SHM_PAGE;
	for (size_t i = 0; i < job->n; i++) {
		const struct hole *hole = &job->hole[i];
		uint64_t n =
		    objects_within(job, hole->off, hole->len / fit->len, room);

		room -= pages_missing(job->seg, hole->off, n * fit->len);
		fit->in_free += n;
	}
	fit->in_new = new_count(job, room);
}

/* ---- Why not more -------------------------------------------------------- */

/* A rule that refuses every object of SIZE bytes, if there is one. */
static enum shm_failure
rule_find(const struct shm_self *self, uint64_t size)
{
	const struct shm_seg *seg = self->seg;
	uint64_t quota = self->param[SHM_PARAM_limit_client];
	uint64_t waits = self->param[SHM_PARAM_retire_limit];
	int64_t retired = shm_load(&seg->super->retired_bytes);

	if (size > (uint64_t)seg->n_regions * SHM_REGION ||
	    shm_pages_for(size) > SHM_EXTENT_MAX)
		return SHM_FAIL_TOO_LARGE;
	if (quota != 0 && size > quota)
		return SHM_FAIL_QUOTA;
	if (waits != 0 && retired > 0 && (uint64_t)retired > waits)
		return SHM_FAIL_READER;
	return SHM_FAIL_NONE;
}

static void
sums_make(const struct job *job)
{
	struct shm_fit *fit = job->fit;
	uint64_t crumbs = shm_committed_total(job->seg) * SHM_PAGE / CRUMBS;

	for (uint32_t i = 0; i < fit->n_arenas; i++) {
		fit->free += fit->arenas[i].free;
		if (fit->arenas[i].largest > fit->largest)
			fit->largest = fit->arenas[i].largest;
	}
	fit->objects = fit->in_free + fit->in_new;
	if (fit->reason == SHM_FAIL_FULL && fit->objects == 0 &&
	    job->binned >= fit->len && job->binned >= crumbs &&
	    job->largest_binned < fit->len)
		fit->reason = SHM_FAIL_FRAGMENTED;
}

static int
heap_look(struct job *job)
{
	struct shm_fit *fit = job->fit;
	int error;

	fit->n_arenas = shm_walk_arenas(job->seg);
	fit->arenas = calloc(fit->n_arenas + 1, sizeof(*fit->arenas));
	if (!fit->arenas)
		return SHM_ENOMEM;
	error = shm_walk(job->seg, -1, piece_add, job);
	if (error == 0 && job->is_failed)
		error = SHM_ENOMEM;
	if (error)
		return error;
	job->run += job->seg->n_regions - shm_walk_regions(job->seg);
	run_end(job);
	room_spend(job);
	sums_make(job);
	return 0;
}

int
shm_fit(struct shm_seg *seg, uint64_t size, struct shm_fit *ret_fit)
{
	struct job job = { .seg = seg, .fit = ret_fit };
	struct shm_self self;
	enum shm_failure rule;
	int error = 0;

	*ret_fit = (struct shm_fit){ .len = 0 };
	shm_daemon_self(seg, &self);
	rule = rule_find(&self, size);
	if (rule != SHM_FAIL_TOO_LARGE) {
		object_measure(&self, size, ret_fit);
		error = heap_look(&job);
	}
	free(job.hole);
	if (error) {
		free(ret_fit->arenas);
		ret_fit->arenas = NULL;
		return error;
	}
	if (rule != SHM_FAIL_NONE) {
		ret_fit->reason = rule;
		ret_fit->objects = ret_fit->in_free = ret_fit->in_new = 0;
	}
	return 0;
}
