/*
 * Apache Portable Runtime: apr_rmm, relocatable memory with a list of free
 * blocks, over a memory file, under a process-shared mutex of APR's.
 */
#define _GNU_SOURCE /* memfd_create */

#include "bench/bench.h"

extern const struct bench_heap heap_apr;

#ifdef HAVE_APR
#include <apr_anylock.h>
#include <apr_general.h>
#include <apr_proc_mutex.h>
#include <apr_rmm.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEAP_LEN ((size_t)8 << 30)

static apr_rmm_t *rmm;
static char *base;
static apr_anylock_t lock = { .type = apr_anylock_procmutex };

static uint64_t
heap_alloc(void *heap, size_t size)
{
	return apr_rmm_malloc(heap, size);
}

static void
heap_free(void *heap, uint64_t ref)
{
	apr_rmm_free(heap, ref);
}

static const char *
heap_open(void)
{
	int fd = memfd_create("bench-apr", MFD_CLOEXEC);
	apr_pool_t *pool;

	if (fd < 0 || ftruncate(fd, (off_t)HEAP_LEN) != 0)
		return "no memory file";
	base = mmap(NULL, HEAP_LEN, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED)
		return "no mapping";
	if (apr_initialize() != 0 || apr_pool_create(&pool, NULL) != 0)
		return "no APR";
	if (apr_proc_mutex_create(
		&lock.lock.pm, NULL, APR_LOCK_PROC_PTHREAD, pool) != 0 ||
	    apr_rmm_init(&rmm, &lock, base, HEAP_LEN, pool) != 0)
		return "no apr_rmm";
	return NULL;
}

static bool
heap_attach(struct bench_ops *ret_ops)
{
	*ret_ops = (struct bench_ops){ base, rmm, heap_alloc, heap_free };
	return true;
}
#else
static const char *
heap_open(void)
{
	return "built without APR (libapr1-dev, libaprutil1-dev)";
}
#define heap_attach NULL
#endif

const struct bench_heap heap_apr = {
	.name = "apr_rmm",
	.is_shared = true,
	.open = heap_open,
	.attach = heap_attach,
};
