/*
 * See reclaim.h.
 */
#include "shm/reclaim.h"

#include "shm/arena.h"
#include "shm/head.h"

#define LOCK_SPINS 10000 /* some microseconds */

/* What earlier daemons had out goes back, but not what this one has. */
static struct shm_reclaimed *
daemon_sum(struct shm_victim *victim, uint32_t tag)
{
	if (shm_tag_owner(tag) != SHM_DAEMON_SLOT)
		return NULL;
	if (shm_tag_generation(tag) != victim->generation % SHM_TAG_GENERATIONS)
		return victim->sum;
	victim->is_ours = true;
	return NULL;
}

static struct shm_reclaimed *
dead_sum(struct shm_victim *victim, uint32_t tag)
{
	enum shm_state state = shm_tag_state(tag);
	uint32_t slot = shm_tag_owner(tag);
	struct shm_reclaimed *sum;

	if (slot >= SHM_CLIENTS)
		return NULL;
	sum = &victim->dying->of[slot];
	if (!sum->is_settled ||
	    shm_tag_generation(tag) != sum->generation % SHM_TAG_GENERATIONS)
		return NULL;
	if ((state == SHM_UNLINKED || state == SHM_RETIRED) &&
	    victim->oldest <= sum->settled) {
		sum->left_visit = victim->dying->visit;
		victim->is_left |= slot == victim->slot;
		return NULL;
	}
	return sum;
}

/* If what carries TAG, at PLACE, is to go back, make it FREE and count LEN
 * bytes for whom it was; false: it is not, or not yet. */
static bool
tag_free(struct shm_victim *victim, _Atomic uint32_t *place, uint32_t tag,
    uint64_t len)
{
	uint32_t now = tag;
	struct shm_reclaimed *sum;

	if (!shm_state_is_client(shm_tag_state(tag)))
		return false;
	sum =
	    victim->is_daemon ? daemon_sum(victim, tag) : dead_sum(victim, tag);
	if (!sum ||
	    !shm_cas(place, &now, shm_tag_base(0, 0, SHM_FREE) | (tag & 255)))
		return false;
	sum->chunks++;
	sum->bytes += len;
	victim->chunks++;
	victim->bytes += len;
	return true;
}

/* ---- Regions; lock held -------------------------------------------------- */

static int
chunks_reclaim(
    struct shm_victim *victim, struct shm_arena *arena, uint32_t region)
{
	struct shm_seg *seg = victim->self->seg;
	uint64_t c = shm_region_off(seg, region), end = c + SHM_CHUNK_MAX;
	struct shm_head_copy head;

	for (; c < end; c += head.len) {
		struct shm_chunk *chunk = shm_chunk(seg, c);
		int error;

		if (shm_chunk_read(seg, c, end, &head) != 0)
			return SHM_ECORRUPT;
		victim->looked_at++;
		if (!tag_free(victim, &chunk->head.tag, head.tag, head.len))
			continue;
		error = shm_arena_coalesce_locked(victim->self, arena, c, &c);
		if (error)
			return error;
		head.len = shm_size(shm_chunk(seg, c));
	}
	return 0;
}

/*
 * The extents of the run that the visit is to, from where the slice before came
 * to, in whole heads from the run's beginning: only those are known to be
 * heads.
 */
static int
extents_reclaim(struct shm_victim *victim, struct shm_arena *arena)
{
	struct shm_seg *seg = victim->self->seg;
	uint32_t start = victim->first * SHM_REGION_PAGES, page = start, n;
	uint32_t end = victim->end * SHM_REGION_PAGES;
	uint32_t resume = victim->sum->page < end ? victim->sum->page : 0;
	struct shm_head_copy head;

	for (; page < end; page += n) {
		int error;

		if (page >= resume && victim->looked_at >= victim->max) {
			victim->sum->page = page;
			victim->is_part = true;
			return 0;
		}
		if (shm_extent_read(seg, page, end, &head) != 0)
			return SHM_ECORRUPT;
		n = (uint32_t)(head.len / SHM_PAGE);
		if (page + n <= resume)
			continue;
		victim->looked_at++;
		if (!tag_free(
			victim, &seg->pages[page].head.tag, head.tag, head.len))
			continue;
		error = shm_extent_coalesce_in_locked(
		    victim->self, arena, page, start, end, &page);
		if (error)
			return error;
		n = shm_pages(&seg->pages[page]);
	}
	return 0;
}

