/*
 * Client slots, and the daemon's own.  Daemon only.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/epoch.h"
#include "shm/publish.h"
#include "shm/thread.h"

/*
 * A slot that was used is used again only when this many others have been freed
 * after it, so that its generation in a tag, 4 bits, names one life among more
 * than a thousand.
 */
#define SLOT_REST 64

#define LEFTOVERS 65536 /* chunks looked at before a daemon serves */

void
shm_daemon_self(struct shm_seg *seg, struct shm_self *ret_self)
{
	struct shm_client *client = &seg->clients[SHM_DAEMON_SLOT];
	uint32_t generation = shm_load(&client->generation);

	shm_self_init(ret_self, seg, SHM_DAEMON_SLOT, generation,
	    SHM_DAEMON_THREAD, generation);
}

/* The free slot to use next: a fresh one, unless enough have been used. */
static uint32_t
slot_choose(const struct shm_seg *seg, const struct shm_identity *who)
{
	uint32_t oldest = 0, n_free = 0, fresh = 0;
	uint64_t least = UINT64_MAX;

	for (uint32_t i = SHM_DAEMON_SLOT + 1; i < SHM_CLIENTS; i++) {
		const struct shm_client *client = &seg->clients[i];

		if (who->is_taken && who->is_taken(who->arg, i))
			continue;
		if (!shm_client_is_there(seg, i)) {
			fresh = i;
			break;
		}
		if (shm_load(&client->state) != SHM_CLIENT_FREE)
			continue;
		n_free++;
		if (shm_load(&client->death) < least) {
			least = shm_load(&client->death);
			oldest = i;
		}
	}
	return fresh && n_free < SLOT_REST ? fresh : oldest;
}

static int
slot_commit(struct shm_self *self, uint32_t slot)
{
	struct shm_seg *seg = self->seg;
	uint64_t bits = shm_offset_of(
	    seg, seg->client_bits + (uint64_t)slot * seg->n_bit_words);
	int error =
	    shm_commit_record(self, bits, UINT64_C(8) * seg->n_bit_words);

	return error
	    ? error
	    : shm_commit_record(self, shm_offset_of(seg, &seg->clients[slot]),
		  sizeof(struct shm_client));
}

static void
slot_clear(struct shm_seg *seg, struct shm_client *client)
{
	uint32_t slot = (uint32_t)(client - seg->clients);

	for (uint32_t i = 0; i < seg->n_bit_words; i++)
		shm_store(
		    &seg->client_bits[(uint64_t)slot * seg->n_bit_words + i],
		    0);
	memset((char *)client + offsetof(struct shm_client, allocs), 0,
	    sizeof(*client) - offsetof(struct shm_client, allocs));
}

int
shm_client_open(struct shm_seg *seg, const struct shm_identity *who,
    uint32_t *ret_slot, uint32_t *ret_generation)
{
	uint32_t slot = slot_choose(seg, who);
	struct shm_client *client = &seg->clients[slot];
	struct shm_self self;
	int error;

	if (slot == 0)
		return SHM_EBUSY;
	shm_daemon_self(seg, &self);
	error = slot_commit(&self, slot);
	if (error)
		return error;
	slot_clear(seg, client);
	shm_store(&client->mapped, SHM_MAPPED_NOT_YET);
	shm_store(&client->generation, shm_load(&client->generation) + 1);
	shm_store(&client->pid, who->pid);
	shm_store(&client->uid, who->uid);
	shm_store(&client->gid, who->gid);
	shm_store(&client->flags, who->flags);
	shm_store(&client->since, (uint64_t)time(NULL));
	(void)snprintf(client->label, sizeof(client->label), "%s",
	    who->label ? who->label : "");
	(void)snprintf(client->command, sizeof(client->command), "%s",
	    who->command ? who->command : "");
	shm_put(&client->state, SHM_CLIENT_LIVE);
	*ret_slot = slot;
	*ret_generation = shm_load(&client->generation);
	return 0;
}

bool
shm_client_has_pins(const struct shm_seg *seg, uint32_t slot)
{
	uint64_t owner =
	    shm_pin_owner(slot, shm_load(&seg->clients[slot].generation));
	uint32_t n = shm_pins_used(seg);

	for (uint32_t i = SHM_DAEMON_THREAD + 1; i < n; i++)
		if (shm_get(&seg->pins->pin[i].owner) == owner)
			return true;
	return false;
}

