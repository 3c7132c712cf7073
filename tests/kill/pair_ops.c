/*
 * The pairs: what two clients do to the same things.
 */
#include <string.h>

#include <shmalloc/cache.h>

#include "tests/kill/cache_ops.h"
#include "tests/kill/pair.h"

/* What they share, on the board. */
#define EXPECTED 0 /* what the slot holds */
#define COMMON   1 /* an object of the first's, or the segment's */
#define MINE     2 /* and 3: each one's own */

static shmalloc_off
board_take(struct kill_scene *scene, int place, size_t size)
{
	if (!scene_take(scene, size))
		return 0;
	return kill_board->off[place] = scene->off[scene->n - 1];
}

/* ---- Beforehand; 0 is good ----------------------------------------------- */

static int
has_one(struct kill_scene *scene, int who)
{
	return board_take(scene, MINE + who, 200) == 0;
}

static int
has_offer(struct kill_scene *scene, int who)
{
	kill_board->mine[who] = board_take(scene, MINE + who, 200);
	return kill_board->mine[who] == 0;
}

/* The first publishes what both expect. */
static int
has_published(struct kill_scene *scene, int who)
{
	shmalloc_off off = board_take(scene, EXPECTED, 100);

	return off == 0 ||
	    shmalloc_publish(scene->heap, scene->slot, 0, off) != 0 ||
	    has_offer(scene, who) != 0;
}

static int
has_common(struct kill_scene *scene, int who)
{
	return has_one(scene, who) != 0 || board_take(scene, COMMON, 300) == 0;
}

static int
has_shared(struct kill_scene *scene, int who)
{
	return has_common(scene, who) != 0 ||
	    shmalloc_share(scene->heap, kill_board->off[COMMON]) != 0;
}

/* Two that no cache takes: each free goes to the arena. */
static int
has_mediums(struct kill_scene *scene, int who)
{
	return board_take(scene, COMMON, 50000) == 0 ||
	    board_take(scene, MINE + who, 60000) == 0 ||
	    !scene_take(scene, 40000);
}

/* ---- At once ------------------------------------------------------------- */

static int
replaces(struct kill_scene *scene, int who)
{
	return shmalloc_publish(scene->heap, scene->slot,
	    kill_board->off[EXPECTED], kill_board->mine[who]);
}

static int
removes(struct kill_scene *scene, int who)
{
	(void)who;
	return shmalloc_publish(
	    scene->heap, scene->slot, kill_board->off[EXPECTED], 0);
}

static int
inserts(struct kill_scene *scene, int who)
{
	return shmalloc_publish(
	    scene->heap, scene->slot, 0, kill_board->mine[who]);
}

/* What is retired is used again as soon as nobody reads it. */
static int
removes_and_retires(struct kill_scene *scene, int who)
{
	int error = removes(scene, who);
	shmalloc_off off;

	if (error)
		return error;
	error = shmalloc_retire(scene->heap, kill_board->off[EXPECTED]);
	for (int i = 0; i < 2 && error == 0; i++) {
		off = shmalloc_alloc(scene->heap, i ? 100 : 2000);
		if (off == 0)
			return 1;
		memset(shmalloc_ptr(scene->heap, off), 0xa5, 100);
	}
	return error;
}

/* 0: the object was whole, or there was none. */
static int
reads(struct kill_scene *scene, int who)
{
	const char *at;
	shmalloc_off off;
	int wrong = 0;

	(void)who;
	if (shmalloc_enter(scene->heap) != 0)
		return 2;
	off = shmalloc_slot_load(scene->slot);
	at = shmalloc_ptr(scene->heap, off);
	for (size_t i = 0; off && i < 100; i += 20)
		wrong |= at[i] != 0x5a;
	return shmalloc_exit(scene->heap) != 0 ? 2 : wrong;
}

static int
shares(struct kill_scene *scene, int who)
{
	(void)who;
	return shmalloc_share(scene->heap, kill_board->off[COMMON]);
}

static int
adopts(struct kill_scene *scene, int who)
{
	(void)who;
	return shmalloc_adopt(scene->heap, kill_board->off[COMMON]);
}

static int
frees_common(struct kill_scene *scene, int who)
{
	(void)who;
	shmalloc_free(scene->heap, kill_board->off[COMMON]);
	return 0;
}

