/*
 * The benchmark: heaps x workloads x workers, measured by interleaved
 * repetitions.
 *
 * A HEAP is an adapter to one allocator, in a file of its own; a WORKLOAD is
 * what its workers do, in a file of its own; bench/list.c lists both.  A CELL
 * is one measurement of one heap with one workload and P workers: a fresh
 * process which sets the heap up, starts the workers (processes if the heap is
 * shared, else threads), lets them warm up, and times them.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_WORKERS_MAX 64u

/* ---- Heaps ----------------------------------------------------------------
 */

/* What a worker calls.  An object is base + its reference. */
struct bench_ops {
	char *base;
	void *heap; /* the first argument of the others */
	uint64_t (*alloc)(void *heap, size_t size); /* 0: no memory */
	void (*free)(void *heap, uint64_t ref);
};

struct bench_heap {
	const char *name;
	bool is_shared;   /* other processes can use its memory, too */
	bool is_threaded; /* though shared, it serves one process at a time */
	/*
	 * In the cell's process, before its workers: NULL, or why this heap
	 * can't be measured here.
	 */
	const char *(*open)(void);
	/* In each worker; false: it can't work, with a message. */
	bool (*attach)(struct bench_ops *ret_ops);
	void (*detach)(struct bench_ops *ops); /* may be NULL */
	/*
	 * REF is to outlive the worker that allocated it; NULL: it does.  HEAP
	 * is the worker's ops.heap.
	 */
	void (*give)(void *heap, uint64_t ref);
	void (*close)(void); /* may be NULL */
	/*
	 * Bytes of its memory; NULL: what the process's anonymous memory grew
	 * by, or what its memory files hold if it is shared.
	 */
	uint64_t (*resident)(void);
};

/* Its workers are processes, not threads. */
static inline bool
bench_forks(const struct bench_heap *heap)
{
	return heap->is_shared && !heap->is_threaded;
}

extern const struct bench_heap *const bench_heaps[]; /* NULL ends it */

/* It is the one that a shmallocd serves. */
bool bench_is_ours(const struct bench_heap *heap);

/* ---- Workloads ------------------------------------------------------------
 */

/* What the workers of a cell share, zero at first. */
struct bench_shared;

struct bench_worker {
	struct bench_ops ops;
	unsigned number, workers;
	uint64_t random;
	struct bench_shared *shared;
	void *state;         /* the workload's own */
	uint64_t live_bytes; /* that it asked for and holds, if it counts */
	struct bench_peak *peak;
};

/* The most that there was; see bench_peak(). */
struct bench_peak {
	_Atomic uint64_t now[BENCH_WORKERS_MAX]; /* each worker's live bytes */
	_Atomic uint64_t live_bytes;             /* of all together */
	_Atomic uint64_t resident_bytes;
};

struct bench_workload {
	const char *name;
	unsigned workers_least; /* and a multiple of that */
	bool is_wall; /* ns is wall time, not core time, for each pair */
	bool measures_memory; /* as it is at the end, or at bench_peak() */
	/*
	 * Each begin, round and end runs in a process (or a thread) of its own,
	 * the successor of the one before.
	 */
	bool is_succession;
	/*
	 * Once, before all cells: NULL, or why it can't be measured.  May be
	 * NULL.
	 */
	const char *(*prepare)(void);
	/* Allocate the worker's state (bench_map) and what it holds first. */
	void (*begin)(struct bench_worker *worker);
	/* Do some thousand pairs or so; how many. */
	uint64_t (*round)(struct bench_worker *worker);
	/* Free all that it holds. */
	void (*end)(struct bench_worker *worker);
};

extern const struct bench_workload *const bench_workloads[]; /* NULL ends it */

#define BENCH_RING 1024u

/* A ring of references from one worker to another. */
struct bench_ring {
	_Alignas(128) _Atomic uint64_t head; /* written by the consumer */
	_Alignas(128) _Atomic uint64_t tail; /* written by the producer */
	_Alignas(128) _Atomic uint64_t ref[BENCH_RING];
};

/* A bounded list of references. */
struct bench_list {
	_Alignas(128) _Atomic uint32_t lock;
	uint32_t n;
	uint64_t ref[128];
};

/* References that any worker may swap for its own. */
#define BENCH_SLOTS 1000u

struct bench_shared {
	struct bench_list list;
	_Alignas(128) _Atomic uint64_t slot[BENCH_SLOTS];
	struct bench_ring ring[BENCH_WORKERS_MAX];
};

/* ---- Cells ----------------------------------------------------------------
 */

struct bench_options {
	double seconds; /* timed, in each cell */
	double warm_up; /* seconds before, at least */
	double tails;  /* seconds after, in which single operations are timed */
	double set_up; /* seconds after which a cell is given up */
	uint64_t seed;
};

