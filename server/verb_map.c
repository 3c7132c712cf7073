/*
 * map: what lies where, every byte of it classified.
 *
 * The walk gives pieces that tile each arena; they are painted into cells of
 * one size, and a cell shows the class that has most of its bytes.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/control.h"
#include "server/server.h"
#include "shm/stats.h"

#define CELLS_DEFAULT 1024u
#define CELLS_MAX     65536u

enum piece_class {
	CLASS_METADATA,
	CLASS_OWNED,
	CLASS_SHARED,
	CLASS_CACHED,
	CLASS_PENDING,
	CLASS_FAST,
	CLASS_FREE,
	CLASS_TOP,
	CLASS_TAIL,
	CLASS_EXTENT,
	CLASS_EXTENT_FREE,
	CLASS_UNUSED,
	CLASSES,
};

static const struct {
	char symbol;
	const char *name;
} classes[CLASSES] = {
	[CLASS_METADATA] = { '%', "metadata" },
	[CLASS_OWNED] = { '#', "owned" },
	[CLASS_SHARED] = { '@', "shared" },
	[CLASS_CACHED] = { 'c', "cached" },
	[CLASS_PENDING] = { 'p', "pending" },
	[CLASS_FAST] = { 'f', "fastbin" },
	[CLASS_FREE] = { '.', "free" },
	[CLASS_TOP] = { '-', "top" },
	[CLASS_TAIL] = { '|', "tail" },
	[CLASS_EXTENT] = { 'X', "used extent" },
	[CLASS_EXTENT_FREE] = { 'x', "free extent" },
	[CLASS_UNUSED] = { '_', "unused" },
};

/* One arena's row; the last is what no arena has, the one before metadata. */
struct row {
	uint64_t bytes;
	uint64_t in_cell[CLASSES]; /* of the cell that is being painted */
	uint64_t cell_done;        /* bytes of it */
	char *cells;
	size_t n_cells, room;
	bool is_full;
};

struct painting {
	uint64_t cell_bytes;
	uint64_t totals[CLASSES];
	struct row *rows; /* SHM_ARENAS + 2 */
	size_t n_cells, max_cells;
	bool has_failed;
};

#define ROW_UNUSED   SHM_ARENAS
#define ROW_METADATA (SHM_ARENAS + 1)
#define ROWS         (SHM_ARENAS + 2)

static enum piece_class
chunk_class(const struct shm_piece *piece)
{
	switch (piece->state) {
	case SHM_FREE:
		return piece->is_top ? CLASS_TOP : CLASS_FREE;
	case SHM_FAST:
		return CLASS_FAST;
	case SHM_CACHED:
		return CLASS_CACHED;
	case SHM_REMOTE:
	case SHM_UNLINKED:
	case SHM_RETIRED:
		return CLASS_PENDING;
	case SHM_TAKING:
	case SHM_SHARED:
		return CLASS_SHARED;
	default:
		return CLASS_OWNED;
	}
}

static enum piece_class
class_of(const struct shm_piece *piece)
{
	if (piece->kind == SHM_PIECE_TAIL)
		return CLASS_TAIL;
	if (piece->kind == SHM_PIECE_UNUSED)
		return CLASS_UNUSED;
	enum piece_class class = chunk_class(piece);
	if (piece->kind == SHM_PIECE_CHUNK)
		return class;
	if (class == CLASS_FREE || class == CLASS_TOP)
		return CLASS_EXTENT_FREE;
	return class == CLASS_OWNED || class == CLASS_SHARED ? CLASS_EXTENT
							     : class;
}

/* ---- Painting ------------------------------------------------------------ */

static bool
row_has_room(struct row *row)
{
	if (row->n_cells < row->room)
		return true;
	size_t room = row->room == 0 ? 64 : row->room * 2;
	char *cells = realloc(row->cells, room + 1);
	if (cells == NULL)
		return false;
	row->cells = cells;
	row->room = room;
	return true;
}

