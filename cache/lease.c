/*
 * Leases: who computes a missing value.
 *
 * A lease for an absent key is an item that is no value; it hangs in the key's
 * place and says whose it is and until when.  A lease for a value that has
 * ended, but may still be served, is a number in its mark.  Either goes with
 * whatever takes the key's place, so what was computed for a key that was
 * stored or deleted meanwhile is not stored.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache/internal.h"

#define LEASE_MS  10000
#define NAP_FIRST 50000   /* nanoseconds */
#define NAP_LAST  5000000 /* nanoseconds */
#define CLAIM_MAX 0xfffffffu

enum look {
	LOOK_FOUND,  /* pinned */
	LOOK_LEASED, /* the caller's to compute */
	LOOK_ABSENT,
	LOOK_WAIT,
};

static uint64_t
lease_ms(const struct shmalloc_cache_patience *patience)
{
	return patience && patience->lease_ms ? patience->lease_ms : LEASE_MS;
}

/* Is the lease of ITEM worth nothing: over, from the future (the clock was set
 * back), or a dead process's? */
static bool
lease_is_void(const struct shmalloc_cache *cache, const struct cache_item *item)
{
	uint64_t now = cache_now_ms();
	struct cache_claim claim;

	memcpy(&claim, item->bytes, sizeof(claim));
	if (claim.ends_ms <= now || claim.ends_ms - now > claim.len_ms)
		return true;
	return claim.pid_namespace != 0 &&
	    claim.pid_namespace == cache->pid_namespace &&
	    kill((pid_t)claim.pid, 0) != 0 && errno == ESRCH;
}

/* ---- Values that have ended ---------------------------------------------- */

/* Claim the renewal of a stale ITEM.  False: somebody else has. */
static bool
stale_claim(struct shmalloc_cache *cache, struct cache_item *item,
    const struct shmalloc_cache_patience *patience)
{
	uint32_t now = cache_tick(cache) & CLAIM_MAX, mark, claim;
	uint32_t ends = cache_tick_after(cache, lease_ms(patience));

	mark = cache_peek(&item->mark);
	do {
		claim = mark >> CACHE_CLAIM;
		if (claim != 0 && ((claim - now) & CLAIM_MAX) < CLAIM_MAX / 2)
			return false;
	} while (!atomic_compare_exchange_weak(&item->mark, &mark,
	    (mark & ((1u << CACHE_CLAIM) - 1)) | ends << CACHE_CLAIM));
	if (claim != 0)
		cache_count(cache, SHMALLOC_CACHE_LEASES_BROKEN, 1);
	return true;
}

/* A value whose time is over: renew it, or take it as it is. */
static enum look
stale_look(struct shmalloc_cache *cache, struct cache_item *item,
    const struct shmalloc_cache_patience *patience,
    struct shmalloc_cache_view *ret_view,
    struct shmalloc_cache_lease *ret_lease)
{
	uint32_t over = cache_peek(&item->ends) + cache->head->stale_ticks;

	if (cache_tick_past(cache_tick(cache), over))
		return LOOK_ABSENT;
	if (!cache->is_read_only && stale_claim(cache, item, patience)) {
		ret_lease->version = cache_item_version(item);
		return LOOK_LEASED;
	}
	cache_count(cache, SHMALLOC_CACHE_STALE, 1);
	cache_view(cache, item, ret_view);
	return LOOK_FOUND;
}

/* ---- Taking -------------------------------------------------------------- */

static enum look
item_look(struct shmalloc_cache *cache, const struct cache_key *key,
    const struct shmalloc_cache_patience *patience,
    struct shmalloc_cache_view *ret_view,
    struct shmalloc_cache_lease *ret_lease)
{
	struct cache_place place;

	if (!cache_find(cache, key, &place))
		return LOOK_ABSENT;
	if (cache_item_is_lease(place.item))
		return lease_is_void(cache, place.item) ? LOOK_ABSENT
							: LOOK_WAIT;
	if (cache_item_has_ended(cache, place.item))
		return stale_look(
		    cache, place.item, patience, ret_view, ret_lease);
	cache_view(cache, place.item, ret_view);
	return LOOK_FOUND;
}

/* Hang a lease, OFF, if the key is still absent.  0; SHMALLOC_ECHANGED: it
 * isn't. */
static int
lease_hang(
    struct shmalloc_cache *cache, const struct cache_key *key, shmalloc_off off)
{
	const struct cache_item *old;
	struct cache_place place;
	int error = cache_locate(cache, key, true, &place);

	if (error != 0)
		return error;
	old = place.item;
	if (old &&
	    (cache_item_is_lease(old) ? !lease_is_void(cache, old)
				      : cache_item_is_live(cache, old)))
		return SHMALLOC_ECHANGED;
	error = cache_hang(cache, &place, off);
	if (error == 0 && old && cache_item_is_lease(old))
		cache_count(cache, SHMALLOC_CACHE_LEASES_BROKEN, 1);
	if (error == 0 && !old)
		cache_grow(cache, place.table);
	return error;
}

static void
claim_init(const struct shmalloc_cache *cache, struct cache_item *item,
    const struct shmalloc_cache_patience *patience)
{
	struct cache_claim claim = { .len_ms = lease_ms(patience),
		.ends_ms = cache_now_ms() + lease_ms(patience),
		.pid_namespace = cache->pid_namespace,
		.pid = getpid() };

	item->key_len |= CACHE_LEASE;
	memcpy(item->bytes, &claim, sizeof(claim));
}

