/*
 * Giving back what the dead held, and repairing what they had locked.
 *
 * The progress is in the segment: a region's bit in the dead client's bitmap is
 * cleared when nothing of his is left there.  So each step is idempotent, and a
 * daemon that is killed in here is followed by one that goes on.
 *
 *   1 settle   what its threads were publishing; their pins and records
 *   2 repair   arenas whose lock they held: rebuild the index
 *   3 regions  what is CACHED, REMOTE, OWNED: at once; UNLINKED and RETIRED:
 *              when everybody who was reading when step 1 was done has left
 *   4 slot     free again when no call that began before that goes on
 */
#include "shm/arena.h"
#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/epoch.h"
#include "shm/head.h"
#include "shm/publish.h"
#include "shm/tally.h"
#include "shm/thread.h"

#define LOCK_SPINS 10000 /* some microseconds */

/* Whose memory goes back. */
struct victim {
	struct shm_self *self; /* the daemon */
	uint32_t slot;
	uint32_t generation;
	bool is_daemon;     /* every generation but `generation` */
	bool is_grace_over; /* UNLINKED and RETIRED too */
	struct shm_reclaimed *sum;
	uint64_t looked_at, max; /* chunks, of this slice */
	bool is_left;            /* something must wait for readers */
	bool is_ours;            /* the daemon of now has something out here */
	bool is_part;            /* the slice ends inside a run */
	uint32_t first, end;     /* regions that the visit was to */
};

static bool
victim_owns(struct victim *victim, uint32_t tag)
{
	enum shm_state state = shm_tag_state(tag);
	bool is_same =
	    shm_tag_generation(tag) == victim->generation % SHM_TAG_GENERATIONS;

	if (shm_tag_owner(tag) != victim->slot || !shm_state_is_client(state))
		return false;
	if (is_same == victim->is_daemon) {
		victim->is_ours |= victim->is_daemon;
		return false;
	}
	if ((state == SHM_UNLINKED || state == SHM_RETIRED) &&
	    !victim->is_grace_over) {
		victim->is_left = true;
		return false;
	}
	return true;
}

/* Make the tag at PLACE FREE if it still is TAG. */
static bool
tag_free(_Atomic uint32_t *place, uint32_t tag)
{
	return shm_cas(place, &tag, shm_tag_base(0, 0, SHM_FREE) | (tag & 255));
}

static void
sum_add(struct victim *victim, uint64_t bytes)
{
	victim->sum->chunks++;
	victim->sum->bytes += bytes;
}

/* ---- Regions; lock held -------------------------------------------------- */

static int
chunks_reclaim(struct victim *victim, struct shm_arena *arena, uint32_t region)
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
		if (!victim_owns(victim, head.tag) ||
		    !tag_free(&chunk->head.tag, head.tag))
			continue;
		sum_add(victim, head.len);
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
extents_reclaim(struct victim *victim, struct shm_arena *arena)
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
		if (!victim_owns(victim, head.tag) ||
		    !tag_free(&seg->pages[page].head.tag, head.tag))
			continue;
		sum_add(victim, head.len);
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
is_claim(const struct victim *victim, uint64_t entry, enum shm_region_kind kind)
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
claim_reclaim(struct victim *victim, uint32_t region, uint64_t entry)
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

/* Forget that the victim was in the regions of this visit.  */
static void
visits_clear(const struct victim *victim)
{
	struct shm_seg *seg = victim->self->seg;
	_Atomic uint64_t *bits =
	    seg->client_bits + (uint64_t)victim->slot * seg->n_bit_words;

	for (uint32_t i = victim->first; i < victim->end; i++)
		atomic_fetch_and(&bits[i / 64], ~(UINT64_C(1) << i % 64));
}

/*
 * Walk what REGION, of ARENA, belongs to.  The daemon of now sets bits under
 * this lock, before it takes something out, so its bits can be cleared under it
 * when nothing is out, in a walk that was not interrupted.
 */
static int
region_reclaim_locked(
    struct victim *victim, struct shm_arena *arena, uint32_t region)
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
	if (error || victim->is_part || victim->is_left)
		return error;
	if (!victim->is_daemon || (!victim->is_ours && !is_resumed))
		visits_clear(victim);
	return 0;
}

/* Visit REGION, and the run that it is in.  SHM_ERETRY: its arena could not be
 * locked. */
