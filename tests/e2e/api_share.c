/*
 * Publishing, sharing, reading and roots, as their header promises, with
 * several processes.  Run by api.bats.
 */
#include "tests/e2e/client.h"

#define PROCESSES 8
#define OBJECTS   200

static shmalloc_slot *
root_of(struct shmalloc *heap, const char *name)
{
	shmalloc_slot *slot = NULL;

	CHECK_EQ(shmalloc_root(heap, name, &slot), 0);
	CHECK(slot != NULL);
	return slot;
}

static shmalloc_off
object_make(struct shmalloc *heap, const char *words)
{
	shmalloc_off off = shmalloc_zalloc(heap, 1, 200);

	CHECK(off != 0);
	strcpy(shmalloc_ptr(heap, off), words);
	return off;
}

/* ---- Publishing ---------------------------------------------------------- */

static void
publish(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_slot *slot = root_of(heap, "place");
	shmalloc_off a = object_make(heap, "a"), b = object_make(heap, "b");

	CHECK_EQ(shmalloc_slot_load(slot), 0);
	/* Insert, replace, remove. */
	CHECK_EQ(shmalloc_publish(heap, slot, 0, a), 0);
	CHECK_EQ(shmalloc_slot_load(slot), a);
	CHECK_EQ(shmalloc_publish(heap, slot, a, b), 0);
	CHECK_EQ(shmalloc_slot_load(slot), b);
	CHECK_EQ(shmalloc_retire(heap, a), 0);
	CHECK_EQ(shmalloc_publish(heap, slot, b, 0), 0);
	CHECK_EQ(shmalloc_slot_load(slot), 0);
	CHECK(strcmp(shmalloc_ptr(heap, b), "b") == 0);
	CHECK_EQ(shmalloc_retire(heap, b), 0);
	shmalloc_detach(heap);
	CHECK_EQ(figure("bytes", "in_use_chunks"), 0);
}

static void
publish_changed(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_slot *slot = root_of(heap, "place");
	shmalloc_off a = object_make(heap, "a"), b = object_make(heap, "b");
	shmalloc_off to;

	CHECK_EQ(shmalloc_publish(heap, slot, 0, a), 0);
	CHECK_EQ(shmalloc_publish(heap, slot, 0, b), SHMALLOC_ECHANGED);
	CHECK_EQ(shmalloc_publish(heap, slot, b, 0), SHMALLOC_ECHANGED);
	CHECK_EQ(shmalloc_slot_load(slot), a);
	/* It is still the caller's, who may do with it what he likes. */
	to = shmalloc_realloc(heap, b, 1000);
	CHECK(to != 0);
	CHECK_EQ(shmalloc_publish(heap, slot, a, to), 0);
	CHECK_EQ(shmalloc_publish(heap, slot, a, 0), SHMALLOC_ECHANGED);
	CHECK_EQ(shmalloc_slot_load(slot), to);
	shmalloc_detach(heap);
}

