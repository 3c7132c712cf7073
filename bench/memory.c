/* How much memory a heap has: see struct bench_heap's `resident`. */
#define _GNU_SOURCE /* mincore */

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/cell.h"

void *
bench_map(size_t len)
{
	/* Shared memory is not counted as the private heaps' own. */
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (at == MAP_FAILED)
		err(1, "mmap");
	return at;
}

/* Bytes of this process's private memory. */
static uint64_t
resident_private(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	unsigned long long kib = 0;
	char line[200];

	if (file == NULL)
		err(1, "/proc/self/smaps_rollup");
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "Anonymous: %llu kB", &kib) == 1)
			break;
	fclose(file);
	return kib * 1024;
}

/* Bytes of the memory files that this process has open. */
static uint64_t
resident_shared(void)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	uint64_t bytes = 0;

	if (folder == NULL)
		err(1, "/proc/self/fd");
	while ((entry = readdir(folder)) != NULL) {
		char target[64];
		struct stat stat_of;
		ssize_t len = readlinkat(
		    dirfd(folder), entry->d_name, target, sizeof(target) - 1);

		if (len < 7 || memcmp(target, "/memfd:", 7) != 0)
			continue;
		if (fstat(atoi(entry->d_name), &stat_of) == 0)
			bytes += (uint64_t)stat_of.st_blocks * 512;
	}
	closedir(folder);
	return bytes;
}

uint64_t
bench_resident(const void *base, size_t len)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *at = (char *)((uintptr_t)base & ~(uintptr_t)(page - 1));
	size_t pages = (len + page - 1) / page, n = 0;
	unsigned char *is_there = bench_map(pages);

	if (mincore(at, pages * page, is_there) != 0)
		err(1, "mincore");
	for (size_t i = 0; i < pages; i++)
		n += is_there[i] & 1;
	munmap(is_there, pages);
	return n * page;
}

uint64_t
memory_now(const struct cell *cell)
{
	if (cell->heap->resident != NULL)
		return cell->heap->resident();
	return cell->heap->is_shared ? resident_shared() : resident_private();
}

/* Make *MOST at least VALUE. */
static void
most_raise(_Atomic uint64_t *most, uint64_t value)
{
	uint64_t old = atomic_load(most);

	while (value > old && !atomic_compare_exchange_weak(most, &old, value))
		;
}

void
bench_peak(struct bench_worker *worker)
{
	const struct cell_worker *self = (void *)worker;
	struct bench_peak *peak = worker->peak;
	uint64_t live = 0;

	bench_live(worker);
	for (unsigned i = 0; i < worker->workers; i++)
		live += atomic_load(&peak->now[i]);
	most_raise(&peak->live_bytes, live);
	most_raise(&peak->resident_bytes, memory_now(self->cell));
}
