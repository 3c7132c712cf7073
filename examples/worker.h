/*
 * One of the demo's worker processes: looks records up, most of them in the
 * shared cache, and now and then replaces or withdraws one.
 */
#ifndef EXAMPLES_WORKER_H
#define EXAMPLES_WORKER_H

#include <shmalloc/shmalloc.h>

#include "examples/records.h"

#define WORKER_CACHE_ROOT "demo.cache"

/*
 * Work in HEAP as worker NUMBER (1..BOARD_WORKERS) until SIGTERM.  The exit
 * status: 0 if every comparison of bytes was right.
 */
int worker_run(
    struct shmalloc *heap, const struct records *records, unsigned number);

#endif
