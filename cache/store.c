/*
 * Storing and deleting: find the key's place, and publish into its slot.
 */
#include <string.h>

#include "cache/internal.h"

/* When a store is done. */
enum change_if {
	CHANGE_ANY,
	CHANGE_ABSENT,
	CHANGE_PRESENT,
	CHANGE_VERSION, /* present in that version */
	CHANGE_LEASED,  /* the lease of that version is in its place */
};

/* What a store does: made anew for each attempt, for what it replaces may
 * change. */
struct change {
	struct cache_key key;
	const struct shmalloc_cache_terms *terms;
	struct shmalloc_bytes value;
	uint64_t version; /* that must be there */
	uint32_t ends;    /* instead of the terms'; 0: theirs */
	enum change_if if_is;
};

/* May the change be done to PLACE? */
static int
change_fits(const struct shmalloc_cache *cache, const struct change *change,
    const struct cache_place *place)
{
	bool is_there = place->item && cache_item_is_live(cache, place->item);

	switch (change->if_is) {
	case CHANGE_ABSENT:
		return is_there ? SHMALLOC_EEXIST : 0;
	case CHANGE_PRESENT:
		return is_there ? 0 : SHMALLOC_CACHE_EMISS;
	case CHANGE_VERSION:
		if (!is_there)
			return SHMALLOC_CACHE_EMISS;
		return cache_item_version(place->item) == change->version
		    ? 0
		    : SHMALLOC_ECHANGED;
	case CHANGE_LEASED:
		return place->item &&
			cache_item_version(place->item) == change->version
		    ? 0
		    : SHMALLOC_CACHE_ELEASE;
	default:
		return 0;
	}
}

/* Hang OFF where the change says.  0, or an error and OFF is the caller's. */
static int
change_hang(
    struct shmalloc_cache *cache, const struct change *change, shmalloc_off off)
{
	struct cache_place place;
	bool is_new = change->if_is < CHANGE_PRESENT;
	int error;

	do {
		error = cache_locate(cache, &change->key, is_new, &place);
		if (error == 0)
			error = change_fits(cache, change, &place);
		if (error != 0)
			return error;
		error = cache_hang(cache, &place, off);
	} while (error == SHMALLOC_ECHANGED);
	if (error == 0)
		cache_stored(cache, &place);
	return error;
}

void
cache_stored(struct shmalloc_cache *cache, const struct cache_place *place)
{
	cache_count(cache, SHMALLOC_CACHE_STORES, 1);
	if (!place->item)
		cache_grow(cache, place->table);
	cache_hand_move(cache);
	(void)cache_trim(cache);
}

static int
change_run(struct shmalloc_cache *cache, const struct change *change)
{
	uint64_t since = cache_time(cache, CACHE_LATENCY_STORE);
	struct cache_item *item;
	shmalloc_off off;
	int error = cache_item_make(
	    cache, &change->key, change->value.len, change->terms, &off);

	if (error != 0)
		return error;
	item = cache_at(cache, off);
	if (change->value.len != 0)
		memcpy(item->bytes, change->value.data, change->value.len);
	if (change->ends != 0)
		atomic_init(&item->ends, change->ends);
	error = cache_enter(cache);
	if (error == 0) {
		error = change_hang(cache, change, off);
		if (error == 0)
			cache_timed(cache, CACHE_LATENCY_STORE, since);
		cache_exit(cache);
	}
	if (error != 0)
		shmalloc_free(cache->heap, off);
	return error;
}

/* The value goes before the key, and both are written by the maker of the
 * item; so begin with the key. */
static int
change_begin(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct change *change)
{
	int error;

	if (cache->is_read_only)
		return SHMALLOC_EREADONLY;
	/* The head tells how to hash: it must be there. */
	error = cache_enter(cache);
	if (error != 0)
		return error;
	error = cache_key_of(cache, key, &change->key);
	cache_exit(cache);
	return error;
}

static int
store(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct shmalloc_bytes value, const struct shmalloc_cache_terms *terms,
    enum change_if if_is, uint64_t version)
{
	struct change change = { .terms = terms,
		.value = value,
		.version = version,
		.if_is = if_is };
	int error = change_begin(cache, key, &change);

	return error != 0 ? error : change_run(cache, &change);
}

int
shmalloc_cache_set(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct shmalloc_bytes value, const struct shmalloc_cache_terms *terms)
{
	return store(cache, key, value, terms, CHANGE_ANY, 0);
}