static void
publish_not_owner(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_slot *slot = root_of(heap, "place"), *other;
	shmalloc_off a = object_make(heap, "a"), gone, others;
	int to_parent[2], to_child[2];
	pid_t child;

	other = root_of(heap, "other");
	CHECK_EQ(shmalloc_publish(heap, slot, 0, a), 0);
	/* It hangs from a slot. */
	CHECK_EQ(shmalloc_publish(heap, other, 0, a), SHMALLOC_ENOTOWNER);
	CHECK_EQ(shmalloc_share(heap, a), SHMALLOC_ENOTOWNER);
	CHECK_EQ(shmalloc_retire(heap, a), SHMALLOC_ENOTOWNER);
	/* It was taken out, and readers may still see it. */
	CHECK_EQ(shmalloc_publish(heap, slot, a, 0), 0);
	CHECK_EQ(shmalloc_publish(heap, other, 0, a), SHMALLOC_ENOTOWNER);
	CHECK_EQ(shmalloc_retire(heap, a), 0);
	CHECK_EQ(shmalloc_retire(heap, a), SHMALLOC_ENOTOWNER);
	/* It is free. */
	gone = object_make(heap, "gone");
	shmalloc_free(heap, gone);
	CHECK(shmalloc_publish(heap, other, 0, gone) < 0);
	CHECK_EQ(shmalloc_slot_load(other), 0);
	/* It is another process's. */
	CHECK(pipe(to_parent) == 0 && pipe(to_child) == 0);
	child = fork();
	if (child == 0) {
		pipe_tell(to_parent, object_make(heap, "theirs"));
		(void)pipe_hear(to_child);
		_exit(0);
	}
	others = pipe_hear(to_parent);
	CHECK_EQ(shmalloc_publish(heap, other, 0, others), SHMALLOC_ENOTOWNER);
	CHECK_EQ(shmalloc_share(heap, others), SHMALLOC_ENOTOWNER);
	CHECK_EQ(shmalloc_retire(heap, others), SHMALLOC_ENOTOWNER);
	CHECK(strcmp(shmalloc_ptr(heap, others), "theirs") == 0);
	pipe_tell(to_child, 0);
	child_join(child);
	shmalloc_detach(heap);
}

static void
publish_nonsense(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_slot *slot = root_of(heap, "place"), local = 0;
	shmalloc_off a = object_make(heap, "a"), b = object_make(heap, "b");
	char *inside = shmalloc_ptr(heap, b);

	CHECK_EQ(shmalloc_publish(heap, &local, 0, a), SHMALLOC_EINVAL);
	CHECK_EQ(local, 0);
	CHECK_EQ(shmalloc_publish(heap, NULL, 0, a), SHMALLOC_EINVAL);
	CHECK_EQ(
	    shmalloc_publish(heap, (shmalloc_slot *)(void *)(inside + 4), 0, a),
	    SHMALLOC_EINVAL);
	CHECK_EQ(shmalloc_publish(heap, slot, 0, 0), SHMALLOC_EINVAL);
	CHECK_EQ(shmalloc_publish(heap, slot, a, a), SHMALLOC_ECHANGED);
	CHECK(shmalloc_publish(heap, slot, 0, a + 8) < 0);
	CHECK(shmalloc_publish(heap, slot, 0, UINT64_MAX - 15) < 0);
	CHECK_EQ(shmalloc_slot_load(slot), 0);
	/* What was only stored there was never published. */
	shmalloc_slot_store(slot, a);
	CHECK_EQ(shmalloc_publish(heap, slot, a, b), SHMALLOC_EINVAL);
	CHECK_EQ(shmalloc_publish(heap, slot, a, a), SHMALLOC_EINVAL);
	CHECK_EQ(shmalloc_slot_load(slot), a);
	shmalloc_slot_store(slot, 0);
	CHECK_EQ(shmalloc_publish(heap, slot, 0, b), 0);
	shmalloc_detach(heap);
}

/* A published object outlives who made it; what it had not published doesn't.
 */
static void
publish_outlives(void)
{
	struct shmalloc *heap;
	shmalloc_slot *slot;
	shmalloc_off off;
	pid_t child = fork();

	if (child == 0) {
		heap = heap_attach(NULL, 0);
		slot = root_of(heap, "legacy");
		(void)object_make(heap, "lost");
		CHECK_EQ(
		    shmalloc_publish(heap, slot, 0, object_make(heap, "kept")),
		    0);
		_exit(0);
	}
	child_join(child);
	figure_wait("clients", "reclaimed_total", 1);
	CHECK_EQ(figure("bytes", "cached"), 0);
	heap = heap_attach(NULL, 0);
	slot = root_of(heap, "legacy");
	off = shmalloc_slot_load(slot);
	CHECK(off != 0);
	CHECK(strcmp(shmalloc_ptr(heap, off), "kept") == 0);
	CHECK_EQ(figure("bytes", "allocated"), shmalloc_usable_size(heap, off));
	CHECK_EQ(shmalloc_publish(heap, slot, off, 0), 0);
	/* A free of what was taken out is a retire. */
	shmalloc_free(heap, off);
	shmalloc_detach(heap);
	figure_wait("bytes", "allocated", 0);
}