bool
shm_client_take_back(struct shm_seg *seg, uint32_t slot)
{
	uint32_t mapped = SHM_MAPPED_NOT_YET;

	return shm_cas(&seg->clients[slot].mapped, &mapped, SHM_MAPPED_NEVER);
}

void
shm_client_death(struct shm_seg *seg, uint32_t slot)
{
	struct shm_client *client = &seg->clients[slot];

	if (slot <= SHM_DAEMON_SLOT || slot >= SHM_CLIENTS ||
	    !shm_client_is_there(seg, slot) ||
	    shm_load(&client->state) != SHM_CLIENT_LIVE)
		return;
	shm_store(&client->settled, 0);
	shm_store(&client->death, shm_epoch_stamp(seg));
	shm_put(&client->state, SHM_CLIENT_DEAD);
}

/* ---- The daemon ---------------------------------------------------------- */

static_assert(
    SHM_PARAMS <= sizeof(((struct shm_tunables *)0)->value) / 8, "layout");

/*
 * What a transaction changes is all in `next` before the generation becomes
 * odd: from that store on it will happen, before it nothing has.
 */
static void
tunables_finish(struct shm_tunables *tunables)
{
	uint64_t generation = shm_load(&tunables->generation);

	if (!(generation & 1))
		return;
	for (int i = 0; i < SHM_PARAMS; i++)
		shm_store(&tunables->value[i], shm_load(&tunables->next[i]));
	shm_put(&tunables->generation, generation + 1);
}

/*
 * The daemon takes memory out of circulation too, tagged as its own.  What
 * earlier daemons had out carries older generations of its slot.
 */
int
shm_daemon_start(struct shm_seg *seg)
{
	struct shm_client *client = &seg->clients[SHM_DAEMON_SLOT];

	if (shm_load(&seg->super->n_arenas) == 0 ||
	    shm_load(&seg->super->n_arenas) > seg->max_arenas)
		return SHM_ECORRUPT;
	tunables_finish(seg->tunables);
	shm_store(&client->pid, (uint32_t)getpid());
	shm_store(&client->state, SHM_CLIENT_LIVE);
	shm_put(&client->generation, shm_load(&client->generation) + 1);
	/* What the last one was committing as it was killed is recounted. */
	shm_store(&client->commit_pending, 0);
	(void)shm_repair_dead_locks(seg);
	shm_seg_forget(seg);
	seg->leftovers = (struct shm_reclaimed){ 0 };
	seg->has_leftovers = shm_reclaim_leftovers(seg, LEFTOVERS) != 1;
	seg->has_miscount = !shm_commit_recount(seg);
	shm_bump(&seg->super->starts, 1);
	if (shm_load(&seg->super->daemon_pid) != 0)
		shm_bump(&seg->super->crashes, 1);
	shm_store(&seg->super->clock_ms, shm_clock_ms());
	shm_put(&seg->super->daemon_pid, (uint64_t)getpid());
	return 0;
}

void
shm_daemon_stop(struct shm_seg *seg)
{
	shm_put(&seg->super->daemon_pid, 0);
}

void
shm_system_set(struct shm_seg *seg, uint64_t pages)
{
	shm_store(&seg->super->system_pages, pages);
}

int
shm_tunables_set(struct shm_seg *seg, uint32_t n,
    const struct shm_tunable_change *change, uint32_t *ret_bad)
{
	struct shm_tunables *tunables = seg->tunables;

	for (uint32_t i = 0; i < n; i++) {
		const struct shm_param_info *info;

		*ret_bad = i;
		if (change[i].param >= SHM_PARAMS)
			return SHM_ERANGE;
		info = &shm_params[change[i].param];
		if (change[i].value < info->min || change[i].value > info->max)
			return SHM_ERANGE;
	}
	for (int i = 0; i < SHM_PARAMS; i++)
		shm_store(&tunables->next[i], shm_load(&tunables->value[i]));
	for (uint32_t i = 0; i < n; i++)
		shm_store(&tunables->next[change[i].param], change[i].value);
	shm_put(&tunables->generation, shm_load(&tunables->generation) | 1);
	atomic_thread_fence(memory_order_release);
	tunables_finish(tunables);
	return 0;
}

void
shm_tunables_dynamic(struct shm_seg *seg, bool is_dynamic)
{
	shm_put(&seg->tunables->is_dynamic, is_dynamic);
}
