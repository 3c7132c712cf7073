#include "examples/board.h"

#include <err.h>
#include <string.h>

#define BOARD_ROOT    "demo.board"
#define VERSIONS_ROOT "demo.versions"
#define RELAXED       memory_order_relaxed

static shmalloc_slot *
root_of(struct shmalloc *heap, const char *name)
{
	shmalloc_slot *root;
	int error = shmalloc_root(heap, name, &root);

	if (error != 0)
		errx(1, "root %s: %s", name, shmalloc_strerror(error));
	return root;
}

static void *
object_open(struct shmalloc *heap, const char *name)
{
	shmalloc_off off = shmalloc_slot_load(root_of(heap, name));

	if (off == 0)
		errx(1, "root %s is empty: run `demo create` first", name);
	return shmalloc_ptr(heap, off);
}

static void
object_publish(struct shmalloc *heap, const char *name, shmalloc_off off)
{
	int error;

	if (off == 0)
		err(1, "%s", name);
	error = shmalloc_publish(heap, root_of(heap, name), 0, off);
	if (error != 0)
		errx(1, "root %s: %s", name, shmalloc_strerror(error));
}

static void
object_destroy(struct shmalloc *heap, const char *name)
{
	shmalloc_slot *root = root_of(heap, name);
	shmalloc_off off = shmalloc_slot_load(root);
	int error = 0;

	if (off != 0)
		error = shmalloc_publish(heap, root, off, 0);
	if (error == 0 && off != 0)
		error = shmalloc_retire(heap, off);
	if (error == 0)
		error = shmalloc_root_remove(heap, name);
	if (error != 0)
		errx(1, "root %s: %s", name, shmalloc_strerror(error));
}

void
board_create(struct shmalloc *heap, uint64_t n_records)
{
	shmalloc_off board = shmalloc_aligned_alloc(
	    heap, _Alignof(struct board), sizeof(struct board));
	shmalloc_off versions =
	    shmalloc_zalloc(heap, n_records, sizeof(uint32_t));

	if (board != 0)
		memset(shmalloc_ptr(heap, board), 0, sizeof(struct board));
	object_publish(heap, BOARD_ROOT, board);
	object_publish(heap, VERSIONS_ROOT, versions);
}

struct board *
board_open(struct shmalloc *heap, _Atomic uint32_t **ret_versions)
{
	*ret_versions = object_open(heap, VERSIONS_ROOT);
	return object_open(heap, BOARD_ROOT);
}

void
board_destroy(struct shmalloc *heap)
{
	object_destroy(heap, BOARD_ROOT);
	object_destroy(heap, VERSIONS_ROOT);
}

void
board_add(struct board_row *row, enum board_count count, uint64_t n)
{
	/* One writer a row, so no locked addition is needed. */
	atomic_store_explicit(&row->count[count],
	    atomic_load_explicit(&row->count[count], RELAXED) + n, RELAXED);
}

uint64_t
board_sum(const struct board *board, enum board_count count)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < BOARD_WORKERS; i++)
		sum +=
		    atomic_load_explicit(&board->row[i].count[count], RELAXED);
	return sum;
}
