/*
 * Bins of chunks: dlmalloc's, small ones exact, large ones 16 a doubling, found
 * through a bitmap.  A bin is a doubly linked list, last in first out, because
 * what was freed last is warm.
 */
#include "shm/arena.h"

#define FIND_DEPTH   8 /* chunks of a large bin looked at for the best fit */
/* SHM_HOLES where it outweighs any size. */
#define HOLES_WEIGHT ((uint32_t)SHM_HOLES << 28)

static void
map_set(struct shm_arena *arena, uint32_t bin)
{
	_Atomic uint64_t *word = &arena->binmap[bin / 64];

	shm_store(word, shm_load(word) | UINT64_C(1) << bin % 64);
}

static void
map_clear(struct shm_arena *arena, uint32_t bin)
{
	_Atomic uint64_t *word = &arena->binmap[bin / 64];

	shm_store(word, shm_load(word) & ~(UINT64_C(1) << bin % 64));
}

/* Tell the chunk behind C that C is free (with its footer), or in use. */
static void
follower_tell(
    const struct shm_seg *seg, uint64_t c, uint32_t size, bool is_free)
{
	uint64_t next = c + size;
	struct shm_chunk *chunk;
	uint32_t word;

	if (next >= shm_region_end(seg, c))
		return;
	chunk = shm_chunk(seg, next);
	word = shm_load(&chunk->head.size);
	if (is_free)
		shm_store(&chunk->prev_size, size);
	shm_store(&chunk->head.size,
	    is_free ? word & ~(uint32_t)SHM_PREV_INUSE : word | SHM_PREV_INUSE);
}

static void
list_insert(
    struct shm_self *self, struct shm_arena *arena, uint64_t c, uint32_t size)
{
	struct shm_seg *seg = self->seg;
	struct shm_chunk *chunk = shm_chunk(seg, c);
	uint32_t bin = shm_bin(size);
	uint64_t head = shm_load(&arena->bin[bin]);

	shm_store(&chunk->next, head);
	shm_store(&chunk->prev, 0);
	if (head && shm_chunk_is_sane(seg, head))
		shm_store(&shm_chunk(seg, head)->prev, c);
	shm_store(&arena->bin[bin], c);
	map_set(arena, bin);
	shm_bump(&arena->binned_bytes, size);
	shm_bump(&arena->binned_chunks, 1);
}

/* Of two tops, the larger stays one; the other goes into a bin. */
static uint64_t
top_choose(struct shm_self *self, struct shm_arena *arena, uint64_t c)
{
	struct shm_seg *seg = self->seg;
	uint64_t old = shm_load(&arena->top);
	struct shm_chunk *loser = shm_chunk(seg, c);

	if (!shm_chunk_is_sane(seg, old))
		old = 0;
	if (old == 0 || shm_size(shm_chunk(seg, old)) < shm_size(loser)) {
		shm_store(&arena->top, c);
		shm_store(&arena->top_bytes, shm_size(loser));
		c = old;
	}
	if (c == 0 || !shm_chunk_is_sane(seg, c))
		return 0;
	loser = shm_chunk(seg, c);
	/* A word that somebody scribbled over indexes no bin. */
	if (shm_size(loser) < SHM_CHUNK_MIN ||
	    shm_size(loser) > shm_region_end(seg, c) - c)
		return 0;
	shm_store(&loser->head.size,
	    shm_load(&loser->head.size) & ~(uint32_t)SHM_TOP);
	return c;
}

void
shm_bin_link_locked(struct shm_self *self, struct shm_arena *arena, uint64_t c)
{
	struct shm_seg *seg = self->seg;
	struct shm_chunk *chunk = shm_chunk(seg, c);
	uint32_t word = shm_load(&chunk->head.size) | SHM_LINKED;
	uint32_t size = word & ~SHM_FLAGS;

	shm_store(&chunk->head.size, word);
	if (size >= SHM_LARGE_MIN)
		shm_store(&chunk->stamp_ms, shm_load(&seg->super->clock_ms));
	follower_tell(seg, c, size, true);
	if (word & SHM_TOP) {
		c = top_choose(self, arena, c);
		if (c == 0)
			return;
		size = shm_size(shm_chunk(seg, c));
	}
	list_insert(self, arena, c, size);
}

