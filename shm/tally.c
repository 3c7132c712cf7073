/*
 * See shm/tally.h.
 */
#include "shm/tally.h"

#include <string.h>

#include "shm/commit.h"

const uint64_t shm_frag_sizes[SHM_FRAG_SIZES] = { 64, 1024, 65536, 1048576 };

/* ---- Clients ------------------------------------------------------------- */

static uint64_t
positive(_Atomic int64_t *counter)
{
	int64_t value = shm_load(counter);

	return value > 0 ? (uint64_t)value : 0;
}

static void
client_add(struct shm_clients_sum *sum, struct shm_client *client)
{
	sum->allocs += shm_load(&client->allocs);
	sum->frees += shm_load(&client->frees);
	sum->requested += shm_load(&client->requested);
	sum->misuses += shm_load(&client->misuses);
	sum->cache_misses += shm_load(&client->cache_misses);
	sum->refills += shm_load(&client->refills);
	sum->flushes += shm_load(&client->flushes);
	sum->remote_pushed += shm_load(&client->remote_pushed);
	sum->pending += positive(&client->retired_bytes);
	for (int i = 0; i < SHM_FAILURES; i++)
		sum->failures[i] += shm_load(&client->failures[i]);
	for (uint32_t i = 0; i < SHM_COUNTED; i++) {
		sum->class_allocs[i] += shm_load(&client->class_allocs[i]);
		sum->class_requested[i] +=
		    shm_load(&client->class_requested[i]);
		sum->class_frees[i] += shm_load(&client->class_frees[i]);
		sum->class_misses[i] += shm_load(&client->class_misses[i]);
	}
}

static void
gone_add(struct shm_clients_sum *sum, struct shm_super *super)
{
	sum->allocs += shm_load(&super->allocs);
	sum->frees += shm_load(&super->frees);
	sum->requested += shm_load(&super->requested);
	sum->misuses += shm_load(&super->misuses);
	sum->cache_misses += shm_load(&super->cache_misses);
	sum->refills += shm_load(&super->refills);
	sum->flushes += shm_load(&super->flushes);
	sum->remote_pushed += shm_load(&super->remote_pushed);
	for (int i = 0; i < SHM_FAILURES; i++)
		sum->failures[i] += shm_load(&super->failures[i]);
	for (uint32_t i = 0; i < SHM_COUNTED; i++) {
		sum->class_allocs[i] += shm_load(&super->class_allocs[i]);
		sum->class_requested[i] += shm_load(&super->class_requested[i]);
		sum->class_frees[i] += shm_load(&super->class_frees[i]);
		sum->class_misses[i] += shm_load(&super->class_misses[i]);
	}
}

void
shm_clients_sum(struct shm_seg *seg, struct shm_clients_sum *ret_sum)
{
	memset(ret_sum, 0, sizeof(*ret_sum));
	gone_add(ret_sum, seg->super);
	for (uint32_t i = SHM_DAEMON_SLOT; i < SHM_CLIENTS; i++) {
		struct shm_client *client = &seg->clients[i];
		uint32_t state;

		if (!shm_client_is_there(seg, i))
			continue;
		state = shm_load(&client->state);
		if (state != SHM_CLIENT_LIVE && state != SHM_CLIENT_DEAD)
			continue;
		client_add(ret_sum, client);
		if (state == SHM_CLIENT_DEAD) {
			ret_sum->dead++;
			ret_sum->pending += positive(&client->held_bytes) +
			    positive(&client->cached_bytes);
		} else {
			ret_sum->live += i != SHM_DAEMON_SLOT;
			ret_sum->cached += positive(&client->cached_bytes);
		}
	}
}

/* ---- Free pieces --------------------------------------------------------- */

void
shm_tally_begin(struct shm_tally *tally, const struct shm_seg *seg)
{
	memset(tally, 0, sizeof(*tally));
	memcpy(tally->size, shm_frag_sizes, sizeof(shm_frag_sizes));
	tally->size[SHM_FRAG_SIZES] =
	    shm_load(&seg->tunables->value[SHM_PARAM_frag_reference_size]);
}

void
shm_tally_add(struct shm_tally *tally, uint64_t len, uint64_t usable)
{
	uint32_t log = shm_log2(len | 1);

	for (int i = 0; i < SHM_TALLY_SIZES; i++)
		if (usable >= tally->size[i])
			tally->useful[i] += len;
	tally->bytes += len;
	tally->pieces++;
	if (len > tally->largest)
		tally->largest = len;
	tally->histogram[log < SHM_FREE_HISTOGRAM ? log
						  : SHM_FREE_HISTOGRAM - 1]++;
}

void
shm_tally_merge(struct shm_tally *to, const struct shm_tally *from)
{
	for (int i = 0; i < SHM_TALLY_SIZES; i++)
		to->useful[i] += from->useful[i];
	for (int i = 0; i < SHM_FREE_HISTOGRAM; i++)
		to->histogram[i] += from->histogram[i];
	to->bytes += from->bytes;
	to->pieces += from->pieces;
	to->unknown += from->unknown;
	if (from->limit > to->limit)
		to->limit = from->limit;
	if (from->largest > to->largest)
		to->largest = from->largest;
}

double
shm_tally_unusable(const struct shm_tally *tally, int i)
{
	uint64_t all = tally->bytes + tally->unknown;

	if (all == 0 ||
	    (tally->unknown && tally->limit > tally->size[i] + SHM_CHUNK_OVER))
		return -1;
	return 1 - (double)tally->useful[i] / (double)all;
}
