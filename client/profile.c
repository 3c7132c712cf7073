/*
 * The heap profile's side of an allocation: when one is sampled, and how.  What
 * a sample is, and why a kill leaves none behind: shm/sample.h.
 *
 * Each class of a thread's cache counts its allocations down to the next that
 * is sampled, where it had counted them up; so a hit knows by the sign of that
 * number, for one instruction.  The counts are drawn independently: a Poisson
 * process may be parted by size.  What no class counts is counted in bytes.
 *
 * Signals are held meanwhile, so that a handler doesn't leave by a jump what it
 * interrupted half done.  The generator is seeded by who we are, not by chance,
 * so that what a process does can be repeated.
 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <unwind.h>

#include "client/cache.h"
#include "client/module.h"
#include "shm/sample.h"

#define NEVER (INT64_MAX / 2)

/* ---- When ---------------------------------------------------------------- */

/* The next of a sequence that passes for random: splitmix64 (Steele et al.,
 * 2014). */
static uint64_t
random_next(struct cache *cache)
{
	uint64_t z = cache->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* -ln(V / 2^53), for V from 1 to 2^53, within 1e-7: libm is not for a library
 * of this size. */
static double
minus_log(uint64_t v)
{
	uint32_t log = shm_log2(v);
	double m = (double)v / (double)(UINT64_C(1) << log); /* 1 to 2 */
	double t = (m - 1) / (m + 1), s = t * t;
	/* ln(m) = 2 artanh(t) */
	double ln = 2 * t *
	    (1 +
		s *
		    (1. / 3 +
			s *
			    (1. / 5 +
				s * (1. / 7 + s * (1. / 9 + s * (1. / 11))))));

	return (53 - (double)log) * 0.69314718055994531 - ln;
}

/* Bytes before the next sample. */
static double
draw(struct cache *cache)
{
	return minus_log((random_next(cache) >> 11) + 1) *
	    (double)cache->sample_rate;
}

/* Count down from LEFT, whatever was counted. */
static void
class_arm(struct cache *cache, uint32_t class)
{
	struct cache_class *k = &cache->class[class];
	int64_t done = (int64_t)cache_allocs(k);

	k->left = cache->sample_rate
	    ? (int64_t)(draw(cache) / shm_class_size(class))
	    : NEVER;
	k->left_before = k->left + done;
}

void
cache_sample_refresh(struct cache *cache)
{
	uint64_t rate = cache->self.param[SHM_PARAM_profile_sample_bytes];
	sigset_t signals;

	if (rate == cache->sample_rate)
		return;
	heap_signals_hold(&signals);
	if (cache->random == 0)
		cache->random = (uint64_t)cache->self.slot << 48 ^
		    (uint64_t)cache->self.generation << 32 ^
		    (uint64_t)cache->self.thread << 16 ^
		    cache->self.thread_generation;
	cache->sample_rate = rate;
	cache->sample_left = rate ? (int64_t)draw(cache) : NEVER;
	for (uint32_t i = 0; i < SHM_CLASSES; i++)
		class_arm(cache, i);
	heap_signals_release(&signals);
}

bool
cache_sample_is_due(struct cache *cache, size_t size)
{
	if (cache->sample_rate == 0)
		return false;
	cache->sample_left -= (int64_t)size;
	if (SHM_LIKELY(cache->sample_left >= 0))
		return false;
	cache->sample_left = (int64_t)draw(cache);
	return true;
}

/* ---- The stack ----------------------------------------------------------- */

struct unwinding {
	struct cache *cache;
	struct shm_sample_copy *sample;
	uintptr_t start, end; /* this library */
	uint32_t depth;
};

/* Innermost first, but for the frames of this library that led here.  A return
 * address may be another function's, or line's, than the call before it. */
static _Unwind_Reason_Code
frame_note(struct _Unwind_Context *context, void *arg)
{
	struct unwinding *unwinding = arg;
	struct shm_sample_copy *sample = unwinding->sample;
	int is_interrupted = 0;
	uintptr_t ip = _Unwind_GetIPInfo(context, &is_interrupted);

	if (ip == 0 || sample->n_frames == SHM_FRAMES)
		return _URC_NORMAL_STOP;
	if (sample->n_frames == 0 && ip >= unwinding->start &&
	    ip < unwinding->end)
		return _URC_NO_REASON;
	sample->frame[sample->n_frames++] =
	    module_frame(unwinding->cache, is_interrupted ? ip : ip - 1);
	return _URC_NO_REASON;
}

static void
stack_note(struct cache *cache, struct shm_sample_copy *sample)
{
	static char here;
	struct unwinding unwinding = { .cache = cache, .sample = sample };
	struct dl_find_object library;

	sample->n_frames = 0;
	if (_dl_find_object(&here, &library) == 0) {
		unwinding.start = (uintptr_t)library.dlfo_map_start;
		unwinding.end = (uintptr_t)library.dlfo_map_end;
	}
	(void)_Unwind_Backtrace(frame_note, &unwinding);
}

/* ---- Sampling ------------------------------------------------------------ */

static bool
sample_note(struct cache *cache, uint64_t off, uint64_t unit)
{
	struct shm_self *self = &cache->self;
	struct shm_sample_copy sample;
	uint32_t plus_one = shm_sample_claim(self, off);

	if (plus_one == 0)
		return false;
	sample.rate = cache->sample_rate;
	sample.unit = unit;
	sample.slot = self->slot;
	sample.generation = self->generation;
	sample.pid = shm_load(&self->client->pid);
	memcpy(sample.command, self->client->command,
	    sizeof(self->client->command));
	stack_note(cache, &sample);
	shm_sample_publish(self, plus_one - 1, &sample);
	return true;
}

static shmalloc_off
alloc_sampled(struct cache *cache, size_t size, uint64_t unit)
{
	struct shm_self *self = &cache->self;
	/* One of no bytes has an offset of its own, too. */
	uint64_t off =
	    shm_heap_try_extent(self, shm_pages_for(size ? size : 1));

	if (off == 0)
		return 0;
	shm_extent_note(self->seg, off, size);
	if (!sample_note(cache, off, unit)) {
		shm_heap_put(self, 1, &off);
		return 0;
	}
	cache_own_large(cache, off, size);
	return off;
}

shmalloc_off
cache_alloc_sampled(struct cache *cache, size_t size, uint64_t unit)
{
	int saved = errno;
	shmalloc_off off;
	sigset_t signals;

	heap_signals_hold(&signals);
	off = alloc_sampled(cache, size, unit);
	heap_signals_release(&signals);
	errno = saved;
	return off;
}

/* What came from the class is put back into it, and its allocation was none. */
static void
class_undo(
    struct cache *cache, uint64_t off, size_t size, struct cache_class *k)
{
	k->left++;
	k->requested -= size;
	shm_put(shm_tag_at(cache->self.seg, off),
	    cache->cached | shm_tag_check(cache->key, off));
	cache_put(cache, off);
}

shmalloc_off
cache_sample(struct cache *cache, uint64_t off, size_t size, uint32_t class)
{
	int saved = errno;
	shmalloc_off sampled;
	sigset_t signals;

	heap_signals_hold(&signals);
	sampled = alloc_sampled(cache, size, shm_class_size(class));
	if (sampled)
		class_undo(cache, off, size, &cache->class[class]);
	class_arm(cache, class);
	heap_signals_release(&signals);
	errno = saved;
	return sampled ? sampled : off;
}
