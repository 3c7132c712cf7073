/*
 * Allocating, as its header promises: sizes, alignment, contents, and what a
 * failure says.  Run by api.bats.
 */
#include "tests/e2e/client.h"

#define MANY 1000

/* A byte that differs with OFF and with the place I in the object. */
static unsigned char
pattern(shmalloc_off off, size_t i)
{
	return (unsigned char)((off >> 4) * 31 + i * 7);
}

static void
object_fill(struct shmalloc *heap, shmalloc_off off, size_t len)
{
	unsigned char *p = shmalloc_ptr(heap, off);

	for (size_t i = 0; i < len; i++)
		p[i] = pattern(off, i);
}

/* Do the LEN bytes at OFF hold what was written when the object was at WAS? */
static bool
object_holds(
    struct shmalloc *heap, shmalloc_off off, size_t len, shmalloc_off was)
{
	const unsigned char *p = shmalloc_ptr(heap, off);

	for (size_t i = 0; i < len; i++)
		if (p[i] != pattern(was, i))
			return false;
	return true;
}

static shmalloc_off
object_make(struct shmalloc *heap, size_t size)
{
	shmalloc_off off = shmalloc_alloc(heap, size);

	CHECK(off != 0);
	CHECK_EQ(off % 16, 0);
	CHECK(shmalloc_usable_size(heap, off) >= size);
	object_fill(heap, off, shmalloc_usable_size(heap, off));
	return off;
}

/* ---- Tests --------------------------------------------------------------- */

static void
sizes(void)
{
	static shmalloc_off made[4096];
	struct shmalloc *heap = heap_attach(NULL, 0);
	size_t n = 0;

	for (size_t size = 0; size < 2048; size++)
		made[n++] = object_make(heap, size);
	for (size_t size = 2048; size <= (4u << 20); size *= 2) {
		made[n++] = object_make(heap, size - 1);
		made[n++] = object_make(heap, size);
		made[n++] = object_make(heap, size + 1);
	}
	for (size_t i = 0; i < n; i++)
		CHECK(object_holds(heap, made[i],
		    shmalloc_usable_size(heap, made[i]), made[i]));
	shmalloc_free_batch(heap, n, made);
	shmalloc_detach(heap);
}

static void
offsets(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off = object_make(heap, 100);
	int local;

	CHECK(shmalloc_ptr(heap, 0) == NULL);
	CHECK_EQ(shmalloc_offset(heap, shmalloc_ptr(heap, off)), off);
	CHECK_EQ(shmalloc_offset(heap, &local), 0);
	CHECK_EQ(shmalloc_offset(heap, NULL), 0);
	CHECK_EQ(shmalloc_usable_size(heap, 0), 0);
	CHECK_EQ(shmalloc_usable_size(heap, off + 8), 0);
	CHECK_EQ(shmalloc_usable_size(heap, UINT64_MAX), 0);
	shmalloc_free(heap, off);
	CHECK_EQ(shmalloc_usable_size(heap, off), 0);
	shmalloc_detach(heap);
}

static void
zeros_check(struct shmalloc *heap, size_t n, size_t size)
{
	static const char zeros[4096];
	shmalloc_off off = shmalloc_zalloc(heap, n, size);
	const char *p = shmalloc_ptr(heap, off);

	CHECK(off != 0);
	for (size_t i = 0; i < n * size; i += sizeof(zeros)) {
		size_t left = n * size - i;

		CHECK(memcmp(p + i, zeros,
			  left < sizeof(zeros) ? left : sizeof(zeros)) == 0);
	}
}

static void
zeros(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off made[MANY];

	for (size_t size = 16; size <= (1u << 16); size *= 4) {
		for (size_t i = 0; i < 100; i++)
			made[i] = object_make(heap, size);
		shmalloc_free_batch(heap, 100, made);
		for (size_t i = 0; i < 100; i++)
			zeros_check(heap, size / 8, 8);
	}
	shmalloc_free(heap, object_make(heap, 1u << 20));
	zeros_check(heap, 1, 1u << 20);
	zeros_check(heap, 0, 5);
	zeros_check(heap, 5, 0);
	shmalloc_detach(heap);
}

/* The last allocation in HEAP failed because SIZE bytes are too large. */
static void
failure_is_too_large(struct shmalloc *heap, shmalloc_off off, size_t size)
{
	int error = errno;
	const struct shmalloc_failure *failure = shmalloc_last_failure(heap);

	CHECK_EQ(off, 0);
	CHECK_EQ(error, ENOMEM);
	CHECK(strcmp(failure->reason, "too_large") == 0);
	CHECK_EQ(failure->asked, size);
	CHECK(failure->largest_free <= failure->free);
	errno = 0;
}

