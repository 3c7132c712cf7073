/*
 * Whose objects are: the check of I12 and I13, and what a repair does about it.
 */
#include "shm/check.h"
#include "shm/commit.h"
#include "shm/epoch.h"
#include "shm/head.h"
#include "shm/tally.h"
#include "shm/thread.h"
#include "shm/walk.h"

static bool
client_is_used(const struct shm_seg *seg, uint32_t slot, uint32_t generation)
{
	const struct shm_client *client;

	if (slot < SHM_DAEMON_SLOT || !shm_client_is_there(seg, slot))
		return false;
	client = &seg->clients[slot];
	if (shm_get(&client->state) == SHM_CLIENT_FREE)
		return false;
	/* What a dead daemon had out carries its generation. */
	return slot == SHM_DAEMON_SLOT ||
	    ((shm_load(&client->generation) ^ generation) &
		(SHM_TAG_GENERATIONS - 1)) == 0;
}

static bool
bit_is_set(const struct shm_seg *seg, uint32_t slot, uint32_t region)
{
	const _Atomic uint64_t *word =
	    seg->client_bits + (uint64_t)slot * seg->n_bit_words + region / 64;

	return shm_committed_prefix(seg, shm_offset_of(seg, word), 8) == 8 &&
	    (shm_get(word) >> region % 64 & 1);
}

/* The client that TAG names, directly or by a thread; false: there is none. */
static bool
owner_find(const struct shm_seg *seg, uint32_t tag, uint32_t *ret_slot)
{
	uint32_t slot = shm_tag_owner(tag);
	uint32_t generation = shm_tag_generation(tag);

	if (shm_state_is_thread(shm_tag_state(tag))) {
		uint64_t owner =
		    slot < SHM_THREADS ? shm_thread_owner(seg, slot) : 0;

		slot = shm_owner_slot(owner);
		generation = (uint32_t)(owner >> 16 & 0xffff);
	}
	*ret_slot = slot;
	return client_is_used(seg, slot, generation);
}

/* Is TAG still there?  The owner of a live object may change it at any time,
 * and then what it says of him. */
static bool
tag_is_same(const _Atomic uint32_t *place, uint32_t tag)
{
	return shm_get(place) == tag;
}

void
shm_check_owner(struct shm_check *check, uint64_t off,
    const _Atomic uint32_t *place, uint32_t tag)
{
	struct shm_seg *seg = check->self.seg;
	uint32_t slot;

	if (!owner_find(seg, tag, &slot)) {
		if (tag_is_same(place, tag))
			shm_check_note(check, SHM_I_OWNER, off,
			    shm_state_is_thread(shm_tag_state(tag))
				? "a tag names a thread that isn't there"
				: "a tag names a client that isn't there");
	} else if (!bit_is_set(seg, slot, shm_region_of(seg, off)) &&
	    tag_is_same(place, tag)) {
		shm_check_note(check, SHM_I_BITS, off,
		    "its owner's region bits don't cover an object");
	}
}

/* ---- Repair -------------------------------------------------------------- */

/* Set SLOT's bit for the region around OFF, if it has bits at all. */
static void
bit_set(struct shm_seg *seg, uint32_t slot, uint64_t off)
{
	uint32_t region = shm_region_of(seg, off);
	_Atomic uint64_t *word =
	    seg->client_bits + (uint64_t)slot * seg->n_bit_words + region / 64;

	if (shm_committed_prefix(seg, shm_offset_of(seg, word), 8) == 8)
		atomic_fetch_or(word, UINT64_C(1) << region % 64);
}

/* Is TAG of a daemon before this one?  Those of an arena that was sick when
 * this one looked for them are still there. */
static bool
is_left_by_daemon(const struct shm_seg *seg, uint32_t tag)
{
	uint32_t now = shm_load(&seg->clients[SHM_DAEMON_SLOT].generation);

	return shm_state_is_client(shm_tag_state(tag)) &&
	    shm_tag_owner(tag) == SHM_DAEMON_SLOT &&
	    shm_tag_generation(tag) != now % SHM_TAG_GENERATIONS;
}

/* What becomes of an object that nobody has; 0: it stays as it is, because
 * somebody may be reading it. */
static enum shm_state
orphan_state(const struct shm_seg *seg, enum shm_state state)
{
	if (shm_state_is_thread(state))
		return SHM_SHARED;
	if ((state == SHM_UNLINKED || state == SHM_RETIRED) &&
	    shm_epoch_oldest(seg) != UINT64_MAX)
		return SHM_NONE;
	return SHM_FREE;
}

static void
tag_disown(
    struct shm_seg *seg, uint64_t off, _Atomic uint32_t *place, uint32_t tag)
{
	enum shm_state state = shm_tag_state(tag), to;
	uint32_t slot;

	if (!shm_state_is_client(state) && !shm_state_is_thread(state))
		return;
	if (!is_left_by_daemon(seg, tag) && owner_find(seg, tag, &slot)) {
		if (!bit_is_set(seg, slot, shm_region_of(seg, off)))
			bit_set(seg, slot, off);
		return;
	}
	to = orphan_state(seg, state);
	if (to != SHM_NONE)
		(void)shm_cas(
		    place, &tag, shm_tag_base(0, 0, to) | (tag & 255));
}

static void
chunks_disown(struct shm_seg *seg, uint32_t region)
{
	uint64_t c = shm_region_off(seg, region), end = c + SHM_CHUNK_MAX;
	struct shm_head_copy head;

	for (; c < end && shm_chunk_read(seg, c, end, &head) == 0;
	     c += head.len)
		tag_disown(seg, c + SHM_CHUNK_HEAD,
		    &shm_chunk(seg, c)->head.tag, head.tag);
}

static void
extents_disown(struct shm_seg *seg, uint32_t first, uint32_t n)
{
	uint32_t page = first * SHM_REGION_PAGES;
	uint32_t end = page + n * SHM_REGION_PAGES;
	struct shm_head_copy head;

	for (; page < end && shm_extent_read(seg, page, end, &head) == 0;
	     page += (uint32_t)(head.len / SHM_PAGE))
		tag_disown(seg, shm_page_off(seg, page),
		    &seg->pages[page].head.tag, head.tag);
}

void
shm_check_disown(struct shm_check *check)
{
	struct shm_seg *seg = check->self.seg;
	uint32_t n = 1, used = shm_walk_regions(seg);

	for (uint32_t i = 0; i < used; i += n) {
		uint64_t entry = shm_get(&seg->regions[i]);
		uint32_t first;

		n = 1;
		if (shm_entry_arena(entry) != check->index)
			continue;
		if (shm_entry_kind(entry) == SHM_REGION_CHUNKS)
			chunks_disown(seg, i);
		else if (shm_entry_kind(entry) == SHM_REGION_EXTENTS &&
		    shm_region_run(seg, i, &first, &n))
			extents_disown(seg, i, n);
	}
}
