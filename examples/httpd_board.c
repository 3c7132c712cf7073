#include "examples/httpd.h"

#include <errno.h>
#include <event2/buffer.h>
#include <inttypes.h>
#include <string.h>

#define BOARD_ROOT "httpd.board"

struct httpd_board *
httpd_board_open(struct shmalloc *heap)
{
	shmalloc_slot *root;
	shmalloc_off off;

	errno = ENOSPC;
	if (shmalloc_root(heap, BOARD_ROOT, &root) != 0)
		return NULL;
	if (shmalloc_slot_load(root) == 0) {
		off = shmalloc_aligned_alloc(heap, _Alignof(struct httpd_board),
		    sizeof(struct httpd_board));
		if (off == 0)
			return NULL;
		memset(shmalloc_ptr(heap, off), 0, sizeof(struct httpd_board));
		/* Another server may have been faster. */
		if (shmalloc_publish(heap, root, 0, off) != 0)
			shmalloc_free(heap, off);
	}
	off = shmalloc_slot_load(root);
	errno = 0;
	if (shmalloc_usable_size(heap, off) < sizeof(struct httpd_board))
		return NULL;
	return shmalloc_ptr(heap, off);
}

int
httpd_board_remove(struct shmalloc *heap)
{
	shmalloc_slot *root;
	int error = shmalloc_root(heap, BOARD_ROOT, &root);
	shmalloc_off off = error == 0 ? shmalloc_slot_load(root) : 0;

	if (error == 0 && off != 0)
		error = shmalloc_publish(heap, root, off, 0);
	if (error == 0 && off != 0)
		error = shmalloc_retire(heap, off);
	return error == 0 ? shmalloc_root_remove(heap, BOARD_ROOT) : error;
}

/* ---- /stats ---------------------------------------------------------- */

static const char *const names[HTTPD_N_COUNTS] = {
#define HTTPD_COUNT(name, text) #name,
	HTTPD_COUNTS
#undef HTTPD_COUNT
};

/* How wide a counter's column is. */
static int
width_of(unsigned count)
{
	size_t len = strlen(names[count]) + 1;

	return len > 8 ? (int)len : 8;
}

static int
head_print(struct evbuffer *text)
{
	int len = evbuffer_add_printf(text, "worker     pid starts");

	for (unsigned i = 0; i < HTTPD_N_COUNTS && len >= 0; i++)
		len = evbuffer_add_printf(text, "%*s", width_of(i), names[i]);
	return len < 0 ? len : evbuffer_add_printf(text, "\n");
}

static int
row_print(const struct httpd_row *row, unsigned number, struct evbuffer *text)
{
	int len = evbuffer_add_printf(text, "%6u %7" PRIu64 " %6" PRIu64,
	    number, atomic_load(&row->pid), atomic_load(&row->starts));

	for (unsigned i = 0; i < HTTPD_N_COUNTS && len >= 0; i++)
		len = evbuffer_add_printf(text, "%*" PRIu64, width_of(i),
		    atomic_load(&row->count[i]));
	return len < 0 ? len : evbuffer_add_printf(text, "\n");
}

int
httpd_board_print(
    const struct httpd_board *board, unsigned n, struct evbuffer *text)
{
	int len = head_print(text);

	for (unsigned i = 0; i < n && len >= 0; i++)
		len = row_print(&board->row[i], i + 1, text);
	return len < 0 ? -1 : 0;
}