static void
too_large(void)
{
	static const size_t size[] = { SIZE_MAX, SIZE_MAX - 7, SIZE_MAX - 8,
		SIZE_MAX - 15, SIZE_MAX - 4095, SIZE_MAX / 2 + 1,
		(size_t)1 << 47, (size_t)1 << 40 };
	struct shmalloc *heap = heap_attach(NULL, 0);
	uint64_t before = figure("failures", "too_large");
	shmalloc_off off = object_make(heap, 100), batch[4];
	size_t n = sizeof(size) / sizeof(size[0]);

	CHECK(strcmp(shmalloc_last_failure(heap)->reason, "none") == 0);
	for (size_t i = 0; i < n; i++) {
		failure_is_too_large(
		    heap, shmalloc_alloc(heap, size[i]), size[i]);
		failure_is_too_large(
		    heap, shmalloc_zalloc(heap, 1, size[i]), size[i]);
		failure_is_too_large(
		    heap, shmalloc_aligned_alloc(heap, 64, size[i]), size[i]);
		failure_is_too_large(
		    heap, shmalloc_aligned_alloc(heap, 4096, size[i]), size[i]);
		failure_is_too_large(
		    heap, shmalloc_realloc(heap, off, size[i]), size[i]);
		failure_is_too_large(heap,
		    shmalloc_alloc_batch(heap, size[i], 4, batch), size[i]);
	}
	CHECK(object_holds(heap, off, 100, off));
	failure_is_too_large(
	    heap, shmalloc_zalloc(heap, SIZE_MAX / 2, 3), SIZE_MAX);
	failure_is_too_large(heap,
	    shmalloc_zalloc(heap, (size_t)1 << 32, (size_t)1 << 32), SIZE_MAX);
	CHECK_EQ(figure("failures", "too_large") - before, 6 * n + 2);
	shmalloc_detach(heap);
}

static void
alignments(void)
{
	static const size_t bad[] = { 0, 3, 24, 48, 4095, 4097, 8192,
		(size_t)1 << 63, SIZE_MAX };
	static const size_t size[] = { 0, 1, 100, 1000, 5000, 40000, 130000,
		131072, 300000, 1048576 };
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off made[13][10];

	for (size_t a = 0; a < 13; a++)
		for (size_t i = 0; i < 10; i++) {
			shmalloc_off off = shmalloc_aligned_alloc(
			    heap, (size_t)1 << a, size[i]);

			CHECK(off != 0);
			CHECK_EQ(off % ((size_t)1 << a), 0);
			CHECK_EQ((uintptr_t)shmalloc_ptr(heap, off) %
				((size_t)1 << a),
			    0);
			CHECK(shmalloc_usable_size(heap, off) >= size[i]);
			object_fill(heap, off, size[i]);
			made[a][i] = off;
		}
	for (size_t a = 0; a < 13; a++)
		for (size_t i = 0; i < 10; i++) {
			CHECK(object_holds(
			    heap, made[a][i], size[i], made[a][i]));
			shmalloc_free(heap, made[a][i]);
		}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		errno = 0;
		CHECK_EQ(shmalloc_aligned_alloc(heap, bad[i], 100), 0);
		CHECK_EQ(errno, EINVAL);
	}
	shmalloc_detach(heap);
}

static void
realloc_contents(void)
{
	static const size_t size[] = { 10, 100, 1000, 20, 40000, 70000, 200000,
		0, 300000, 3000000, 500000, 16, 130000, 1 };
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off = shmalloc_realloc(heap, 0, 5), to;
	size_t had = 5;

	CHECK(off != 0);
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		size_t least = had < size[i] ? had : size[i];

		object_fill(heap, off, had);
		to = shmalloc_realloc(heap, off, size[i]);
		CHECK(to != 0);
		CHECK(shmalloc_usable_size(heap, to) >= size[i]);
		CHECK(object_holds(heap, to, least, off));
		off = to;
		had = size[i];
	}
	shmalloc_free(heap, off);
	shmalloc_detach(heap);
}

