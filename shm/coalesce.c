/*
 * Chunks that go back to their arena: coalesced, or into a fastbin.  See
 * shm/arena.h for the order of stores.
 *
 * What goes back at once are often neighbours: a batch that was carved from one
 * chunk.  So the latest free piece of a batch stays open, FREE and not linked,
 * and grows by each neighbour that comes next; it is linked once.  To a kill
 * that looks like the middle of a put: the heads inside say FREE before the
 * front's size covers them, and a rebuild finds what is FREE and not linked.
 */
#include "shm/arena.h"

static void
tag_free(struct shm_self *self, uint64_t c, enum shm_state state)
{
	shm_chunk_tag_put(self->seg, c, shm_tag_base(0, 0, state));
}

/* Nothing that isn't in a bin, and in one piece inside its region, gets into
 * a bin: its size is an index into tables. */
static int
head_check(struct shm_self *self, uint64_t c, uint32_t word)
{
	uint32_t size = word & ~SHM_FLAGS;

	if (size < SHM_CHUNK_MIN || size > shm_region_end(self->seg, c) - c ||
	    (word & SHM_LINKED))
		return SHM_ECORRUPT;
	return 0;
}

/* Make the FREE chunk at FRONT, with the size word FRONT_WORD, cover the FREE
 * one behind it as well; neither is linked. */
static void
chunks_join(struct shm_self *self, uint64_t front, uint32_t front_word,
    uint32_t behind_word)
{
	shm_chunk_size_put(self->seg, front,
	    ((front_word & ~SHM_FLAGS) + (behind_word & ~SHM_FLAGS)) |
		(front_word & SHM_PREV_INUSE) |
		((front_word | behind_word) & (SHM_HOLES | SHM_TOP)));
}

/* Merge the FREE chunk at C with the free one below; *C becomes that one. */
static int
merge_back(struct shm_self *self, struct shm_arena *arena, uint64_t *c)
{
	struct shm_seg *seg = self->seg;
	uint32_t word = shm_load(&shm_chunk(seg, *c)->head.size), front;
	uint64_t start = shm_region_off(seg, shm_region_of(seg, *c)), below;

	if (word & SHM_PREV_INUSE)
		return 0;
	/* Only now: else it is payload of the chunk below. */
	below = shm_load(&shm_chunk(seg, *c)->prev_size);
	if (below < SHM_CHUNK_MIN || below % SHM_GRANULE || below > *c - start)
		return SHM_ECORRUPT;
	front = shm_load(&shm_chunk(seg, *c - below)->head.size);
	if ((front & ~SHM_FLAGS) != below ||
	    shm_bin_unlink_locked(self, arena, *c - below) != 0)
		return SHM_ECORRUPT;
	chunks_join(self, *c - below, front, word);
	*c -= below;
	shm_bump(&arena->counters.coalesced_back, 1);
	return 0;
}

/* Merge the FREE chunk at C with the free one behind it. */
static int
merge_forward(struct shm_self *self, struct shm_arena *arena, uint64_t c)
{
	struct shm_seg *seg = self->seg;
	uint32_t word = shm_load(&shm_chunk(seg, c)->head.size), behind;
	uint64_t next = c + (word & ~SHM_FLAGS);

	if (next >= shm_region_end(seg, c))
		return 0;
	behind = shm_load(&shm_chunk(seg, next)->head.size);
	if (!(behind & SHM_LINKED))
		return 0;
	if (shm_bin_unlink_locked(self, arena, next) != 0)
		return SHM_ECORRUPT;
	chunks_join(self, c, word, behind);
	shm_bump(&arena->counters.coalesced_forward, 1);
	return 0;
}

int
shm_arena_coalesce_locked(
    struct shm_self *self, struct shm_arena *arena, uint64_t c, uint64_t *ret_c)
{
	int error =
	    head_check(self, c, shm_load(&shm_chunk(self->seg, c)->head.size));

	if (error == 0)
		error = merge_back(self, arena, &c);
	if (error == 0)
		error = merge_forward(self, arena, c);
	if (error)
		return error;
	shm_bin_link_locked(self, arena, c);
	if (ret_c)
		*ret_c = c;
	return 0;
}

/* ---- Batches ------------------------------------------------------------- */

