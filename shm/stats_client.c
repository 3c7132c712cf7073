/*
 * What clients hold, by their counters (shm/stats.h), and how they read.
 */
#include <string.h>

#include "shm/commit.h"
#include "shm/stats.h"
#include "shm/tally.h"
#include "shm/thread.h"

static uint64_t
positive(_Atomic int64_t *counter)
{
	int64_t value = shm_load(counter);

	return value > 0 ? (uint64_t)value : 0;
}

/* Copy what another process may be writing; it ends in a zero. */
static void
text_copy(char to[32], const char from[32])
{
	memcpy(to, from, 32);
	to[31] = '\0';
}

static void
counters_copy(struct shm_client_stats *out, struct shm_client *client)
{
	out->allocs = shm_load(&client->allocs);
	out->frees = shm_load(&client->frees);
	out->requested = shm_load(&client->requested);
	out->held_bytes = positive(&client->held_bytes);
	out->held_chunks = positive(&client->held_chunks);
	out->cached_bytes = positive(&client->cached_bytes);
	out->cached_chunks = positive(&client->cached_chunks);
	out->retired_bytes = positive(&client->retired_bytes);
	out->retired_chunks = positive(&client->retired_chunks);
	out->cache_misses = shm_load(&client->cache_misses);
	out->cache_hits = shm_cache_hits(out->allocs, out->cache_misses);
	out->refills = shm_load(&client->refills);
	out->flushes = shm_load(&client->flushes);
	out->remote_pushed = shm_load(&client->remote_pushed);
	out->moves = shm_load(&client->moves);
	out->sleeps = shm_load(&client->sleeps);
	out->misuses = shm_load(&client->misuses);
	for (int i = 0; i < SHM_FAILURES; i++)
		out->failures[i] = shm_load(&client->failures[i]);
}

void
shm_clients_readers(
    const struct shm_seg *seg, const struct shm_clients_read *clients)
{
	uint64_t now = shm_get(&seg->super->epoch);

	for (uint32_t i = 0; (i = shm_reader_next(seg, i)) != 0;) {
		uint64_t by, epoch = shm_reader_epoch(seg, i, &by);
		uint32_t slot = shm_owner_slot(by);
		struct shm_client_stats *out =
		    slot < SHM_CLIENTS ? clients->slot[slot] : NULL;

		if (!out || by != shm_pin_owner(slot, out->generation))
			continue;
		out->threads++;
		if (epoch && epoch <= now && now - epoch >= out->reader_lag)
			out->reader_lag = now - epoch + 1;
	}
}

bool
shm_client_read(
    struct shm_seg *seg, uint32_t slot, struct shm_client_stats *ret_client)
{
	struct shm_client_stats *out = ret_client;
	struct shm_client *client;

	memset(out, 0, sizeof(*out));
	if (slot < SHM_DAEMON_SLOT || !shm_client_is_there(seg, slot))
		return false;
	client = &seg->clients[slot];
	out->slot = slot;
	out->state = shm_get(&client->state);
	if (out->state != SHM_CLIENT_LIVE && out->state != SHM_CLIENT_DEAD)
		return false;
	out->generation = shm_load(&client->generation);
	out->flags = shm_load(&client->flags);
	out->pid = shm_load(&client->pid);
	out->uid = shm_load(&client->uid);
	out->gid = shm_load(&client->gid);
	out->since = shm_load(&client->since);
	text_copy(out->label, client->label);
	text_copy(out->command, client->command);
	counters_copy(out, client);
	return true;
}