static int
frees_mine(struct kill_scene *scene, int who)
{
	shmalloc_free(scene->heap, kill_board->off[MINE + who]);
	return 0;
}

static int
allocates(struct kill_scene *scene, int who)
{
	(void)who;
	return shmalloc_alloc(scene->heap, 45000) == 0;
}

static int
retires(struct kill_scene *scene, int who)
{
	int error = shmalloc_retire(scene->heap, kill_board->off[MINE + who]);

	return error ? error : shmalloc_alloc(scene->heap, 45000) == 0;
}

/* ---- What may come out --------------------------------------------------- */

/* Of two publishes that expect the same, one wins: a survivor that lost has
 * lost to the dead.  What the slot holds is published, and nothing else is. */
static bool
one_publish_won(const struct pair_outcome *outcome)
{
	const int *result = outcome->result;
	int me = outcome->dead == 0 ? 1 : 0;

	if (outcome->n_shared != (outcome->slot != 0))
		return false;
	if (outcome->dead == PAIR_NOBODY &&
	    (result[0] == 0) == (result[1] == 0))
		return false;
	if (result[me] != 0 && result[me] != SHMALLOC_ECHANGED)
		return false;
	return outcome->slot == outcome->mine[result[me] == 0 ? me : !me];
}

/* A removal, and a reader. */
static bool
reader_saw_it_whole(const struct pair_outcome *outcome)
{
	for (int who = 0; who < 2; who++)
		if (who != outcome->dead && outcome->result[who] != 0)
			return false;
	return outcome->n_shared == (outcome->slot != 0) &&
	    (outcome->dead == 0 || outcome->slot == 0);
}

/* The first shares what the second frees: it may lose. */
static bool
shared_or_freed(const struct pair_outcome *outcome)
{
	int result = outcome->result[0];

	if (outcome->dead == 0)
		return outcome->n_shared <= 1;
	return (result == 0 && outcome->n_shared <= 1) ||
	    (result == SHMALLOC_ENOTOWNER && outcome->n_shared == 0) ||
	    (result == SHMALLOC_EINVAL && outcome->n_shared == 0);
}

/* The first shares, always; the second may take it. */
static bool
shared_or_adopted(const struct pair_outcome *outcome)
{
	if (outcome->dead != 0 && outcome->result[0] != 0)
		return false;
	if (outcome->dead != 1 && outcome->result[1] != 0 &&
	    outcome->result[1] != SHMALLOC_ENOTOWNER &&
	    outcome->result[1] != SHMALLOC_EINVAL)
		return false;
	return outcome->n_shared <= 1 &&
	    (outcome->dead != PAIR_NOBODY ||
		outcome->n_shared == (outcome->result[1] != 0));
}

/* Whoever has it, the segment doesn't. */
static bool
somebody_took_it(const struct pair_outcome *outcome)
{
	return outcome->n_shared == 0 &&
	    (outcome->dead != PAIR_NOBODY ||
		(outcome->result[0] == 0) != (outcome->result[1] == 0));
}

/* The second's free has no result. */
static bool
adopted_or_freed(const struct pair_outcome *outcome)
{
	return outcome->n_shared == 0;
}

static bool
both_did(const struct pair_outcome *outcome)
{
	for (int who = 0; who < 2; who++)
		if (who != outcome->dead && outcome->result[who] != 0)
			return false;
	return outcome->n_shared == 0;
}

/* ---- What a cache may hold ----------------------------------------------- */

static bool
survivors_did(const struct pair_outcome *outcome)
{
	for (int who = 0; who < 2; who++)
		if (who != outcome->dead && outcome->result[who] != 0)
			return false;
	return true;
}

/* Both stored the same key: one of the two values is there. */
static bool
cache_has_either(const struct pair_outcome *outcome)
{
	return survivors_did(outcome) &&
	    (outcome->value[0] == 'x' || outcome->value[0] == 'y');
}

/* Each stored its own key: so what the survivors stored is there. */
static bool
cache_has_both(const struct pair_outcome *outcome)
{
	return survivors_did(outcome) &&
	    (outcome->dead == 0 || outcome->value[0] == 'x') &&
	    (outcome->dead == 1 || outcome->value[1] == 'y');
}

