/*
 * Copies of a segment: what it looks like at this moment, and what it looked
 * like when it was last seen.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm/commit.h"
#include "shm/thread.h"
#include "tests/kill/kill.h"

static int
memfd_like(uint64_t size)
{
	int fd = memfd_create("shmalloc-copy", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) ==
		0)
		return fd;
	return -1;
}

static void *
memory_need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

bool
copy_open(struct kill_copy *copy, const struct shm_seg *live)
{
	int fd = memfd_like(live->len);
	int pins = memfd_like(sizeof(struct shm_pins));

	memset(copy, 0, sizeof(*copy));
	copy->place =
	    memory_need(calloc(live->len / SHM_PAGE, sizeof(*copy->place)));
	if (fd < 0 || pins < 0 ||
	    pwrite(fd, live->base, 4 * SHM_PAGE, 0) != 4 * SHM_PAGE ||
	    pwrite(pins, live->pins, SHM_PAGE, 0) != SHM_PAGE)
		return false;
	return shm_seg_map(fd, pins, false, &copy->seg) == 0;
}

void
copy_close(struct kill_copy *copy)
{
	if (copy->seg.base)
		shm_seg_unmap(&copy->seg);
	free(copy->shadow);
	free(copy->pages);
	free(copy->place);
	free(copy->pins);
	memset(copy, 0, sizeof(*copy));
}

/* ---- Looking ------------------------------------------------------------- */

/* The numbers of SEG's committed pages, rising; allocated. */
static uint64_t *
pages_list(const struct shm_seg *seg, size_t *ret_n)
{
	uint64_t end = seg->heap + shm_load(&seg->super->watermark);
	size_t n = 0, room = 1024;
	uint64_t *pages = memory_need(malloc(room * sizeof(*pages)));

	end = end < seg->len ? end : seg->len;
	for (uint64_t page = 0; page < end / SHM_PAGE;) {
		uint64_t off = page * SHM_PAGE, run;

		if (page % 64 == 0 &&
		    shm_committed_pages(seg, off, 64 * SHM_PAGE) == 0) {
			page += 64;
			continue;
		}
		run = shm_committed_prefix(seg, off, end - off) / SHM_PAGE;
		if (run == 0)
			page++;
		for (; run > 0; run--) {
			if (n == room)
				pages = memory_need(realloc(
				    pages, (room *= 2) * sizeof(*pages)));
			pages[n++] = page++;
		}
	}
	*ret_n = n;
	return pages;
}

/* A committed page has memory: nobody gets SIGBUS. */
static void
memory_check(struct kill_copy *copy, const struct shm_seg *live,
    const uint64_t *pages, size_t n)
{
	for (size_t i = 0, k; i < n; i = k) {
		off_t from = (off_t)(pages[i] * SHM_PAGE), to, hole;

		for (k = i + 1; k < n && pages[k] == pages[k - 1] + 1; k++)
			;
		to = (off_t)((pages[k - 1] + 1) * SHM_PAGE);
		hole = lseek(live->fd, from, SEEK_HOLE);
		if (hole >= to || copy->is_torn)
			continue;
		copy->is_torn = true;
		(void)printf("# the page at %llx is committed and has no "
			     "memory\n",
		    (unsigned long long)hole);
	}
}

static bool
pins_notice(struct kill_copy *copy, const struct shm_seg *live)
{
	size_t len = offsetof(struct shm_pins, pin) +
	    (shm_pins_used(live) + 1) * sizeof(struct shm_pin);

	if (len == copy->pins_len && memcmp(copy->pins, live->pins, len) == 0)
		return false;
	copy->pins = memory_need(realloc(copy->pins, len));
	copy->pins_len = len;
	memcpy(copy->pins, live->pins, len);
	return true;
}

/* Bring the shadow of the page at place I up to date. */
static bool
page_notice(struct kill_copy *copy, const struct shm_seg *live, size_t i)
{
	char *seen = copy->shadow + i * SHM_PAGE;
	const char *now = live->base + copy->pages[i] * SHM_PAGE;

	if (memcmp(seen, now, SHM_PAGE) == 0)
		return false;
	memcpy(seen, now, SHM_PAGE);
	return true;
}

