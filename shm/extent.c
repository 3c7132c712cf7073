/*
 * Extents: runs of whole pages for large objects.  Their heads are in the page
 * table, not in their pages, which are punched when they are free.  Apart from
 * that they are handled as chunks are: the same states, flags and order of
 * stores, with pages for granules and a run of regions for a region.
 *
 * A free extent of more than one page has its length again in the entry of its
 * last page, for the one behind it to find its beginning.
 */
#include "shm/arena.h"

#include "shm/commit.h"

#define FIND_DEPTH 16

static struct shm_page *
page_at(const struct shm_seg *seg, uint32_t page)
{
	return &seg->pages[page];
}

static void
tag_put(struct shm_self *self, uint32_t page, uint32_t base)
{
	shm_put(&page_at(self->seg, page)->head.tag,
	    base |
		shm_tag_check(self->seg->key, shm_page_off(self->seg, page)));
}

static void
head_write(struct shm_self *self, uint32_t page, uint32_t word, uint32_t base)
{
	shm_put(&page_at(self->seg, page)->head.size, word);
	tag_put(self, page, base);
}

static void
size_put(struct shm_self *self, uint32_t page, uint32_t word)
{
	shm_put(&page_at(self->seg, page)->head.size, word);
}

/* The first and the end page of the run around PAGE. */
static bool
run_bounds(const struct shm_seg *seg, uint32_t page, uint32_t *ret_start,
    uint32_t *ret_end)
{
	uint32_t first, n;

	if (!shm_region_run(seg, page / SHM_REGION_PAGES, &first, &n))
		return false;
	*ret_start = first * SHM_REGION_PAGES;
	*ret_end = (first + n) * SHM_REGION_PAGES;
	return true;
}

static bool
page_is_sane(const struct shm_seg *seg, uint32_t page)
{
	enum shm_region_kind kind;

	if (page / SHM_REGION_PAGES >= shm_regions_used(seg))
		return false;
	kind = shm_entry_kind(shm_get(&seg->regions[page / SHM_REGION_PAGES]));
	return kind == SHM_REGION_EXTENTS || kind == SHM_REGION_MORE;
}

/* May an extent of N pages begin at PAGE? */
static bool
pages_are_sane(const struct shm_seg *seg, uint32_t page, uint32_t n)
{
	return n > 0 && page_is_sane(seg, page) &&
	    n <= shm_regions_used(seg) * SHM_REGION_PAGES - page &&
	    page_is_sane(seg, page + n - 1);
}

static uint32_t
flags_of(const struct shm_page *entry)
{
	return shm_load(&entry->head.size) & SHM_FLAGS;
}

/* ---- Bins; a page number is stored plus one, 0 is none ------------------- */

static void
map_update(struct shm_arena *arena, uint32_t bin, bool is_set)
{
	_Atomic uint64_t *word = &arena->extent_map[bin / 64];
	uint64_t bit = UINT64_C(1) << bin % 64, old = shm_load(word);

	shm_store(word, is_set ? old | bit : old & ~bit);
}

/* Does the run of the N pages at PAGE go on behind them? */
static bool
run_goes_on(const struct shm_seg *seg, uint32_t page, uint32_t n)
{
	uint64_t next = (uint64_t)page + n, last, entry;

	if (next % SHM_REGION_PAGES != 0)
		return true;
	last = shm_region_get(seg, (uint32_t)((next - 1) / SHM_REGION_PAGES));
	entry = shm_region_get(seg, (uint32_t)(next / SHM_REGION_PAGES));
	return shm_entry_kind(entry) == SHM_REGION_MORE &&
	    shm_entry_arena(entry) == shm_entry_arena(last);
}

/* Tell the extent behind that PAGE is free, with its footer, or in use.  Its N
 * pages lie inside its run. */
static void
follower_tell(
    const struct shm_seg *seg, uint32_t page, uint32_t n, bool is_free)
{
	struct shm_page *next;
	uint32_t word;

	if (is_free && n > 1)
		shm_store(&page_at(seg, page + n - 1)->head.size, n << 4);
	if (!run_goes_on(seg, page, n))
		return;
	next = page_at(seg, page + n);
	word = shm_load(&next->head.size);
	shm_store(&next->head.size,
	    is_free ? word & ~(uint32_t)SHM_PREV_INUSE : word | SHM_PREV_INUSE);
}

