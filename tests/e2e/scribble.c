/*
 * A client that writes over its segment, by the layout and by chance.
 *
 *	scribble SEGMENT WHAT SEED N
 *
 * WHAT is `all` (anything), `index` (what a repair makes again, of arena 0:
 * bins, maps, counters), or `heads` (sizes of chunks).  Writes N words, prints
 * "done" and the seed, and with N 0 goes on until it is killed.
 */
#include <shmalloc/shmalloc.h>

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shm/layout.h"

#define OBJECTS 500
#define BURST   64

static char *base;
static struct shm_super super; /* as it was */
static shmalloc_off object[OBJECTS];
static uint64_t seed;

/* splitmix64 */
static uint64_t
any(void)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t
word_any(void)
{
	uint64_t o = object[any() % OBJECTS];

	switch (any() % 8) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return o;
	case 3:
		return o - SHM_CHUNK_HEAD;
	case 4:
		return UINT64_C(1) << any() % 64;
	case 5: /* a region's entry */
		return any() % 6 | any() % 4 << 8 | any() % 8 << 24;
	case 6:
		return any() % 4096;
	default:
		return any();
	}
}

/* A place in the first LEN bytes of a table. */
static char *
table_any(const struct shm_table *table, uint64_t len)
{
	return base + table->off + any() % len / 8 * 8;
}

static char *
place_any(void)
{
	const struct {
		const struct shm_table *table;
		uint64_t len;
	} tables[] = {
		{ &super.tunables, sizeof(struct shm_tunables) },
		{ &super.arenas, 4 * sizeof(struct shm_arena) },
		{ &super.roots, 4 * sizeof(struct shm_root) },
		{ &super.clients, 6 * sizeof(struct shm_client) },
		{ &super.client_bits, 4096 },
		{ &super.threads, 6 * sizeof(struct shm_thread) },
		{ &super.committed, 2048 },
		{ &super.regions, 256 },
		{ &super.pages, 65536 },
	};
	uint64_t i = any() % 12;

	if (i < 9)
		return table_any(tables[i].table, tables[i].len);
	if (i == 9)
		return base + any() % sizeof(super) / 8 * 8;
	/* A head, or what is behind it. */
	return base + object[any() % OBJECTS] - 8 + any() % 6 * 8;
}

static char *
index_any(void)
{
	const uint64_t from = offsetof(struct shm_arena, top);

	return base + super.arenas.off + from +
	    any() % (sizeof(struct shm_arena) - from) / 8 * 8;
}

static void
word_write(const char *what)
{
	char *p;

	if (strcmp(what, "heads") == 0)
		atomic_store((_Atomic uint32_t *)(void *)(base +
				 object[any() % OBJECTS] - 8),
		    (uint32_t)word_any());
	else {
		p = strcmp(what, "index") == 0 ? index_any() : place_any();
		atomic_store((_Atomic uint64_t *)(void *)p, word_any());
	}
}

int
main(int argc, char **argv)
{
	const struct timespec pause = { 0, 200000 };
	struct shmalloc *heap;
	uint64_t n;

	if (argc != 5 || shmalloc_attach(argv[1], NULL, &heap) != 0)
		return 2;
	seed = strtoull(argv[3], NULL, 0);
	n = strtoull(argv[4], NULL, 0);
	for (int i = 0; i < OBJECTS; i++)
		object[i] = shmalloc_alloc(heap, 8 + any() % 3000);
	for (int i = 0; i < OBJECTS; i += 3)
		shmalloc_free(heap, object[i]);
	base = (char *)shmalloc_ptr(heap, object[1]) - object[1];
	memcpy(&super, base, sizeof(super));
	printf("seed %s\n", argv[3]);
	(void)fflush(stdout);
	for (uint64_t i = 0; n == 0 || i < n; i++) {
		word_write(argv[2]);
		if (i % BURST == 0)
			(void)nanosleep(&pause, NULL);
	}
	printf("done\n");
	(void)fflush(stdout);
	/* To be killed: the library would trip over what was written. */
	for (;;)
		(void)sleep(1000);
}
