/*
 * Putting objects back, whichever arenas they are of; resizing them in place;
 * and what an offset says about its object.
 */
#include "shm/commit.h"
#include "shm/head.h"
#include "shm/heap.h"

/* ---- Putting back -------------------------------------------------------- */

/* Move the objects of ARENA to the end of OFF; how many. */
static size_t
group_partition(struct shm_seg *seg, size_t n, uint64_t off[],
    const struct shm_arena *arena)
{
	size_t m = 0;

	for (size_t i = n; i-- > 0;) {
		uint64_t here = off[i];
		bool is_extent;

		if (shm_arena_of(seg, here, &is_extent) != arena)
			continue;
		m++;
		off[i] = off[n - m];
		off[n - m] = here;
	}
	return m;
}

/* A batch on its way into ARENA, whose lock is held. */
struct put {
	struct shm_self *self;
	struct shm_arena *arena;
	uint64_t region; /* the latest of the arena's that chunks were of */
	uint64_t open;   /* see shm_arena_put_next_locked() */
};

/* Is OFF in a region of the arena's?  None comes or goes while it is locked. */
static bool
put_is_for(struct put *put, uint64_t off, bool *ret_is_extent)
{
	struct shm_seg *seg = put->self->seg;

	*ret_is_extent = false;
	if (SHM_LIKELY(put->region && off - put->region < SHM_REGION))
		return true;
	if (shm_arena_of(seg, off, ret_is_extent) != put->arena)
		return false;
	if (!*ret_is_extent)
		put->region = shm_region_off(seg, shm_region_of(seg, off));
	return true;
}

static int
put_one(struct put *put, uint64_t off, bool is_extent)
{
	struct shm_self *self = put->self;
	struct shm_seg *seg = self->seg;
	const _Atomic uint32_t *tag = shm_tag_within(seg, off, is_extent);

	if (!tag ||
	    shm_load(tag) != (self->cached | shm_tag_check(seg->key, off))) {
		shm_add(&self->client->misuses, 1);
		return 0;
	}
	return is_extent
	    ? shm_extent_put_locked(self, put->arena, shm_page_of(seg, off))
	    : shm_arena_put_next_locked(
		  self, put->arena, off - SHM_CHUNK_HEAD, &put->open);
}

/* Put those of N objects back that are of ARENA, whose lock is held and
 * released here; the others stay in OFF: how many. */
static size_t
group_put(
    struct shm_self *self, struct shm_arena *arena, size_t n, uint64_t off[])
{
	struct put put = { self, arena, 0, 0 };
	size_t left = 0;
	int error = 0;

	for (size_t i = 0; i < n; i++) {
		bool is_extent;

		if (!put_is_for(&put, off[i], &is_extent))
			off[left++] = off[i];
		else if (error == 0)
			error = put_one(&put, off[i], is_extent);
	}
	if (error == 0)
		error = shm_arena_close_locked(self, arena, &put.open);
	if (error == 0)
		error = shm_remote_drain_locked(self, arena);
	shm_arena_release(arena, error);
	return left;
}

/* The same without the lock: onto the remote list. */
static size_t
group_push(
    struct shm_self *self, struct shm_arena *arena, size_t n, uint64_t off[])
{
	size_t m = group_partition(self->seg, n, off, arena);
	size_t pushed = shm_remote_push(self, arena, m, off + n - m);

	shm_add(&self->client->misuses, m - pushed);
	return n - m;
}

void
shm_heap_put(struct shm_self *self, size_t n, uint64_t off[])
{
	while (n > 0) {
		bool is_extent;
		struct shm_arena *arena =
		    shm_arena_of(self->seg, off[n - 1], &is_extent);
		size_t left = n;

		if (arena && shm_arena_trylock(arena, self))
			left = group_put(self, arena, n, off);
		else if (arena)
			left = group_push(self, arena, n, off);
		/* The last one is nobody's, or was only for a moment. */
		if (left == n) {
			shm_add(&self->client->misuses, 1);
			left--;
		}
		n = left;
	}
}

/* ---- Sizes --------------------------------------------------------------- */

uint64_t
shm_heap_size(struct shm_seg *seg, uint64_t off)
{
	bool is_extent;

	if (!shm_tag_at(seg, off))
		return 0;
	(void)shm_arena_of(seg, off, &is_extent);
	return is_extent
	    ? (uint64_t)shm_pages(&seg->pages[shm_page_of(seg, off)]) * SHM_PAGE
	    : shm_size(shm_chunk(seg, off - SHM_CHUNK_HEAD));
}