/* ---- Sharing ------------------------------------------------------------- */

static void
share(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off = object_make(heap, "shared"), extent;

	CHECK_EQ(shmalloc_adopt(heap, off), SHMALLOC_ENOTOWNER);
	CHECK_EQ(shmalloc_share(heap, off), 0);
	CHECK_EQ(shmalloc_share(heap, off), SHMALLOC_ENOTOWNER);
	CHECK(shmalloc_share(heap, 0) < 0);
	CHECK(shmalloc_share(heap, off + 8) < 0);
	CHECK(shmalloc_adopt(heap, 0) < 0);
	CHECK_EQ(shmalloc_adopt(heap, off), 0);
	CHECK(strcmp(shmalloc_ptr(heap, off), "shared") == 0);
	shmalloc_free(heap, off);
	extent = shmalloc_alloc(heap, 600000);
	CHECK_EQ(shmalloc_share(heap, extent), 0);
	shmalloc_detach(heap);
	/* It belongs to the segment now, and whoever frees it frees it. */
	CHECK(figure("bytes", "allocated") >= 600000);
	heap = heap_attach(NULL, 0);
	shmalloc_free(heap, extent);
	CHECK_EQ(figure("bytes", "allocated"), 0);
	shmalloc_detach(heap);
}

/* Adopt all that is named in LIST; tell how many. */
static void
adopter_run(const int gate[2], const int end[2], const int ends[2],
    const shmalloc_off list[])
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	uint64_t won = 0;

	(void)pipe_hear(gate);
	for (size_t i = 0; i < OBJECTS; i++) {
		int r = shmalloc_adopt(heap, list[i]);

		CHECK(r == 0 || r == SHMALLOC_ENOTOWNER);
		won += r == 0;
	}
	pipe_tell(ends, won);
	(void)pipe_hear(end);
	shmalloc_detach(heap);
	_exit(0);
}

static void
adopt_one_wins(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off list[OBJECTS];
	pid_t child[PROCESSES];
	int gate[2], end[2], ends[2];
	uint64_t won = 0;

	CHECK(pipe(gate) == 0 && pipe(end) == 0 && pipe(ends) == 0);
	for (size_t i = 0; i < OBJECTS; i++) {
		list[i] = object_make(heap, "prize");
		CHECK_EQ(shmalloc_share(heap, list[i]), 0);
	}
	for (int i = 0; i < PROCESSES; i++)
		if ((child[i] = fork()) == 0)
			adopter_run(gate, end, ends, list);
	for (int i = 0; i < PROCESSES; i++)
		pipe_tell(gate, 0);
	for (int i = 0; i < PROCESSES; i++)
		won += pipe_hear(ends);
	CHECK_EQ(won, OBJECTS);
	for (int i = 0; i < PROCESSES; i++)
		pipe_tell(end, 0);
	for (int i = 0; i < PROCESSES; i++)
		child_join(child[i]);
	/* The winners have detached, so all is free. */
	shmalloc_detach(heap);
	figure_wait("bytes", "allocated", 0);
}

/* ---- Reading ------------------------------------------------------------- */

static void
enter_nests(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);

	CHECK_EQ(shmalloc_exit(heap), SHMALLOC_EINVAL);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(shmalloc_enter(heap), 0);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(shmalloc_exit(heap), 0);
	CHECK_EQ(shmalloc_exit(heap), SHMALLOC_EINVAL);
	shmalloc_detach(heap);
}

