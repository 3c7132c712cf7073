/*
 * A thread's cache: arrays of free chunks by size class (jemalloc's tcache), in
 * private memory, so that nobody else can scribble over it and the fast path
 * needs no atomic read-modify-write.
 *
 * The block is mapped with MADV_WIPEONFORK: in a forked child it reads as
 * zeros, so `heap` matches no attachment and the child's first call takes the
 * slow path, where it becomes a client of its own.
 *
 * What is in an array is tagged CACHED for this client.  Popping tags it OWNED,
 * pushing CACHED: one store each.  A pop or a flush that finds another tag
 * drops the entry: two threads had freed the chunk at the same time.
 */
#ifndef CLIENT_CACHE_H
#define CLIENT_CACHE_H

#include <stdbool.h>

#include "client/heap.h"
#include "shm/heap.h"
#include "shm/latency.h"

#define CACHE_EXACT       62u    /* classes below 1 KiB: one size each */
#define CACHE_CLASS_BYTES 32768u /* a class holds so much at most */
#define CACHE_CLASS_MIN   4u     /* or so many chunks, if that is more; */
#define CACHE_ROUND_MIN   16u    /* so many from SHM_ROUND on */
#define CACHE_SHARE       8u     /* of limit.hard: what all caches may hold */
#define CACHE_FIRST       8u     /* chunks that a class begins with */
#define CACHE_BATCH       64u    /* chunks of a refill at most */
#define CACHE_OFF_BITS    48     /* of an entry; above: size / 16 */
#define CACHE_OFF_MASK    ((UINT64_C(1) << CACHE_OFF_BITS) - 1)

/* One size class, in a cache line of its own.  Thread only. */
struct cache_class {
	_Alignas(64) uint32_t n; /* chunks in the array */
	uint32_t cap;            /* as many as it may have now */
	uint64_t *slot; /* offsets of payloads; above 1 KiB with the size */
	/* Allocations before one is sampled; below 0: that one was.  And what
	 * that was when they were last published, see cache_allocs(). */
	int64_t left, left_before;
	uint64_t requested; /* bytes, since then */
	uint32_t published; /* `n` when it was last published */
	uint16_t max;       /* as many as there is room for */
	bool is_used;       /* did something happen since its age was seen? */
	int64_t taken;      /* chunks from arenas, less those put back, since */
	uint32_t n_before;  /* `n` when its age was last looked at */
	/* Chunks that others held till we freed them, since. */
	uint32_t foreign;
};

/* A file that this process runs code of: its index in the segment. */
struct cache_module {
	const void *map; /* what the loader has of it; NULL: no entry */
	uintptr_t start, end;
	uintptr_t delta; /* from the file's addresses to ours */
	uint32_t plus_one;
};

#define CACHE_MODULES 64u

/* An object that waits for readers. */
struct cache_retired {
	uint64_t off, stamp; /* stamp 0: not stamped yet */
	uint64_t size;
};

struct cache {
	/* The in-call mark: `heap` while this thread is in no call, else the
	 * address of the call's frame; 0 after a fork.  So one comparison says
	 * that this is the heap's cache, and that nothing is interrupted. */
	uintptr_t gate;
	char *base;
	uint64_t key;
	uint64_t heap_off;
	uint64_t granules;      /* of the heap; 0: no free is fast */
	uint32_t owned, cached; /* tag bases */
	uint64_t fast_max;      /* requests up to this have exact classes */
	uint64_t range_max;     /* and up to this, classes of several sizes */
	_Atomic uint64_t *regions;
	struct shmalloc *heap; /* 0 after a fork */
	uint64_t max;          /* requests up to this are cached */
	struct cache_class class[SHM_CLASSES];

	/* Slow path. */
	struct shm_self self;
	struct shm_pin *pin;
	uint32_t depth;        /* enters without exit */
	uint32_t depth_before; /* `depth` when the present call began */
	/* What the client in `owed_slot` holds less than its counters say. */
	uint32_t owed_slot, owed_generation; /* as in a tag */
	int64_t owed_bytes, owed_chunks;
	uint64_t cap_bytes;            /* sum of cap x size */
	uint32_t hand;                 /* class to shrink next */
	uint32_t n_steals;             /* times it was asked for room */
	uint32_t n_threads;            /* of all clients, when last counted */
	uint32_t pressure;             /* super->pressure, as last seen */
	uint64_t threshold;            /* of extents, as last seen */
	uint32_t aged_ms;              /* when unused classes were looked for */
	struct cache_retired *retired; /* malloc'd */
	/* Of that list: the first n_gone have been put back, n_stamped have
	 * their stamps; n_gone <= n_stamped <= n_retired <= room_retired. */
	size_t n_gone, n_stamped, n_retired, room_retired;
	struct shmalloc_failure failure;
	uint32_t n_slow; /* allocations and frees that missed */
	bool is_timed;   /* the present one is: see shm/latency.h */
	/* The heap profile: see client/profile.c. */
	uint64_t sample_rate; /* profile.sample_bytes, as last seen */
	int64_t sample_left;  /* bytes of objects that no class counts */
	uint64_t random;      /* the generator's state */
	struct cache_module module[CACHE_MODULES];
	struct cache *next;         /* of this thread: other attachments */
	struct cache *next_of_heap; /* Guarded by heap->guard->lock */
	size_t len;                 /* of the mapping */
};

