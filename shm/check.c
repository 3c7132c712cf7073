/*
 * The checker: proves the invariants of shm/README.md, arena by arena.
 */
#include "shm/check.h"

#include <stdlib.h>
#include <string.h>

#include "shm/daemon.h"
#include "shm/walk.h"

#define GROWTHS 8 /* attempts to have room for all free pieces */

struct report {
	struct shm_check *check;
	bool repair;
	shm_finding_fn fn;
	void *arg;
	int n;
};

void
shm_check_note(struct shm_check *check, enum shm_invariant invariant,
    uint64_t off, const char *text)
{
	uint32_t i = check->n_found++;

	if (i < SHM_CHECK_KEPT)
		check->found[i] = (struct shm_finding){
			.invariant = invariant,
			.arena = check->arena ? (int32_t)check->index : -1,
			.off = off,
			.text = text,
		};
}

static uint32_t
found_kept(const struct shm_check *check)
{
	return check->n_found < SHM_CHECK_KEPT ? check->n_found
					       : SHM_CHECK_KEPT;
}

static void
findings_report(struct report *report, const struct shm_check *check)
{
	for (uint32_t i = 0; report->fn && i < found_kept(check); i++)
		report->fn(report->arg, &check->found[i]);
	report->n += (int)check->n_found;
}

/* ---- One arena ----------------------------------------------------------- */

static void
arena_check_locked(struct shm_check *check)
{
	memset(&check->sum, 0, sizeof(check->sum));
	check->n_free = 0;
	check->n_found = 0;
	check->is_damaged = false;
	if (shm_load(&check->arena->state) != SHM_ARENA_ACTIVE)
		shm_check_note(
		    check, SHM_I_SERVICE, 0, "the arena is out of service");
	shm_check_heads(check);
	if (check->is_damaged)
		shm_arena_quarantine(check->arena);
	if (check->n_free <= check->room)
		shm_check_index(check);
}

static bool
is_found(const struct shm_check *check, const struct shm_finding *finding)
{
	for (uint32_t i = 0; i < found_kept(check); i++)
		if (check->found[i].invariant == finding->invariant &&
		    check->found[i].off == finding->off)
			return true;
	return false;
}

/* Let go what nobody has and rebuild the index; what a second check doesn't
 * find any more is repaired.  AGAIN is room for that check. */
static void
arena_repair_locked(struct shm_check *check, struct shm_check *again)
{
	shm_check_disown(check);
	if (shm_arena_rebuild_locked(&check->self, check->arena) != 0)
		return;
	shm_bump(&check->arena->repairs, 1);
	*again = *check;
	arena_check_locked(again);
	for (uint32_t i = 0; i < found_kept(check); i++)
		check->found[i].is_repaired =
		    again->n_found <= SHM_CHECK_KEPT &&
		    !is_found(again, &check->found[i]);
}

/* Have room for N pieces. */
static bool
room_make(struct shm_check *check, size_t n)
{
	uint64_t *more;

	if (n <= check->room)
		return true;
	more = realloc(check->free, n * sizeof(*more));
	if (!more)
		return false;
	check->free = more;
	check->room = n;
	return true;
}

static int
arena_check(struct report *report, struct shm_check *again)
{
	struct shm_check *check = report->check;

	for (int i = 0; i < GROWTHS; i++) {
		bool is_done;

		if (!shm_walk_lock(&check->self, check->arena))
			return SHM_ERETRY;
		arena_check_locked(check);
		is_done = check->n_free <= check->room;
		if (is_done && check->n_found && report->repair)
			arena_repair_locked(check, again);
		shm_arena_unlock(check->arena);
		if (is_done) {
			findings_report(report, check);
			return 0;
		}
		/* More than now: clients go on between the two. */
		if (!room_make(check, check->n_free + check->n_free / 4))
			return SHM_ENOMEM;
	}
	return SHM_ERETRY;
}

static int
check_all(struct report *report, struct shm_check *again)
{
	struct shm_check *check = report->check;
	struct shm_seg *seg = check->self.seg;
	uint32_t n = shm_walk_arenas(seg);
	int error = 0;

	shm_check_tables(check, report->repair);
	findings_report(report, check);
	if (!room_make(check, SHM_REGION / SHM_CHUNK_MIN))
		return SHM_ENOMEM;
	for (uint32_t i = 0; i < n && error == 0; i++) {
		check->arena = &seg->arenas[i];
		check->index = i;
		error = atomic_load(&seg->is_cancelled)
		    ? SHM_EBUSY
		    : arena_check(report, again);
	}
	return error;
}

int
shm_check(struct shm_seg *seg, bool repair, shm_finding_fn fn, void *arg)
{
	/* Both are too large for the stack of a thread. */
	struct shm_check *check = calloc(2, sizeof(*check));
	struct report report = { check, repair, fn, arg, 0 };
	int error;

	if (!check)
		return SHM_ENOMEM;
	if (seg->is_read_only) {
		free(check);
		return SHM_EREADONLY;
	}
	shm_daemon_self(seg, &check->self);
	error = check_all(&report, check + 1);
	free(check->free);
	free(check);
	return error ? error : report.n;
}
