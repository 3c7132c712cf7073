/*
 * Boost.Interprocess: a managed external buffer (rbtree_best_fit, one process-
 * shared mutex) over a memory file.  boost_segment.cc has what is C++.
 */
#define _GNU_SOURCE /* memfd_create */

#include "bench/bench.h"

extern const struct bench_heap heap_boost;

#ifdef HAVE_BOOST_INTERPROCESS
#include <sys/mman.h>
#include <unistd.h>

#include "bench/boost_segment.h"

#define HEAP_LEN ((size_t)8 << 30)

static void *segment;

static uint64_t
heap_alloc(void *heap, size_t size)
{
	return (uintptr_t)boost_segment_alloc(heap, size);
}

static void
heap_free(void *heap, uint64_t ref)
{
	boost_segment_free(heap, (void *)(uintptr_t)ref);
}

static const char *
heap_open(void)
{
	int fd = memfd_create("bench-boost", MFD_CLOEXEC);
	void *at;

	if (fd < 0 || ftruncate(fd, (off_t)HEAP_LEN) != 0)
		return "no memory file";
	at = mmap(NULL, HEAP_LEN, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (at == MAP_FAILED)
		return "no mapping";
	segment = boost_segment_make(at, HEAP_LEN);
	return segment != NULL ? NULL : "no segment";
}

/* Workers inherit the mapping where it is. */
static bool
heap_attach(struct bench_ops *ret_ops)
{
	*ret_ops = (struct bench_ops){ NULL, segment, heap_alloc, heap_free };
	return true;
}
#else
static const char *
heap_open(void)
{
	return "built without Boost.Interprocess (libboost-dev, g++)";
}
#define heap_attach NULL
#endif

const struct bench_heap heap_boost = {
	.name = "boost",
	.is_shared = true,
	.open = heap_open,
	.attach = heap_attach,
};
