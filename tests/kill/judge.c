/*
 * Recovering a segment, and judging what is left.
 */
#include <stdio.h>
#include <string.h>

#include "shm/arena.h"
#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/heap.h"
#include "shm/stats.h"
#include "shm/thread.h"
#include "tests/kill/cache_ops.h"

#define ROUNDS 64 /* slices of a reclaim */

struct tally {
	struct kill_summary summary;
	struct shm_seg *seg;
	bool is_waiting; /* for a reader: what the dead had unlinked stays */
	uint64_t dead;   /* pieces that name somebody who isn't there */
	uint64_t half;   /* pieces in the middle of a publish */
	uint64_t remote; /* pieces that wait on no list */
};

/* Is somebody there whose piece of this state may be there? */
static bool
is_expected(const struct tally *tally, const struct shm_piece *piece)
{
	uint32_t slot = piece->owner, state;

	if (slot <= SHM_DAEMON_SLOT || slot >= SHM_CLIENTS)
		return false;
	state = shm_load(&tally->seg->clients[slot].state);
	return state == SHM_CLIENT_LIVE ||
	    (state == SHM_CLIENT_DEAD && tally->is_waiting &&
		(piece->state == SHM_UNLINKED || piece->state == SHM_RETIRED));
}

static void
piece_tally(void *arg, const struct shm_piece *piece)
{
	struct tally *tally = arg;

	if (piece->kind != SHM_PIECE_CHUNK && piece->kind != SHM_PIECE_EXTENT)
		return;
	if (piece->state == SHM_SHARED) {
		tally->summary.n_shared++;
		tally->summary.shared_bytes += piece->len;
	}
	if (shm_state_is_thread(piece->state))
		tally->half++;
	/* The walk has drained the lists. */
	if (piece->state == SHM_REMOTE)
		tally->remote++;
	if (shm_state_is_client(piece->state) && !is_expected(tally, piece))
		tally->dead++;
}

static void
finding_print(void *arg, const struct shm_finding *finding)
{
	(void)arg;
	(void)printf("#   I%u arena %d off %llx: %s\n", finding->invariant,
	    (int)finding->arena, (unsigned long long)finding->off,
	    finding->text);
}

uint64_t
judge_root(const struct shm_seg *seg, const char *name)
{
	for (uint32_t i = 0; i < SHM_ROOTS; i++) {
		const struct shm_root *root = &seg->roots[i];

		if (shm_committed_prefix(seg, shm_offset_of(seg, root),
			sizeof(*root)) < sizeof(*root))
			break;
		if (shm_load(&root->state) == SHM_ROOT_READY &&
		    strcmp(root->name, name) == 0)
			return shm_load(&root->slot);
	}
	return 0;
}

uint64_t
judge_slot(const struct shm_seg *seg)
{
	return judge_root(seg, "kill");
}

/* ---- Recovering ---------------------------------------------------------- */

int
judge_client_recover(struct shm_seg *seg, uint32_t slot)
{
	struct shm_reclaimed sum = { 0 };
	int result = 0;

	shm_client_death(seg, slot);
	for (int round = 0; round < ROUNDS && result != 1; round++)
		result = shm_reclaim_step(seg, slot, 1000000, &sum);
	return result;
}

/* The end of the slots that were ever used. */
static uint32_t
slots_end(const struct shm_seg *seg)
{
	uint32_t slot = SHM_DAEMON_SLOT + 1;

	while (shm_client_is_there(seg, slot))
		slot++;
	return slot;
}

static bool
all_recover(struct shm_seg *seg)
{
	uint32_t end = slots_end(seg);
	int result = 0;

	for (uint32_t i = SHM_DAEMON_SLOT + 1; i < end; i++)
		shm_client_death(seg, i);
	/* What one has unlinked may wait for another to be settled. */
	for (int round = 0; round < 2 && result != 1; round++) {
		result = 1;
		for (uint32_t i = SHM_DAEMON_SLOT + 1; i < end; i++) {
			int one = judge_client_recover(seg, i);

			result = one == 1 ? result : one;
		}
	}
	if (result != 1)
		(void)printf("# the reclaim does not end: %d\n", result);
	return result == 1;
}

bool
judge_recover(struct shm_seg *seg)
{
	return shm_daemon_start(seg) == 0 && all_recover(seg);
}

/* ---- Judging ------------------------------------------------------------- */

/* Is what a reader is on as it was written? */
static bool
guarded_is_there(const struct shm_seg *seg)
{
	const char *at = seg->base + kill_board->guarded;

	for (size_t i = 0; i < kill_board->guarded_len; i++)
		if (at[i] != 0x5a) {
			(void)printf("# a reader's object was written over\n");
			return false;
		}
	return true;
}

