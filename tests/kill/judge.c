/*
 * Recovering a copy, and judging what is left.
 */
#include <stdio.h>
#include <string.h>

#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/heap.h"
#include "shm/stats.h"
#include "shm/thread.h"
#include "tests/kill/kill.h"

struct tally {
	struct kill_summary summary;
	uint32_t slot; /* the dead client's */
	uint64_t bad;  /* pieces that name the dead */
	uint64_t lost; /* pieces in a state that nobody can be in now */
};

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
		tally->lost++;
	if (shm_state_is_client(piece->state) && piece->owner == tally->slot)
		tally->bad++;
}

static void
finding_print(void *arg, const struct shm_finding *finding)
{
	(void)arg;
	(void)printf("#   I%u arena %d off %llx: %s\n", finding->invariant,
	    (int)finding->arena, (unsigned long long)finding->off,
	    finding->text);
}

static uint64_t
slot_value(const struct shm_seg *seg, const char *name)
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

/* Every client but the daemon is dead in the copy. */
static bool
all_reclaim(struct shm_seg *seg, uint32_t slot)
{
	struct shm_reclaimed sum = { 0 };
	int result = 0;

	for (uint32_t i = SHM_DAEMON_SLOT + 1; i <= slot + 8; i++)
		shm_client_death(seg, i);
	for (int round = 0; round < 64; round++) {
		result = 1;
		for (uint32_t i = SHM_DAEMON_SLOT + 1; i <= slot + 8; i++) {
			int one = shm_reclaim_step(seg, i, 1000000, &sum);

			if (one != 1)
				result = one;
		}
		if (result == 1)
			return true;
	}
	(void)printf("# the reclaim does not end: %d\n", result);
	return false;
}

/* Another client allocates and frees, at once. */
static bool
stranger_works(struct shm_seg *seg)
{
	const struct shm_identity who = { .pid = 1 };
	const uint32_t sizes[] = { 32, 96, 1024, 6000, 70000 };
	uint32_t slot, generation;
	struct shm_self self;

	if (shm_client_open(seg, &who, &slot, &generation) != 0)
		return false;
	shm_self_init(&self, seg, slot, generation, 0, 0);
	if (shm_thread_claim(&self) != 0)
		return false;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint64_t off[4];
		uint32_t n = shm_heap_take(&self, sizes[i], 4, off);

		if (n == 0)
			return false;
		for (uint32_t k = 0; k < n; k++)
			memset(seg->base + off[k], 0xa5, sizes[i] - 16);
		shm_heap_put(&self, n, off);
	}
	return shm_load(&self.client->sleeps) == 0 &&
	    shm_load(&self.client->misuses) == 0;
}

bool
judge(struct kill_copy *copy, uint32_t slot, struct kill_summary *ret)
{
	struct shm_seg *seg = &copy->seg;
	struct tally tally = { .slot = slot };
	int found;

	if (shm_daemon_start(seg) != 0 || !all_reclaim(seg, slot)) {
		(void)printf("# recovery failed\n");
		return false;
	}
	found = shm_check(seg, false, finding_print, NULL);
	if (found != 0) {
		(void)printf("# the check found %d\n", found);
		return false;
	}
	if (shm_walk(seg, -1, piece_tally, &tally) != 0 || tally.bad ||
	    tally.lost) {
		(void)printf("# %llu pieces of the dead, %llu half published\n",
		    (unsigned long long)tally.bad,
		    (unsigned long long)tally.lost);
		return false;
	}
	tally.summary.slot = slot_value(seg, "kill");
	if (!stranger_works(seg)) {
		(void)printf("# another client cannot allocate\n");
		return false;
	}
	found = shm_check(seg, false, finding_print, NULL);
	if (found != 0) {
		(void)printf(
		    "# after another client the check found %d\n", found);
		return false;
	}
	*ret = tally.summary;
	return true;
}

bool
kill_summary_same(const struct kill_summary *a, const struct kill_summary *b)
{
	return a->n_shared == b->n_shared &&
	    a->shared_bytes == b->shared_bytes && a->slot == b->slot;
}