/* ---- Regions ------------------------------------------------------------- */

/* Is ENTRY of KIND and names the victim as who claimed it? */
static bool
is_claim(
    const struct shm_victim *victim, uint64_t entry, enum shm_region_kind kind)
{
	bool is_same =
	    shm_entry_generation(entry) == (victim->generation & 0xffff);

	return shm_entry_kind(entry) == kind &&
	    shm_entry_slot(entry) == victim->slot &&
	    is_same != victim->is_daemon;
}

/* Lock ARENA if its holder, alive, is about to leave; a stopped one isn't. */
static bool
lock_soon(struct shm_self *self, struct shm_arena *arena)
{
	for (int i = 0; i < LOCK_SPINS && shm_load(&arena->lock) != 0; i++)
		atomic_signal_fence(memory_order_seq_cst);
	return shm_arena_trylock(arena, self);
}

/*
 * Of a region on its way in or out: return it if the victim had claimed it.
 * The rest of a run goes back to CLAIMED first, and stays the victim's, whose
 * bitmap names it: what is MORE would belong to the next run that begins here.
 */
static void
claim_reclaim(struct shm_victim *victim, uint32_t region, uint64_t entry)
{
	struct shm_seg *seg = victim->self->seg;
	uint64_t claimed = shm_region_entry(SHM_REGION_CLAIMED, 0,
	    shm_entry_slot(entry), shm_entry_generation(entry));

	if (!is_claim(victim, entry, SHM_REGION_CLAIMED) &&
	    !is_claim(victim, entry, SHM_REGION_MORE))
		return;
	for (uint32_t i = region + 1;
	     is_claim(victim, shm_region_get(seg, i), SHM_REGION_MORE); i++)
		shm_put(&seg->regions[i], claimed);
	shm_put(&seg->regions[region], claimed);
	shm_region_return(victim->self, region, 1);
}

/* Forget that SLOT was in the regions of this visit. */
static void
visits_clear(const struct shm_victim *victim, uint32_t slot)
{
	struct shm_seg *seg = victim->self->seg;
	_Atomic uint64_t *bits =
	    seg->client_bits + (uint64_t)slot * seg->n_bit_words;

	for (uint32_t i = victim->first; i < victim->end; i++)
		if (shm_load(&bits[i / 64]) >> i % 64 & 1)
			atomic_fetch_and(
			    &bits[i / 64], ~(UINT64_C(1) << i % 64));
}

/* After the walk of all of it for a client: none of the dead is here any more
 * but those of whom something was left.  Of what slices before this one have
 * seen of it, only the victim's own is known. */
static void
visit_end(const struct shm_victim *victim, bool is_resumed)
{
	const struct shm_dying *dying = victim->dying;

	if (!victim->is_left)
		visits_clear(victim, victim->slot);
	for (uint32_t i = 0; i < dying->n && !is_resumed; i++)
		if (dying->slot[i] != victim->slot &&
		    dying->of[dying->slot[i]].left_visit != dying->visit)
			visits_clear(victim, dying->slot[i]);
}

/*
 * Walk what REGION, of ARENA, belongs to.  The daemon of now sets bits under
 * this lock, before it takes something out, so its bits can be cleared under it
 * when nothing is out, in a walk that was not interrupted.
 */
static int
region_reclaim_locked(
    struct shm_victim *victim, struct shm_arena *arena, uint32_t region)
{
	struct shm_seg *seg = victim->self->seg;
	bool is_resumed = victim->sum->page != 0, is_extent;
	int error = shm_remote_drain_locked(victim->self, arena);
	uint32_t n;

	if (error)
		return error;
	/* What it belongs to may have changed before the lock was had: then it
	 * is for the next pass. */
	if (shm_arena_of(seg, shm_region_off(seg, region), &is_extent) !=
		arena ||
	    (is_extent && !shm_region_run(seg, region, &victim->first, &n))) {
		victim->is_left = victim->sum->is_again = true;
		return 0;
	}
	if (is_extent)
		victim->end = victim->first + n;
	error = is_extent ? extents_reclaim(victim, arena)
			  : chunks_reclaim(victim, arena, region);
	if (error || victim->is_part)
		return error;
	if (!victim->is_daemon)
		visit_end(victim, is_resumed);
	else if (!victim->is_ours && !is_resumed)
		visits_clear(victim, SHM_DAEMON_SLOT);
	return 0;
}

