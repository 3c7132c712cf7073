/*
 * Giving back what the dead held.
 *
 * The progress is in the segment: a region's bit in a dead client's bitmap is
 * cleared when nothing of his is left there.  So each step is idempotent, and a
 * daemon that is killed in here is followed by one that goes on.
 *
 *   1 settle   what its threads were publishing; their pins and records
 *   2 repair   arenas whose lock they held (repair.c)
 *   3 regions  what is CACHED, REMOTE, OWNED: at once; UNLINKED and RETIRED:
 *              when everybody who was reading when step 1 was done has left
 *   4 slot     free again when no call that began before that goes on
 */
#include <sys/mman.h>

#include "shm/arena.h"
#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/epoch.h"
#include "shm/publish.h"
#include "shm/reclaim.h"
#include "shm/tally.h"
#include "shm/thread.h"

/* ---- Threads ------------------------------------------------------------- */

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

/* Once in a daemon's life: that looks at every thread record. */
static void
client_settle(struct shm_seg *seg, struct shm_dying *dying, uint32_t slot)
{
	struct shm_client *client = &seg->clients[slot];
	struct shm_reclaimed *sum = &dying->of[slot];

	if (sum->is_settled)
		return;
	sum->generation = shm_load(&client->generation);
	threads_settle(seg, slot, sum->generation);
	/* What was being published hung in its slot until now. */
	if (shm_load(&client->settled) == 0)
		shm_put(&client->settled, shm_epoch_stamp(seg));
	sum->settled = shm_load(&client->settled);
	sum->is_settled = true;
	dying->slot[dying->n++] = (uint16_t)slot;
}

static void
dying_remove(struct shm_dying *dying, uint32_t slot)
{
	if (!dying->of[slot].is_settled)
		return;
	dying->of[slot] = (struct shm_reclaimed){ 0 };
	for (uint32_t i = 0; i < dying->n; i++)
		if (dying->slot[i] == slot) {
			dying->slot[i] = dying->slot[--dying->n];
			return;
		}
}

/* Zeros, of which only what is used needs memory. */
static struct shm_dying *
dying_make(void)
{
	void *at = mmap(NULL, sizeof(struct shm_dying), PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at != MAP_FAILED ? at : NULL;
}

void
shm_reclaim_end(struct shm_seg *seg)
{
	if (seg->dying)
		(void)munmap(seg->dying, sizeof(*seg->dying));
	seg->dying = NULL;
}

/* Steps 2 to 4 for the client in SLOT. */
static int
client_reclaim(
    struct shm_self *self, struct shm_dying *dying, uint32_t slot, uint64_t max)
{
	struct shm_seg *seg = self->seg;
	struct shm_reclaimed *sum = &dying->of[slot];
	struct shm_victim victim = { .self = self,
		.dying = dying,
		.slot = slot,
		.sum = sum,
		.oldest = shm_epoch_oldest(seg),
		.max = max };
	int result;

	if (sum->is_waiting && victim.oldest <= sum->settled)
		return SHM_ERETRY;
	sum->is_waiting = false;
	victim.generation = sum->generation;
	result = shm_reclaim_regions(&victim);
	shm_bump(&seg->super->recovered_chunks, victim.chunks);
	shm_bump(&seg->super->recovered_bytes, victim.bytes);
	if (result == 1 && has_regions(seg, slot))
		result = SHM_ERETRY;
	if (result == 1 && calls_go_on(seg, sum->settled))
		result = SHM_ERETRY;
	if (result == 1)
		slot_free(seg, &seg->clients[slot]);
	return result;
}

int
shm_reclaim_step(struct shm_seg *seg, uint32_t slot, uint32_t max_chunks,
    struct shm_reclaimed *ret_sum)
{
	struct shm_self self;
	int result = 1;

	if (slot <= SHM_DAEMON_SLOT || slot >= SHM_CLIENTS)
		return 1;
	if (!seg->dying)
		seg->dying = dying_make();
	if (!seg->dying)
		return SHM_ENOMEM;
	if (shm_get(&seg->clients[slot].state) == SHM_CLIENT_DEAD) {
		shm_daemon_self(seg, &self);
		(void)shm_repair_dead_locks(seg);
		client_settle(seg, seg->dying, slot);
		result = client_reclaim(&self, seg->dying, slot, max_chunks);
		*ret_sum = seg->dying->of[slot];
	}
	if (result == 1)
		dying_remove(seg->dying, slot);
	return result;
}

int
shm_reclaim_leftovers(struct shm_seg *seg, uint32_t max_chunks)
{
	struct shm_victim victim = { .slot = SHM_DAEMON_SLOT,
		.sum = &seg->leftovers,
		.max = max_chunks,
		.is_daemon = true };
	struct shm_self self;

	shm_daemon_self(seg, &self);
	victim.self = &self;
	victim.generation = self.generation;
	return shm_reclaim_regions(&victim);
}
