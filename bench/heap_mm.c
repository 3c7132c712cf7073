/* OSSP mm: a shared heap with a list of free chunks, under a lock of its own.
 */
#include "bench/bench.h"

extern const struct bench_heap heap_mm;

#ifdef HAVE_MM
#include <mm.h>

static MM *mm;
static size_t mm_len;

static uint64_t
heap_alloc(void *heap, size_t size)
{
	return (uintptr_t)mm_malloc(heap, size);
}

static void
heap_free(void *heap, uint64_t ref)
{
	mm_free(heap, (void *)(uintptr_t)ref);
}

/* It may have to do with much less than it is asked for: 64 MiB by default. */
static const char *
heap_open(void)
{
	mm = mm_create((size_t)8 << 30, NULL);
	if (mm == NULL)
		return mm_error();
	mm_len = mm_available(mm);
	return NULL;
}

static bool
heap_attach(struct bench_ops *ret_ops)
{
	*ret_ops = (struct bench_ops){ NULL, mm, heap_alloc, heap_free };
	return true;
}

static void
heap_close(void)
{
	mm_destroy(mm);
}

static uint64_t
heap_resident(void)
{
	return bench_resident(mm, mm_len);
}
#else
static const char *
heap_open(void)
{
	return "built without OSSP mm (libmm-dev)";
}
#define heap_attach   NULL
#define heap_close    NULL
#define heap_resident NULL
#endif

const struct bench_heap heap_mm = {
	.name = "ossp_mm",
	.is_shared = true,
	.open = heap_open,
	.attach = heap_attach,
	.close = heap_close,
	.resident = heap_resident,
};
