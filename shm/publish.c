/*
 * See shm/publish.h.  P_ and R_ are labels of tests/model/publish.pml.
 */
#include "shm/publish.h"

#include "shm/arena.h"
#include "shm/thread.h"

/* A thread's part in a publish: what its tags look like. */
struct party {
	uint32_t publishing, taking; /* tag bases of the thread */
	uint32_t owned, unlinked;    /* of its client */
};

/* What a call wants, with the places that its tags are in. */
struct call {
	_Atomic uint64_t *slot;
	uint64_t expected, desired;
	_Atomic uint32_t *expected_tag, *desired_tag; /* NULL: 0 */
};

static struct party
party_of(uint32_t thread, uint64_t owner)
{
	uint32_t slot = shm_owner_slot(owner);
	uint32_t generation = (uint32_t)(owner >> 16 & 0xffff);
	uint32_t own = shm_owner_generation(owner);

	return (struct party){
		shm_tag_base(thread, own, SHM_PUBLISHING),
		shm_tag_base(thread, own, SHM_TAKING),
		shm_tag_base(slot, generation, SHM_OWNED),
		shm_tag_base(slot, generation, SHM_UNLINKED),
	};
}

/* Change the tag at PLACE, of the object at OFF, from one base to another. */
static bool
tag_cas(const struct shm_seg *seg, _Atomic uint32_t *place, uint64_t off,
    uint32_t from, uint32_t to)
{
	uint32_t check = shm_tag_check(seg->key, off);
	uint32_t tag = from | check;

	return shm_cas(place, &tag, to | check);
}

/* Finish the call of PARTY, whose expected object was seen as TAKING.  A
 * straight line; each step may have been done by another already. */
static void
call_drive(const struct shm_seg *seg, const struct party *party,
    const struct call *call)
{
	uint64_t expected = call->expected;

	/* D_slot, D_desired, D_expected */
	(void)shm_cas(call->slot, &expected, call->desired);
	if (call->desired_tag)
		(void)tag_cas(seg, call->desired_tag, call->desired,
		    party->publishing, shm_tag_base(0, 0, SHM_SHARED));
	(void)tag_cas(seg, call->expected_tag, call->expected, party->taking,
	    party->unlinked);
}

/* Help the thread that has CALL's expected object as TAKING, seen as TAG. */
static void
call_help(struct shm_seg *seg, const struct call *call, uint32_t tag)
{
	uint32_t thread = shm_tag_owner(tag);
	struct shm_thread *record = &seg->threads[thread];
	struct call other = *call;
	struct party party;

	/* P_help: copy, then see that it still is the same call. */
	party = party_of(thread, shm_thread_owner(seg, thread));
	other.desired = shm_get(&record->intent.desired);
	if (shm_get(&record->intent.slot) != shm_offset_of(seg, call->slot) ||
	    shm_get(&record->intent.expected) != call->expected)
		return;
	other.desired_tag = NULL;
	if (other.desired &&
	    !(other.desired_tag = shm_tag_at(seg, other.desired)))
		return;
	/* P_reread */
	if (shm_get(call->expected_tag) != tag)
		return;
	call_drive(seg, &party, &other);
}

/* EXPECTED was not published into the slot: is it there all the same? */
static int
call_refuse(const struct call *call)
{
	return shm_get(call->slot) == call->expected ? SHM_EINVAL
						     : SHM_ECHANGED;
}

/* Take CALL's expected object and drive; 0, SHM_ECHANGED or SHM_EINVAL. */
static int
call_replace(
    struct shm_self *self, const struct party *me, const struct call *call)
{
	struct shm_seg *seg = self->seg;
	uint32_t check = shm_tag_check(seg->key, call->expected), tag;

	for (;;) {
		enum shm_state state;

		/* P_look, P_tag */
		if (shm_get(call->slot) != call->expected)
			return SHM_ECHANGED;
		tag = shm_get(call->expected_tag);
		state = shm_tag_state(tag);
		if ((tag & 255) == check && state == SHM_SHARED) {
			/* P_take */
			if (!shm_cas(
				call->expected_tag, &tag, me->taking | check))
				continue;
			call_drive(seg, me, call);
			return 0;
		}
		if ((tag & 255) == check && state == SHM_PUBLISHING) {
			/* P_settle: it is in the slot, so it is published. */
			(void)shm_cas(call->expected_tag, &tag,
			    shm_tag_base(0, 0, SHM_SHARED) | check);
			continue;
		}
		if (state == SHM_TAKING && shm_tag_owner(tag) < SHM_THREADS)
			call_help(seg, call, tag);
		return call_refuse(call);
	}
}