uint64_t
shm_heap_usable(struct shm_seg *seg, uint64_t off)
{
	uint64_t size = shm_heap_size(seg, off);
	bool is_extent;

	if (size == 0)
		return 0;
	(void)shm_arena_of(seg, off, &is_extent);
	if (!is_extent)
		return size - SHM_CHUNK_OVER;
	/* One that grew, and then neither got its pages nor the lock to give
	 * them back, has what is there. */
	if (shm_load(&seg->pages[shm_page_of(seg, off)].head.size) & SHM_HOLES)
		return shm_committed_prefix(seg, off, size);
	return size;
}

/* Walk the heads of OFF's region, or run, up to it. */
static bool
head_find(struct shm_seg *seg, uint64_t off, bool is_extent)
{
	uint32_t first, n, region = shm_region_of(seg, off);
	uint64_t at = shm_region_off(seg, region) + SHM_CHUNK_HEAD, end;
	struct shm_head_copy head;
	int error = 0;

	end = at + SHM_CHUNK_MAX;
	if (is_extent) {
		if (!shm_region_run(seg, region, &first, &n))
			return false;
		at = shm_region_off(seg, first);
		end = at + (uint64_t)n * SHM_REGION;
	}
	for (; error == 0 && at < off; at += head.len)
		error = is_extent ? shm_extent_read(seg, shm_page_of(seg, at),
					shm_page_of(seg, end - 1) + 1, &head)
				  : shm_chunk_read(seg, at - SHM_CHUNK_HEAD,
					end - SHM_CHUNK_HEAD, &head);
	return error == 0 && at == off;
}

bool
shm_heap_has_head(struct shm_self *self, uint64_t off)
{
	bool is_extent, is_there;
	struct shm_arena *arena = shm_arena_of(self->seg, off, &is_extent);

	if (!arena || (is_extent && off % SHM_PAGE))
		return false;
	if (!shm_arena_insist(self, arena))
		return true;
	is_there = head_find(self->seg, off, is_extent);
	shm_arena_unlock(arena);
	return is_there;
}

static bool
chunk_resize(
    struct shm_self *self, struct shm_arena *arena, uint64_t off, uint64_t size)
{
	uint64_t c = off - SHM_CHUNK_HEAD;
	uint32_t have = shm_size(shm_chunk(self->seg, c)), need;
	int done;

	if (size > SHM_CHUNK_MAX - SHM_CHUNK_OVER)
		return false;
	need = shm_chunk_size(size);
	if (have >= need && have - need < SHM_CHUNK_MIN)
		return true;
	if (!shm_arena_trylock(arena, self))
		return have >= need;
	done = have >= need ? shm_arena_shrink_locked(self, arena, c, need)
			    : shm_arena_grow_locked(self, arena, c, need);
	shm_arena_release(arena, done);
	return have >= need || done == 1;
}

static bool
extent_resize(
    struct shm_self *self, struct shm_arena *arena, uint64_t off, uint64_t size)
{
	uint32_t page = shm_page_of(self->seg, off);
	uint64_t have = shm_pages(&self->seg->pages[page]);
	uint64_t need = size ? shm_pages_for(size) : 1;
	int done;

	if (have == need)
		return shm_commit(self, off, need * SHM_PAGE) == 0;
	/* One that has holes may not lack what is asked for. */
	if (need > UINT32_MAX || !shm_arena_trylock(arena, self))
		return have > need &&
		    shm_commit(self, off, need * SHM_PAGE) == 0;
	done = have > need
	    ? shm_extent_shrink_locked(self, arena, page, (uint32_t)need)
	    : shm_extent_grow_locked(self, arena, page, (uint32_t)need);
	shm_arena_release(arena, done);
	if (have < need && done != 1)
		return false;
	if (shm_commit(self, off, need * SHM_PAGE) == 0)
		return true;
	if (have > need)
		return false;
	if (shm_arena_insist(self, arena)) {
		done =
		    shm_extent_shrink_locked(self, arena, page, (uint32_t)have);
		shm_arena_release(arena, done);
	}
	return false;
}

bool
shm_heap_resize(struct shm_self *self, uint64_t off, uint64_t size)
{
	bool is_extent;
	struct shm_arena *arena = shm_arena_of(self->seg, off, &is_extent);

	if (!arena)
		return false;
	return is_extent ? extent_resize(self, arena, off, size)
			 : chunk_resize(self, arena, off, size);
}