int
shmalloc_cache_add(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct shmalloc_bytes value, const struct shmalloc_cache_terms *terms)
{
	return store(cache, key, value, terms, CHANGE_ABSENT, 0);
}

int
shmalloc_cache_replace(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct shmalloc_bytes value, const struct shmalloc_cache_terms *terms)
{
	return store(cache, key, value, terms, CHANGE_PRESENT, 0);
}

int
shmalloc_cache_cas(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    uint64_t version, struct shmalloc_bytes value,
    const struct shmalloc_cache_terms *terms)
{
	return store(cache, key, value, terms, CHANGE_VERSION, version);
}

int
shmalloc_cache_fill(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    const struct shmalloc_cache_lease *lease, struct shmalloc_bytes value,
    const struct shmalloc_cache_terms *terms)
{
	return store(cache, key, value, terms, CHANGE_LEASED, lease->version);
}

/* ---- What depends on what is there --------------------------------------- */

/*
 * What was seen of a key, in a copy: a change that depends on it is a
 * compare-and-set of that version.
 */
struct seen {
	uint64_t version, value_len;
	uint32_t flags, ends;
	int64_t number; /* if it is 8 bytes */
};

static int
change_see(struct shmalloc_cache *cache, const struct cache_key *key,
    struct seen *ret_seen)
{
	struct cache_place place;
	int error = cache_enter(cache);

	if (error != 0)
		return error;
	error = cache_locate(cache, key, false, &place);
	if (error == 0 &&
	    (!place.item || !cache_item_is_live(cache, place.item)))
		error = SHMALLOC_CACHE_EMISS;
	if (error == 0) {
		*ret_seen = (struct seen){ cache_item_version(place.item),
			place.item->value_len, place.item->flags,
			cache_peek(&place.item->ends), 0 };
		if (ret_seen->value_len == sizeof(ret_seen->number))
			memcpy(&ret_seen->number, place.item->bytes,
			    sizeof(ret_seen->number));
	}
	cache_exit(cache);
	return error;
}

/* Copy the old value, if it is still that version, in front of the new. */
static int
append_hang(struct shmalloc_cache *cache, struct change *change,
    const struct seen *seen, shmalloc_off off)
{
	struct cache_item *item = cache_at(cache, off);
	struct cache_place place;
	int error = cache_locate(cache, &change->key, false, &place);

	if (error == 0)
		error = change_fits(cache, change, &place);
	if (error != 0)
		return error;
	memcpy(item->bytes, place.item->bytes, seen->value_len);
	if (change->value.len != 0)
		memcpy(item->bytes + seen->value_len, change->value.data,
		    change->value.len);
	item->flags = seen->flags;
	atomic_init(&item->ends, cache_peek(&place.item->ends));
	error = cache_hang(cache, &place, off);
	if (error == 0)
		cache_stored(cache, &place);
	return error;
}

static int
append_once(struct shmalloc_cache *cache, struct change *change)
{
	uint64_t since = cache_time(cache, CACHE_LATENCY_STORE);
	struct seen seen;
	shmalloc_off off;
	int error = change_see(cache, &change->key, &seen);

	if (error != 0)
		return error;
	if (change->value.len > SIZE_MAX - seen.value_len)
		return SHMALLOC_ERANGE;
	change->version = seen.version;
	error = cache_item_make(cache, &change->key,
	    seen.value_len + change->value.len, NULL, &off);
	if (error != 0)
		return error;
	error = cache_enter(cache);
	if (error == 0) {
		error = append_hang(cache, change, &seen, off);
		if (error == 0)
			cache_timed(cache, CACHE_LATENCY_STORE, since);
		cache_exit(cache);
	}
	if (error != 0)
		shmalloc_free(cache->heap, off);
	return error;
}

int
shmalloc_cache_append(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct shmalloc_bytes data)
{
	struct change change = { .value = data, .if_is = CHANGE_VERSION };
	int error = change_begin(cache, key, &change);

	if (error == 0)
		do
			error = append_once(cache, &change);
		while (error == SHMALLOC_ECHANGED);
	return error;
}