/* When the extent was freed, for decay: in the entry of its second page, as in
 * its own there is no room; of a single page nobody knows. */
static void
stamp_put(const struct shm_seg *seg, uint32_t page, uint32_t n, uint32_t stamp)
{
	if (n > 1)
		shm_store(&page_at(seg, page + 1)->next, stamp);
}

void
shm_extent_link_locked(
    struct shm_self *self, struct shm_arena *arena, uint32_t page)
{
	struct shm_seg *seg = self->seg;
	struct shm_page *entry = page_at(seg, page);
	uint32_t n = shm_pages(entry), bin = shm_extent_bin(n);
	uint32_t head = shm_load(&arena->extent_bin[bin]);

	shm_store(&entry->head.size, shm_load(&entry->head.size) | SHM_LINKED);
	shm_store(&entry->next, head);
	shm_store(&entry->prev, 0);
	if (head && page_is_sane(seg, head - 1))
		shm_store(&page_at(seg, head - 1)->prev, page + 1);
	shm_store(&arena->extent_bin[bin], page + 1);
	map_update(arena, bin, true);
	stamp_put(seg, page, n, shm_load(&seg->super->clock_ms));
	follower_tell(seg, page, n, true);
	shm_bump(&arena->extent_free_pages, n);
	shm_bump(&arena->extent_free_n, 1);
}

int
shm_extent_unlink_locked(
    struct shm_self *self, struct shm_arena *arena, uint32_t page)
{
	struct shm_seg *seg = self->seg;
	struct shm_page *entry = page_at(seg, page);
	uint32_t n = shm_pages(entry), bin = shm_extent_bin(n);
	uint32_t next = shm_load(&entry->next), prev = shm_load(&entry->prev);

	if (!(flags_of(entry) & SHM_LINKED) || !pages_are_sane(seg, page, n) ||
	    (next &&
		(!page_is_sane(seg, next - 1) ||
		    shm_load(&page_at(seg, next - 1)->prev) != page + 1)) ||
	    (prev &&
		(!page_is_sane(seg, prev - 1) ||
		    shm_load(&page_at(seg, prev - 1)->next) != page + 1)) ||
	    (!prev && shm_load(&arena->extent_bin[bin]) != page + 1))
		return SHM_ECORRUPT;
	if (next)
		shm_store(&page_at(seg, next - 1)->prev, prev);
	if (prev)
		shm_store(&page_at(seg, prev - 1)->next, next);
	else
		shm_store(&arena->extent_bin[bin], next);
	if (!prev && !next)
		map_update(arena, bin, false);
	shm_store(&entry->head.size,
	    shm_load(&entry->head.size) & ~(uint32_t)SHM_LINKED);
	follower_tell(seg, page, n, false);
	shm_bump(&arena->extent_free_pages, -(uint64_t)n);
	shm_bump(&arena->extent_free_n, UINT64_MAX);
	return 0;
}

/* The shortest of the first few extents of BIN that has PAGES pages; plus
 * one, 0 is none. */
static uint32_t
bin_best(const struct shm_seg *seg, uint32_t head, uint32_t pages)
{
	uint32_t best = 0, best_n = UINT32_MAX;

	for (int i = 0; head && i < FIND_DEPTH; i++) {
		uint32_t n;

		if (!page_is_sane(seg, head - 1))
			break;
		n = shm_pages(page_at(seg, head - 1));
		if (n >= pages && n < best_n) {
			best = head;
			best_n = n;
		}
		head = shm_load(&page_at(seg, head - 1)->next);
	}
	return best;
}

static uint32_t
extent_find(const struct shm_seg *seg, struct shm_arena *arena, uint32_t pages)
{
	for (uint32_t bin = shm_extent_bin(pages); bin < SHM_EXTENT_BINS;
	     bin++) {
		uint64_t map =
		    shm_load(&arena->extent_map[bin / 64]) >> bin % 64;
		uint32_t best;

		if (map == 0) {
			bin |= 63;
			continue;
		}
		bin += (uint32_t)__builtin_ctzll(map);
		best = bin_best(seg, shm_load(&arena->extent_bin[bin]), pages);
		if (best)
			return best;
	}
	return 0;
}

