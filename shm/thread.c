/*
 * See shm/thread.h and shm/epoch.h.
 */
#include "shm/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shm/commit.h"
#include "shm/epoch.h"

/* By the word in the pins' memfd. */
static uint32_t
pins_used(const struct shm_seg *seg)
{
	uint64_t high = shm_get(&seg->pins->high) + 1;

	return high < SHM_THREADS ? (uint32_t)high : SHM_THREADS;
}

uint32_t
shm_threads_used(const struct shm_seg *seg)
{
	uint32_t pins = pins_used(seg), records;
	uint64_t have =
	    shm_committed_reach(seg, shm_offset_of(seg, seg->threads),
		SHM_THREADS * sizeof(struct shm_thread));

	records = (uint32_t)(have / sizeof(struct shm_thread));
	return records > pins ? records : pins;
}

uint64_t
shm_thread_owner(const struct shm_seg *seg, uint32_t thread)
{
	const struct shm_thread *record = &seg->threads[thread];
	uint64_t off = shm_offset_of(seg, record);

	if (shm_committed_prefix(seg, off, sizeof(*record)) < sizeof(*record))
		return 0;
	return shm_get(&record->owner);
}

/* Who has the record, by itself; 0: nobody, or a read-only client. */
static uint64_t
record_owner(const struct shm_seg *seg, uint32_t thread)
{
	return shm_thread_owner(seg, thread) & UINT32_MAX;
}

/* Is there a client in SLOT that has the segment for writing? */
static bool
may_write(const struct shm_seg *seg, uint32_t slot)
{
	const struct shm_client *client = &seg->clients[slot % SHM_CLIENTS];
	uint64_t off = shm_offset_of(seg, client);

	return slot < SHM_CLIENTS &&
	    shm_committed_prefix(seg, off, sizeof(*client)) ==
	    sizeof(*client) &&
	    shm_load(&client->state) != SHM_CLIENT_FREE &&
	    !(shm_load(&client->flags) & SHM_CLIENT_READ_ONLY);
}

struct shm_pin *
shm_thread_pin(const struct shm_seg *seg, uint32_t thread)
{
	return seg->is_read_only ? &seg->pins->pin[thread]
				 : &seg->threads[thread].pin;
}

uint64_t
shm_thread_reader(
    const struct shm_seg *seg, uint32_t thread, uint64_t *ret_owner)
{
	const struct shm_pin *pin = &seg->pins->pin[thread];
	uint64_t owner = record_owner(seg, thread);

	if (owner) {
		pin = &seg->threads[thread].pin;
	} else {
		owner = shm_get(&pin->owner);
		/* Of one who may write it would be in the record. */
		if (owner && may_write(seg, shm_owner_slot(owner)))
			return *ret_owner = 0;
	}
	*ret_owner = owner;
	return atomic_load_explicit(&pin->epoch, memory_order_seq_cst);
}

uint64_t
shm_epoch_oldest(const struct shm_seg *seg)
{
	uint32_t n = shm_threads_used(seg);
	uint64_t oldest = UINT64_MAX;

	atomic_thread_fence(memory_order_seq_cst);
	for (uint32_t i = 1; i < n; i++) {
		uint64_t owner, epoch = shm_thread_reader(seg, i, &owner);

		if (epoch && epoch < oldest)
			oldest = epoch;
	}
	return oldest;
}

/* ---- Claiming ------------------------------------------------------------ */

/* Get memory for a pin before it is touched. */
static int
pin_commit(const struct shm_seg *seg, const struct shm_pin *pin)
{
	off_t off = (off_t)((const char *)pin - (const char *)seg->pins);
	int result;

	do
		result = fallocate(seg->pins_fd, 0, off, sizeof(*pin));
	while (result != 0 && errno == EINTR);
	return result == 0 ? 0 : SHM_ENOMEM;
}

static void
high_raise(struct shm_seg *seg, uint64_t thread)
{
	uint64_t high = shm_load(&seg->pins->high);

	while (high < thread && !shm_cas(&seg->pins->high, &high, thread))
		;
}

/* Claim the pin of record I; false if it is taken. */
static bool
pin_claim(struct shm_self *self, uint32_t i)
{
	struct shm_pin *pin = &self->seg->pins->pin[i];
	uint64_t is_free = 0;

	if (shm_get(&pin->owner) != 0)
		return false;
	high_raise(self->seg, i);
	return shm_cas(
	    &pin->owner, &is_free, shm_pin_owner(self->slot, self->generation));
}

