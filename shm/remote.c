/*
 * Remote lists: what is freed while its arena is locked goes onto a list that
 * the lock's next holder drains (mimalloc's idea, for an arena).  The order of
 * steps is that of tests/model/remote.pml.
 */
#include "shm/arena.h"

_Atomic uint32_t *
shm_tag_at(struct shm_seg *seg, uint64_t off)
{
	bool is_extent;

	return shm_arena_of(seg, off, &is_extent)
	    ? shm_tag_within(seg, off, is_extent)
	    : NULL;
}

/* The link of an object on a remote list: its payload's first word. */
static _Atomic uint64_t *
link_of(const struct shm_seg *seg, uint64_t off)
{
	return (_Atomic uint64_t *)(void *)(seg->base + off);
}

/* Tag OFF as on a remote list; false if it isn't SELF's CACHED any more, as
 * when two threads have freed it at the same time. */
static bool
remote_claim(struct shm_self *self, uint64_t off)
{
	uint32_t check = shm_tag_check(self->seg->key, off);
	uint32_t tag = self->cached | check;
	_Atomic uint32_t *place = shm_tag_at(self->seg, off);

	return place &&
	    shm_cas(place, &tag,
		shm_tag_base(self->slot, self->generation, SHM_REMOTE) | check);
}

size_t
shm_remote_push(struct shm_self *self, struct shm_arena *arena, size_t n,
    const uint64_t off[])
{
	struct shm_seg *seg = self->seg;
	uint64_t head = shm_load(&arena->remote), first = 0, last = 0;
	size_t pushed = 0;

	for (size_t i = 0; i < n; i++) {
		if (!remote_claim(self, off[i]))
			continue;
		shm_store(link_of(seg, off[i]), first);
		if (!last)
			last = off[i];
		first = off[i];
		pushed++;
	}
	if (pushed == 0)
		return 0;
	do
		shm_store(link_of(seg, last), head);
	while (!shm_cas(&arena->remote, &head, first));
	shm_add(&arena->remote_pushed, pushed);
	shm_add(&self->client->remote_pushed, pushed);
	return pushed;
}

/*
 * Mark all objects from HEAD up to STOP as FREE.  With IS_REPAIR some may be so
 * already, so Brent's method ends a cycle; at most *LEFT steps in any case, for
 * a list that changes as we go.
 */
static int
list_mark(struct shm_self *self, struct shm_arena *arena, uint64_t head,
    uint64_t stop, bool is_repair, uint64_t *left)
{
	struct shm_seg *seg = self->seg;
	uint64_t seen = 0, steps = 0, limit = 1;

	for (uint64_t off = head; off != stop;
	     off = shm_load(link_of(seg, off))) {
		_Atomic uint32_t *tag = shm_tag_at(seg, off);
		bool is_extent;
		uint32_t value;

		if (!tag || off == seen ||
		    shm_arena_of(seg, off, &is_extent) != arena ||
		    (*left)-- == 0)
			return SHM_ECORRUPT;
		if (++steps == limit) {
			seen = off;
			steps = 0;
			limit *= 2;
		}
		value = shm_load(tag);
		if (!shm_tag_is_valid(seg, off, value) ||
		    (shm_tag_state(value) != SHM_REMOTE &&
			!(is_repair && shm_tag_state(value) == SHM_FREE)))
			return SHM_ECORRUPT;
		shm_put(tag, shm_tag_base(0, 0, SHM_FREE) | (value & 255));
	}
	return 0;
}

/* Mark the whole list FREE and cut it off; its first object goes into
 * *RET_HEAD, 0 if it was empty. */
int
shm_remote_cut_locked(struct shm_self *self, struct shm_arena *arena,
    bool is_repair, uint64_t *ret_head)
{
	uint64_t head = shm_get(&arena->remote), seen = 0;
	uint64_t left = (uint64_t)shm_regions_used(self->seg) *
	    (SHM_REGION / SHM_CHUNK_MIN);

	while (head != seen) {
		int error =
		    list_mark(self, arena, head, seen, is_repair, &left);

		if (error)
			return error;
		seen = head;
		if (shm_cas(&arena->remote, &head, 0))
			break;
	}
	*ret_head = seen;
	return 0;
}

int
shm_remote_drain_locked(struct shm_self *self, struct shm_arena *arena)
{
	struct shm_seg *seg = self->seg;
	uint64_t off, next, open = 0, n = 0;
	int error;

	if (shm_load(&arena->remote) == 0)
		return 0;
	error = shm_remote_cut_locked(self, arena, false, &off);
	for (; error == 0 && off; off = next, n++) {
		_Atomic uint32_t *tag = shm_tag_at(seg, off);
		bool is_extent;

		if (!tag || shm_tag_state(shm_load(tag)) != SHM_FREE ||
		    shm_arena_of(seg, off, &is_extent) != arena)
			return SHM_ECORRUPT;
		next = shm_load(link_of(seg, off));
		if (is_extent)
			error = shm_extent_coalesce_locked(
			    self, arena, shm_page_of(seg, off), NULL);
		else
			error = shm_arena_join_locked(
			    self, arena, off - SHM_CHUNK_HEAD, &open);
	}
	if (error == 0)
		error = shm_arena_close_locked(self, arena, &open);
	shm_bump(&arena->counters.drained, n);
	shm_bump(&arena->counters.frees, n);
	return error;
}