static int
region_reclaim(struct victim *victim, uint32_t region)
{
	struct shm_seg *seg = victim->self->seg;
	struct shm_arena *arena;
	bool is_extent;
	uint32_t n;
	int error;

	arena = shm_arena_of(seg, shm_region_off(seg, region), &is_extent);
	if (!arena ||
	    (is_extent && !shm_region_run(seg, region, &victim->first, &n))) {
		claim_reclaim(victim, region, shm_region_get(seg, region));
		if (!victim->is_daemon)
			visits_clear(victim);
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
		visits_clear(victim);
	return 0;
}

/* Visit the region that is next; false if the slice ends in it. */
static bool
next_visit(struct victim *victim)
{
	struct shm_reclaimed *sum = victim->sum;
	uint32_t region = sum->next;

	victim->first = region;
	victim->end = region + 1;
	victim->is_left = sum->is_run_left;
	victim->is_ours = victim->is_part = false;
	if (region >= victim->self->seg->n_regions)
		visits_clear(victim);
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

/*
 * Visit the regions that the victim's bitmap names, until victim->max chunks
 * have been looked at; the next call goes on there, so that what must be left
 * does not keep a pass from its end.  0: there are more; 1: all were visited;
 * SHM_ERETRY: all, but some could not be locked or must wait.
 */
static int
regions_reclaim(struct victim *victim)
{
	struct shm_seg *seg = victim->self->seg;
	struct shm_reclaimed *sum = victim->sum;
	_Atomic uint64_t *bits =
	    seg->client_bits + (uint64_t)victim->slot * seg->n_bit_words;
	bool is_left;

	if (sum->slot != victim->slot) {
		sum->slot = victim->slot;
		sum->next = sum->page = 0;
		sum->is_left = sum->is_run_left = sum->is_again = false;
	}
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

/* ---- Threads and locks --------------------------------------------------- */

static void
threads_settle(struct shm_seg *seg, uint32_t slot, uint32_t generation)
{
	uint64_t dead = shm_pin_owner(slot, generation);
	uint32_t n = shm_threads_used(seg);

	for (uint32_t i = SHM_DAEMON_THREAD + 1; i < n; i++)
		if ((shm_thread_owner(seg, i) & UINT32_MAX) == dead) {
			shm_publish_settle(seg, i);
			shm_thread_release(seg, i);
		}
	n = shm_pins_used(seg);
	for (uint32_t i = SHM_DAEMON_THREAD + 1; i < n; i++)
		if (shm_get(&seg->pins->pin[i].owner) == dead)
			shm_pin_release(seg, i);
}

/* Is the holder that WORD names dead?  A record is given to another thread only
 * after its locks were repaired, so a word that doesn't fit it is too. */
static bool
holder_is_dead(const struct shm_self *self, uint32_t word)
{
	const struct shm_seg *seg = self->seg;
	uint32_t thread = shm_lock_thread(word), slot;
	uint64_t owner;

	if (thread == SHM_DAEMON_THREAD)
		return (word & ~SHM_LOCK_WAITERS) != self->lock_word;
	if (thread >= SHM_THREADS)
		return true;
	owner = shm_thread_owner(seg, thread);
	slot = shm_owner_slot(owner);
	return slot <= SHM_DAEMON_SLOT || !shm_client_is_there(seg, slot) ||
	    (shm_owner_generation(owner) & 255) != (word >> 16 & 255) ||
	    shm_get(&seg->clients[slot].state) != SHM_CLIENT_LIVE;
}

uint32_t
shm_client_locks(const struct shm_seg *seg, uint32_t slot)
{
	uint32_t arenas = shm_get(&seg->super->n_arenas), n = 0;

	for (uint32_t i = 0; i < arenas && i < seg->max_arenas; i++) {
		uint32_t word = shm_get(&seg->arenas[i].lock);
		uint32_t thread = shm_lock_thread(word);

		n += word != 0 && thread < SHM_THREADS &&
		    shm_owner_slot(shm_thread_owner(seg, thread)) == slot;
	}
	return n;
}

/* The arena that is being repaired: the one from before, or the next whose lock
 * a dead holder has, taken over.  NULL: there is none. */
static struct shm_arena *
repair_begin(struct shm_self *self)
{
	struct shm_seg *seg = self->seg;
	uint32_t n = shm_get(&seg->super->n_arenas);

	if (seg->repair_arena_plus_one) {
		shm_arena_return(&seg->arenas[seg->repair_arena_plus_one - 1]);
		return &seg->arenas[seg->repair_arena_plus_one - 1];
	}
	for (uint32_t i = 0; i < n && i < seg->max_arenas; i++) {
		struct shm_arena *arena = &seg->arenas[i];
		uint32_t word = shm_get(&arena->lock);

		if (word == 0 || !holder_is_dead(self, word) ||
		    !shm_arena_steal(arena, self, word))
			continue;
		shm_bump(&arena->owner_deaths, 1);
		seg->repair_arena_plus_one = i + 1;
		/* A sick one stays as it is: just its lock goes. */
		seg->repair_next = UINT32_MAX;
		if (shm_load(&arena->state) != SHM_ARENA_SICK &&
		    shm_arena_rebuild_begin_locked(self, arena) == 0)
			seg->repair_next = 0;
		return arena;
	}
	return NULL;
}

int
shm_repair_step(struct shm_seg *seg, uint32_t max_regions)
{
	struct shm_self self;
	struct shm_arena *arena;
	int result = SHM_ECORRUPT;

	shm_daemon_self(seg, &self);
	arena = repair_begin(&self);
	if (!arena)
		return 0;
	if (seg->repair_next != UINT32_MAX)
		result = shm_arena_rebuild_step_locked(
		    &self, arena, &seg->repair_next, max_regions);
	if (result == 1) {
		shm_arena_leave(arena);
		return 1;
	}
	if (result == 0)
		shm_bump(&seg->super->recovered_locks, 1);
	shm_bump(&arena->repairs, 1);
	seg->repair_arena_plus_one = 0;
	shm_arena_unlock(arena);
	return 1;
}

uint32_t
shm_repair_dead_locks(struct shm_seg *seg)
{
	uint64_t before = shm_load(&seg->super->recovered_locks);

	/* Each once: who breaks them as fast must not keep us. */
	for (uint32_t i = 0;
	     i <= seg->max_arenas && shm_repair_step(seg, UINT32_MAX) != 0; i++)
		;
	return (uint32_t)(shm_load(&seg->super->recovered_locks) - before);
}

/* Does a call that began before EPOCH still go on? */
static bool
calls_go_on(const struct shm_seg *seg, uint64_t epoch)
{
	uint32_t n = shm_threads_used(seg);

	for (uint32_t i = SHM_DAEMON_THREAD + 1; i < n; i++) {
		uint64_t began;

		if (shm_thread_owner(seg, i) == 0)
			continue;
		began = shm_get(&seg->threads[i].call_epoch);
		if (began && began <= epoch)
			return true;
	}
	return false;
}

/* ---- Slots --------------------------------------------------------------- */

static void
slot_free(struct shm_seg *seg, struct shm_client *client)
{
	int64_t retired = shm_load(&client->retired_bytes);
	bool was_committing = shm_load(&client->commit_pending) != 0;

	shm_counters_fold(seg, client);
	if (retired > 0)
		shm_sub(&seg->super->retired_bytes, retired);
	shm_store(&client->death, shm_epoch_stamp(seg));
	shm_put(&client->state, SHM_CLIENT_FREE);
	shm_bump(&seg->super->recovered_clients, 1);
	if (was_committing && !shm_commit_recount(seg))
		seg->has_miscount = true;
}

/* Has the client in SLOT bits of regions?  A repair may have set some again
 * after their regions were visited. */
static bool
has_regions(const struct shm_seg *seg, uint32_t slot)
{
	const _Atomic uint64_t *bits =
	    seg->client_bits + (uint64_t)slot * seg->n_bit_words;

	for (uint32_t i = 0; i < seg->n_bit_words; i++)
		if (shm_load(&bits[i]))
			return true;
	return false;
}

/* Once in a daemon's life: that looks at every thread record. */
static void
client_settle(struct shm_seg *seg, uint32_t slot, struct shm_reclaimed *sum)
{
	struct shm_client *client = &seg->clients[slot];

	if (sum->is_settled)
		return;
	threads_settle(seg, slot, shm_load(&client->generation));
	/* What was being published hung in its slot until now. */
	if (shm_load(&client->settled) == 0)
		shm_put(&client->settled, shm_epoch_stamp(seg));
	sum->is_settled = true;
}

int
shm_reclaim_step(struct shm_seg *seg, uint32_t slot, uint32_t max_chunks,
    struct shm_reclaimed *sum)
{
	struct shm_client *client = &seg->clients[slot];
	struct shm_reclaimed before = *sum;
	struct victim victim = { .slot = slot, .sum = sum, .max = max_chunks };
	struct shm_self self;
	int result;

	if (slot <= SHM_DAEMON_SLOT || slot >= SHM_CLIENTS ||
	    shm_get(&client->state) != SHM_CLIENT_DEAD)
		return 1;
	shm_daemon_self(seg, &self);
	victim.self = &self;
	victim.generation = shm_load(&client->generation);
	(void)shm_repair_dead_locks(seg);
	client_settle(seg, slot, sum);
	victim.is_grace_over =
	    shm_epoch_oldest(seg) > shm_load(&client->settled);
	if (sum->is_waiting && !victim.is_grace_over)
		return SHM_ERETRY;
	sum->is_waiting = false;
	result = regions_reclaim(&victim);
	shm_bump(&seg->super->recovered_chunks, sum->chunks - before.chunks);
	shm_bump(&seg->super->recovered_bytes, sum->bytes - before.bytes);
	if (result == 1 && has_regions(seg, slot))
		result = SHM_ERETRY;
	if (result == 1 && calls_go_on(seg, shm_load(&client->settled)))
		result = SHM_ERETRY;
	if (result == 1)
		slot_free(seg, client);
	return result;
}

int
shm_reclaim_leftovers(struct shm_seg *seg, uint32_t max_chunks)
{
	struct victim victim = { .slot = SHM_DAEMON_SLOT,
		.sum = &seg->leftovers,
		.max = max_chunks,
		.is_daemon = true,
		.is_grace_over = true };
	struct shm_self self;

	shm_daemon_self(seg, &self);
	victim.self = &self;
	victim.generation = self.generation;
	return regions_reclaim(&victim);
}
