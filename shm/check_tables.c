/*
 * The check of what belongs to no arena: I15 to I17.  Clients go on meanwhile,
 * so only what stays wrong is a finding.
 */
#include <sched.h>

#include "shm/check.h"
#include "shm/commit.h"
#include "shm/tally.h"
#include "shm/walk.h"

#define LOOKS 4 /* at what may be in motion */

static bool
claimant_is_there(const struct shm_seg *seg, uint64_t entry)
{
	uint32_t slot = shm_entry_slot(entry);

	return slot >= SHM_DAEMON_SLOT && shm_client_is_there(seg, slot) &&
	    shm_get(&seg->clients[slot].state) != SHM_CLIENT_FREE;
}

/* What is wrong with REGION, which no run covered when we came by, and the
 * entry that says so; NULL: nothing. */
static const char *
region_look(const struct shm_seg *seg, uint32_t region,
    enum shm_invariant *ret_invariant, uint64_t *ret_entry)
{
	uint64_t pages =
	    shm_committed_pages(seg, shm_region_off(seg, region), SHM_REGION);
	uint64_t entry = shm_get(&seg->regions[region]);
	enum shm_region_kind kind = shm_entry_kind(entry);
	uint32_t first, n;

	*ret_invariant = SHM_I_REGION;
	*ret_entry = entry;
	if (kind >= SHM_REGION_KINDS)
		return "a region is of no known kind";
	if (kind == SHM_REGION_FREE && entry != 0)
		return "a free region's entry names somebody";
	if (kind == SHM_REGION_FREE) {
		*ret_invariant = SHM_I_UNUSED;
		return pages ? "a free region has pages" : NULL;
	}
	if (kind == SHM_REGION_CLAIMED || kind == SHM_REGION_MORE)
		return claimant_is_there(seg, entry) ||
			(kind == SHM_REGION_MORE &&
			    shm_region_run(seg, region, &first, &n))
		    ? NULL
		    : "a region is claimed by nobody";
	return shm_entry_arena(entry) < shm_walk_arenas(seg)
	    ? NULL
	    : "a region belongs to an arena that isn't there";
}

/*
 * Take REGION, which nobody has by its ENTRY, as the daemon, and give it back.
 * Just that entry is swapped: of one that changed since it was looked at
 * nothing is known.
 */
static void
region_repair(struct shm_check *check, uint32_t region, uint64_t entry)
{
	struct shm_self *self = &check->self;
	struct shm_seg *seg = self->seg;
	enum shm_region_kind kind = shm_entry_kind(entry);

	if (kind != SHM_REGION_FREE && kind != SHM_REGION_CLAIMED &&
	    kind != SHM_REGION_MORE)
		return;
	shm_self_visit(self, region);
	if (shm_cas(&seg->regions[region], &entry,
		shm_region_entry(
		    SHM_REGION_CLAIMED, 0, self->slot, self->generation)))
		shm_region_return(self, region, 1);
}

/* The last finding is repaired. */
static void
repaired_note(struct shm_check *check)
{
	check->found[check->n_found - 1].is_repaired = true;
}

static void
region_check(struct shm_check *check, uint32_t region, bool repair)
{
	const struct shm_seg *seg = check->self.seg;
	enum shm_invariant invariant;
	const char *text = NULL;
	uint64_t entry;

	for (int i = 0; i < LOOKS; i++) {
		text = region_look(seg, region, &invariant, &entry);
		if (!text)
			return;
		(void)sched_yield();
	}
	shm_check_note(check, invariant, shm_region_off(seg, region), text);
	if (!repair)
		return;
	region_repair(check, region, entry);
	if (!region_look(seg, region, &invariant, &entry))
		repaired_note(check);
}

/* Committed pages above the watermark. */
static void
watermark_check(struct shm_check *check)
{
	const struct shm_seg *seg = check->self.seg;
	uint64_t off = shm_region_off(seg, shm_regions_used(seg));

	/* The watermark rises before pages are committed. */
	if (shm_committed_pages(seg, off, seg->len - off) != 0 &&
	    shm_region_off(seg, shm_regions_used(seg)) == off)
		shm_check_note(check, SHM_I_UNUSED, off,
		    "there are pages above the watermark");
}

static bool
commits_go_on(const struct shm_seg *seg)
{
	for (uint32_t i = SHM_DAEMON_SLOT; shm_client_is_there(seg, i); i++)
		if (shm_get(&seg->clients[i].state) != SHM_CLIENT_FREE &&
		    shm_get(&seg->clients[i].commit_pending))
			return true;
	return false;
}

static void
commit_check(struct shm_check *check, bool repair)
{
	struct shm_seg *seg = check->self.seg;

	for (int i = 0; i < LOOKS; i++) {
		uint64_t word = shm_get(&seg->super->commit);
		uint64_t n = shm_committed_pages(seg, 0, seg->len);

		if (n == shm_committed_total(seg) || seg->has_miscount ||
		    commits_go_on(seg) || word != shm_get(&seg->super->commit))
			return;
		(void)sched_yield();
	}
	shm_check_note(check, SHM_I_COMMIT,
	    shm_offset_of(seg, &seg->super->commit),
	    "the committed pages are not as many as the commit word says");
	if (repair && check->n_found <= SHM_CHECK_KEPT &&
	    shm_commit_recount(seg))
		repaired_note(check);
}

void
shm_check_tables(struct shm_check *check, bool repair)
{
	struct shm_seg *seg = check->self.seg;
	uint32_t used = shm_walk_regions(seg), first, n;

	for (uint32_t i = 0; i < used && check->n_found < SHM_CHECK_KEPT;
	     i += n) {
		region_check(check, i, repair);
		if (shm_entry_kind(shm_get(&seg->regions[i])) !=
			SHM_REGION_EXTENTS ||
		    !shm_region_run(seg, i, &first, &n))
			n = 1;
	}
	watermark_check(check);
	commit_check(check, repair);
}