/* ---- Taking -------------------------------------------------------------- */

int
shm_extent_take_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t pages, uint32_t *ret_page)
{
	struct shm_seg *seg = self->seg;
	uint32_t best = extent_find(seg, arena, pages), page, word, n,
		 stamp = 0;

	if (best == 0)
		return 0;
	page = best - 1;
	if (shm_extent_unlink_locked(self, arena, page) != 0)
		return SHM_ECORRUPT;
	word = shm_load(&page_at(seg, page)->head.size);
	n = word >> 4;
	if (n > 1)
		stamp = shm_load(&page_at(seg, page + 1)->next);
	shm_self_visit(self, page / SHM_REGION_PAGES);
	if (n > pages) {
		head_write(self, page + pages,
		    (n - pages) << 4 | SHM_PREV_INUSE | (word & SHM_HOLES),
		    shm_tag_base(0, 0, SHM_FREE));
		size_put(self, page,
		    pages << 4 | (word & (SHM_PREV_INUSE | SHM_HOLES)));
		shm_bump(&arena->counters.splits, 1);
	}
	tag_put(self, page, self->cached);
	if (n > pages) {
		shm_extent_link_locked(self, arena, page + pages);
		/* The rest has been free for as long as the whole. */
		stamp_put(seg, page + pages, n - pages, stamp);
	}
	shm_bump(&arena->counters.allocs, 1);
	*ret_page = page;
	return 1;
}

void
shm_extent_add_run_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t first, uint32_t n, uint32_t pages)
{
	struct shm_seg *seg = self->seg;
	uint32_t page = first * SHM_REGION_PAGES;
	uint32_t rest = n * SHM_REGION_PAGES - pages;
	uint32_t index = shm_arena_index(seg, arena);

	if (rest)
		head_write(self, page + pages,
		    rest << 4 | SHM_PREV_INUSE | SHM_HOLES,
		    shm_tag_base(0, 0, SHM_FREE));
	head_write(self, page, pages << 4 | SHM_PREV_INUSE, self->cached);
	for (uint32_t i = n - 1; i > 0; i--)
		shm_put(&seg->regions[first + i],
		    shm_region_entry(
			SHM_REGION_MORE, index, self->slot, self->generation));
	shm_put(&seg->regions[first],
	    shm_region_entry(
		SHM_REGION_EXTENTS, index, self->slot, self->generation));
	shm_bump(&arena->n_extent_regions, n);
	shm_bump(&arena->counters.extends, 1);
	if (rest)
		shm_extent_link_locked(self, arena, page + pages);
}

/* ---- Putting ------------------------------------------------------------- */

static int
merge_back(struct shm_self *self, struct shm_arena *arena, uint32_t start,
    uint32_t *page)
{
	struct shm_seg *seg = self->seg;
	uint32_t word = shm_load(&page_at(seg, *page)->head.size), n, front;

	if ((word & SHM_PREV_INUSE) || *page == start)
		return 0;
	n = shm_pages(page_at(seg, *page - 1));
	if (n == 0 || n > *page - start)
		return SHM_ECORRUPT;
	front = shm_load(&page_at(seg, *page - n)->head.size);
	if (front >> 4 != n ||
	    shm_extent_unlink_locked(self, arena, *page - n) != 0)
		return SHM_ECORRUPT;
	size_put(self, *page - n,
	    (n + (word >> 4)) << 4 | (front & SHM_PREV_INUSE) |
		((front | word) & SHM_HOLES));
	*page -= n;
	shm_bump(&arena->counters.coalesced_back, 1);
	return 0;
}

static int
merge_forward(
    struct shm_self *self, struct shm_arena *arena, uint32_t page, uint32_t end)
{
	struct shm_seg *seg = self->seg;
	uint32_t word = shm_load(&page_at(seg, page)->head.size), behind;
	uint32_t next = page + (word >> 4);