/* Take some chunks of SIZE bytes, fill them, and put them back. */
static bool
stranger_uses(struct shm_self *self, uint32_t size)
{
	uint64_t off[4];
	uint32_t n = shm_heap_take(self, size, 4, off);

	for (uint32_t k = 0; k < n; k++)
		memset(self->seg->base + off[k], 0xa5, size - SHM_CHUNK_OVER);
	shm_heap_put(self, n, off);
	if (n == 0)
		(void)printf("# %u bytes: failure %d\n", size, self->failure);
	return n != 0;
}

/* Another client allocates and frees, at once. */
static bool
stranger_works(struct shm_seg *seg)
{
	const struct shm_identity who = { .pid = 1 };
	const uint32_t sizes[] = { 32, 96, 112, 1024, 6000, 70000 };
	uint32_t slot, generation;
	struct shm_self self;
	int error = shm_client_open(seg, &who, &slot, &generation);

	if (error == 0) {
		shm_self_init(&self, seg, slot, generation, 0, 0);
		error = shm_thread_claim(&self);
	}
	if (error)
		(void)printf("# attaching: error %d\n", error);
	for (size_t i = 0; !error && i < sizeof(sizes) / sizeof(*sizes); i++)
		error = !stranger_uses(&self, sizes[i]);
	return error == 0 && shm_load(&self.client->sleeps) == 0 &&
	    shm_load(&self.client->misuses) == 0;
}

/* What the cache holds is whole, and nothing is shared but what hangs from
 * it. */
static bool
cache_is_sound(const struct shm_seg *seg, struct kill_summary *ret)
{
	struct cache_look look;

	if (!cache_look_at(seg, &look))
		return false;
	ret->contents = look.contents;
	memcpy(ret->value, look.value, sizeof(ret->value));
	if (look.objects == ret->n_shared)
		return true;
	(void)printf("# %llu objects are shared, and %llu hang from the "
		     "cache\n",
	    (unsigned long long)ret->n_shared,
	    (unsigned long long)look.objects);
	return false;
}

/* The segment is sound, and of the dead nothing is left. */
static bool
segment_is_sound(struct shm_seg *seg, bool is_waiting, struct kill_summary *ret)
{
	struct tally tally = { .seg = seg, .is_waiting = is_waiting };
	int found = shm_check(seg, false, finding_print, NULL);

	if (found != 0) {
		(void)printf("# the check found %d\n", found);
		return false;
	}
	if (shm_walk(seg, -1, piece_tally, &tally) != 0 || tally.dead ||
	    tally.half || tally.remote) {
		(void)printf("# %llu pieces of the dead, %llu half published, "
			     "%llu on no list\n",
		    (unsigned long long)tally.dead,
		    (unsigned long long)tally.half,
		    (unsigned long long)tally.remote);
		return false;
	}
	*ret = tally.summary;
	ret->slot = judge_slot(seg);
	if (kill_board->is_cache && !cache_is_sound(seg, ret))
		return false;
	return !is_waiting || guarded_is_there(seg);
}

static bool
world_is_sound(struct shm_seg *seg, bool is_waiting, struct kill_summary *ret)
{
	struct kill_summary after;

	if (!segment_is_sound(seg, is_waiting, ret))
		return false;
	if (!stranger_works(seg)) {
		(void)printf("# another client cannot allocate\n");
		return false;
	}
	return segment_is_sound(seg, is_waiting, &after);
}

bool
judge_commit(const struct shm_seg *seg)
{
	uint64_t word = shm_committed_total(seg), end = slots_end(seg);
	uint64_t bits = shm_committed_pages(seg, 0, seg->len), pending = 0;

	for (uint32_t i = SHM_DAEMON_SLOT; i < end; i++)
		pending += shm_load(&seg->clients[i].commit_pending);
	if (word >= bits && word <= bits + pending)
		return true;
	(void)printf("# the commit word says %llu, the bits %llu, and %llu are "
		     "pending\n",
	    (unsigned long long)word, (unsigned long long)bits,
	    (unsigned long long)pending);
	return false;
}

bool
judge(struct shm_seg *seg, uint32_t slot, struct kill_summary *ret)
{
	bool is_waiting = kill_board->guarded != 0;
	int result;

	if (shm_daemon_start(seg) != 0)
		return false;
	if (slot) {
		result = judge_client_recover(seg, slot);
		if (result != 1 && !is_waiting) {
			(void)printf(
			    "# the reclaim does not end: %d\n", result);
			return false;
		}
		if (!world_is_sound(seg, is_waiting, ret))
			return false;
	}
	/* The readers die, too: now nothing is guarded. */
	return all_recover(seg) && world_is_sound(seg, false, ret);
}

bool
kill_summary_same(const struct kill_summary *a, const struct kill_summary *b)
{
	if (kill_board->is_cache)
		return a->contents == b->contents;
	return a->n_shared == b->n_shared &&
	    a->shared_bytes == b->shared_bytes && a->slot == b->slot;
}
