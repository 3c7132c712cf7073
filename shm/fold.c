/*
 * Adding the counters of a dead client to the segment's.
 *
 * Each is moved by itself: which one it is and what the sum will be is noted,
 * the sum is written, the client's is cleared, the note goes.  A daemon that
 * was killed anywhere in there is followed by one that ends the move by the
 * note, so nothing is counted twice and nothing is lost.
 */
#include "shm/commit.h"
#include "shm/tally.h"

/* A counter of a client, and the segment's that it goes to. */
struct counter_pair {
	_Atomic uint64_t *from, *to;
};

#define SINGLES 8u
#define COUNTED 4u /* by class */
#define FOLDED  (SINGLES + SHM_FAILURES + COUNTED * SHM_COUNTED)

static struct counter_pair
counter_pair(struct shm_seg *seg, struct shm_client *client, uint32_t i)
{
	struct shm_super *super = seg->super;
	const struct counter_pair singles[SINGLES] = {
		{ &client->allocs, &super->allocs },
		{ &client->frees, &super->frees },
		{ &client->requested, &super->requested },
		{ &client->misuses, &super->misuses },
		{ &client->cache_misses, &super->cache_misses },
		{ &client->refills, &super->refills },
		{ &client->flushes, &super->flushes },
		{ &client->remote_pushed, &super->remote_pushed },
	};
	const struct counter_pair counted[COUNTED] = {
		{ client->class_allocs, super->class_allocs },
		{ client->class_requested, super->class_requested },
		{ client->class_frees, super->class_frees },
		{ client->class_misses, super->class_misses },
	};

	if (i < SINGLES)
		return singles[i];
	i -= SINGLES;
	if (i < SHM_FAILURES)
		return (struct counter_pair){ &client->failures[i],
			&super->failures[i] };
	i -= SHM_FAILURES;
	return (struct counter_pair){
		&counted[i / SHM_COUNTED].from[i % SHM_COUNTED],
		&counted[i / SHM_COUNTED].to[i % SHM_COUNTED],
	};
}

/* End the move that is noted, if there is one.  The note is input. */
static void
move_end(struct shm_seg *seg)
{
	uint64_t note = shm_load(&seg->super->fold);
	uint64_t slot = note >> 32, i = (note & UINT32_MAX) - 1;

	if (note != 0 && slot < SHM_CLIENTS && i < FOLDED &&
	    shm_client_is_there(seg, (uint32_t)slot)) {
		struct counter_pair pair =
		    counter_pair(seg, &seg->clients[slot], (uint32_t)i);

		shm_put(pair.to, shm_load(&seg->super->fold_sum));
		shm_put(pair.from, 0);
	}
	shm_put(&seg->super->fold, 0);
}

void
shm_counters_fold(struct shm_seg *seg, struct shm_client *client)
{
	uint64_t slot = (uint64_t)(client - seg->clients);

	move_end(seg);
	for (uint32_t i = 0; i < FOLDED; i++) {
		struct counter_pair pair = counter_pair(seg, client, i);
		uint64_t more = shm_load(pair.from);

		if (more == 0)
			continue;
		shm_put(&seg->super->fold_sum, shm_load(pair.to) + more);
		shm_put(&seg->super->fold, slot << 32 | (i + 1));
		move_end(seg);
	}
}