int
shm_arena_close_locked(
    struct shm_self *self, struct shm_arena *arena, uint64_t *open)
{
	uint64_t c = *open;

	*open = 0;
	return c ? shm_arena_coalesce_locked(self, arena, c, NULL) : 0;
}

/* The FREE chunk at C, with the size word WORD, joins the open one or takes its
 * place.  Between the chunks of two regions are 16 bytes at least. */
static int
chunk_join(struct shm_self *self, struct shm_arena *arena, uint64_t c,
    uint32_t word, uint64_t *open)
{
	uint64_t before = *open;
	uint32_t other;

	*open = c;
	if (before == 0)
		return 0;
	other = shm_load(&shm_chunk(self->seg, before)->head.size);
	if (before + (other & ~SHM_FLAGS) == c) {
		chunks_join(self, before, other, word);
		shm_bump(&arena->counters.coalesced_back, 1);
		*open = before;
	} else if (c + (word & ~SHM_FLAGS) == before) {
		chunks_join(self, c, word, other);
		shm_bump(&arena->counters.coalesced_forward, 1);
	} else {
		return shm_arena_close_locked(self, arena, &before);
	}
	return 0;
}

int
shm_arena_join_locked(
    struct shm_self *self, struct shm_arena *arena, uint64_t c, uint64_t *open)
{
	uint32_t word = shm_load(&shm_chunk(self->seg, c)->head.size);

	return head_check(self, c, word)
	    ? SHM_ECORRUPT
	    : chunk_join(self, arena, c, word, open);
}

/* ---- Putting ------------------------------------------------------------- */

static int
fast_put(
    struct shm_self *self, struct shm_arena *arena, uint64_t c, uint32_t size)
{
	uint32_t i = (size - SHM_CHUNK_MIN) / SHM_GRANULE;

	shm_store(&shm_chunk(self->seg, c)->next, shm_load(&arena->fast[i]));
	tag_free(self, c, SHM_FAST);
	shm_store(&arena->fast[i], c);
	shm_bump(&arena->fast_bytes, size);
	shm_bump(&arena->fast_chunks, 1);
	if (shm_load(&arena->fast_bytes) > self->param[SHM_PARAM_fastbin_limit])
		return shm_arena_consolidate_locked(self, arena);
	return 0;
}

int
shm_arena_put_next_locked(
    struct shm_self *self, struct shm_arena *arena, uint64_t c, uint64_t *open)
{
	uint32_t word = shm_load(&shm_chunk(self->seg, c)->head.size);
	uint32_t size = word & ~SHM_FLAGS;

	if (head_check(self, c, word) != 0)
		return SHM_ECORRUPT;
	shm_bump(&arena->counters.frees, 1);
	if (size - SHM_CHUNK_OVER <= self->param[SHM_PARAM_fastbin_max] &&
	    !(word & (SHM_TOP | SHM_HOLES)))
		return fast_put(self, arena, c, size);
	tag_free(self, c, SHM_FREE);
	return chunk_join(self, arena, c, word, open);
}

int
shm_arena_put_locked(struct shm_self *self, struct shm_arena *arena, uint64_t c)
{
	uint64_t open = 0;
	int error = shm_arena_put_next_locked(self, arena, c, &open);

	return error ? error : shm_arena_close_locked(self, arena, &open);
}

int
shm_arena_consolidate_locked(struct shm_self *self, struct shm_arena *arena)
{
	struct shm_seg *seg = self->seg;

	for (uint32_t i = 0; i < SHM_FASTBINS; i++) {
		uint64_t c;

		while ((c = shm_load(&arena->fast[i])) != 0) {
			int error;

			if (!shm_chunk_is_sane(seg, c) ||
			    shm_tag_state(shm_load(
				&shm_chunk(seg, c)->head.tag)) != SHM_FAST)
				return SHM_ECORRUPT;
			shm_store(&arena->fast[i],
			    shm_load(&shm_chunk(seg, c)->next));
			shm_bump(&arena->fast_bytes,
			    -(uint64_t)shm_size(shm_chunk(seg, c)));
			shm_bump(&arena->fast_chunks, UINT64_MAX);
			tag_free(self, c, SHM_FREE);
			error = shm_arena_coalesce_locked(self, arena, c, NULL);
			if (error)
				return error;
		}
	}
	shm_bump(&arena->counters.consolidations, 1);
	return 0;
}
