/*
 * What the demo's processes share beside the cache, both objects of the segment
 * that hang from roots:
 *
 * - the board, on which each worker counts what it does, so that a killed
 *   worker's figures are not lost;
 * - the versions: the newest version of each record.  This plays the database
 *   behind the cache.  A new version is noted there first, then put into the
 *   cache; a worker killed between the two leaves an old entry in the cache,
 *   which the next reader finds too old and replaces.
 */
#ifndef EXAMPLES_BOARD_H
#define EXAMPLES_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <shmalloc/shmalloc.h>

#define BOARD_WORKERS 16u

/* What a worker counts.  The names are shown by `demo watch`. */
enum board_count {
	BOARD_LOOKUPS,       /* look-ups, each with its bytes compared */
	BOARD_HITS,          /* of them, those that the cache answered */
	BOARD_STALE,         /* of them, entries older than the newest */
	BOARD_WRONG,         /* comparisons that failed */
	BOARD_REPLACED,      /* entries replaced by a newer version */
	BOARD_WITHDRAWN,     /* entries withdrawn */
	BOARD_EVICTED,       /* entries evicted to stay within the limit */
	BOARD_READ_REPLACED, /* left its slot while a reader held it: by whom */
	BOARD_READ_WITHDRAWN,
	BOARD_READ_EVICTED,
	BOARD_ANSWERS, /* private copies compared before they were freed */
	BOARD_NO_MEMORY,
	BOARD_COUNTS,
};

/* One worker's counts: written by it alone. */
struct board_row {
	_Alignas(128) _Atomic uint64_t pid;
	_Atomic uint64_t count[BOARD_COUNTS];
};

struct board {
	struct board_row row[BOARD_WORKERS];
};

/* Make both and hang them into their roots; exits with a message. */
void board_create(struct shmalloc *heap, uint64_t n_records);

/* Find them; exits with a message if they aren't there. */
struct board *board_open(
    struct shmalloc *heap, _Atomic uint32_t **ret_versions);

/* Give both back to the segment, roots and all; exits with a message. */
void board_destroy(struct shmalloc *heap);

/* Add N to a count of the caller's row. */
void board_add(struct board_row *row, enum board_count count, uint64_t n);

/* The sum of COUNT over all workers that ever ran. */
uint64_t board_sum(const struct board *board, enum board_count count);

#endif