/* One attempt to add; *VALUE is what is to be stored. */
static int
increment_once(struct shmalloc_cache *cache, struct change *change,
    int64_t delta, int64_t initial, int64_t *value,
    const struct shmalloc_cache_terms *terms)
{
	struct shmalloc_cache_terms kept = { 0, 0 };
	struct seen seen;
	int error = change_see(cache, &change->key, &seen);

	if (error == SHMALLOC_CACHE_EMISS) {
		*value = initial;
		change->terms = terms;
		change->ends = 0;
		change->if_is = CHANGE_ABSENT;
		error = change_run(cache, change);
		return error == SHMALLOC_EEXIST ? SHMALLOC_ECHANGED : error;
	}
	if (error != 0)
		return error;
	if (seen.value_len != sizeof(*value))
		return SHMALLOC_CACHE_ENUMBER;
	if (__builtin_add_overflow(seen.number, delta, value))
		return SHMALLOC_ERANGE;
	kept.flags = seen.flags;
	change->terms = &kept;
	change->version = seen.version;
	change->if_is = CHANGE_VERSION;
	change->ends = seen.ends;
	error = change_run(cache, change);
	return error == SHMALLOC_CACHE_EMISS ? SHMALLOC_ECHANGED : error;
}

int
shmalloc_cache_increment(struct shmalloc_cache *cache,
    struct shmalloc_bytes key, int64_t delta, int64_t initial,
    const struct shmalloc_cache_terms *terms, int64_t *ret_value)
{
	int64_t value = 0;
	struct change change = { .value = { &value, sizeof(value) } };
	int error = change_begin(cache, key, &change);

	if (error == 0)
		do
			error = increment_once(
			    cache, &change, delta, initial, &value, terms);
		while (error == SHMALLOC_ECHANGED);
	if (error == 0 && ret_value)
		*ret_value = value;
	return error;
}

/* ---- Touching, deleting -------------------------------------------------- */

/* Find a live item of KEY, inside. */
static int
live_locate(struct shmalloc_cache *cache, const struct cache_key *key,
    struct cache_place *ret_place)
{
	int error = cache_locate(cache, key, false, ret_place);

	if (error != 0)
		return error;
	return ret_place->item && cache_item_is_live(cache, ret_place->item)
	    ? 0
	    : SHMALLOC_CACHE_EMISS;
}

/* The end is a number that readers may see change: no publish is needed. */
int
shmalloc_cache_touch(
    struct shmalloc_cache *cache, struct shmalloc_bytes key, uint32_t ttl_ms)
{
	struct change change;
	struct cache_place place;
	int error = change_begin(cache, key, &change);

	if (error == 0)
		error = cache_enter(cache);
	if (error != 0)
		return error;
	do {
		error = live_locate(cache, &change.key, &place);
		if (error == 0)
			atomic_store(&place.item->ends,
			    ttl_ms ? cache_tick_after(cache, ttl_ms) : 0);
	} while (error == 0 && cache_load(&place.entry->slot) != place.off);
	cache_exit(cache);
	return error;
}

/* It isn't there, but a copy of it may be on its way (drain.c): it shall not
 * arrive.  False: look again, for there is a larger table now. */
static bool
absence_keep(struct shmalloc_cache *cache, const struct cache_key *key,
    const struct cache_place *place)
{
	return !place->entry || !place->is_last ||
	    cache_bucket_renew(cache, place->bucket, key->part) ||
	    atomic_load(&cache->head->is_ending);
}

/* Take KEY's item away: a value, one that has ended, or a lease; if VERSION
 * isn't NULL, a value in that version only. */
static int
key_delete(struct shmalloc_cache *cache, const struct cache_key *key,
    const uint64_t *version)
{
	struct cache_place place;
	bool was_live;
	int error;

	for (;;) {
		error = cache_locate(cache, key, false, &place);
		if (error != 0)
			return error;
		if (!place.item && absence_keep(cache, key, &place))
			return SHMALLOC_CACHE_EMISS;
		if (!place.item)
			continue;
		was_live = cache_item_is_live(cache, place.item);
		if (version && !was_live)
			return SHMALLOC_CACHE_EMISS;
		if (version && cache_item_version(place.item) != *version)
			return SHMALLOC_ECHANGED;
		if (cache_drop(cache, place.table, place.entry, place.off,
			SHMALLOC_CACHE_DELETES))
			return was_live ? 0 : SHMALLOC_CACHE_EMISS;
	}
}

static int
delete_if(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    const uint64_t *version)
{
	struct change change;
	int error = change_begin(cache, key, &change);

	if (error == 0)
		error = cache_enter(cache);
	if (error != 0)
		return error;
	error = key_delete(cache, &change.key, version);
	cache_exit(cache);
	return error;
}

int
shmalloc_cache_delete(struct shmalloc_cache *cache, struct shmalloc_bytes key)
{
	return delete_if(cache, key, NULL);
}

int
shmalloc_cache_delete_version(
    struct shmalloc_cache *cache, struct shmalloc_bytes key, uint64_t version)
{
	return delete_if(cache, key, &version);
}
