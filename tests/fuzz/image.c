#include "tests/fuzz/image.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/commit.h"
#include "shm/daemon.h"
#include "shm/epoch.h"
#include "shm/heap.h"
#include "shm/publish.h"
#include "shm/thread.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/cache_image.h"

#define LIMIT   (UINT64_C(48) << 20)
#define RESERVE (UINT64_C(64) << 20)
#define ARENAS  4u
/* Nothing may be touched so far below and above a mapping. */
#define GUARD   (UINT64_C(1) << 20)
/* The same in each run, so that an input means the same. */
#define KEY     UINT64_C(0x9e3779b97f4a7c15)

/* ---- Pages --------------------------------------------------------------- */

/* The pages of a file that are there, and their contents. */
struct image_pages {
	int fd;
	char *base; /* where it is mapped */
	uint64_t n_pages, n;
	bool *is_there;
	char *bytes; /* of those that are there, in order */
};

/* Call FN for each run of pages that FD has. */
static void
runs_visit(int fd, uint64_t len,
    void (*fn)(void *arg, uint64_t first, uint64_t last), void *arg)
{
	off_t end, at = 0;

	while ((at = lseek(fd, at, SEEK_DATA)) >= 0 && (uint64_t)at < len) {
		end = lseek(fd, at, SEEK_HOLE);
		fn(arg, (uint64_t)at / SHM_PAGE, (uint64_t)end / SHM_PAGE);
		at = end;
	}
}

static void
run_keep(void *arg, uint64_t first, uint64_t last)
{
	struct image_pages *pages = arg;
	uint64_t n = last - first;

	pages->bytes = realloc(pages->bytes, (pages->n + n) * SHM_PAGE);
	FUZZ_CHECK(pages->bytes);
	memcpy(pages->bytes + pages->n * SHM_PAGE,
	    pages->base + first * SHM_PAGE, n * SHM_PAGE);
	pages->n += n;
	memset(pages->is_there + first, true, n);
}

static struct image_pages *
pages_keep(int fd, void *base, uint64_t len)
{
	struct image_pages *pages = calloc(1, sizeof(*pages));

	FUZZ_CHECK(pages);
	pages->fd = fd;
	pages->base = base;
	pages->n_pages = len / SHM_PAGE;
	pages->is_there = calloc(pages->n_pages, sizeof(bool));
	FUZZ_CHECK(pages->is_there);
	runs_visit(fd, len, run_keep, pages);
	return pages;
}

static void
run_drop(void *arg, uint64_t first, uint64_t last)
{
	struct image_pages *pages = arg;

	for (; first < last; first++)
		if (!pages->is_there[first])
			FUZZ_CHECK(
			    fallocate(pages->fd,
				FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				(off_t)(first * SHM_PAGE), SHM_PAGE) == 0);
}

static void
pages_restore(struct image_pages *pages)
{
	const char *from = pages->bytes;

	runs_visit(pages->fd, pages->n_pages * SHM_PAGE, run_drop, pages);
	for (uint64_t i = 0; i < pages->n_pages; i++) {
		char *to = pages->base + i * SHM_PAGE;

		if (!pages->is_there[i])
			continue;
		if (memcmp(to, from, SHM_PAGE) != 0)
			memcpy(to, from, SHM_PAGE);
		from += SHM_PAGE;
	}
}

void
image_restore(struct image *image)
{
	shm_seg_forget(&image->seg);
	image->seg = image->seg_before;
	pages_restore(image->file);
	pages_restore(image->pins);
}

/* ---- Making -------------------------------------------------------------- */