/* Take C out of its list; false if its neighbours don't agree ("safe
 * unlinking", glibc 2.3.4). */
static bool
list_remove(
    struct shm_self *self, struct shm_arena *arena, uint64_t c, uint32_t size)
{
	struct shm_seg *seg = self->seg;
	struct shm_chunk *chunk = shm_chunk(seg, c);
	uint64_t next = shm_load(&chunk->next), prev = shm_load(&chunk->prev);
	uint32_t bin = shm_bin(size);

	if ((next &&
		(!shm_chunk_is_sane(seg, next) ||
		    shm_load(&shm_chunk(seg, next)->prev) != c)) ||
	    (prev &&
		(!shm_chunk_is_sane(seg, prev) ||
		    shm_load(&shm_chunk(seg, prev)->next) != c)) ||
	    (!prev && shm_load(&arena->bin[bin]) != c))
		return false;
	if (next)
		shm_store(&shm_chunk(seg, next)->prev, prev);
	if (prev)
		shm_store(&shm_chunk(seg, prev)->next, next);
	else
		shm_store(&arena->bin[bin], next);
	if (!prev && !next)
		map_clear(arena, bin);
	shm_bump(&arena->binned_bytes, -(uint64_t)size);
	shm_bump(&arena->binned_chunks, UINT64_MAX);
	return true;
}

int
shm_bin_unlink_locked(
    struct shm_self *self, struct shm_arena *arena, uint64_t c)
{
	struct shm_seg *seg = self->seg;
	struct shm_chunk *chunk = shm_chunk(seg, c);
	uint32_t word = shm_load(&chunk->head.size);
	uint32_t size = word & ~SHM_FLAGS;

	if (!(word & SHM_LINKED) || size < SHM_CHUNK_MIN ||
	    size > SHM_CHUNK_MAX || size > shm_region_end(seg, c) - c)
		return SHM_ECORRUPT;
	if (c == shm_load(&arena->top)) {
		shm_store(&arena->top, 0);
		shm_store(&arena->top_bytes, 0);
	} else if (!list_remove(self, arena, c, size)) {
		return SHM_ECORRUPT;
	}
	shm_store(&chunk->head.size, word & ~(uint32_t)SHM_LINKED);
	follower_tell(seg, c, size, false);
	return 0;
}

/* The smallest of the first few chunks of BIN that has SIZE bytes; one that
 * lacks pages only if there is no other. */
static uint64_t
bin_best(
    struct shm_self *self, struct shm_arena *arena, uint32_t bin, uint32_t size)
{
	struct shm_seg *seg = self->seg;
	uint64_t c = shm_load(&arena->bin[bin]), best = 0;
	uint32_t best_word = UINT32_MAX;

	for (int i = 0; c && i < FIND_DEPTH; i++) {
		uint32_t word;

		if (!shm_chunk_is_sane(seg, c))
			break;
		word = shm_load(&shm_chunk(seg, c)->head.size);
		word = (word & ~SHM_FLAGS) | (word & SHM_HOLES) << 28;
		if ((word & ~HOLES_WEIGHT) >= size && word < best_word) {
			best = c;
			best_word = word;
			if (word == size)
				break;
		}
		c = shm_load(&shm_chunk(seg, c)->next);
	}
	return best;
}

uint64_t
shm_bin_find_locked(
    struct shm_self *self, struct shm_arena *arena, uint32_t size)
{
	uint32_t bin = shm_bin(size);
	uint64_t c = bin_best(self, arena, bin, size), map;

	if (c || ++bin == SHM_BINS)
		return c;
	map = shm_load(&arena->binmap[bin / 64]) & UINT64_MAX << bin % 64;
	for (uint32_t word = bin / 64;;) {
		while (map) {
			bin = word * 64 + (uint32_t)__builtin_ctzll(map);
			c = bin_best(self, arena, bin, size);
			if (c)
				return c;
			map &= map - 1;
		}
		if (++word == SHM_BIN_WORDS)
			return 0;
		map = shm_load(&arena->binmap[word]);
	}
}
