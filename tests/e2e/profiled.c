/*
 * A client for tests of the heap profile: two ways lead to one allocation.
 * Reads commands as holder.c does: "orders N SIZE" and "sessions N SIZE"
 * allocate N objects of SIZE bytes, "sell" frees the orders, "publish" gives
 * the sessions to the segment.
 */
#include "tests/e2e/client.h"

#define NOINLINE __attribute__((noinline))
#define OBJECTS  400000

struct objects {
	shmalloc_off off[OBJECTS];
	size_t n;
};

static struct shmalloc *heap;
static struct objects orders, sessions;

/* Not the last thing that it does: a call in that place leaves no frame. */
NOINLINE shmalloc_off
object_make(size_t size)
{
	shmalloc_off off = shmalloc_alloc(heap, size);

	CHECK(off != 0);
	return off;
}

NOINLINE void
orders_load(size_t n, size_t size)
{
	for (size_t i = 0; i < n && orders.n < OBJECTS; i++)
		orders.off[orders.n++] = object_make(size);
}

NOINLINE void
sessions_load(size_t n, size_t size)
{
	for (size_t i = 0; i < n && sessions.n < OBJECTS; i++)
		sessions.off[sessions.n++] = object_make(size);
}

static void
orders_sell(void)
{
	shmalloc_free_batch(heap, orders.n, orders.off);
	orders.n = 0;
}

static void
sessions_publish(void)
{
	for (size_t i = 0; i < sessions.n; i++)
		CHECK_EQ(shmalloc_share(heap, sessions.off[i]), 0);
}

static void
command_run(const char *line)
{
	size_t n, size;

	if (sscanf(line, "orders %zu %zu", &n, &size) == 2)
		orders_load(n, size);
	else if (sscanf(line, "sessions %zu %zu", &n, &size) == 2)
		sessions_load(n, size);
	else if (strcmp(line, "sell\n") == 0)
		orders_sell();
	else if (strcmp(line, "publish\n") == 0)
		sessions_publish();
	else
		CHECK(!"a command");
	printf("done\n");
	fflush(stdout);
}

int
main(void)
{
	char line[128];

	CHECK_EQ(shmalloc_attach(NULL, NULL, &heap), 0);
	printf("ready %d\n", (int)getpid());
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		command_run(line);
	shmalloc_detach(heap);
	return 0;
}
