/*
 * Private heaps that Debian packages as libraries.  Each is loaded into the
 * process of its own cells only, and by its own names, so that it takes nobody
 * else's calls.
 */
#include <dlfcn.h>
#include <stdio.h>

#include "bench/bench.h"

extern const struct bench_heap heap_gperftools, heap_mimalloc, heap_jemalloc;

static void *(*package_malloc)(size_t);
static void (*package_free)(void *);

static uint64_t
heap_alloc(void *heap, size_t size)
{
	(void)heap;
	return (uintptr_t)package_malloc(size);
}

static void
heap_free(void *heap, uint64_t ref)
{
	(void)heap;
	package_free((void *)(uintptr_t)ref);
}

static bool
heap_attach(struct bench_ops *ret_ops)
{
	*ret_ops = (struct bench_ops){ NULL, NULL, heap_alloc, heap_free };
	return true;
}

static const char *
package_open(
    const char *library, const char *malloc_name, const char *free_name)
{
	static char why[200];
	void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);

	if (handle != NULL) {
		*(void **)&package_malloc = dlsym(handle, malloc_name);
		*(void **)&package_free = dlsym(handle, free_name);
	}
	if (package_malloc != NULL && package_free != NULL)
		return NULL;
	snprintf(why, sizeof(why), "%s", dlerror());
	return why;
}

static const char *
gperftools_open(void)
{
	return package_open("libtcmalloc_minimal.so.4", "tc_malloc", "tc_free");
}

static const char *
mimalloc_open(void)
{
	return package_open("libmimalloc.so.2", "mi_malloc", "mi_free");
}

static const char *
jemalloc_open(void)
{
	return package_open("libjemalloc.so.2", "malloc", "free");
}

const struct bench_heap heap_gperftools = {
	.name = "gperftools",
	.open = gperftools_open,
	.attach = heap_attach,
};

const struct bench_heap heap_mimalloc = {
	.name = "mimalloc",
	.open = mimalloc_open,
	.attach = heap_attach,
};

const struct bench_heap heap_jemalloc = {
	.name = "jemalloc",
	.open = jemalloc_open,
	.attach = heap_attach,
};