static int
lease_make(struct shmalloc_cache *cache, const struct cache_key *key,
    const struct shmalloc_cache_patience *patience,
    struct shmalloc_cache_lease *ret_lease)
{
	struct cache_item *item;
	shmalloc_off off;
	int error =
	    cache_item_make(cache, key, sizeof(struct cache_claim), NULL, &off);

	if (error != 0)
		return error;
	item = cache_at(cache, off);
	claim_init(cache, item, patience);
	error = cache_enter(cache);
	if (error == 0) {
		error = lease_hang(cache, key, off);
		if (error == 0)
			ret_lease->version = cache_item_version(item);
		cache_exit(cache);
	}
	if (error != 0)
		shmalloc_free(cache->heap, off);
	return error;
}

/* One look, pinned if found. */
static int
take_look(struct shmalloc_cache *cache, struct shmalloc_bytes bytes,
    const struct shmalloc_cache_patience *patience, struct cache_key *ret_key,
    struct shmalloc_cache_view *ret_view,
    struct shmalloc_cache_lease *ret_lease)
{
	uint64_t since = cache_time(cache, CACHE_LATENCY_GET);
	int look = cache_enter(cache);

	if (look != 0)
		return look;
	look = cache_key_of(cache, bytes, ret_key);
	if (look == 0)
		look = (int)item_look(
		    cache, ret_key, patience, ret_view, ret_lease);
	if (look == LOOK_FOUND || look == LOOK_ABSENT)
		cache_timed(cache, CACHE_LATENCY_GET, since);
	if (look != LOOK_FOUND)
		cache_exit(cache);
	return look;
}

/* Sleep for a while, longer each time. */
static void
nap(long *ns)
{
	struct timespec pause = { 0, *ns };

	(void)nanosleep(&pause, NULL);
	*ns = *ns * 2 < NAP_LAST ? *ns * 2 : NAP_LAST;
}

static uint64_t
uptime_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Look until there is something to tell.  *RET_WAITED: not at once. */
static int
take_loop(struct shmalloc_cache *cache, struct shmalloc_bytes bytes,
    const struct shmalloc_cache_patience *patience,
    struct shmalloc_cache_view *ret_view,
    struct shmalloc_cache_lease *ret_lease)
{
	uint64_t wait = patience ? patience->wait_ms : 0, begin = uptime_ms();
	struct cache_key key;
	long ns = NAP_FIRST;

	for (;;) {
		int look = take_look(
		    cache, bytes, patience, &key, ret_view, ret_lease);

		if (look == LOOK_ABSENT)
			look = cache->is_read_only
			    ? SHMALLOC_CACHE_EMISS
			    : lease_make(cache, &key, patience, ret_lease);
		else if (look != LOOK_WAIT)
			return look;
		else if (wait && uptime_ms() - begin >= wait)
			return SHMALLOC_ETIMEDOUT;
		if (look == 0)
			return LOOK_LEASED;
		if (look < 0 && look != SHMALLOC_ECHANGED)
			return look;
		if (ns == NAP_FIRST)
			cache_count(cache, SHMALLOC_CACHE_WAITS, 1);
		nap(&ns);
	}
}

int
shmalloc_cache_take(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    const struct shmalloc_cache_patience *patience,
    struct shmalloc_cache_view *ret_view,
    struct shmalloc_cache_lease *ret_lease)
{
	int result;

	*ret_view = (struct shmalloc_cache_view){ .value = NULL };
	*ret_lease = (struct shmalloc_cache_lease){ 0, 0 };
	result = take_loop(cache, key, patience, ret_view, ret_lease);
	if (result == LOOK_LEASED)
		cache_count(cache, SHMALLOC_CACHE_LEASES, 1);
	if (result >= 0)
		cache_count(cache,
		    result == LOOK_FOUND ? SHMALLOC_CACHE_HITS
					 : SHMALLOC_CACHE_MISSES,
		    1);
	return result;
}

/* ---- Ending a lease ------------------------------------------------------ */

/* Give a lease back, inside: what it hangs from, or the claim, goes. */
static int
lease_end(
    struct shmalloc_cache *cache, const struct cache_key *key, uint64_t version)
{
	struct cache_place place;
	int error = cache_locate(cache, key, false, &place);

	if (error != 0)
		return error;
	if (!place.item || cache_item_version(place.item) != version)
		return SHMALLOC_CACHE_ELEASE;
	if (!cache_item_is_lease(place.item))
		cache_mark(place.item, CLAIM_MAX << CACHE_CLAIM, 0);
	else if (!cache_drop(cache, place.table, place.entry, place.off,
		     SHMALLOC_CACHE_DELETES))
		return SHMALLOC_CACHE_ELEASE;
	return 0;
}

int
shmalloc_cache_waive(struct shmalloc_cache *cache, struct shmalloc_bytes bytes,
    const struct shmalloc_cache_lease *lease)
{
	struct cache_key key;
	int error =
	    cache->is_read_only ? SHMALLOC_EREADONLY : cache_enter(cache);

	if (error != 0)
		return error;
	error = cache_key_of(cache, bytes, &key);
	if (error == 0)
		error = lease_end(cache, &key, lease->version);
	cache_exit(cache);
	return error;
}