/* The cache that this thread used last; never NULL.  Initial-exec: one load. */
extern _Thread_local struct cache *cache_current
    __attribute__((tls_model("initial-exec")));

/* Where this frame is; without making the compiler keep a frame pointer, where
 * we know how. */
static inline uintptr_t
cache_frame(void)
{
#ifdef __x86_64__
	uintptr_t here;

	__asm__("mov %%rsp, %0" : "=r"(here));
	return here;
#else
	return (uintptr_t)__builtin_frame_address(0);
#endif
}

/* Is CACHE HEAP's, and this thread in no call of it? */
static inline bool
cache_is_open(const struct cache *cache, const struct shmalloc *heap)
{
	return SHM_LIKELY(cache->gate == (uintptr_t)heap);
}

/*
 * Begin and end a call.  A signal handler that finds the mark knows that it
 * interrupted a call, and a later call that finds one above itself knows that
 * the call was left by a jump.  The fences are for the compiler: a handler runs
 * on the same core.
 */
static inline void
cache_mark(struct cache *cache)
{
	cache->gate = cache_frame();
	atomic_signal_fence(memory_order_seq_cst);
}

static inline void
cache_unmark(struct cache *cache, const struct shmalloc *heap)
{
	atomic_signal_fence(memory_order_seq_cst);
	cache->gate = (uintptr_t)heap;
}

/*
 * This thread's cache for HEAP, made if need be: in a forked child the process
 * attaches first.  NULL and errno: ENOTCONN, ENOMEM, EAGAIN; ESTALE also in a
 * child whose fork interrupted a call.
 */
struct cache *cache_find(struct shmalloc *heap);

/*
 * Begin a call that isn't on the fast path: find the cache, mark the call. NULL
 * and errno, EDEADLK in a handler that interrupted a call.  What an abandoned
 * call (siglongjmp) left is settled here.
 */
struct cache *cache_enter(struct shmalloc *heap);
void cache_leave(struct cache *cache);

/*
 * See to what comes before any allocation of SIZE bytes but a hit, MORE of them
 * beyond what the caller has: is the segment still anybody's, tunables, what
 * waits for readers, limits.  False: it may not be made; errno and the failure
 * say why.
 */
bool cache_begin(struct cache *cache, size_t size, size_t more) SHM_MUSTCHECK;

/* Allocations from CLASS since they were last published. */
static inline uint64_t
cache_allocs(const struct cache_class *k)
{
	return (uint64_t)(k->left_before - k->left);
}

/* Allocate through the slow path: refill, or go to the arenas.  SIZE may be
 * anything.  The object is OWNED.  0 and errno. */
shmalloc_off cache_alloc(struct cache *cache, size_t size);

/* As cache_alloc, pages of their own, whatever SIZE. */
shmalloc_off cache_alloc_pages(struct cache *cache, size_t size);

/* Draw anew where the samples of the heap profile are, if their rate has
 * changed. */
void cache_sample_refresh(struct cache *cache);

/* Is an allocation of SIZE bytes that no class counts to be sampled? */
bool cache_sample_is_due(struct cache *cache, size_t size);

/* OFF came from an arena, CACHED for us, for an object of SIZE bytes that no
 * class counts: count it, and make it OWNED. */
void cache_own_large(struct cache *cache, uint64_t off, size_t size);

/* Allocate SIZE bytes that are sampled, about UNIT bytes.  0: as they can't be,
 * or there is no memory for it; do without, that is no failure. */
shmalloc_off cache_alloc_sampled(
    struct cache *cache, size_t size, uint64_t unit);

/* The allocation of SIZE bytes from CLASS that gave OFF is one to be sampled:
 * the object that is, in place of OFF, which goes back; or OFF. */
shmalloc_off cache_sample(
    struct cache *cache, uint64_t off, size_t size, uint32_t class);

/* The bytes of the chunk that an entry of a class of several sizes names. */
static inline uint32_t
cache_entry_size(uint64_t entry)
{
	return (uint32_t)(entry >> CACHE_OFF_BITS) << 4;
}

/* Take a chunk of at least SIZE bytes out of CLASS, which holds several sizes;
 * it is OWNED.  0: there is none. */
uint64_t cache_pop(struct cache *cache, uint32_t class, uint32_t size);

/* Put OFF, a chunk of SIZE bytes that is tagged CACHED, into CLASS, which has
 * room: the entry first, as a call may be left by a jump in between. */