/* Sizes that no thread cache holds, so that neighbours are neighbours. */
static void
realloc_in_place(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off a = object_make(heap, 40000), b, c, to;

	b = object_make(heap, 40000);
	c = object_make(heap, 40000);
	CHECK(a < b && b < c);
	/* Into the free space that the neighbour leaves. */
	shmalloc_free(heap, b);
	CHECK_EQ(shmalloc_realloc(heap, a, 60000), a);
	CHECK(object_holds(heap, a, 40000, a));
	/* Smaller is where it is, and the rest can be had again. */
	CHECK_EQ(shmalloc_realloc(heap, a, 35000), a);
	CHECK(shmalloc_usable_size(heap, a) < 36000);
	b = object_make(heap, 40000);
	CHECK(a < b && b < c);
	/* Between two neighbours it has to move. */
	object_fill(heap, a, 35000);
	to = shmalloc_realloc(heap, a, 100000);
	CHECK(to != 0 && to != a);
	CHECK(object_holds(heap, to, 35000, a));
	CHECK_EQ(shmalloc_usable_size(heap, a), 0);
	shmalloc_detach(heap);
}

/* OFF can't be resized, and is as it was. */
static void
realloc_refused(struct shmalloc *heap, shmalloc_off off, int error)
{
	size_t usable = shmalloc_usable_size(heap, off);

	errno = 0;
	CHECK_EQ(shmalloc_realloc(heap, off, 5000), 0);
	CHECK_EQ(errno, error);
	CHECK_EQ(shmalloc_usable_size(heap, off), usable);
}

static void
realloc_errors(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off = object_make(heap, 100), shared, others;
	int to_parent[2], to_child[2];
	pid_t child;

	CHECK(pipe(to_parent) == 0 && pipe(to_child) == 0);
	child = fork();
	if (child == 0) {
		pipe_tell(to_parent, shmalloc_alloc(heap, 100));
		(void)pipe_hear(to_child);
		_exit(0);
	}
	others = pipe_hear(to_parent);
	CHECK(others != 0);
	realloc_refused(heap, others, EPERM);
	shared = object_make(heap, 100);
	CHECK_EQ(shmalloc_share(heap, shared), 0);
	realloc_refused(heap, shared, EPERM);
	memset(shmalloc_ptr(heap, off), 0, 100);
	realloc_refused(heap, off + 8, EINVAL);
	realloc_refused(heap, off + 16, EINVAL);
	realloc_refused(heap, 64, EINVAL);
	realloc_refused(heap, (shmalloc_off)1 << 60, EINVAL);
	realloc_refused(heap, UINT64_MAX, EINVAL);
	shmalloc_free(heap, off);
	realloc_refused(heap, off, EINVAL);
	shmalloc_free(heap, shared);
	pipe_tell(to_child, 0);
	child_join(child);
	shmalloc_detach(heap);
}

static void
batch(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off[MANY];
	size_t got;

	CHECK_EQ(shmalloc_alloc_batch(heap, 100, MANY, off), MANY);
	for (size_t i = 0; i < MANY; i++)
		object_fill(heap, off[i], 100);
	for (size_t i = 0; i < MANY; i++)
		CHECK(object_holds(heap, off[i], 100, off[i]));
	shmalloc_free_batch(heap, MANY, off);
	CHECK_EQ(shmalloc_alloc_batch(heap, 100, 0, off), 0);
	shmalloc_free_batch(heap, 0, NULL);
	/* More than there is. */
	errno = 0;
	got = shmalloc_alloc_batch(heap, 1u << 20, MANY, off);
	CHECK(got > 0 && got < MANY);
	CHECK_EQ(errno, ENOMEM);
	for (size_t i = 0; i < got; i++)
		CHECK(shmalloc_usable_size(heap, off[i]) >= 1u << 20);
	shmalloc_free_batch(heap, got, off);
	shmalloc_detach(heap);
}

/* Nothing that a client leaves unpublished stays after it has detached. */
static void
detach(void)
{
	uint64_t bytes = figure("bytes", "allocated");
	struct shmalloc *heap;

	for (int round = 0; round < 3; round++) {
		heap = heap_attach(NULL, 0);
		for (size_t size = 0; size < 3000; size++)
			(void)object_make(heap, size);
		for (int i = 0; i < 8; i++)
			(void)object_make(heap, 500000);
		CHECK(figure("bytes", "allocated") > bytes + 8000000);
		shmalloc_detach(heap);
		figure_wait("bytes", "allocated", bytes);
	}
	CHECK_EQ(figure("bytes", "cached"), 0);
	shmalloc_detach(NULL);
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "sizes", sizes },
		{ "offsets", offsets },
		{ "zeros", zeros },
		{ "too_large", too_large },
		{ "alignments", alignments },
		{ "realloc_contents", realloc_contents },
		{ "realloc_in_place", realloc_in_place },
		{ "realloc_errors", realloc_errors },
		{ "batch", batch },
		{ "detach", detach },
	};

	return test_run(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
