/*
 * The check of an arena's index against its heads: I6 to I10, I14.
 *
 * Whatever is read from a list is looked up among the offsets that the walk
 * over the heads has kept, before it is followed.
 */
#include "shm/check.h"

/* The place of OFF among the free pieces, NULL if it isn't one. */
static uint64_t *
free_find(struct shm_check *check, uint64_t off)
{
	size_t low = 0, high = check->n_free;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		uint64_t here = check->free[middle] & ~UINT64_C(1);

		if (here == off)
			return &check->free[middle];
		if (here < off)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Mark OFF as found on a list; false if it isn't free, or was found before. */
static bool
free_mark(struct shm_check *check, uint64_t off)
{
	uint64_t *place = free_find(check, off);

	if (!place || (*place & 1))
		return false;
	*place |= 1;
	return true;
}

static enum shm_state
state_of(const struct shm_head *head)
{
	return shm_tag_state(shm_load(&head->tag));
}

/* ---- Bins ---------------------------------------------------------------- */

static void
bin_check(struct shm_check *check, uint32_t bin)
{
	const struct shm_seg *seg = check->self.seg;
	uint64_t c = shm_load(&check->arena->bin[bin]), prev = 0;

	while (c) {
		const struct shm_chunk *chunk;

		if (!free_mark(check, c)) {
			shm_check_note(check, SHM_I_BIN, c,
			    "a bin holds what isn't free, or holds it twice");
			return;
		}
		chunk = shm_chunk(seg, c);
		if (state_of(&chunk->head) != SHM_FREE ||
		    shm_bin(shm_size(chunk)) != bin)
			shm_check_note(check, SHM_I_BIN, c,
			    "a chunk is in a bin of another size");
		if (shm_load(&chunk->prev) != prev)
			shm_check_note(check, SHM_I_BIN, c,
			    "a bin's backward link is wrong");
		prev = c;
		c = shm_load(&chunk->next);
	}
}

static void
extent_bin_check(struct shm_check *check, uint32_t bin)
{
	const struct shm_seg *seg = check->self.seg;
	uint32_t next = shm_load(&check->arena->extent_bin[bin]), prev = 0;

	while (next) {
		uint64_t off = shm_page_off(seg, next - 1);
		const struct shm_page *entry = &seg->pages[next - 1];

		if (!free_mark(check, off)) {
			shm_check_note(check, SHM_I_BIN, off,
			    "a bin holds what isn't free, or holds it twice");
			return;
		}
		if (shm_extent_bin(shm_pages(entry)) != bin)
			shm_check_note(check, SHM_I_BIN, off,
			    "an extent is in a bin of another length");
		if (shm_load(&entry->prev) != prev)
			shm_check_note(check, SHM_I_BIN, off,
			    "a bin's backward link is wrong");
		prev = next;
		next = shm_load(&entry->next);
	}
}

static void
bins_check(struct shm_check *check)
{
	struct shm_arena *arena = check->arena;

	for (uint32_t bin = 0; bin < SHM_BINS; bin++) {
		uint64_t map = shm_load(&arena->binmap[bin / 64]) >> bin % 64;

		bin_check(check, bin);
		if ((map & 1) != (shm_load(&arena->bin[bin]) != 0))
			shm_check_note(check, SHM_I_MAP, bin,
			    "the map of bins disagrees with a bin");
	}
	for (uint32_t bin = 0; bin < SHM_EXTENT_BINS; bin++) {
		uint64_t map =
		    shm_load(&arena->extent_map[bin / 64]) >> bin % 64;

		extent_bin_check(check, bin);
		if ((map & 1) != (shm_load(&arena->extent_bin[bin]) != 0))
			shm_check_note(check, SHM_I_MAP, bin,
			    "the map of extents' bins disagrees with a bin");
	}
}

/* ---- Fastbins and top ---------------------------------------------------- */

static void
fast_check(struct shm_check *check, uint32_t i)
{
	const struct shm_seg *seg = check->self.seg;
	uint64_t c = shm_load(&check->arena->fast[i]);

	while (c) {
		const struct shm_chunk *chunk;

		if (!free_mark(check, c)) {
			shm_check_note(check, SHM_I_FAST, c,
			    "a fastbin holds what isn't its, or holds it "
			    "twice");
			return;
		}
		chunk = shm_chunk(seg, c);
		if (state_of(&chunk->head) != SHM_FAST ||
		    shm_size(chunk) != SHM_CHUNK_MIN + i * SHM_GRANULE)
			shm_check_note(check, SHM_I_FAST, c,
			    "a chunk is in a fastbin of another size");
		c = shm_load(&chunk->next);
	}
}

static void
top_check(struct shm_check *check)
{
	uint64_t top = shm_load(&check->arena->top);

	if (top != check->sum.top)
		shm_check_note(check, SHM_I_TOP, top,
		    "the top isn't the chunk that is marked so");
	else if (top && !free_mark(check, top))
		shm_check_note(check, SHM_I_TOP, top, "the top is in a bin");
	if (shm_load(&check->arena->top_bytes) != check->sum.top_bytes)
		shm_check_note(check, SHM_I_COUNTERS, top,
		    "the top's size isn't what the arena says");
}

/* What no list has. */
static void
unmarked_check(struct shm_check *check)
{
	const struct shm_seg *seg = check->self.seg;

	for (size_t i = 0; i < check->n_free; i++) {
		uint64_t off = check->free[i];
		bool is_extent;

		if (off & 1 || off == check->sum.top)
			continue;
		(void)shm_arena_of(check->self.seg, off, &is_extent);
		if (!is_extent &&
		    state_of(&shm_chunk(seg, off)->head) == SHM_FAST)
			shm_check_note(check, SHM_I_FAST, off,
			    "no fastbin has a chunk that says so");
		else
			shm_check_note(
			    check, SHM_I_BIN, off, "a free piece is in no bin");
	}
}

/* ---- Counters and the remote list ---------------------------------------- */

static void
counter_check(struct shm_check *check, const _Atomic uint64_t *counter,
    uint64_t want, const char *text)
{
	if (shm_load(counter) != want)
		shm_check_note(check, SHM_I_COUNTERS,
		    shm_offset_of(check->self.seg, counter), text);
}

static void
counters_check(struct shm_check *check)
{
	const struct shm_check_sum *sum = &check->sum;
	struct shm_arena *arena = check->arena;

	counter_check(check, &arena->n_regions, sum->regions,
	    "the number of regions is wrong");
	counter_check(check, &arena->n_extent_regions, sum->extent_regions,
	    "the number of extents' regions is wrong");
	counter_check(check, &arena->binned_bytes, sum->binned_bytes,
	    "the bytes in bins are wrong");
	counter_check(check, &arena->binned_chunks, sum->binned_chunks,
	    "the chunks in bins are wrong");
	counter_check(check, &arena->fast_bytes, sum->fast_bytes,
	    "the bytes in fastbins are wrong");
	counter_check(check, &arena->fast_chunks, sum->fast_chunks,
	    "the chunks in fastbins are wrong");
	counter_check(check, &arena->extent_free_pages, sum->extent_free_pages,
	    "the free extents' pages are wrong");
	counter_check(check, &arena->extent_free_n, sum->extent_free_n,
	    "the number of free extents is wrong");
}

/* Others push while we look, but only in front of where we began; nobody takes
 * anything off.  Brent's method ends a cycle. */
static void
remote_check(struct shm_check *check)
{
	struct shm_seg *seg = check->self.seg;
	uint64_t off = shm_get(&check->arena->remote), seen = 0;
	uint64_t steps = 0, limit = 1;

	while (off) {
		_Atomic uint32_t *tag = shm_tag_at(seg, off);
		bool is_extent;

		if (!tag || off == seen ||
		    shm_arena_of(seg, off, &is_extent) != check->arena ||
		    !shm_tag_is_valid(seg, off, shm_get(tag)) ||
		    shm_tag_state(shm_get(tag)) != SHM_REMOTE) {
			shm_check_note(check, SHM_I_REMOTE, off,
			    "the remote list is damaged");
			return;
		}
		if (++steps == limit) {
			seen = off;
			steps = 0;
			limit *= 2;
		}
		off = shm_load((_Atomic uint64_t *)(void *)(seg->base + off));
	}
}

void
shm_check_index(struct shm_check *check)
{
	bins_check(check);
	for (uint32_t i = 0; i < SHM_FASTBINS; i++)
		fast_check(check, i);
	top_check(check);
	unmarked_check(check);
	counters_check(check);
	remote_check(check);
}