/*
 * REGION is in no arena: on its way in or out; or it says that it belongs to a
 * run that has no beginning, and so do some after it, which are done together:
 * each would look for the beginning again.
 */
static void
outside_reclaim(struct shm_victim *victim, uint32_t region)
{
	struct shm_seg *seg = victim->self->seg;
	uint64_t entry = shm_region_get(seg, region);
	uint32_t arena = shm_entry_arena(entry), end = region + 1;

	while (
	    shm_entry_kind(entry) == SHM_REGION_MORE && end < seg->n_regions) {
		entry = shm_region_get(seg, end);
		if (shm_entry_kind(entry) != SHM_REGION_MORE ||
		    shm_entry_arena(entry) != arena)
			break;
		end++;
	}
	victim->first = region;
	victim->end = end;
	victim->looked_at += end - region;
	for (uint32_t i = region; i < end; i++)
		claim_reclaim(victim, i, shm_region_get(seg, i));
	if (!victim->is_daemon)
		visits_clear(victim, victim->slot);
}

/* Visit REGION, and the run that it is in.  SHM_ERETRY: its arena could not be
 * locked. */
static int
region_reclaim(struct shm_victim *victim, uint32_t region)
{
	struct shm_seg *seg = victim->self->seg;
	struct shm_arena *arena;
	bool is_extent;
	uint32_t n;
	int error;

	arena = shm_arena_of(seg, shm_region_off(seg, region), &is_extent);
	if (!arena ||
	    (is_extent && !shm_region_run(seg, region, &victim->first, &n))) {
		victim->looked_at += region - victim->first;
		outside_reclaim(victim, region);
		return 0;
	}
	if (is_extent)
		victim->end = victim->first + n;
	if (shm_load(&arena->state) != SHM_ARENA_SICK) {
		if (!lock_soon(victim->self, arena))
			return SHM_ERETRY;
		error = region_reclaim_locked(victim, arena, region);
		if (error)
			shm_arena_quarantine(arena);
		shm_arena_unlock(arena);
	}
	/* In a sick arena nothing can be found. */
	if (shm_load(&arena->state) == SHM_ARENA_SICK && !victim->is_daemon)
		visits_clear(victim, victim->slot);
	return 0;
}

/* Visit the region that is next; false if the slice ends in it. */
static bool
next_visit(struct shm_victim *victim)
{
	struct shm_reclaimed *sum = victim->sum;
	uint32_t region = sum->next;

	victim->first = region;
	victim->end = region + 1;
	victim->is_left = sum->is_run_left;
	victim->is_ours = victim->is_part = false;
	if (!victim->is_daemon)
		victim->dying->visit++;
	if (region >= victim->self->seg->n_regions)
		visits_clear(victim, victim->slot);
	else if (region_reclaim(victim, region) != 0)
		victim->is_left = sum->is_again = true;
	sum->is_run_left = victim->is_part && victim->is_left;
	if (victim->is_part)
		return false;
	sum->regions++;
	sum->is_left |= victim->is_left;
	sum->page = 0;
	sum->next = victim->end > region ? victim->end : region + 1;
	return true;
}

int
shm_reclaim_regions(struct shm_victim *victim)
{
	struct shm_seg *seg = victim->self->seg;
	struct shm_reclaimed *sum = victim->sum;
	_Atomic uint64_t *bits =
	    seg->client_bits + (uint64_t)victim->slot * seg->n_bit_words;
	bool is_left;

	while (sum->next < seg->n_bit_words * 64) {
		uint64_t todo =
		    shm_load(&bits[sum->next / 64]) >> sum->next % 64;

		if (todo == 0) {
			sum->next = (sum->next | 63) + 1;
			continue;
		}
		sum->next += (uint32_t)__builtin_ctzll(todo);
		if (victim->looked_at >= victim->max || !next_visit(victim))
			return 0;
	}
	is_left = sum->is_left;
	/* Looked at again when their time has come, and not before. */
	sum->is_waiting = is_left && !sum->is_again;
	sum->next = 0;
	sum->is_left = sum->is_again = false;
	return is_left ? SHM_ERETRY : 1;
}
