/*
 * See shm/place.h.
 */
#include "shm/place.h"

#include "shm/commit.h"

#define FREE_HEAD 48u /* a free chunk's head and links */

/* What a piece says of itself, copied. */
struct piece {
	uint64_t next, prev;
	uint64_t off; /* of its payload */
	uint32_t word, tag, stamp_ms, bin;
};

void
shm_place_begin(struct shm_place *place)
{
	place->is_chunks = false;
	place->bin = SHM_EXTENT_BINS - 1;
	place->n = 0;
}

bool
shm_place_advance(struct shm_place *place)
{
	uint32_t last = place->is_chunks ? shm_bin(SHM_PAGE) : 1;

	place->n = 0;
	if (place->bin > last) {
		place->bin--;
		return true;
	}
	if (place->is_chunks)
		return false;
	place->is_chunks = true;
	place->bin = SHM_BINS - 1;
	return true;
}

/* ---- Pieces, which may be anything --------------------------------------- */

static bool
chunk_is_sane(
    const struct shm_seg *seg, const struct shm_arena *arena, uint64_t c)
{
	uint64_t entry;

	if (!shm_chunk_is_sane(seg, c))
		return false;
	entry = shm_region_get(seg, shm_region_of(seg, c));
	return shm_entry_kind(entry) == SHM_REGION_CHUNKS &&
	    shm_entry_arena(entry) == shm_arena_index(seg, arena) &&
	    shm_committed_prefix(seg, c, FREE_HEAD) == FREE_HEAD;
}

/* Are the N entries of the page table from PAGE on there? */
static bool
entries_are_there(const struct shm_seg *seg, uint64_t page, uint64_t n)
{
	uint64_t len = n * sizeof(struct shm_page);

	return page + n <= (uint64_t)seg->n_regions * SHM_REGION_PAGES &&
	    shm_committed_prefix(
		seg, shm_offset_of(seg, &seg->pages[page]), len) == len;
}

/* The entry behind that of an extent of more than one page has its stamp. */
static bool
extent_is_sane(
    const struct shm_seg *seg, const struct shm_arena *arena, uint64_t at)
{
	uint64_t page = at - 1;

	return at != 0 && at <= UINT32_MAX &&
	    shm_entry_has_extents(
		shm_region_get(seg, (uint32_t)(page / SHM_REGION_PAGES)),
		shm_arena_index(seg, arena)) &&
	    entries_are_there(seg, page, 1) &&
	    (shm_pages(&seg->pages[page]) == 1 ||
		entries_are_there(seg, page, 2));
}

bool
shm_place_is_sane(const struct shm_seg *seg, const struct shm_arena *arena,
    const struct shm_place *place, uint64_t at)
{
	return place->is_chunks ? chunk_is_sane(seg, arena, at)
				: extent_is_sane(seg, arena, at);
}

/* Copy the piece at AT, which is sane. */
static struct piece
piece_read(
    const struct shm_seg *seg, const struct shm_place *place, uint64_t at)
{
	struct piece piece = { 0 };

	if (place->is_chunks) {
		const struct shm_chunk *chunk = shm_chunk(seg, at);

		piece.next = shm_load(&chunk->next);
		piece.prev = shm_load(&chunk->prev);
		piece.off = at + SHM_CHUNK_HEAD;
		piece.word = shm_load(&chunk->head.size);
		piece.tag = shm_load(&chunk->head.tag);
		piece.stamp_ms = shm_load(&chunk->stamp_ms);
		piece.bin = shm_bin(piece.word & ~SHM_FLAGS);
	} else {
		const struct shm_page *entry = &seg->pages[at - 1];

		piece.next = shm_load(&entry->next);
		piece.prev = shm_load(&entry->prev);
		piece.off = shm_page_off(seg, (uint32_t)at - 1);
		piece.word = shm_load(&entry->head.size);
		piece.tag = shm_load(&entry->head.tag);
		piece.stamp_ms = shm_extent_stamp(seg, (uint32_t)at - 1);
		piece.bin = shm_extent_bin(piece.word >> 4);
	}
	return piece;
}

uint64_t
shm_place_next(
    const struct shm_seg *seg, const struct shm_place *place, uint64_t at)
{
	return place->is_chunks ? shm_load(&shm_chunk(seg, at)->next)
				: shm_load(&seg->pages[at - 1].next);
}

static uint64_t
bin_head(const struct shm_arena *arena, const struct shm_place *place)
{
	return place->is_chunks ? shm_load(&arena->bin[place->bin])
				: shm_load(&arena->extent_bin[place->bin]);
}

/* Is PREV, 0 for none, before AT in PLACE's bin? */
static bool
is_before(const struct shm_seg *seg, const struct shm_arena *arena,
    const struct shm_place *place, uint64_t prev, uint64_t at)
{
	if (prev == 0)
		return bin_head(arena, place) == at;
	return shm_place_is_sane(seg, arena, place, prev) &&
	    shm_place_next(seg, place, prev) == at;
}

/* Is the piece still where it was, and since the same time? */
static bool
is_there(const struct shm_seg *seg, const struct shm_arena *arena,
    const struct shm_place *place, const struct shm_place_next *next)
{
	struct piece piece;

	if (!shm_place_is_sane(seg, arena, place, next->at))
		return false;
	piece = piece_read(seg, place, next->at);
	return (piece.word & SHM_LINKED) && piece.bin == place->bin &&
	    piece.stamp_ms == next->stamp_ms &&
	    shm_tag_is_valid(seg, piece.off, piece.tag) &&
	    shm_tag_state(piece.tag) == SHM_FREE &&
	    is_before(seg, arena, place, piece.prev, next->at);
}

/* ---- Stopping and going on ----------------------------------------------- */

uint64_t
shm_place_resume(const struct shm_seg *seg, const struct shm_arena *arena,
    const struct shm_place *place)
{
	for (uint32_t i = 0; i < place->n; i++)
		if (is_there(seg, arena, place, &place->next[i]))
			return place->next[i].at;
	return bin_head(arena, place);
}

void
shm_place_keep(const struct shm_seg *seg, const struct shm_arena *arena,
    struct shm_place *place, uint64_t at)
{
	place->n = 0;
	while (at && place->n < SHM_PLACE_NEXT &&
	    shm_place_is_sane(seg, arena, place, at)) {
		struct piece piece = piece_read(seg, place, at);

		place->next[place->n++] =
		    (struct shm_place_next){ at, piece.stamp_ms };
		at = piece.next;
	}
}
