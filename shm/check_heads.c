/*
 * The check of heads: I1 to I5, I11 to I13.  Chunks and extents obey the same
 * rules; struct look is what they have in common.
 */
#include "shm/check.h"
#include "shm/commit.h"
#include "shm/head.h"
#include "shm/walk.h"

#define HEAD_ROOM 48u /* of a free chunk: head and links */

/* A head, and what was seen before it. */
struct look {
	uint64_t off; /* of the object's payload: what its tag belongs to */
	_Atomic uint32_t *tag;
	struct shm_head_copy head;
	bool prev_is_linked; /* the object below: in a bin, or the top */
	bool prev_is_free;
};

/* ---- Tags ---------------------------------------------------------------- */

static void
tag_check(struct shm_check *check, const struct look *look)
{
	if (shm_state_is_client(look->head.state) ||
	    shm_state_is_thread(look->head.state))
		shm_check_owner(check, look->off, look->tag, look->head.tag);
	else if (look->head.tag >> 12)
		shm_check_note(check, SHM_I_TAG, look->off,
		    "the tag of what nobody owns names an owner");
}

/* ---- Flags --------------------------------------------------------------- */

static bool
look_is_linked(const struct look *look)
{
	return look->head.state == SHM_FREE && (look->head.flags & SHM_LINKED);
}

static void
flags_check(struct shm_check *check, const struct look *look)
{
	uint32_t flags = look->head.flags;
	bool is_free = look->head.state == SHM_FREE;

	if (is_free != ((flags & SHM_LINKED) != 0))
		shm_check_note(check, SHM_I_LINKED, look->off,
		    is_free ? "a free object isn't marked as linked"
			    : "an object in use is marked as linked");
	if (((flags & SHM_PREV_INUSE) == 0) != look->prev_is_linked)
		shm_check_note(
		    check, SHM_I_PREV, look->off, "PREV_INUSE is wrong");
	if (is_free && look->prev_is_free)
		shm_check_note(check, SHM_I_COALESCED, look->off,
		    "two free objects are neighbours");
}

static void
free_keep(struct shm_check *check, uint64_t off)
{
	if (check->n_free < check->room)
		check->free[check->n_free] = off;
	check->n_free++;
}

/* SHM_HOLES may be there without reason; but what is published, or was, has
 * all of its pages. */
static bool
may_lack_pages(const struct look *look)
{
	enum shm_state state = look->head.state;

	return (look->head.flags & SHM_HOLES) &&
	    (state == SHM_FREE || state == SHM_CACHED || state == SHM_REMOTE ||
		state == SHM_OWNED);
}

/* Go on behind LOOK. */
static void
look_advance(struct look *look)
{
	look->prev_is_linked = look_is_linked(look);
	look->prev_is_free = look->head.state == SHM_FREE;
}

/* ---- Chunks -------------------------------------------------------------- */

static void
chunk_sum(struct shm_check *check, const struct look *look, uint64_t c)
{
	struct shm_check_sum *sum = &check->sum;

	if (look->head.state == SHM_FAST) {
		sum->fast_bytes += look->head.len;
		sum->fast_chunks++;
	} else if (look->head.state != SHM_FREE) {
		return;
	} else if (look->head.flags & SHM_TOP) {
		if (sum->top)
			shm_check_note(check, SHM_I_TOP, look->off,
			    "a second chunk is marked as the top");
		sum->top = c;
		sum->top_bytes = look->head.len;
	} else {
		sum->binned_bytes += look->head.len;
		sum->binned_chunks++;
	}
	free_keep(check, c);
}

static void
chunk_pages_check(struct shm_check *check, const struct look *look, uint64_t c)
{
	const struct shm_seg *seg = check->self.seg;
	uint64_t all = look->head.len + SHM_CHUNK_OVER, need = all;

	if (may_lack_pages(look))
		need = look->head.state == SHM_FREE && all > HEAD_ROOM
		    ? HEAD_ROOM
		    : SHM_CHUNK_HEAD;
	if (shm_committed_prefix(seg, c, need) < need)
		shm_check_note(check, SHM_I_PAGES, look->off,
		    "a chunk lacks pages that it should have");
	if (look->head.state == SHM_FAST &&
	    ((look->head.flags & (SHM_HOLES | SHM_TOP)) ||
		look->head.len >= SHM_CHUNK_MIN + SHM_FASTBINS * SHM_GRANULE))
		shm_check_note(check, SHM_I_FAST, look->off,
		    "a chunk that no fastbin takes is in one");
}

static void
chunk_check(struct shm_check *check, const struct look *look, uint64_t c,
    uint64_t prev_len)
{
	const struct shm_chunk *chunk = shm_chunk(check->self.seg, c);

	tag_check(check, look);
	flags_check(check, look);
	if (look->prev_is_linked && shm_load(&chunk->prev_size) != prev_len)
		shm_check_note(check, SHM_I_PREV, look->off,
		    "prev_size isn't the size of the free chunk below");
	chunk_pages_check(check, look, c);
	chunk_sum(check, look, c);
}

/* Why could the head at C not be read?  False: the walk can't go on. */
static bool
chunk_diagnose(
    struct shm_check *check, struct look *look, uint64_t c, uint64_t end)
{
	const struct shm_seg *seg = check->self.seg;
	uint32_t word;