/* P_insert, P_inserted: the slot is empty. */
static int
call_insert(
    struct shm_self *self, const struct party *me, const struct call *call)
{
	uint64_t empty = 0;

	if (!shm_cas(call->slot, &empty, call->desired))
		return SHM_ECHANGED;
	(void)tag_cas(self->seg, call->desired_tag, call->desired,
	    me->publishing, shm_tag_base(0, 0, SHM_SHARED));
	return 0;
}

/* Write down what CALL wants, for helpers and for recovery. */
static void
intent_write(struct shm_self *self, const struct call *call)
{
	struct shm_intent *intent = &self->seg->threads[self->thread].intent;

	shm_put(&intent->slot, shm_offset_of(self->seg, call->slot));
	shm_put(&intent->expected, call->expected);
	shm_put(&intent->desired, call->desired);
}

int
shm_publish(struct shm_self *self, _Atomic uint64_t *slot, uint64_t expected,
    uint64_t desired)
{
	struct shm_seg *seg = self->seg;
	struct call call = { slot, expected, desired, NULL, NULL };
	struct party me =
	    party_of(self->thread, shm_thread_owner(seg, self->thread));
	int error;

	if (desired && !(call.desired_tag = shm_tag_at(seg, desired)))
		return SHM_ENOTOWNER;
	if (expected && !(call.expected_tag = shm_tag_at(seg, expected)))
		return SHM_ECHANGED;
	/* Its tag may become UNLINKED, ours. */
	if (expected)
		shm_self_visit(self, shm_region_of(seg, expected));
	/* P_intent, P_claim */
	intent_write(self, &call);
	if (desired &&
	    !tag_cas(seg, call.desired_tag, desired, me.owned, me.publishing))
		return SHM_ENOTOWNER;
	/* What is the caller's hangs nowhere: it was seen in the slot without a
	 * pin, has been freed since, and was allocated again. */
	if (expected == desired)
		error = call_refuse(&call);
	else if (expected)
		error = call_replace(self, &me, &call);
	else
		error = call_insert(self, &me, &call);
	if (error && desired)
		(void)tag_cas(
		    seg, call.desired_tag, desired, me.publishing, me.owned);
	return error;
}

int
shm_share(struct shm_self *self, uint64_t off)
{
	_Atomic uint32_t *tag = shm_tag_at(self->seg, off);

	return tag &&
		tag_cas(self->seg, tag, off, self->owned,
		    shm_tag_base(0, 0, SHM_SHARED))
	    ? 0
	    : SHM_ENOTOWNER;
}

int
shm_adopt(struct shm_self *self, uint64_t off)
{
	_Atomic uint32_t *tag = shm_tag_at(self->seg, off);

	if (!tag)
		return SHM_ENOTOWNER;
	shm_self_visit(self, shm_region_of(self->seg, off));
	return tag_cas(self->seg, tag, off, shm_tag_base(0, 0, SHM_SHARED),
		   self->owned)
	    ? 0
	    : SHM_ENOTOWNER;
}

void
shm_publish_settle(struct shm_seg *seg, uint32_t thread)
{
	struct shm_intent *intent = &seg->threads[thread].intent;
	struct party party = party_of(thread, shm_thread_owner(seg, thread));
	struct call call = { NULL, shm_get(&intent->expected),
		shm_get(&intent->desired), NULL, NULL };
	uint64_t slot = shm_get(&intent->slot);

	if (slot % sizeof(uint64_t) ||
	    !(call.slot = shm_at(seg, slot, sizeof(uint64_t))))
		return;
	if (call.expected)
		call.expected_tag = shm_tag_at(seg, call.expected);
	if (call.desired && !(call.desired_tag = shm_tag_at(seg, call.desired)))
		return;
	if (call.expected_tag &&
	    shm_get(call.expected_tag) ==
		(party.taking | shm_tag_check(seg->key, call.expected)))
		call_drive(seg, &party, &call);
	/* R_desired, R_look: in its slot it is published, else its client's,
	 * who gives it back with the rest. */
	if (call.desired_tag)
		(void)tag_cas(seg, call.desired_tag, call.desired,
		    party.publishing,
		    shm_get(call.slot) == call.desired
			? shm_tag_base(0, 0, SHM_SHARED)
			: party.owned);
}