/* Other pages than before are committed. */
static void
shadow_make(struct kill_copy *copy, const struct shm_seg *live, uint64_t *pages,
    size_t n)
{
	for (size_t i = 0; i < copy->n_pages; i++)
		copy->place[copy->pages[i]] = 0;
	free(copy->pages);
	free(copy->shadow);
	copy->pages = pages;
	copy->n_pages = n;
	copy->shadow = memory_need(malloc(n * SHM_PAGE));
	for (size_t i = 0; i < n; i++) {
		copy->place[pages[i]] = (uint32_t)i + 1;
		memcpy(copy->shadow + i * SHM_PAGE,
		    live->base + pages[i] * SHM_PAGE, SHM_PAGE);
	}
}

bool
copy_notice(struct kill_copy *copy, const struct shm_seg *live)
{
	bool has_changed = false;
	size_t n;
	uint64_t *pages = pages_list(live, &n);

	/* Before we touch them. */
	memory_check(copy, live, pages, n);
	if (n != copy->n_pages ||
	    memcmp(pages, copy->pages, n * sizeof(*pages)) != 0) {
		shadow_make(copy, live, pages, n);
		has_changed = true;
	} else {
		free(pages);
		for (size_t i = 0; i < n; i++)
			has_changed |= page_notice(copy, live, i);
	}
	return pins_notice(copy, live) || has_changed;
}

bool
copy_notice_touch(struct kill_copy *copy, const struct kill_trace *trace)
{
	const struct shm_seg *live = trace->seg;
	uint64_t map = shm_offset_of(live, live->committed) + live->len / 32768;
	bool has_changed = false;

	if (trace->touch == KILL_NOTHING)
		return false;
	if (trace->touch == KILL_PINS)
		return pins_notice(copy, live);
	if (trace->touch == KILL_ANYTHING)
		return copy_notice(copy, live);
	for (uint64_t page = trace->off / SHM_PAGE;
	     page <= (trace->off + 63) / SHM_PAGE &&
	     page < live->len / SHM_PAGE;
	     page++)
		if (copy->place[page])
			has_changed |=
			    page_notice(copy, live, copy->place[page] - 1);
	/* Perhaps other pages than before are committed. */
	if (has_changed && trace->off < map)
		(void)copy_notice(copy, live);
	return has_changed;
}

/* ---- Restoring ----------------------------------------------------------- */

/* Make look empty what SEG has committed and the shadow hasn't: punching it
 * would take memory from whoever is about to set its bit. */
static void
others_clear(struct kill_copy *copy, struct shm_seg *seg)
{
	size_t n;
	uint64_t *pages = pages_list(seg, &n);

	for (size_t i = 0; i < n; i++)
		if (!copy->place[pages[i]])
			memset(seg->base + pages[i] * SHM_PAGE, 0, SHM_PAGE);
	free(pages);
}

void
copy_restore(struct kill_copy *copy, struct shm_seg *seg)
{
	uint64_t len;
	size_t used = offsetof(struct shm_pins, pin) +
	    (shm_pins_used(seg) + 1) * sizeof(struct shm_pin);

	others_clear(copy, seg);
	for (size_t i = 0; i < copy->n_pages; i++) {
		char *now = seg->base + copy->pages[i] * SHM_PAGE;
		const char *want = copy->shadow + i * SHM_PAGE;

		if (memcmp(now, want, SHM_PAGE) != 0)
			memcpy(now, want, SHM_PAGE);
	}
	/* Somebody who goes on in it may have memory without a bit yet, and
	 * what was tried in it may have punched that.  Memory that was never
	 * written to would look like a hole to memory_check(). */
	len = shm_load(&seg->super->watermark);
	if (seg != &copy->seg && len &&
	    (fallocate(seg->fd, 0, (off_t)seg->heap, (off_t)len) != 0 ||
		madvise(seg->base + seg->heap, len, MADV_POPULATE_WRITE) != 0))
		abort();
	if (used > copy->pins_len)
		memset((char *)seg->pins + copy->pins_len, 0,
		    used - copy->pins_len);
	memcpy(seg->pins, copy->pins, copy->pins_len);
}