/* One of two added; the other found it there. */
static bool
cache_has_one_added(const struct pair_outcome *outcome)
{
	const int *result = outcome->result;

	for (int who = 0; who < 2; who++) {
		char own = (char)('x' + who);

		if (who == outcome->dead)
			continue;
		if (result[who] !=
		    (outcome->value[0] == own ? 0 : SHMALLOC_EEXIST))
			return false;
	}
	return outcome->value[0] == 'x' || outcome->value[0] == 'y';
}

/* The first stored over what the second deleted; the old value is gone. */
static bool
cache_has_new_or_none(const struct pair_outcome *outcome)
{
	if (!survivors_did(outcome))
		return false;
	return outcome->value[0] == 'x' || outcome->value[0] == 0 ||
	    (outcome->dead == 1 && outcome->value[0] == 'a');
}

/* The first stored it, and moved it to the larger table; the second deleted
 * it.  If that found nothing, it was on its way, and doesn't arrive. */
static bool
cache_has_new_or_lost(const struct pair_outcome *outcome)
{
	const int *result = outcome->result;
	char value = outcome->value[0];

	if (outcome->dead != 0 && result[0] != 0)
		return false;
	if (outcome->dead == 1)
		return value == 'x' || value == 0;
	return result[1] == SHMALLOC_CACHE_EMISS
	    ? value == 0
	    : result[1] == 0 && (value == 'x' || value == 0);
}

/* Both stored it; only a dead one may have lost it on its way. */
static bool
cache_has_either_or_lost(const struct pair_outcome *outcome)
{
	char value = outcome->value[0];

	return survivors_did(outcome) &&
	    (value == 'x' || value == 'y' ||
		(value == 0 && outcome->dead != PAIR_NOBODY));
}

const struct pair pairs[] = {
	{ "replace x replace", true, 1, { has_published, has_offer },
	    { replaces, replaces }, one_publish_won },
	{ "replace x remove", false, 1, { has_published, has_one },
	    { replaces, removes }, one_publish_won },
	{ "insert x insert", true, 1, { has_offer, has_offer },
	    { inserts, inserts }, one_publish_won },
	{ "remove and retire x read", false, 1, { has_published, has_one },
	    { removes_and_retires, reads }, reader_saw_it_whole },
	{ "share x another's free", false, 1, { has_common, has_one },
	    { shares, frees_common }, shared_or_freed },
	{ "share x adopt", false, 1, { has_common, has_one },
	    { shares, adopts }, shared_or_adopted },
	{ "adopt x adopt", true, 1, { has_shared, has_one }, { adopts, adopts },
	    somebody_took_it },
	{ "adopt x free", false, 1, { has_shared, has_one },
	    { adopts, frees_common }, adopted_or_freed },
	{ "retire x retire", true, 6, { has_one, has_one },
	    { retires, retires }, both_did },
	{ "free and drain x another's free", false, 1, { has_mediums, has_one },
	    { frees_mine, frees_common }, both_did },
	{ "alloc and drain x another's free", false, 2,
	    { has_mediums, has_one }, { allocates, frees_common }, both_did },
	{ "cache, set x set", true, 40, { cache_pair_empty, cache_pair_empty },
	    { cache_pair_set, cache_pair_set }, cache_has_either },
	{ "cache, set x set of another", true, 0,
	    { cache_pair_crowded, cache_pair_crowded },
	    { cache_pair_set_own, cache_pair_set_own }, cache_has_both },
	{ "cache, add x add", true, 40, { cache_pair_empty, cache_pair_empty },
	    { cache_pair_add, cache_pair_add }, cache_has_one_added },
	{ "cache, set x delete", true, 20, { cache_pair_some, cache_pair_some },
	    { cache_pair_set, cache_pair_delete }, cache_has_new_or_none },
	{ "cache, set and move x delete", true, 0,
	    { cache_pair_stays, cache_pair_stays },
	    { cache_pair_set, cache_pair_delete }, cache_has_new_or_lost },
	{ "cache, set and move x set", true, 0,
	    { cache_pair_stays, cache_pair_stays },
	    { cache_pair_set, cache_pair_set }, cache_has_either_or_lost },
};

const size_t n_pairs = sizeof(pairs) / sizeof(*pairs);
