/*
 * Operations of the shared cache, and how its contents are judged in a copy of
 * the segment.
 */
#ifndef TESTS_KILL_CACHE_OPS_H
#define TESTS_KILL_CACHE_OPS_H

#include "tests/kill/kill.h"

/* What an operation finds: a cache with some entries; near its limit; with a
 * table that is full; with one that is being emptied; or with a lease. */
kill_fn cache_some, cache_limited, cache_crowded, cache_growing, cache_leased,
    cache_ended;

kill_fn cache_make, cache_get_one, cache_set_new, cache_set_old, cache_add_old,
    cache_cas_one, cache_append_one, cache_increment_one, cache_touch_one,
    cache_delete_one, cache_delete_seen, cache_set_evicting, cache_set_growing,
    cache_move_some, cache_take_one, cache_fill_one, cache_waive_one,
    cache_clear_all, cache_sweep_all, cache_destroy_it;

/* The same for two clients: 0 is good. */
int cache_pair_empty(struct kill_scene *scene, int who);
int cache_pair_some(struct kill_scene *scene, int who);
int cache_pair_crowded(struct kill_scene *scene, int who);
int cache_pair_stays(struct kill_scene *scene, int who);
int cache_pair_set(struct kill_scene *scene, int who);
int cache_pair_set_own(struct kill_scene *scene, int who);
int cache_pair_add(struct kill_scene *scene, int who);
int cache_pair_delete(struct kill_scene *scene, int who);

/* What a cache holds. */
struct cache_look {
	uint64_t objects;  /* that hang from its root, itself included */
	uint64_t contents; /* a hash of the entries that a user can find */
	char value[KILL_KEYS];
};

/*
 * Look at the cache of SEG, which nobody changes.  False: a key is there twice,
 * or a value is torn; the reason has been printed.  No cache: nothing.
 */
bool cache_look_at(const struct shm_seg *seg, struct cache_look *ret_look);

#endif