	check->is_damaged = true;
	if (shm_committed_prefix(seg, c, SHM_CHUNK_HEAD) < SHM_CHUNK_HEAD) {
		shm_check_note(
		    check, SHM_I_TILES, look->off, "a head has no page");
		return false;
	}
	word = shm_load(&shm_chunk(seg, c)->head.size);
	look->head = (struct shm_head_copy){ word & ~SHM_FLAGS,
		word & SHM_FLAGS, 0, SHM_NONE };
	if (look->head.len < SHM_CHUNK_MIN || look->head.len > end - c) {
		shm_check_note(check, SHM_I_TILES, look->off,
		    "a chunk's size doesn't fit into its region");
		return false;
	}
	shm_check_note(check, SHM_I_TAG, look->off, "a tag makes no sense");
	return true;
}

static void
chunks_check(struct shm_check *check, uint32_t region)
{
	struct shm_seg *seg = check->self.seg;
	uint64_t c = shm_region_off(seg, region), end = c + SHM_CHUNK_MAX;
	uint64_t prev_len = 0;
	struct look look = { 0 };

	check->sum.regions++;
	for (; c < end; c += prev_len) {
		look.off = c + SHM_CHUNK_HEAD;
		look.tag = &shm_chunk(seg, c)->head.tag;
		if (shm_chunk_read(seg, c, end, &look.head) == 0)
			chunk_check(check, &look, c, prev_len);
		else if (!chunk_diagnose(check, &look, c, end))
			return;
		prev_len = look.head.len;
		look_advance(&look);
	}
}

/* ---- Extents ------------------------------------------------------------- */

static void
extent_check(struct shm_check *check, const struct look *look, uint32_t page)
{
	const struct shm_seg *seg = check->self.seg;
	uint32_t n = (uint32_t)(look->head.len / SHM_PAGE);

	tag_check(check, look);
	flags_check(check, look);
	if (look_is_linked(look) && n > 1 &&
	    shm_pages(&seg->pages[page + n - 1]) != n)
		shm_check_note(check, SHM_I_PREV, look->off,
		    "a free extent's last entry doesn't say its length");
	if (!may_lack_pages(look) &&
	    shm_committed_prefix(seg, look->off, look->head.len) <
		look->head.len)
		shm_check_note(check, SHM_I_PAGES, look->off,
		    "an extent lacks pages that it should have");
	if (look->head.state == SHM_FAST)
		shm_check_note(
		    check, SHM_I_FAST, look->off, "an extent is in a fastbin");
	if (look->head.state != SHM_FREE)
		return;
	check->sum.extent_free_pages += n;
	check->sum.extent_free_n++;
	free_keep(check, look->off);
}

static bool
extent_diagnose(
    struct shm_check *check, struct look *look, uint32_t page, uint32_t end)
{
	const struct shm_seg *seg = check->self.seg;
	const struct shm_page *entry = &seg->pages[page];
	uint32_t word, n;

	check->is_damaged = true;
	if (shm_committed_prefix(seg, shm_offset_of(seg, entry),
		sizeof(*entry)) < sizeof(*entry)) {
		shm_check_note(check, SHM_I_TILES, look->off,
		    "an extent's entry has no page");
		return false;
	}
	word = shm_load(&entry->head.size);
	n = word >> 4;
	look->head = (struct shm_head_copy){ (uint64_t)n * SHM_PAGE,
		word & SHM_FLAGS, 0, SHM_NONE };
	if (n == 0 || n > end - page) {
		shm_check_note(check, SHM_I_TILES, look->off,
		    "an extent's length doesn't fit into its run");
		return false;
	}
	shm_check_note(check, SHM_I_TAG, look->off, "a tag makes no sense");
	return true;
}

static void
extents_check(struct shm_check *check, uint32_t first, uint32_t n)
{
	struct shm_seg *seg = check->self.seg;
	uint32_t page = first * SHM_REGION_PAGES;
	uint32_t end = page + n * SHM_REGION_PAGES;
	struct look look = { 0 };

	check->sum.extent_regions += n;
	for (; page < end; page += (uint32_t)(look.head.len / SHM_PAGE)) {
		look.off = shm_page_off(seg, page);
		look.tag = &seg->pages[page].head.tag;
		if (shm_extent_read(seg, page, end, &look.head) == 0)
			extent_check(check, &look, page);
		else if (!extent_diagnose(check, &look, page, end))
			return;
		look_advance(&look);
	}
}

void
shm_check_heads(struct shm_check *check)
{
	const struct shm_seg *seg = check->self.seg;
	uint32_t n = 1, used = shm_walk_regions(seg);

	for (uint32_t i = 0; i < used; i += n) {
		uint64_t entry = shm_get(&seg->regions[i]);
		uint32_t first;

		n = 1;
		if (shm_entry_arena(entry) != check->index)
			continue;
		if (shm_entry_kind(entry) == SHM_REGION_CHUNKS)
			chunks_check(check, i);
		else if (shm_entry_kind(entry) == SHM_REGION_EXTENTS &&
		    shm_region_run(seg, i, &first, &n))
			extents_check(check, i, n);
	}
}
