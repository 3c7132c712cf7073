/*
 * Chunks of an arena: take, split, resize; putting is in shm/coalesce.c.  See
 * shm/arena.h for the order of stores.
 */
#include "shm/arena.h"

#include "shm/commit.h"

#define HEAD_ROOM 48u /* of a free chunk: what the index writes there */

/* ---- Taking -------------------------------------------------------------- */

static uint32_t
fast_take(struct shm_self *self, struct shm_arena *arena, uint32_t size,
    uint32_t n, uint64_t ret[])
{
	uint32_t i = (size - SHM_CHUNK_MIN) / SHM_GRANULE, got = 0;
	uint64_t c;

	if (i >= SHM_FASTBINS)
		return 0;
	while (got < n && (c = shm_load(&arena->fast[i])) != 0) {
		if (!shm_chunk_is_sane(self->seg, c))
			break;
		shm_store(
		    &arena->fast[i], shm_load(&shm_chunk(self->seg, c)->next));
		shm_self_visit(self, shm_region_of(self->seg, c));
		shm_chunk_tag_put(self->seg, c, self->cached);
		shm_bump(&arena->fast_bytes, -(uint64_t)size);
		shm_bump(&arena->fast_chunks, UINT64_MAX);
		ret[got++] = c + SHM_CHUNK_HEAD;
	}
	return got;
}

/* Is the chunk at C, up to LEN bytes, on committed pages? */
static bool
is_backed(struct shm_self *self, uint64_t c, uint64_t len)
{
	return !(shm_flags(shm_chunk(self->seg, c)) & SHM_HOLES) ||
	    shm_committed_prefix(self->seg, c, len) >= len;
}

static int
exact_take(struct shm_self *self, struct shm_arena *arena, uint32_t size,
    uint32_t n, uint64_t ret[])
{
	uint32_t bin = shm_bin(size);
	int got = 0;
	uint64_t c;

	if (size >= SHM_LARGE_MIN)
		return 0;
	while (got < (int)n && (c = shm_load(&arena->bin[bin])) != 0) {
		if (!shm_chunk_is_sane(self->seg, c))
			return SHM_ECORRUPT;
		if (!is_backed(self, c, size + SHM_CHUNK_OVER))
			break;
		if (shm_bin_unlink_locked(self, arena, c) != 0)
			return SHM_ECORRUPT;
		shm_self_visit(self, shm_region_of(self->seg, c));
		shm_chunk_tag_put(self->seg, c, self->cached);
		ret[got++] = c + SHM_CHUNK_HEAD;
	}
	return got;
}

/* The bytes of a chunk of HAVE that must be there for its first USED to be cut
 * off: room for the head and links of the rest. */
static uint64_t
cut_need(uint64_t have, uint64_t used)
{
	uint64_t need = used + HEAD_ROOM, all = have + SHM_CHUNK_OVER;

	return have - used < SHM_CHUNK_MIN || need > all ? all : need;
}

/* How many pieces of SIZE bytes, N at most, can be carved from the chunk at C
 * with what is committed of it? */
static uint32_t
carve_count(
    struct shm_self *self, uint64_t c, uint32_t have, uint32_t size, uint32_t n)
{
	uint64_t backed = (uint64_t)have + SHM_CHUNK_OVER;

	if (shm_flags(shm_chunk(self->seg, c)) & SHM_HOLES)
		backed = shm_committed_prefix(self->seg, c, backed);
	if (have / size < n)
		n = have / size;
	while (n > 0 && cut_need(have, (uint64_t)n * size) > backed)
		n--;
	return n;
}

/*
 * Carve N pieces of SIZE bytes from the chunk at C, which isn't linked; the
 * offset of what is left, FREE and not linked yet, or 0.
 */
