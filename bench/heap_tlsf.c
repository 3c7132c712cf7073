/*
 * A heap in shared memory of the usual make, to compare with: two-level
 * segregated fit (Masmano, Ripoll et al. 2004) over boundary tags, under one
 * process-shared robust mutex.  Written for this benchmark.
 */
#define _GNU_SOURCE /* memfd_create */

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/bench.h"

#define HEAP_LEN  (UINT64_C(8) << 30)
#define FIRST     34u /* doublings */
#define SECOND    16u /* lists a doubling */
#define BLOCK_MIN 32u
#define IS_FREE   UINT64_C(1)

extern const struct bench_heap heap_tlsf;

/* A block; its payload begins at `next` and ends where the next one begins. */
struct block {
	uint64_t below;      /* bytes of the block below */
	uint64_t size;       /* bytes, | IS_FREE */
	uint64_t next, prev; /* of free blocks; offsets */
};

struct control {
	pthread_mutex_t mutex;
	uint64_t first_map;
	uint32_t second_map[FIRST];
	uint64_t list[FIRST][SECOND];
};

static char *base;
static struct control *control;

static struct block *
block_at(uint64_t off)
{
	return (struct block *)(void *)(base + off);
}

static uint64_t
size_of(uint64_t off)
{
	return block_at(off)->size & ~IS_FREE;
}

static uint32_t
log2_of(uint64_t v)
{
	return 63 - (uint32_t)__builtin_clzll(v);
}

/* The list of blocks of SIZE bytes. */
static void
list_of(uint64_t size, uint32_t *ret_first, uint32_t *ret_second)
{
	uint32_t log = log2_of(size);

	*ret_first = log;
	*ret_second = (uint32_t)(size >> (log - 4)) & (SECOND - 1);
}

static void
block_link(uint64_t off)
{
	struct block *block = block_at(off);
	uint32_t first, second;
	uint64_t *list;

	list_of(size_of(off), &first, &second);
	list = &control->list[first][second];
	block->size |= IS_FREE;
	block->next = *list;
	block->prev = 0;
	if (*list != 0)
		block_at(*list)->prev = off;
	*list = off;
	control->second_map[first] |= 1u << second;
	control->first_map |= UINT64_C(1) << first;
}

static void
block_unlink(uint64_t off)
{
	struct block *block = block_at(off);
	uint32_t first, second;

	block->size &= ~IS_FREE;
	list_of(block->size, &first, &second);
	if (block->next != 0)
		block_at(block->next)->prev = block->prev;
	if (block->prev != 0)
		block_at(block->prev)->next = block->next;
	else
		control->list[first][second] = block->next;
	if (control->list[first][second] != 0)
		return;
	control->second_map[first] &= ~(1u << second);
	if (control->second_map[first] == 0)
		control->first_map &= ~(UINT64_C(1) << first);
}

/* A free block of at least SIZE bytes, from a list all of which are; 0: none */
static uint64_t
block_find(uint64_t size)
{
	uint64_t rounded = size + (UINT64_C(1) << (log2_of(size) - 4)) - 1;
	uint32_t first, second, map;
	uint64_t above;

	list_of(rounded, &first, &second);
	map = control->second_map[first] & ~0u << second;
	if (map == 0) {
		above = control->first_map & ~UINT64_C(0) << (first + 1);
		if (above == 0)
			return 0;
		first = (uint32_t)__builtin_ctzll(above);
		map = control->second_map[first];
	}
	return control->list[first][__builtin_ctz(map)];
}

static void
control_lock(void)
{
	/* What a dead holder left half done stays so: this lock is robust,
	 * the heap is not. */
	if (pthread_mutex_lock(&control->mutex) == EOWNERDEAD)
		pthread_mutex_consistent(&control->mutex);
}

static uint64_t
heap_alloc(void *heap, size_t size)
{
	uint64_t want = (size + 16 + 15) & ~UINT64_C(15), off, rest;

	(void)heap;
	if (want < BLOCK_MIN)
		want = BLOCK_MIN;
	control_lock();
	off = block_find(want);
	if (off != 0) {
		block_unlink(off);
		rest = size_of(off) - want;
		if (rest >= BLOCK_MIN) {
			block_at(off)->size = want;
			block_at(off + want)->size = rest;
			block_at(off + want)->below = want;
			block_at(off + want + rest)->below = rest;
			block_link(off + want);
		}
	}
	pthread_mutex_unlock(&control->mutex);
	return off == 0 ? 0 : off + 16;
}

static void
heap_free(void *heap, uint64_t ref)
{
	uint64_t off = ref - 16, behind, below;

	(void)heap;
	control_lock();
	behind = off + size_of(off);
	if (block_at(behind)->size & IS_FREE) {
		block_unlink(behind);
		block_at(off)->size += size_of(behind);
	}
	below = block_at(off)->below;
	if (below != 0 && (block_at(off - below)->size & IS_FREE)) {
		block_unlink(off - below);
		block_at(off - below)->size += size_of(off);
		off -= below;
	}
	block_at(off + size_of(off))->below = size_of(off);
	block_link(off);
	pthread_mutex_unlock(&control->mutex);
}

static const char *
heap_open(void)
{
	pthread_mutexattr_t attributes;
	uint64_t start = (sizeof(struct control) + 4095) & ~UINT64_C(4095);
	int fd = memfd_create("bench-tlsf", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)HEAP_LEN) != 0)
		return "no memory file";
	base = mmap(NULL, HEAP_LEN, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (base == MAP_FAILED)
		return "no mapping";
	control = (struct control *)(void *)base;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&control->mutex, &attributes);
	/* One free block, and an end that is never free. */
	block_at(start)->size = HEAP_LEN - start - BLOCK_MIN;
	block_at(HEAP_LEN - BLOCK_MIN)->below = size_of(start);
	block_at(HEAP_LEN - BLOCK_MIN)->size = BLOCK_MIN;
	block_link(start);
	return NULL;
}

static bool
heap_attach(struct bench_ops *ret_ops)
{
	*ret_ops = (struct bench_ops){ base, NULL, heap_alloc, heap_free };
	return true;
}

const struct bench_heap heap_tlsf = {
	.name = "tlsf",
	.is_shared = true,
	.open = heap_open,
	.attach = heap_attach,
};