	if (next >= end || !(flags_of(page_at(seg, next)) & SHM_LINKED))
		return 0;
	if (shm_extent_unlink_locked(self, arena, next) != 0)
		return SHM_ECORRUPT;
	behind = shm_load(&page_at(seg, next)->head.size);
	size_put(self, page,
	    ((word >> 4) + (behind >> 4)) << 4 | (word & SHM_PREV_INUSE) |
		((word | behind) & SHM_HOLES));
	shm_bump(&arena->counters.coalesced_forward, 1);
	return 0;
}

int
shm_extent_coalesce_in_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t page, uint32_t start, uint32_t end, uint32_t *ret_page)
{
	uint32_t word = shm_load(&page_at(self->seg, page)->head.size);
	int error;

	if (word >> 4 == 0 || word >> 4 > end - page || (word & SHM_LINKED))
		return SHM_ECORRUPT;
	error = merge_back(self, arena, start, &page);
	if (error == 0)
		error = merge_forward(self, arena, page, end);
	if (error)
		return error;
	shm_extent_link_locked(self, arena, page);
	if (ret_page)
		*ret_page = page;
	return 0;
}

int
shm_extent_coalesce_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t page, uint32_t *ret_page)
{
	uint32_t start, end;

	return run_bounds(self->seg, page, &start, &end)
	    ? shm_extent_coalesce_in_locked(
		  self, arena, page, start, end, ret_page)
	    : SHM_ECORRUPT;
}

int
shm_extent_put_locked(
    struct shm_self *self, struct shm_arena *arena, uint32_t page)
{
	struct shm_page *entry = page_at(self->seg, page);
	uint32_t word = shm_load(&entry->head.size), n = word >> 4;
	uint32_t start, end;

	if (n == 0 || (word & SHM_LINKED) ||
	    !run_bounds(self->seg, page, &start, &end) || n > end - page)
		return SHM_ECORRUPT;
	if ((word & SHM_HOLES) &&
	    shm_committed_pages(self->seg, shm_page_off(self->seg, page),
		(uint64_t)n * SHM_PAGE) == n)
		size_put(self, page, word & ~(uint32_t)SHM_HOLES);
	tag_put(self, page, shm_tag_base(0, 0, SHM_FREE));
	shm_bump(&arena->counters.frees, 1);
	return shm_extent_coalesce_in_locked(
	    self, arena, page, start, end, NULL);
}

/* ---- Resizing ------------------------------------------------------------ */

int
shm_extent_shrink_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t page, uint32_t pages)
{
	uint32_t word = shm_load(&page_at(self->seg, page)->head.size);
	uint32_t n = word >> 4;

	if (n <= pages)
		return 0;
	shm_self_visit(self, (page + pages) / SHM_REGION_PAGES);
	head_write(self, page + pages,
	    (n - pages) << 4 | SHM_PREV_INUSE | (word & SHM_HOLES),
	    self->cached);
	size_put(
	    self, page, pages << 4 | (word & (SHM_PREV_INUSE | SHM_HOLES)));
	shm_bump(&arena->counters.splits, 1);
	return shm_extent_put_locked(self, arena, page + pages);
}

int
shm_extent_grow_locked(struct shm_self *self, struct shm_arena *arena,
    uint32_t page, uint32_t pages)
{
	struct shm_seg *seg = self->seg;
	uint32_t word = shm_load(&page_at(seg, page)->head.size), behind;
	uint32_t n = word >> 4, next = page + n, start, end, all;

	if (!run_bounds(seg, page, &start, &end) || next >= end ||
	    !(flags_of(page_at(seg, next)) & SHM_LINKED))
		return 0;
	behind = shm_load(&page_at(seg, next)->head.size);
	all = n + (behind >> 4);
	if (all < pages)
		return 0;
	if (shm_extent_unlink_locked(self, arena, next) != 0)
		return SHM_ECORRUPT;
	size_put(self, page, all << 4 | (word & SHM_PREV_INUSE) | SHM_HOLES);
	if (all == pages)
		return 1;
	shm_self_visit(self, (page + pages) / SHM_REGION_PAGES);
	head_write(self, page + pages,
	    (all - pages) << 4 | SHM_PREV_INUSE | SHM_HOLES,
	    shm_tag_base(0, 0, SHM_FREE));
	size_put(self, page, pages << 4 | (word & SHM_PREV_INUSE) | SHM_HOLES);
	shm_extent_link_locked(self, arena, page + pages);
	return 1;
}