static uint64_t
carve(struct shm_self *self, struct shm_arena *arena, uint64_t c, uint32_t size,
    uint32_t n, uint64_t ret[])
{
	struct shm_chunk *chunk = shm_chunk(self->seg, c);
	uint32_t word = shm_load(&chunk->head.size);
	uint32_t have = word & ~SHM_FLAGS, rest = have - n * size;
	uint32_t last = rest < SHM_CHUNK_MIN ? size + rest : size;
	bool has_rest = rest >= SHM_CHUNK_MIN;

	shm_self_visit(self, shm_region_of(self->seg, c));
	if (has_rest)
		shm_chunk_head_put(self->seg, c + (uint64_t)n * size,
		    rest | SHM_PREV_INUSE | (word & (SHM_TOP | SHM_HOLES)),
		    shm_tag_base(0, 0, SHM_FREE));
	for (uint32_t i = n - 1; i > 0; i--) {
		shm_chunk_head_put(self->seg, c + (uint64_t)i * size,
		    (i == n - 1 ? last : size) | SHM_PREV_INUSE, self->cached);
		ret[i] = c + (uint64_t)i * size + SHM_CHUNK_HEAD;
	}
	shm_chunk_size_put(
	    self->seg, c, (n == 1 ? last : size) | (word & SHM_PREV_INUSE));
	shm_chunk_tag_put(self->seg, c, self->cached);
	ret[0] = c + SHM_CHUNK_HEAD;
	shm_bump(&arena->counters.splits, n - 1 + has_rest);
	return has_rest ? c + (uint64_t)n * size : 0;
}

/* The best larger chunk, or the top; consolidates the fastbins if there is
 * neither.  0: none. */
static int
larger_find(struct shm_self *self, struct shm_arena *arena, uint32_t size,
    uint64_t *ret_c)
{
	for (int pass = 0; pass < 2; pass++) {
		uint64_t c = shm_bin_find_locked(self, arena, size);
		int error;

		if (c == 0) {
			c = shm_load(&arena->top);
			if (c && !shm_chunk_is_sane(self->seg, c))
				return SHM_ECORRUPT;
			if (c && shm_size(shm_chunk(self->seg, c)) < size)
				c = 0;
		}
		*ret_c = c;
		if (c || shm_load(&arena->fast_chunks) == 0)
			return 0;
		error = shm_arena_consolidate_locked(self, arena);
		if (error)
			return error;
	}
	return 0;
}

int
shm_arena_take_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t size, uint32_t n, uint64_t ret[], uint64_t *ret_holes)
{
	uint32_t pieces, have;
	uint64_t c;
	int got, error;

	*ret_holes = 0;
	got = (int)fast_take(self, arena, size, n, ret);
	if (got == 0)
		got = exact_take(self, arena, size, n, ret);
	if (got)
		goto out;
	error = larger_find(self, arena, size, &c);
	if (error || c == 0)
		return error;
	have = shm_size(shm_chunk(self->seg, c));
	pieces = carve_count(self, c, have, size, n);
	if (shm_bin_unlink_locked(self, arena, c) != 0)
		return SHM_ECORRUPT;
	if (pieces == 0) {
		shm_self_visit(self, shm_region_of(self->seg, c));
		shm_chunk_tag_put(self->seg, c, self->cached);
		*ret_holes = c;
		return 0;
	}
	c = carve(self, arena, c, size, pieces, ret);
	if (c)
		shm_bin_link_locked(self, arena, c);
	got = (int)pieces;
out:
	if (got > 0)
		shm_bump(&arena->counters.allocs, (uint64_t)got);
	return got;
}

int
shm_arena_carve_locked(struct shm_self *self, struct shm_arena *arena,
    uint64_t c, uint32_t size, uint32_t n, uint64_t ret[])
{
	uint32_t have = shm_size(shm_chunk(self->seg, c));
	uint32_t pieces = carve_count(self, c, have, size, n);
	int error;

	if (pieces == 0)
		return shm_arena_put_locked(self, arena, c);
	c = carve(self, arena, c, size, pieces, ret);
	error = c ? shm_arena_coalesce_locked(self, arena, c, NULL) : 0;
	shm_bump(&arena->counters.allocs, pieces);
	return error ? error : (int)pieces;
}

