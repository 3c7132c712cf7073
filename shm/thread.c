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

uint32_t
shm_pins_used(const struct shm_seg *seg)
{
	uint64_t high = shm_get(&seg->pins->high);

	return high < SHM_THREADS ? (uint32_t)high + 1 : SHM_THREADS;
}

uint32_t
shm_threads_used(const struct shm_seg *seg)
{
	uint64_t have =
	    shm_committed_reach(seg, shm_offset_of(seg, seg->threads),
		SHM_THREADS * sizeof(struct shm_thread));

	return (uint32_t)(have / sizeof(struct shm_thread));
}

bool
shm_client_confirm(struct shm_seg *seg, uint32_t slot)
{
	uint32_t mapped = SHM_MAPPED_NOT_YET;

	return shm_cas(&seg->clients[slot].mapped, &mapped, SHM_MAPPED);
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

/* Is there a client in SLOT that has the segment for writing? */
static bool
may_write(const struct shm_seg *seg, uint32_t slot)
{
	return shm_client_is_there(seg, slot) &&
	    shm_load(&seg->clients[slot].state) != SHM_CLIENT_FREE &&
	    !(shm_load(&seg->clients[slot].flags) & SHM_CLIENT_READ_ONLY);
}

struct shm_pin *
shm_thread_pin(const struct shm_seg *seg, uint32_t thread)
{
	return seg->is_read_only ? &seg->pins->pin[thread]
				 : &seg->threads[thread].pin;
}

uint32_t
shm_reader_next(const struct shm_seg *seg, uint32_t reader)
{
	uint32_t n = shm_threads_used(seg);

	reader = reader ? reader + 1 : SHM_DAEMON_THREAD + 1;
	if (reader >= n && reader < SHM_THREADS)
		reader = SHM_THREADS + SHM_DAEMON_THREAD + 1;
	return reader < SHM_THREADS + shm_pins_used(seg) ? reader : 0;
}

uint64_t
shm_reader_epoch(
    const struct shm_seg *seg, uint32_t reader, uint64_t *ret_owner)
{
	const struct shm_pin *pin;

	if (reader < SHM_THREADS) {
		pin = &seg->threads[reader].pin;
		*ret_owner = shm_thread_owner(seg, reader) & UINT32_MAX;
		if (*ret_owner == 0)
			return 0;
	} else {
		pin = &seg->pins->pin[reader - SHM_THREADS];
		*ret_owner = shm_get(&pin->owner);
		/* One who may write the segment is in a record. */
		if (*ret_owner && may_write(seg, shm_owner_slot(*ret_owner)))
			return *ret_owner = 0;
	}
	return atomic_load_explicit(&pin->epoch, memory_order_seq_cst);
}

/* The oldest epoch of readers FIRST to END; UINT64_MAX: none is inside. */
static uint64_t
readers_oldest(const struct shm_seg *seg, uint32_t first, uint32_t end)
{
	uint64_t oldest = UINT64_MAX;

	for (uint32_t i = first + SHM_DAEMON_THREAD + 1; i < end; i++) {
		uint64_t owner, epoch = shm_reader_epoch(seg, i, &owner);

		if (epoch && epoch < oldest)
			oldest = epoch;
	}
	return oldest;
}

uint64_t
shm_epoch_oldest(const struct shm_seg *seg)
{
	uint64_t writers, others;

	atomic_thread_fence(memory_order_seq_cst);
	writers = readers_oldest(seg, 0, shm_threads_used(seg));
	others =
	    readers_oldest(seg, SHM_THREADS, SHM_THREADS + shm_pins_used(seg));
	return writers < others ? writers : others;
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

/* Claim pin I for a thread that has nothing else.  SHM_ERETRY: it is taken. */
static int
pin_claim(struct shm_self *self, uint32_t i)
{
	struct shm_pin *pin = &self->seg->pins->pin[i];
	uint64_t is_free = 0;

	if (i >= shm_pins_used(self->seg) && pin_commit(self->seg, pin) != 0)
		return SHM_ENOMEM;
	if (shm_get(&pin->owner) != 0)
		return SHM_ERETRY;
	high_raise(self->seg, i);
	return shm_cas(&pin->owner, &is_free,
		   shm_pin_owner(self->slot, self->generation))
	    ? 0
	    : SHM_ERETRY;
}

/*
 * Claim record I, by one compare-and-swap on its owner: before it the record is
 * nobody's, after it the client's, whose death gives it back.  SHM_ERETRY: it
 * is taken.
 */
static int
record_claim(struct shm_self *self, uint32_t i, uint32_t *ret_generation)
{
	struct shm_seg *seg = self->seg;
	struct shm_thread *record = &seg->threads[i];
	uint64_t owner = shm_thread_owner(seg, i);

	if (owner & UINT32_MAX)
		return SHM_ERETRY;
	if (shm_commit_record(
		self, shm_offset_of(seg, record), sizeof(*record)) != 0)
		return SHM_ENOMEM;
	owner = shm_get(&record->owner);
	*ret_generation = shm_owner_generation(owner) + 1;
	if ((owner & UINT32_MAX) ||
	    !shm_cas(&record->owner, &owner,
		shm_pin_owner(self->slot, self->generation) |
		    (uint64_t)*ret_generation << 32))
		return SHM_ERETRY;
	shm_store(&record->tid, (uint32_t)syscall(SYS_gettid));
	return 0;
}

int
shm_thread_claim(struct shm_self *self)
{
	for (uint32_t i = SHM_DAEMON_THREAD + 1; i < SHM_THREADS; i++) {
		uint32_t generation = 0;
		int error = self->seg->is_read_only
		    ? pin_claim(self, i)
		    : record_claim(self, i, &generation);

		if (error == SHM_ERETRY)
			continue;
		if (error)
			return error;
		self->thread = i;
		self->thread_generation = generation;
		self->lock_word = i | (generation & 255) << 16;
		return 0;
	}
	return SHM_EBUSY;
}

void
shm_pin_release(struct shm_seg *seg, uint32_t pin)
{
	shm_put(&seg->pins->pin[pin].epoch, 0);
	shm_put(&seg->pins->pin[pin].owner, 0);
}

void
shm_thread_release(struct shm_seg *seg, uint32_t thread)
{
	struct shm_thread *record = &seg->threads[thread];
	uint64_t owner;

	if (seg->is_read_only) {
		shm_pin_release(seg, thread);
		return;
	}
	owner = shm_thread_owner(seg, thread);
	if (owner == 0)
		return;
	shm_put(&record->pin.epoch, 0);
	shm_put(&record->call_epoch, 0);
	shm_put(&record->owner, owner >> 32 << 32);
}

/* ---- Pins that somebody wrote over --------------------------------------- */

/* Is OWNER, of a pin, a client who is there? */
static bool
owner_is_there(const struct shm_seg *seg, uint64_t owner)
{
	uint32_t slot = shm_owner_slot(owner);
	return shm_client_is_there(seg, slot) &&
	    shm_load(&seg->clients[slot].state) != SHM_CLIENT_FREE &&
	    owner ==
	    shm_pin_owner(slot, shm_load(&seg->clients[slot].generation));
}

/* One whose word was cleared by its thread as we looked is left alone: the swap
 * fails. */
void
shm_pins_tidy(struct shm_seg *seg)
{
	uint32_t n = shm_pins_used(seg);

	for (uint32_t i = SHM_DAEMON_THREAD + 1; i < n; i++) {
		struct shm_pin *pin = &seg->pins->pin[i];
		uint64_t owner = shm_get(&pin->owner);
		uint64_t epoch = shm_get(&pin->epoch);

		if (owner != 0 && !owner_is_there(seg, owner))
			(void)shm_cas(&pin->owner, &owner, 0);
		if (owner == 0 && epoch != 0 && shm_get(&pin->owner) == 0)
			(void)shm_cas(&pin->epoch, &epoch, 0);
	}
}
