/*
 * Roots: named slots in the segment that users' structures hang from.
 *
 * A root is claimed by a compare-and-swap on its state, named, then READY.  The
 * claim names the claimant's client, so that one who was killed in between can
 * be told from one who is still writing; a claim of the dead is taken over.
 */
#include <string.h>
#include <time.h>

#include "client/cache.h"
#include "shm/commit.h"

#define ROUNDS 500 /* tries, with growing pauses, before EBUSY */

#define CLAIM(slot, generation)                                                \
	(((uint64_t)(slot) + 1) | (uint64_t)(generation) << 32)

static bool
root_is_there(const struct shm_seg *seg, const struct shm_root *root)
{
	uint64_t off = shm_offset_of(seg, root);

	return shm_committed_prefix(seg, off, sizeof(*root)) == sizeof(*root);
}

static struct shm_root *
root_find(struct shm_seg *seg, const char *name)
{
	for (uint32_t i = 0; i < SHM_ROOTS; i++) {
		struct shm_root *root = &seg->roots[i];

		if (!root_is_there(seg, root))
			return NULL;
		if (shm_get(&root->state) == SHM_ROOT_READY &&
		    strncmp(root->name, name, sizeof(root->name)) == 0)
			return root;
	}
	return NULL;
}

/* Is the client that made CLAIM gone? */
static bool
claim_is_dead(const struct shm_seg *seg, uint64_t claim)
{
	uint32_t slot = (uint32_t)(claim & 0xffffffff) - 1;

	return !shm_client_is_there(seg, slot) ||
	    shm_get(&seg->clients[slot].state) != SHM_CLIENT_LIVE ||
	    shm_load(&seg->clients[slot].generation) != claim >> 32;
}

/* Claim the first free root.  0, SHM_EBUSY, SHM_ENOMEM, or SHM_ERETRY: another
 * claim is under way. */
static int
root_claim(struct cache *cache, struct shm_root **ret_root)
{
	struct shm_seg *seg = cache->self.seg;
	uint64_t mine = CLAIM(cache->self.slot, cache->self.generation);

	for (uint32_t i = 0; i < SHM_ROOTS; i++) {
		struct shm_root *root = &seg->roots[i];
		uint64_t state;

		if (!root_is_there(seg, root) &&
		    shm_commit(&cache->self, shm_offset_of(seg, root),
			sizeof(*root)) != 0)
			return SHM_ENOMEM;
		state = shm_get(&root->state);
		if (state == SHM_ROOT_READY)
			continue;
		if (state != 0 && !claim_is_dead(seg, state))
			return SHM_ERETRY;
		*ret_root = root;
		return shm_cas(&root->state, &state, mine) ? 0 : SHM_ERETRY;
	}
	return SHM_EBUSY;
}

/* Is MINE the only live claim?  If not both give way and try again, after
 * pauses of different length: two claims may be for one name.  0 or SHM_ERETRY.
 */
static int
claim_settle(struct cache *cache, struct shm_root *mine)
{
	struct shm_seg *seg = cache->self.seg;

	for (uint32_t i = 0; i < SHM_ROOTS; i++) {
		struct shm_root *root = &seg->roots[i];
		uint64_t state;

		if (root == mine)
			continue;
		if (!root_is_there(seg, root))
			break;
		state = shm_get(&root->state);
		if (state == 0 || state == SHM_ROOT_READY ||
		    claim_is_dead(seg, state))
			continue;
		return SHM_ERETRY;
	}
	return 0;
}

/* See root_try(). */
static int
root_try_held(struct cache *cache, const char *name, struct shm_root **ret_root)
{
	struct shm_root *root = NULL;
	int error = root_claim(cache, &root);

	if (error)
		return error;
	*ret_root = root_find(cache->self.seg, name);
	if (*ret_root || claim_settle(cache, root) != 0) {
		shm_put(&root->state, 0);
		return *ret_root ? 0 : SHM_ERETRY;
	}
	/* Nobody else is at it: whoever claims from now on sees this claim. */
	*ret_root = root_find(cache->self.seg, name);
	if (*ret_root) {
		shm_put(&root->state, 0);
		return 0;
	}
	memset(root->name, 0, sizeof(root->name));
	memcpy(root->name, name, strlen(name));
	shm_put(&root->slot, 0);
	shm_put(&root->state, SHM_ROOT_READY);
	*ret_root = root;
	return 0;
}

/* One try at making the root NAME, which is not left by a jump: a claim without
 * its claimant would be in everybody's way.  0, SHM_ERETRY, or an error. */
static int
root_try(struct cache *cache, const char *name, struct shm_root **ret_root)
{
	sigset_t signals;
	int error;

	heap_signals_hold(&signals);
	error = root_try_held(cache, name, ret_root);
	heap_signals_release(&signals);
	return error;
}

/* Make the root NAME, unless somebody else has meanwhile.  SHM_EBUSY also if a
 * claimant does not get on, because it is stopped. */
static int
root_make(struct cache *cache, const char *name, struct shm_root **ret_root)
{
	for (int round = 0; round < ROUNDS; round++) {
		struct timespec pause = { 0,
			(round + 1) * (long)(cache->self.thread % 7 + 1) *
			    1000 };
		int error = root_try(cache, name, ret_root);

		if (error != SHM_ERETRY)
			return error;
		*ret_root = root_find(cache->self.seg, name);
		if (*ret_root)
			return 0;
		(void)nanosleep(&pause, NULL);
	}
	return SHM_EBUSY;
}

static bool
name_is_good(const char *name)
{
	size_t len = name ? strnlen(name, SHM_NAME_LEN) : 0;

	return len > 0 && len < SHM_NAME_LEN;
}

int
shmalloc_root(struct shmalloc *heap, const char *name, shmalloc_slot **ret_slot)
{
	struct shm_root *root;
	struct cache *cache;
	int error = 0;

	if (!name_is_good(name))
		return SHMALLOC_EINVAL;
	if (heap->is_lost)
		return SHMALLOC_EGONE;
	root = root_find(&heap->seg, name);
	if (!root && heap->seg.is_read_only)
		return SHMALLOC_EREADONLY;
	if (!root) {
		cache = cache_enter(heap);
		if (!cache)
			return cache_error();
		error = root_make(cache, name, &root);
		cache_leave(cache);
	}
	if (error == 0)
		*ret_slot = &root->slot;
	return error;
}

int
shmalloc_root_remove(struct shmalloc *heap, const char *name)
{
	struct shm_root *root;
	uint64_t ready = SHM_ROOT_READY;

	if (!name_is_good(name))
		return SHMALLOC_EINVAL;
	if (heap->is_lost)
		return SHMALLOC_EGONE;
	if (heap->seg.is_read_only)
		return SHMALLOC_EREADONLY;
	root = root_find(&heap->seg, name);
	if (!root)
		return SHMALLOC_EUNKNOWN;
	if (shm_get(&root->slot) != 0)
		return SHMALLOC_EBUSY;
	return shm_cas(&root->state, &ready, 0) ? 0 : SHMALLOC_EUNKNOWN;
}