/* A reader: each word heard is a step, each word told says it is done. */
static pid_t
reader_start(const int to[2], const int from[2], uint32_t flags)
{
	pid_t child = fork();
	struct shmalloc *heap;
	const char *seen;

	if (child != 0)
		return child;
	heap = heap_attach(NULL, flags);
	(void)pipe_hear(to);
	CHECK_EQ(shmalloc_enter(heap), 0);
	CHECK_EQ(shmalloc_enter(heap), 0);
	seen = shmalloc_ptr(heap, shmalloc_slot_load(root_of(heap, "read")));
	pipe_tell(from, 1);
	(void)pipe_hear(to);
	/* The inner exit changes nothing. */
	CHECK_EQ(shmalloc_exit(heap), 0);
	CHECK(seen == NULL || strcmp(seen, "seen") == 0);
	pipe_tell(from, 2);
	(void)pipe_hear(to);
	CHECK(seen == NULL || strcmp(seen, "seen") == 0);
	CHECK_EQ(shmalloc_exit(heap), 0);
	pipe_tell(from, 3);
	(void)pipe_hear(to);
	shmalloc_detach(heap);
	_exit(0);
}

static void
reader_step(const int to[2], const int from[2])
{
	pipe_tell(to, 0);
	(void)pipe_hear(from);
}

/* An allocation that has to look after what waits for readers. */
static void
reap(struct shmalloc *heap)
{
	for (int i = 0; i < 50; i++)
		shmalloc_free(heap, shmalloc_alloc(heap, 300000));
}

static void
retire_waits_with(uint32_t flags)
{
	int to[2][2], from[2][2];
	pid_t child[2];
	struct shmalloc *heap;
	shmalloc_slot *slot;
	shmalloc_off off;

	for (int i = 0; i < 2; i++) {
		CHECK(pipe(to[i]) == 0 && pipe(from[i]) == 0);
		child[i] = reader_start(to[i], from[i], flags);
	}
	heap = heap_attach(NULL, 0);
	slot = root_of(heap, "read");
	off = object_make(heap, "seen");
	CHECK_EQ(shmalloc_publish(heap, slot, 0, off), 0);
	reader_step(to[0], from[0]);
	CHECK_EQ(shmalloc_publish(heap, slot, off, 0), 0);
	CHECK_EQ(shmalloc_retire(heap, off), 0);
	reap(heap);
	CHECK(figure("bytes", "pending") >= 200);
	/* One that comes later sees it no more, and does not delay it. */
	reader_step(to[1], from[1]);
	reader_step(to[0], from[0]);
	reap(heap);
	CHECK(figure("bytes", "pending") >= 200);
	reader_step(to[0], from[0]);
	reap(heap);
	CHECK_EQ(figure("bytes", "pending"), 0);
	reader_step(to[1], from[1]);
	reader_step(to[1], from[1]);
	for (int i = 0; i < 2; i++) {
		pipe_tell(to[i], 0);
		child_join(child[i]);
	}
	shmalloc_detach(heap);
}

static void
retire_waits(void)
{
	retire_waits_with(0);
}

static void
retire_waits_for_read_only(void)
{
	retire_waits_with(SHMALLOC_READ_ONLY);
}

static void
retire_own(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off = object_make(heap, "mine");

	CHECK_EQ(shmalloc_retire(heap, off), 0);
	reap(heap);
	CHECK_EQ(shmalloc_usable_size(heap, off), 0);
	CHECK(shmalloc_retire(heap, 0) < 0);
	CHECK(shmalloc_retire(heap, UINT64_MAX - 15) < 0);
	CHECK_EQ(figure("bytes", "pending"), 0);
	shmalloc_detach(heap);
}

/* ---- Roots --------------------------------------------------------------- */

static void
root_racer_run(const int gate[2], const int ends[2])
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	char name[32];

	(void)pipe_hear(gate);
	for (int i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "root %d", i);
		pipe_tell(ends,
		    (uint64_t)i << 48 |
			shmalloc_offset(heap, (void *)root_of(heap, name)));
	}
	shmalloc_detach(heap);
	_exit(0);
}

