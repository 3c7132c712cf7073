/* The C library's malloc. */
#include <stdlib.h>

#include "bench/bench.h"

extern const struct bench_heap heap_glibc;

static uint64_t
heap_alloc(void *heap, size_t size)
{
	(void)heap;
	return (uintptr_t)malloc(size);
}

static void
heap_free(void *heap, uint64_t ref)
{
	(void)heap;
	free((void *)(uintptr_t)ref);
}

static bool
heap_attach(struct bench_ops *ret_ops)
{
	*ret_ops = (struct bench_ops){ NULL, NULL, heap_alloc, heap_free };
	return true;
}

const struct bench_heap heap_glibc = {
	.name = "glibc",
	.attach = heap_attach,
};