/* Percentiles: 50, 99, 99.9, 99.99. */
#define BENCH_TAILS 4u

struct bench_result {
	double ns; /* for each pair: see bench/README.md */
	uint64_t pairs;
	double faults;                       /* for each million pairs */
	uint64_t live_bytes, resident_bytes; /* 0: not measured */
	uint64_t samples;         /* single operations that were timed */
	double tail[BENCH_TAILS]; /* ns of single operations; 0: too few */
};

/* NULL, or why the heap can't be measured here; as with bench_cell(). */
const char *bench_probe(const struct bench_heap *heap);

/*
 * Measure one cell.  NULL, or why it can't be measured; the string is valid
 * until the next call.
 */
const char *bench_cell(const struct bench_heap *heap,
    const struct bench_workload *workload, unsigned workers,
    const struct bench_options *options, struct bench_result *ret_result);

/*
 * Run ROUNDS rounds of each worker, by turns in this process, and print what
 * was run as a row: workload, heap, workers, rounds, pairs.  Exits with a
 * message if the heap can't be measured.
 */
void bench_fixed(const struct bench_heap *heap,
    const struct bench_workload *workload, unsigned workers, unsigned rounds,
    const struct bench_options *options);

/* This is such a run: what is done may not depend on the clock. */
extern bool bench_is_fixed;

/* ---- Helpers of adapters and workloads ------------------------------------
 */

/* LEN zero bytes that no heap accounts for; exits with a message. */
void *bench_map(size_t len);

/* Ends the process; its cell fails for want of memory. */
#define BENCH_NO_MEMORY 12
_Noreturn void bench_no_memory(void);

/* Ends the process; its cell fails, as an object lost what was written. */
#define BENCH_WRONG 13
_Noreturn void bench_wrong(void);

/* Bytes of the mapping of LEN bytes at BASE that are in memory. */
uint64_t bench_resident(const void *base, size_t len);

/*
 * Where the memory of WORKER's heap may be at its peak: from now on the cell's
 * figures of memory are the largest that were seen here.
 */
void bench_peak(struct bench_worker *worker);

/* Let the others' bench_peak() know what WORKER holds. */
static inline void
bench_live(struct bench_worker *worker)
{
	atomic_store_explicit(&worker->peak->now[worker->number],
	    worker->live_bytes, memory_order_relaxed);
}

/*
 * WORKER's object REF is to outlive this worker: its successor, or another
 * worker, goes on with it.
 */
void bench_give(struct bench_worker *worker, uint64_t ref);

/* Is NAME in the comma LIST?  NULL holds everything. */
bool bench_list_has(const char *list, const char *name);

/*
 * What libraries read when the process starts; ARGV is main()'s, as it is
 * started once more.  A package that wants a place in the static thread-local
 * block of a process that is running already (jemalloc does) needs some left
 * free; libpmem is to flush as into persistent memory, and not by msync(2).
 */
void bench_environment(char *argv[]);

/*
 * Print what rows were made by, as a comment before them: date, machine, load,
 * and the command NAME with the arguments ARGV.
 */
void bench_about(const char *name, char *argv[]);

/* The folder of production distributions (-d, $SHMALLOC_WORKLOADS) or NULL. */
extern const char *bench_folder;

/* Further arguments of shmalloc's daemon (-D), NULL behind them. */
#define BENCH_DAEMON_ARGUMENTS 32u
extern char *bench_daemon_arguments[BENCH_DAEMON_ARGUMENTS + 1];

/* Allocate and write the first byte. */
static inline uint64_t
bench_alloc(const struct bench_ops *ops, size_t size)
{
	uint64_t ref = ops->alloc(ops->heap, size);

	if (ref == 0)
		bench_no_memory();
	ops->base[ref] = 1;
	return ref;
}

/* Allocate, and write MARK into the first and the last byte. */
static inline uint64_t
bench_alloc_marked(const struct bench_ops *ops, size_t size, uint8_t mark)
{
	uint64_t ref = bench_alloc(ops, size);

	ops->base[ref] = (char)mark;
	ops->base[ref + size - 1] = (char)mark;
	return ref;
}

/* Free what bench_alloc_marked() gave, if it still bears its MARK. */
static inline void
bench_free_marked(
    const struct bench_ops *ops, uint64_t ref, size_t size, uint8_t mark)
{
	if ((uint8_t)ops->base[ref] != mark ||
	    (uint8_t)ops->base[ref + size - 1] != mark)
		bench_wrong();
	ops->free(ops->heap, ref);
}

/* xorshift64* (Vigna). */
static inline uint64_t
bench_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

/* Uniform in 0..N-1, N below 2^32. */
static inline uint64_t
bench_below(uint64_t *state, uint64_t n)
{
	return (bench_random(state) >> 32) * n >> 32;
}

#endif