static void
roots_made_once(void)
{
	uint64_t place[50] = { 0 };
	pid_t child[PROCESSES];
	int gate[2], ends[2];

	CHECK(pipe(gate) == 0 && pipe(ends) == 0);
	for (int i = 0; i < PROCESSES; i++)
		if ((child[i] = fork()) == 0)
			root_racer_run(gate, ends);
	for (int i = 0; i < PROCESSES; i++)
		pipe_tell(gate, 0);
	for (int i = 0; i < PROCESSES * 50; i++) {
		uint64_t heard = pipe_hear(ends), at = heard << 16 >> 16;

		CHECK(at != 0);
		if (place[heard >> 48] != 0)
			CHECK_EQ(at, place[heard >> 48]);
		place[heard >> 48] = at;
	}
	for (int i = 0; i < PROCESSES; i++)
		child_join(child[i]);
	for (int i = 0; i < 50; i++)
		for (int k = 0; k < i; k++)
			CHECK(place[i] != place[k]);
}

static void
root_names(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	char name[65] = "", other[65] = "";
	shmalloc_slot *slot = NULL;

	memset(name, 'n', 63);
	memset(other, 'n', 62);
	CHECK_EQ(shmalloc_root(heap, name, &slot), 0);
	CHECK(slot != root_of(heap, other));
	CHECK(slot == root_of(heap, name));
	name[63] = 'n';
	slot = NULL;
	CHECK_EQ(shmalloc_root(heap, name, &slot), SHMALLOC_EINVAL);
	CHECK_EQ(shmalloc_root(heap, "", &slot), SHMALLOC_EINVAL);
	CHECK_EQ(shmalloc_root(heap, NULL, &slot), SHMALLOC_EINVAL);
	CHECK(slot == NULL);
	CHECK_EQ(shmalloc_root_remove(heap, name), SHMALLOC_EINVAL);
	CHECK_EQ(shmalloc_root_remove(heap, ""), SHMALLOC_EINVAL);
	shmalloc_detach(heap);
}

static void
root_limit(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_slot *slot = NULL;
	char name[16];

	for (int i = 0; i < 1024; i++) {
		snprintf(name, sizeof(name), "%d", i);
		(void)root_of(heap, name);
	}
	CHECK_EQ(shmalloc_root(heap, "one more", &slot), SHMALLOC_EBUSY);
	CHECK(slot == NULL);
	(void)root_of(heap, "1023");
	CHECK_EQ(shmalloc_root_remove(heap, "500"), 0);
	CHECK_EQ(shmalloc_slot_load(root_of(heap, "one more")), 0);
	CHECK_EQ(shmalloc_root(heap, "500", &slot), SHMALLOC_EBUSY);
	shmalloc_detach(heap);
}

static void
root_remove(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_slot *slot = root_of(heap, "root");
	shmalloc_off off = object_make(heap, "held");

	CHECK_EQ(shmalloc_root_remove(heap, "none"), SHMALLOC_EUNKNOWN);
	CHECK_EQ(shmalloc_publish(heap, slot, 0, off), 0);
	CHECK_EQ(shmalloc_root_remove(heap, "root"), SHMALLOC_EBUSY);
	CHECK_EQ(shmalloc_slot_load(slot), off);
	CHECK_EQ(shmalloc_publish(heap, slot, off, 0), 0);
	CHECK_EQ(shmalloc_root_remove(heap, "root"), 0);
	CHECK_EQ(shmalloc_root_remove(heap, "root"), SHMALLOC_EUNKNOWN);
	CHECK_EQ(shmalloc_slot_load(root_of(heap, "root")), 0);
	shmalloc_detach(heap);
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "publish", publish },
		{ "publish_changed", publish_changed },
		{ "publish_not_owner", publish_not_owner },
		{ "publish_nonsense", publish_nonsense },
		{ "publish_outlives", publish_outlives },
		{ "share", share },
		{ "adopt_one_wins", adopt_one_wins },
		{ "enter_nests", enter_nests },
		{ "retire_waits", retire_waits },
		{ "retire_waits_for_read_only", retire_waits_for_read_only },
		{ "retire_own", retire_own },
		{ "roots_made_once", roots_made_once },
		{ "root_names", root_names },
		{ "root_limit", root_limit },
		{ "root_remove", root_remove },
	};

	return test_run(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