static inline void
cache_push(struct cache *cache, uint32_t class, uint64_t off, uint32_t size)
{
	struct cache_class *k = &cache->class[class];

	if (class >= CACHE_EXACT)
		off |= (uint64_t)(size >> 4) << CACHE_OFF_BITS;
	k->slot[k->n] = off;
	atomic_signal_fence(memory_order_seq_cst);
	k->n++;
}

/* Say in the segment, while a tag that names somebody is compared and swapped,
 * since when: the slot of a client that dies meanwhile is not used again. */
static inline void
cache_epoch_mark(struct cache *cache)
{
	struct shm_seg *seg = cache->self.seg;

	shm_put(&seg->threads[cache->self.thread].call_epoch,
	    shm_load(&seg->super->epoch));
}

static inline void
cache_epoch_clear(struct cache *cache)
{
	shm_put(&cache->self.seg->threads[cache->self.thread].call_epoch, 0);
}

/* Give an object that is tagged CACHED for us to the cache or an arena.
 * _freed: fill it first, if that is asked for. */
void cache_put(struct cache *cache, uint64_t off);
void cache_put_freed(struct cache *cache, uint64_t off);

/* Put the N oldest chunks of CLASS, or as many as it has, back into their
 * arenas. */
void cache_flush(struct cache *cache, uint32_t class, uint32_t n);

/* What CLASS may hold at most, in chunks, as the tunables are; and let it grow
 * towards that, at the others' cost if need be. */
uint32_t cache_cap_most(const struct cache *cache, uint32_t class);
void cache_grow(struct cache *cache, uint32_t class);

/* Put everything that the cache holds back into the arenas. */
void cache_flush_all(struct cache *cache);

/*
 * Begin a call that missed; one in SHM_LATENCY_SAMPLE is timed.  Its beginning
 * for cache_timed(), 0 if it is none of those.
 */
static inline uint64_t
cache_time(struct cache *cache)
{
	cache->is_timed = ++cache->n_slow % SHM_LATENCY_SAMPLE == 0;
	return cache->is_timed ? shm_clock_ns() : 0;
}

/* It was a WHAT, and ends. */
static inline void
cache_timed(struct cache *cache, enum shm_latency what, uint64_t since)
{
	cache->is_timed = false;
	if (since)
		shm_latency_add(
		    cache->self.seg->super, what, shm_clock_ns() - since);
}

/* Apply tunables that have changed; give back what is unused, or what others
 * need. */
void cache_refresh(struct cache *cache);

/* Publish the counters of one class, or of all. */
void cache_count(struct cache *cache, uint32_t class);
void cache_count_all(struct cache *cache);

/* Note that a chunk of CLASS, which the client that TAG names (slot 0: the
 * segment) held, went into our cache.  Its counters learn that when there is
 * more to say, or at our next refill or flush. */
void cache_owe(struct cache *cache, uint32_t tag, uint32_t class);

/* Note an allocation of SIZE bytes that did not go through a class; and that
 * the object at OFF, of LEN bytes, is freed without one: before it is put back.
 */
void cache_count_large(struct cache *cache, uint64_t off, size_t size);
void cache_count_free(struct cache *cache, uint64_t off, uint64_t len);

/* Objects of LEN bytes came into (1) or left (-1) what SLOT's client holds
 * otherwise than by allocating and freeing. */
void cache_count_held(
    struct cache *cache, uint32_t slot, uint64_t len, int64_t n);

/* Free what waits for readers and may go now. */
void cache_reap(struct cache *cache);

/* Leave what waits for readers to the other threads of this attachment. */
void cache_bequeath(struct cache *cache);

/* Make room for one more of cache_retire().  0 or SHMALLOC_ENOMEM. */
int cache_retire_room(struct cache *cache);

/* Put OFF, tagged RETIRED for us, with those that wait for readers. */
void cache_retire(struct cache *cache, uint64_t off);

/* Set errno and this thread's failure record for REASON. */
void cache_fail(struct cache *cache, enum shm_failure reason, uint64_t asked);

/* The same, because another segment has taken this one's place; 0. */
uint64_t cache_gone(struct cache *cache, uint64_t asked);

/* Is the allocation of SIZE bytes, MORE of them new, within limit.client and
 * retire.limit? */
bool cache_quota(struct cache *cache, uint64_t size, uint64_t more);

/* What `fill.alloc` says of a new object, from its byte FROM on, and
 * `fill.free` of one that is ours and on its way back. */
void cache_fill_new(struct cache *cache, uint64_t off, uint64_t from);
void cache_fill_freed(struct cache *cache, uint64_t off);

/* With check.level 2: does a head really begin there? */
bool cache_head_is_there(struct cache *cache, uint64_t off);

/* A misuse: count it, tell the daemon, do what `misuse` says. */
void cache_misuse(struct cache *cache, uint64_t off, int kind);

/* End this cache: everything in it goes back, its record is released. */
void cache_end(struct cache *cache);

/* In a child: this thread has no caches; those it had have been wiped. */
void cache_forget(void);

#endif
