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
shm_threads_used(const struct shm_seg *seg)
{
	uint64_t high = shm_get(&seg->pins->high) + 1;

	return high < SHM_THREADS ? (uint32_t)high : SHM_THREADS;
}

uint64_t
shm_epoch_oldest(const struct shm_seg *seg)
{
	uint32_t n = shm_threads_used(seg);
	uint64_t oldest = UINT64_MAX;

	atomic_thread_fence(memory_order_seq_cst);
	for (uint32_t i = 1; i < n; i++) {
		uint64_t epoch = atomic_load_explicit(
		    &seg->pins->pin[i].epoch, memory_order_seq_cst);

		if (epoch && epoch < oldest)
			oldest = epoch;
	}
	return oldest;
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

static int
record_take(struct shm_self *self, uint32_t i)
{
	struct shm_seg *seg = self->seg;
	struct shm_thread *record = &seg->threads[i];
	uint32_t generation = 0;

	if (!seg->is_read_only) {
		if (shm_commit(self, shm_offset_of(seg, record),
			sizeof(*record)) != 0) {
			shm_put(&seg->pins->pin[i].owner, 0);
			return SHM_ENOMEM;
		}
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

		if (i % (SHM_PAGE / sizeof(struct shm_pin)) == 0 ||
		    i >= shm_threads_used(self->seg))
			error = pin_commit(self->seg, &self->seg->pins->pin[i]);
		if (error)
			return error;
		if (pin_claim(self, i))
			return record_take(self, i);
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

		shm_put(&record->call_epoch, 0);
		shm_put(&record->owner, owner >> 32 << 32);
	}
	shm_put(&pin->epoch, 0);
	shm_put(&pin->owner, 0);
}
