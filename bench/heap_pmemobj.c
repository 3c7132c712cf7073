/*
 * libpmemobj: a crash-consistent heap in a file, here in memory.  A pool serves
 * one process at a time, so its workers are threads.  Nothing is flushed by
 * msync(2), as if in persistent memory (main.c: PMEM_IS_PMEM_FORCE).
 */
#define _GNU_SOURCE /* memfd_create, fallocate */

#include "bench/bench.h"

extern const struct bench_heap heap_pmemobj;

#ifdef HAVE_PMEMOBJ
#include <err.h>
#include <fcntl.h>
#include <libpmemobj/atomic_base.h>
#include <libpmemobj/base.h>
#include <libpmemobj/pool_base.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define POOL_LEN  ((off_t)1 << 30)
#define BLOCK_LEN ((size_t)2 << 20)

static PMEMobjpool *pool;
static int pool_fd;
static uint64_t pool_uuid;

static uint64_t
heap_alloc(void *heap, size_t size)
{
	PMEMoid oid;

	if (pmemobj_alloc(heap, &oid, size, 1, NULL, NULL) != 0)
		return 0;
	return oid.off;
}

static void
heap_free(void *heap, uint64_t ref)
{
	PMEMoid oid = { pool_uuid, ref };

	(void)heap;
	pmemobj_free(&oid);
}

/* libpmemobj has allocated the whole file: give back what it left zero. */
static void
pool_trim(void)
{
	char *block = bench_map(2 * BLOCK_LEN), *zeros = block + BLOCK_LEN;

	for (off_t at = 0; at < POOL_LEN; at += (off_t)BLOCK_LEN)
		if (pread(pool_fd, block, BLOCK_LEN, at) !=
			(ssize_t)BLOCK_LEN ||
		    (memcmp(block, zeros, BLOCK_LEN) == 0 &&
			fallocate(pool_fd,
			    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
			    (off_t)BLOCK_LEN) != 0))
			err(1, "pool");
	munmap(block, 2 * BLOCK_LEN);
}

static const char *
heap_open(void)
{
	char path[64];
	PMEMoid oid;

	pool_fd = memfd_create("bench-pmemobj", MFD_CLOEXEC);
	if (pool_fd < 0 || ftruncate(pool_fd, POOL_LEN) != 0)
		return "no memory file";
	/* 0: as large as the file is. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", pool_fd);
	pool = pmemobj_create(path, "bench", 0, 0600);
	if (pool == NULL)
		return pmemobj_errormsg();
	if (pmemobj_alloc(pool, &oid, 64, 1, NULL, NULL) != 0)
		return pmemobj_errormsg();
	pool_uuid = oid.pool_uuid_lo;
	pmemobj_free(&oid);
	pool_trim();
	return NULL;
}

static bool
heap_attach(struct bench_ops *ret_ops)
{
	*ret_ops =
	    (struct bench_ops){ (char *)pool, pool, heap_alloc, heap_free };
	return true;
}

static void
heap_close(void)
{
	pmemobj_close(pool);
}

static uint64_t
heap_resident(void)
{
	struct stat stat_of;

	return fstat(pool_fd, &stat_of) != 0
	    ? 0
	    : (uint64_t)stat_of.st_blocks * 512;
}
#else
static const char *
heap_open(void)
{
	return "built without libpmemobj (libpmemobj-dev)";
}
#define heap_attach   NULL
#define heap_close    NULL
#define heap_resident NULL
#endif

const struct bench_heap heap_pmemobj = {
	.name = "pmemobj",
	.is_shared = true,
	.is_threaded = true,
	.open = heap_open,
	.attach = heap_attach,
	.close = heap_close,
	.resident = heap_resident,
};