/* An access beyond the LEN bytes at BASE is a crash. */
static void
guards_make(char *base, uint64_t len)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

	len = (len + SHM_PAGE - 1) / SHM_PAGE * SHM_PAGE;
	(void)mmap(
	    base - GUARD, GUARD, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
	(void)mmap(
	    base + len, GUARD, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
}

static void
seg_make(struct shm_seg *seg)
{
	const struct shm_seg_options options = { .name = "fuzz",
		.limit = LIMIT,
		.reserve = RESERVE,
		.mode = 0600,
		.arenas = ARENAS };
	const uint64_t key = KEY;
	int fd, pins_fd;

	FUZZ_CHECK(shm_seg_create(&options, &fd, &pins_fd) == 0);
	FUZZ_CHECK(pwrite(fd, &key, sizeof(key),
		       offsetof(struct shm_super, key)) == sizeof(key));
	FUZZ_CHECK(shm_seg_map(fd, pins_fd, false, seg) == 0);
	guards_make(seg->base, seg->len);
	guards_make((char *)seg->pins, sizeof(*seg->pins));
	FUZZ_CHECK(shm_daemon_start(seg) == 0);
}

static void
client_make(struct shm_seg *seg, const char *label, struct shm_self *ret)
{
	const struct shm_identity who = { .pid = 1, .label = label };
	uint32_t slot, generation;

	FUZZ_CHECK(shm_client_open(seg, &who, &slot, &generation) == 0);
	shm_self_init(ret, seg, slot, generation, 0, 0);
	FUZZ_CHECK(shm_thread_claim(ret) == 0);
}

static void
object_note(struct image *image, uint64_t off)
{
	if (off && image->n_objects < IMAGE_OBJECTS)
		image->object[image->n_objects++] = off;
}

static void
tag_put(struct shm_seg *seg, uint64_t off, const struct shm_self *who,
    enum shm_state state)
{
	bool is_thread = shm_state_is_thread(state);

	shm_put(shm_tag_at(seg, off),
	    shm_tag_base(is_thread ? who->thread : who->slot,
		is_thread ? who->thread_generation : who->generation, state) |
		shm_tag_check(seg->key, off));
}

/* An object of WHO's, of SIZE bytes or of PAGES pages, in STATE. */
static uint64_t
object_make(struct image *image, struct shm_self *who, uint32_t size,
    uint64_t pages, enum shm_state state)
{
	uint64_t off = 0;

	if (pages)
		off = shm_heap_take_extent(who, pages);
	else
		(void)shm_heap_take(who, shm_chunk_size(size), 1, &off);
	FUZZ_CHECK(off);
	if (state == SHM_SHARED) {
		tag_put(&image->seg, off, who, SHM_OWNED);
		FUZZ_CHECK(shm_share(who, off) == 0);
	} else {
		tag_put(&image->seg, off, who, state);
	}
	object_note(image, off);
	return off;
}

/* Objects of many sizes and states, with free ones between them. */
static void
objects_make(struct image *image, struct shm_self *who)
{
	static const enum shm_state states[] = { SHM_OWNED, SHM_CACHED,
		SHM_SHARED, SHM_UNLINKED, SHM_RETIRED, SHM_PUBLISHING,
		SHM_TAKING };
	static const uint32_t sizes[] = { 8, 40, 100, 500, 1000, 3000, 9000,
		30000 };
	uint64_t free_off[40];
	size_t n_free = 0;

	for (uint32_t i = 0; i < 64; i++) {
		enum shm_state state = i % 2 ? SHM_CACHED : states[i / 2 % 7];
		uint64_t off = object_make(
		    image, who, sizes[i / 8], i % 16 == 15 ? i / 4 : 0, state);

		if (i % 2 && n_free < 40)
			free_off[n_free++] = off;
	}
	shm_heap_put(who, n_free, free_off);
}

/* Chunks that wait on the remote list, and in fastbins. */
static void
lists_make(struct image *image, struct shm_self *who)
{
	struct shm_seg *seg = &image->seg;
	const struct shm_tunable_change change[] = {
		{ SHM_PARAM_fastbin_max, 128 },
		{ SHM_PARAM_fastbin_max, 0 },
	};
	uint64_t off[8];
	uint32_t bad;
	bool is_extent;

	FUZZ_CHECK(shm_tunables_set(seg, 1, &change[0], &bad) == 0);
	(void)shm_self_refresh(who);
	for (int i = 0; i < 8; i++)
		off[i] = object_make(image, who, 60, 0, SHM_CACHED);
	shm_heap_put(who, 8, off);
	for (int i = 0; i < 4; i++) {
		off[0] = object_make(image, who, 200, 0, SHM_CACHED);
		(void)shm_remote_push(
		    who, shm_arena_of(seg, off[0], &is_extent), 1, off);
	}
	FUZZ_CHECK(shm_tunables_set(seg, 1, &change[1], &bad) == 0);
	(void)shm_self_refresh(who);
}

/* Named slots: one with an object, one without, one whose maker is at work;
 * and what a thread was about to hang into the second. */
static void
roots_make(struct image *image, struct shm_self *who)
{
	struct shm_seg *seg = &image->seg;
	struct shm_intent *intent = &seg->threads[who->thread].intent;
	uint64_t shared = object_make(image, who, 300, 0, SHM_SHARED);

	FUZZ_CHECK(shm_commit(who, shm_offset_of(seg, seg->roots),
		       3 * sizeof(struct shm_root)) == 0);
	for (int i = 0; i < 3; i++)
		(void)snprintf(
		    seg->roots[i].name, sizeof(seg->roots[i].name), "r%d", i);
	shm_store(&seg->roots[0].slot, shared);
	shm_store(&seg->roots[0].state, SHM_ROOT_READY);
	shm_store(&seg->roots[1].state, SHM_ROOT_READY);
	shm_store(&seg->roots[2].state, who->slot + 1);
	shm_store(&intent->slot, shm_offset_of(seg, &seg->roots[1].slot));
	shm_store(
	    &intent->desired, object_make(image, who, 300, 0, SHM_PUBLISHING));
}

/* A cache in one object, which hangs from the root r1. */
static void
cache_make(struct image *image, struct shm_self *who)
{
	struct shm_seg *seg = &image->seg;
	struct cache_image cache = {
		.base = seg->base, .n_buckets = 2, .n_items = 4, .epoch_ms = 1
	};

	image->cache_len = sizeof(struct cache_head) +
	    cache_image_table_len(cache.n_buckets) +
	    cache.n_items * CACHE_IMAGE_ITEM;
	FUZZ_CHECK(
	    shm_heap_take(who, shm_chunk_size((uint32_t)image->cache_len), 1,
		&image->cache) == 1);
	memset(seg->base + image->cache, 0, image->cache_len);
	tag_put(seg, image->cache, who, SHM_OWNED);
	FUZZ_CHECK(shm_share(who, image->cache) == 0);
	cache.head = image->cache;
	cache.table = cache.head + sizeof(struct cache_head);
	cache.items = cache.table + cache_image_table_len(cache.n_buckets);
	cache_image_make(&cache);
	shm_store(&seg->roots[1].slot, image->cache);
}

/* Let WHO use another arena than those before. */
static void
arena_add(struct shm_seg *seg, uint32_t n)
{
	struct shm_self daemon;

	shm_daemon_self(seg, &daemon);
	FUZZ_CHECK(shm_commit(&daemon, shm_offset_of(seg, &seg->arenas[n]),
		       sizeof(struct shm_arena)) == 0);
	shm_store(&seg->arenas[n].state, SHM_ARENA_ACTIVE);
	shm_store(&seg->super->n_arenas, n + 1);
}

void
image_make(struct image *image)
{
	struct shm_seg *seg = &image->seg;
	struct shm_self who[IMAGE_CLIENTS];

	memset(image, 0, sizeof(*image));
	seg_make(seg);
	for (uint32_t i = 0; i < IMAGE_CLIENTS; i++) {
		if (i > 0 && i < 3)
			arena_add(seg, i);
		client_make(seg, "client", &who[i]);
		who[i].arena = i % 3;
		objects_make(image, &who[i]);
		lists_make(image, &who[i]);
		roots_make(image, &who[i]);
	}
	cache_make(image, &who[0]);
	/* One reads, one left a lock behind. */
	shm_epoch_enter(seg, shm_thread_pin(seg, who[0].thread));
	shm_store(&seg->arenas[2].lock, who[3].lock_word);
	shm_seg_forget(seg);
	image->seg_before = *seg;
	image->file = pages_keep(seg->fd, seg->base, seg->len);
	image->pins = pages_keep(seg->pins_fd, seg->pins, sizeof(*seg->pins));
}
