/*
 * A fixed run: so many rounds of a workload, its workers by turns in one
 * process, each with an attachment of its own; the same calls each time.  For
 * tools that count instructions (tests/golden), which look at what happens in
 * bench_fixed_rounds().
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>

#include "bench/cell.h"

bool bench_is_fixed;

static void
fixed_attach(struct cell *cell, unsigned i)
{
	if (!cell->heap->attach(&cell->worker[i].worker.ops))
		errx(1, "%s: cannot attach", cell->heap->name);
}

static void
fixed_detach(struct cell *cell, unsigned i)
{
	if (cell->heap->detach != NULL)
		cell->heap->detach(&cell->worker[i].worker.ops);
}

/* Worker I does FN, or a round if that is NULL; the pairs. */
static uint64_t
fixed_step(
    struct cell *cell, unsigned i, void (*fn)(struct bench_worker *worker))
{
	struct bench_worker *worker = &cell->worker[i].worker;
	uint64_t pairs = 0;

	if (cell->workload->is_succession)
		fixed_attach(cell, i);
	if (fn != NULL)
		fn(worker);
	else
		pairs = cell->workload->round(worker);
	if (cell->workload->is_succession)
		fixed_detach(cell, i);
	return pairs;
}

static void
fixed_each(struct cell *cell, void (*fn)(struct bench_worker *worker))
{
	for (unsigned i = 0; i < cell->workers; i++)
		fixed_step(cell, i, fn);
}

/* By this name, as a function of its own, for the tools. */
uint64_t bench_fixed_rounds(struct cell *cell, unsigned rounds);

__attribute__((noinline)) uint64_t
bench_fixed_rounds(struct cell *cell, unsigned rounds)
{
	uint64_t pairs = 0;

	for (unsigned n = 0; n < rounds; n++)
		for (unsigned i = 0; i < cell->workers; i++)
			pairs += fixed_step(cell, i, NULL);
	return pairs;
}

static void
fixed_run(struct cell *cell, unsigned rounds)
{
	const struct bench_workload *workload = cell->workload;

	for (unsigned i = 0; !workload->is_succession && i < cell->workers; i++)
		fixed_attach(cell, i);
	fixed_each(cell, workload->begin);
	for (unsigned i = 0; i < cell->workers; i++)
		fixed_step(cell, i, NULL);
	printf("%s,%s,%u,%u,%" PRIu64 "\n", workload->name, cell->heap->name,
	    cell->workers, rounds, bench_fixed_rounds(cell, rounds));
	fixed_each(cell, workload->end);
	for (unsigned i = 0; !workload->is_succession && i < cell->workers; i++)
		fixed_detach(cell, i);
}

void
bench_fixed(const struct bench_heap *heap,
    const struct bench_workload *workload, unsigned workers, unsigned rounds,
    const struct bench_options *options)
{
	struct cell *cell = cell_make(heap, workload, workers, options);
	const char *why = heap->open == NULL ? NULL : heap->open();

	if (why != NULL)
		errx(1, "%s: %s", heap->name, why);
	bench_is_fixed = true;
	fixed_run(cell, rounds);
	if (heap->close != NULL)
		heap->close();
}