static void
cell_end(struct painting *painting, struct row *row)
{
	int best = 0;
	if (painting->n_cells >= painting->max_cells || !row_has_room(row)) {
		painting->has_failed = true;
		return;
	}
	for (int i = 1; i < CLASSES; i++)
		if (row->in_cell[i] > row->in_cell[best])
			best = i;
	row->cells[row->n_cells++] = classes[best].symbol;
	row->cells[row->n_cells] = '\0';
	painting->n_cells++;
	row->cell_done = 0;
	memset(row->in_cell, 0, sizeof row->in_cell);
}

static void
bytes_paint(struct painting *painting, struct row *row, enum piece_class class,
    uint64_t len)
{
	painting->totals[class] += len;
	row->bytes += len;
	while (len > 0 && !painting->has_failed) {
		uint64_t room = painting->cell_bytes - row->cell_done;
		uint64_t part = len < room ? len : room;
		row->in_cell[class] += part;
		row->cell_done += part;
		len -= part;
		if (row->cell_done == painting->cell_bytes)
			cell_end(painting, row);
	}
}

static void
on_piece(void *arg, const struct shm_piece *piece)
{
	struct painting *painting = arg;
	size_t row =
	    piece->kind == SHM_PIECE_UNUSED ? ROW_UNUSED : piece->arena;
	if (row < ROWS)
		bytes_paint(painting, &painting->rows[row], class_of(piece),
		    piece->len);
}

static void
painting_reset(struct painting *painting)
{
	for (size_t i = 0; i < ROWS; i++)
		free(painting->rows[i].cells);
	memset(painting->rows, 0, ROWS * sizeof(*painting->rows));
	memset(painting->totals, 0, sizeof painting->totals);
	painting->n_cells = 0;
	painting->has_failed = false;
}

/* Bytes that are drawn, by the quick statistics. */
static int
size_read(struct call *call, int32_t arena, uint64_t *ret_size,
    uint64_t *ret_metadata)
{
	struct shm_stats stats;
	int error = shm_stats_read(&call->segment->seg, false, &stats);
	if (error != 0)
		return call_fail(call, error, NULL,
		    "the segment's statistics cannot be read");
	*ret_size = stats.bytes.size;
	*ret_metadata = stats.bytes.metadata;
	if (arena >= 0 && (uint32_t)arena >= stats.n_arenas)
		error = call_fail(call, SHM_ERANGE, NULL,
		    "there is no arena %" PRId32 "; the last is %" PRIu32,
		    arena, stats.n_arenas - 1);
	else if (arena >= 0)
		*ret_size = stats.arenas[arena].bytes.size;
	shm_stats_release(&stats);
	return error;
}

/* The walk, again with larger cells when the segment grew meanwhile. */
static int
heap_paint(struct call *call, int32_t arena, struct painting *painting)
{
	unsigned tries = 0;
	int error;
	for (;;) {
		painting_reset(painting);
		error =
		    shm_walk(&call->segment->seg, arena, on_piece, painting);
		if (error == SHM_ERETRY) {
			if (!call_try_again(&tries))
				break;
		} else if (error == 0 && painting->has_failed) {
			painting->cell_bytes *= 2;
		} else {
			break;
		}
	}
	if (call_walk_was_busy(call, error))
		return SHM_EBUSY;
	if (error != 0)
		return call_fail(call, error, NULL,
		    "the segment is damaged; run shmallocctl check");
	return 0;
}

/* ---- The answer ---------------------------------------------------------- */

static void
row_put(struct call *call, struct painting *painting, size_t i, Proto__Map *map)
{
	struct row *row = &painting->rows[i];
	if (row->bytes == 0)
		return;
	if (row->cell_done > 0)
		cell_end(painting, row);
	Proto__MapArena *arena = pool_alloc(call->pool, sizeof *arena);
	proto__map_arena__init(arena);
	if (i < SHM_ARENAS)
		CALL_PUT(arena, id, (uint32_t)i);
	CALL_PUT(arena, size_bytes, row->bytes);
	arena->cells =
	    pool_strdup(call->pool, row->cells != NULL ? row->cells : "");
	map->arenas[map->n_arenas++] = arena;
}