/* Fill the record whose pin is ours.  SHM_ERETRY: it is another's, whatever the
 * pin said. */
static int
record_take(struct shm_self *self, uint32_t i)
{
	struct shm_seg *seg = self->seg;
	struct shm_thread *record = &seg->threads[i];
	uint32_t generation = 0;

	if (record_owner(seg, i) != 0) {
		shm_pin_restore(seg, i);
		return SHM_ERETRY;
	}
	if (!seg->is_read_only) {
		if (shm_commit_record(self, shm_offset_of(seg, record),
			sizeof(*record)) != 0) {
			shm_put(&seg->pins->pin[i].owner, 0);
			return SHM_ENOMEM;
		}
		shm_store(&record->pin.epoch, 0);
		generation = shm_owner_generation(shm_get(&record->owner)) + 1;
		shm_store(&record->tid, (uint32_t)syscall(SYS_gettid));
		shm_put(&record->owner,
		    shm_pin_owner(self->slot, self->generation) |
			(uint64_t)generation << 32);
	}
	self->thread = i;
	self->thread_generation = generation;
	self->lock_word = i | (generation & 255) << 16;
	return 0;
}

int
shm_thread_claim(struct shm_self *self)
{
	const uint32_t first = SHM_DAEMON_THREAD + 1;

	for (uint32_t i = first; i < SHM_THREADS; i++) {
		int error = 0;

		if (i >= pins_used(self->seg))
			error = pin_commit(self->seg, &self->seg->pins->pin[i]);
		if (error)
			return error;
		if (!pin_claim(self, i))
			continue;
		error = record_take(self, i);
		if (error != SHM_ERETRY)
			return error;
	}
	return SHM_EBUSY;
}

void
shm_thread_release(struct shm_seg *seg, uint32_t thread)
{
	struct shm_pin *pin = &seg->pins->pin[thread];
	struct shm_thread *record = &seg->threads[thread];

	if (!seg->is_read_only && shm_thread_owner(seg, thread) != 0) {
		uint64_t owner = shm_get(&record->owner);

		shm_put(&record->pin.epoch, 0);
		shm_put(&record->call_epoch, 0);
		shm_put(&record->owner, owner >> 32 << 32);
	}
	shm_put(&pin->epoch, 0);
	shm_put(&pin->owner, 0);
}

/* ---- Pins that somebody wrote over --------------------------------------- */

void
shm_pin_restore(struct shm_seg *seg, uint32_t thread)
{
	struct shm_pin *pin = &seg->pins->pin[thread];
	uint64_t owner = record_owner(seg, thread);

	if (owner == 0)
		shm_put(&pin->epoch, 0);
	shm_put(&pin->owner, owner);
}

/* Is OWNER, of a pin, a client who is there? */
static bool
owner_is_there(const struct shm_seg *seg, uint64_t owner)
{
	uint32_t slot = shm_owner_slot(owner);
	const struct shm_client *client = &seg->clients[slot % SHM_CLIENTS];
	uint64_t off = shm_offset_of(seg, client);

	return slot < SHM_CLIENTS &&
	    shm_committed_prefix(seg, off, sizeof(*client)) ==
	    sizeof(*client) &&
	    shm_load(&client->state) != SHM_CLIENT_FREE &&
	    owner == shm_pin_owner(slot, shm_load(&client->generation));
}

/*
 * Nobody claims a pin while its record has an owner, so restoring it then
 * disturbs nobody.  One whose word was cleared by its thread as we looked is
 * left alone: the swap fails.
 */
void
shm_pins_tidy(struct shm_seg *seg)
{
	uint32_t n = shm_threads_used(seg);

	for (uint32_t i = SHM_DAEMON_THREAD + 1; i < n; i++) {
		struct shm_pin *pin = &seg->pins->pin[i];
		uint64_t owner = shm_get(&pin->owner);
		uint64_t epoch = shm_get(&pin->epoch);

		if (owner != 0 && record_owner(seg, i) == 0 &&
		    !owner_is_there(seg, owner))
			(void)shm_cas(&pin->owner, &owner, 0);
		if (owner == 0 && epoch != 0 && shm_get(&pin->owner) == 0)
			(void)shm_cas(&pin->epoch, &epoch, 0);
	}
}
