#include "tests/stress/table.h"

#include <err.h>

#include "tests/stress/pattern.h"

#define TABLE_ROOT "stress.table"

static void
must(const char *what, int error)
{
	if (error != 0)
		errx(1, "%s: %s", what, shmalloc_strerror(error));
}

struct shmalloc *
table_attach(const char *label)
{
	struct shmalloc_options options = SHMALLOC_OPTIONS_INIT;
	struct shmalloc *heap;

	options.label = label;
	/* There may be no daemon at the moment, and hardly any time for it. */
	options.attach_timeout_ms = 60000;
	must("attach", shmalloc_attach(NULL, &options, &heap));
	return heap;
}

static shmalloc_slot *
table_root(struct shmalloc *heap)
{
	shmalloc_slot *root;

	must("the root", shmalloc_root(heap, TABLE_ROOT, &root));
	return root;
}

void
table_create(void)
{
	struct shmalloc *heap = table_attach("stress: create");
	shmalloc_off off = shmalloc_zalloc(heap, 1, sizeof(struct table));

	if (off == 0)
		err(1, "the table");
	must("the table", shmalloc_publish(heap, table_root(heap), 0, off));
	shmalloc_detach(heap);
}

struct table *
table_open(struct shmalloc *heap)
{
	struct table *table =
	    shmalloc_ptr(heap, shmalloc_slot_load(table_root(heap)));

	if (table == NULL)
		errx(1, "there is no table");
	return table;
}

/* Take what hangs from SLOT out; 1 if its contents were wrong, else 0. */
static uint64_t
slot_clear(struct shmalloc *heap, shmalloc_slot *slot)
{
	shmalloc_off off = shmalloc_slot_load(slot);
	uint64_t is_wrong;

	if (off == 0)
		return 0;
	must("withdraw", shmalloc_publish(heap, slot, off, 0));
	is_wrong = pattern_check(shmalloc_ptr(heap, off),
		       shmalloc_usable_size(heap, off)) == 0;
	must("retire", shmalloc_retire(heap, off));
	return is_wrong;
}

uint64_t
table_destroy(void)
{
	struct shmalloc *heap = table_attach("stress: destroy");
	struct table *table = table_open(heap);
	shmalloc_off off = shmalloc_offset(heap, table);
	uint64_t n_wrong = 0;

	for (unsigned i = 0; i < TABLE_SLOTS; i++)
		n_wrong += slot_clear(heap, &table->slot[i]);
	must("the table", shmalloc_publish(heap, table_root(heap), off, 0));
	must("the table", shmalloc_retire(heap, off));
	must("the root", shmalloc_root_remove(heap, TABLE_ROOT));
	shmalloc_detach(heap);
	return n_wrong;
}