/* ---- Regions ------------------------------------------------------------- */

void
shm_arena_add_region_locked(
    struct shm_self *self, struct shm_arena *arena, uint32_t region)
{
	struct shm_seg *seg = self->seg;
	uint64_t c = shm_region_off(seg, region);

	shm_chunk_head_put(self->seg, c,
	    SHM_CHUNK_MAX | SHM_PREV_INUSE | SHM_TOP | SHM_HOLES,
	    shm_tag_base(0, 0, SHM_FREE));
	shm_put(&seg->regions[region],
	    shm_region_entry(SHM_REGION_CHUNKS, shm_arena_index(seg, arena),
		self->slot, self->generation));
	shm_bump(&arena->n_regions, 1);
	shm_bump(&arena->counters.extends, 1);
	shm_bin_link_locked(self, arena, c);
}

/* ---- Resizing ------------------------------------------------------------ */

void
shm_chunk_split_locked(struct shm_self *self, uint64_t c, uint64_t m)
{
	uint32_t word = shm_load(&shm_chunk(self->seg, c)->head.size);
	uint32_t front = (uint32_t)(m - c);

	shm_self_visit(self, shm_region_of(self->seg, c));
	shm_chunk_head_put(self->seg, m,
	    ((word & ~SHM_FLAGS) - front) | SHM_PREV_INUSE |
		(word & (SHM_TOP | SHM_HOLES)),
	    self->cached);
	shm_chunk_size_put(self->seg, c, front | (word & SHM_PREV_INUSE));
}

int
shm_arena_shrink_locked(
    struct shm_self *self, struct shm_arena *arena, uint64_t c, uint32_t size)
{
	uint32_t have = shm_size(shm_chunk(self->seg, c));

	if (have < size + SHM_CHUNK_MIN)
		return 0;
	shm_chunk_split_locked(self, c, c + size);
	shm_bump(&arena->counters.splits, 1);
	return shm_arena_put_locked(self, arena, c + size);
}

int
shm_arena_grow_locked(
    struct shm_self *self, struct shm_arena *arena, uint64_t c, uint32_t size)
{
	struct shm_seg *seg = self->seg;
	uint32_t word = shm_load(&shm_chunk(seg, c)->head.size);
	uint32_t have = word & ~SHM_FLAGS, behind, all;
	uint64_t next = c + have, need;

	if (next >= shm_region_end(seg, c))
		return 0;
	behind = shm_load(&shm_chunk(seg, next)->head.size);
	all = have + (behind & ~SHM_FLAGS);
	if (!(behind & SHM_LINKED) || all < size ||
	    all > shm_region_end(seg, c) - c)
		return 0;
	need = cut_need(all - have, size - have);
	if (!is_backed(self, next, need))
		return 0;
	if (shm_bin_unlink_locked(self, arena, next) != 0)
		return SHM_ECORRUPT;
	shm_self_visit(self, shm_region_of(seg, c));
	/* All of it is ours; then what is too much isn't. */
	shm_chunk_size_put(self->seg, c,
	    all | (word & SHM_PREV_INUSE) | (behind & (SHM_HOLES | SHM_TOP)));
	if (all - size < SHM_CHUNK_MIN) {
		shm_chunk_size_put(self->seg, c, all | (word & SHM_PREV_INUSE));
		return 1;
	}
	shm_chunk_head_put(self->seg, c + size,
	    (all - size) | SHM_PREV_INUSE | (behind & (SHM_HOLES | SHM_TOP)),
	    shm_tag_base(0, 0, SHM_FREE));
	shm_chunk_size_put(self->seg, c, size | (word & SHM_PREV_INUSE));
	shm_bin_link_locked(self, arena, c + size);
	return 1;
}