static void
legend_put(struct call *call, const struct painting *painting, Proto__Map *map)
{
	map->legend = pool_array(call->pool, CLASSES, sizeof(*map->legend));
	for (int i = 0; i < CLASSES; i++) {
		Proto__MapClass *class = pool_alloc(call->pool, sizeof *class);
		proto__map_class__init(class);
		class->symbol =
		    pool_printf(call->pool, "%c", classes[i].symbol);
		class->name = pool_strdup(call->pool, classes[i].name);
		CALL_PUT(class, bytes, painting->totals[i]);
		map->legend[map->n_legend++] = class;
	}
}

static void
map_put(struct call *call, struct painting *painting)
{
	Proto__Map *map = pool_alloc(call->pool, sizeof *map);
	proto__map__init(map);
	map->schema = pool_strdup(call->pool, "shmalloc.map/1");
	CALL_PUT(map, time, server_time());
	CALL_PUT(map, cell_bytes, painting->cell_bytes);
	map->arenas = pool_array(call->pool, ROWS, sizeof(*map->arenas));
	/* The last, partial cell of each row is above the cells asked for. */
	painting->max_cells += ROWS;
	row_put(call, painting, ROW_METADATA, map);
	for (size_t i = 0; i <= ROW_UNUSED; i++)
		row_put(call, painting, i, map);
	legend_put(call, painting, map);
	call->work = map;
}

/* The smallest power of two, of a page or more, of which CELLS cover SIZE. */
static uint64_t
cell_size(uint64_t size, uint32_t cells)
{
	uint64_t bytes = SHM_PAGE;
	while (bytes < SHM_REGION * UINT64_C(1048576) && size / bytes >= cells)
		bytes *= 2;
	return bytes;
}

/* Metadata is not walked: it is what lies below the heap. */
static int
segment_paint(struct call *call, int32_t arena, struct painting *painting)
{
	uint64_t size, metadata;
	int error = size_read(call, arena, &size, &metadata);
	if (error != 0)
		return error;
	painting->cell_bytes = cell_size(size, (uint32_t)painting->max_cells);
	error = heap_paint(call, arena, painting);
	if (error != 0)
		return error;
	uint64_t tails = painting->totals[CLASS_TAIL];
	if (arena < 0 && metadata > tails)
		bytes_paint(painting, &painting->rows[ROW_METADATA],
		    CLASS_METADATA, metadata - tails);
	return 0;
}

int
verb_map_work(struct call *call)
{
	const Proto__MapRequest *request = call->request->map;
	uint32_t cells = request->cells == 0 ? CELLS_DEFAULT : request->cells;
	if (cells > CELLS_MAX)
		return call_fail(call, SHM_ERANGE, NULL,
		    "%" PRIu32 " cells are more than %u", cells, CELLS_MAX);
	if (request->has_arena && request->arena > INT32_MAX)
		return call_fail(call, SHM_ERANGE, NULL, "no such arena");
	struct painting painting = { .max_cells = cells,
		.rows = calloc(ROWS, sizeof(struct row)) };
	if (painting.rows == NULL)
		return call_fail(call, SHM_ENOMEM, NULL, "out of memory");
	int error = segment_paint(
	    call, request->has_arena ? (int32_t)request->arena : -1, &painting);
	if (error == 0)
		map_put(call, &painting);
	painting_reset(&painting);
	free(painting.rows);
	return error;
}

/* All of it was drawn. */
int
verb_map(struct call *call)
{
	call->reply->map = call->work;
	call->reply->body_case = PROTO__REPLY__BODY_MAP;
	return 0;
}
