/*
 * Frees that make no sense, and segments that are full.  Run by misuse.bats.
 */
#include "tests/e2e/client.h"

/* How often this process has freed what it must not. */
static uint64_t
misuses(void)
{
	struct shmalloc_control *control;
	struct shmalloc_reply *reply;
	uint64_t n = 0;

	CHECK_EQ(shmalloc_control_connect(NULL, 0, &control), 0);
	CHECK_EQ(
	    shmalloc_control_clients(control, NULL, (uint32_t)getpid(), &reply),
	    0);
	CHECK_EQ(shmalloc_control_uint(
		     shmalloc_control_item(
			 shmalloc_control_root(reply), "clients", 0),
		     "misuses", &n),
	    0);
	shmalloc_control_free(reply);
	shmalloc_control_disconnect(control);
	return n;
}

/* Freeing OFF is found, and changes nothing. */
static void
free_refused(struct shmalloc *heap, shmalloc_off off)
{
	uint64_t before = misuses(), bytes = figure("bytes", "allocated");

	errno = 12345;
	shmalloc_free(heap, off);
	CHECK_EQ(errno, 12345);
	CHECK_EQ(misuses(), before + 1);
	CHECK_EQ(figure("bytes", "allocated"), bytes);
}

static void
free_twice(void)
{
	static const size_t size[] = { 1, 100, 3000, 40000, 500000 };
	struct shmalloc *heap = heap_attach(NULL, 0);

	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		shmalloc_off off = shmalloc_alloc(heap, size[i]);

		CHECK(off != 0);
		shmalloc_free(heap, off);
		free_refused(heap, off);
	}
	shmalloc_detach(heap);
}

static void
free_nonsense(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off = shmalloc_zalloc(heap, 1, 1000);
	shmalloc_off extent = shmalloc_zalloc(heap, 1, 500000);
	uint64_t before = misuses();

	CHECK(off != 0 && extent != 0);
	shmalloc_free(heap, 0);
	CHECK_EQ(misuses(), before);
	/* Misaligned. */
	free_refused(heap, off + 1);
	free_refused(heap, off + 8);
	free_refused(heap, extent + 1);
	/* Inside the segment's own tables. */
	free_refused(heap, 16);
	free_refused(heap, 4096);
	free_refused(heap, 65536);
	/* Past the end of what is committed, of the segment, of all. */
	free_refused(heap, (shmalloc_off)1 << 35);
	free_refused(heap, (shmalloc_off)1 << 60);
	free_refused(heap, UINT64_MAX - 15);
	free_refused(heap, UINT64_MAX);
	/* In the middle of an object that is full of zeros. */
	free_refused(heap, off + 160);
	free_refused(heap, extent + 4096);
	free_refused(heap, extent + 4096 + 16);
	CHECK(shmalloc_usable_size(heap, off) >= 1000);
	CHECK(shmalloc_usable_size(heap, extent) >= 500000);
	shmalloc_free(heap, off);
	shmalloc_free(heap, extent);
	CHECK_EQ(figure("bytes", "allocated"), 0);
	shmalloc_detach(heap);
}

/* A payload with heads like a real one everywhere: of the check bits' 256
 * values one fits at each place.  With check.level 2. */
static void
free_forged(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off = shmalloc_zalloc(heap, 1, 4000);
	uint32_t head[2], *at;
	uint64_t before;

	CHECK(off != 0);
	memcpy(head, (char *)shmalloc_ptr(heap, off) - 8, sizeof(head));
	head[0] = (head[0] & 15) | 64;
	before = misuses();
	for (uint32_t check = 0; check < 256; check++) {
		at = shmalloc_ptr(heap, off + 1600 - 8);
		at[0] = head[0];
		at[1] = (head[1] & ~UINT32_C(255)) | check;
		shmalloc_free(heap, off + 1600);
	}
	CHECK_EQ(misuses(), before + 256);
	shmalloc_free(heap, off);
	CHECK_EQ(misuses(), before + 256);
	CHECK_EQ(figure("bytes", "allocated"), 0);
	shmalloc_detach(heap);
}

/* Free twice, and say so if it went on. */
static void
goes_on(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off = shmalloc_alloc(heap, 100);

	shmalloc_free(heap, off);
	shmalloc_free(heap, off);
	puts("went on");
	shmalloc_detach(heap);
}

/* A header that the object before it ran over is found, told, and counted. */
static void
overflow(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off[64];
	uint64_t before;

	for (int i = 0; i < 64; i++)
		off[i] = shmalloc_alloc(heap, 104);
	for (int i = 0; i < 64; i++)
		memset(shmalloc_ptr(heap, off[i]), 'x', 104);
	/* The usable bytes end where the next header begins. */
	for (int i = 0; i < 63; i++) {
		CHECK_EQ(shmalloc_usable_size(heap, off[i]), 104);
		if (off[i + 1] != off[i] + 112)
			continue;
		memset((char *)shmalloc_ptr(heap, off[i]) + 104, 0xff, 8);
		/* The exact statistics would find the damage first. */
		before = misuses();
		shmalloc_free(heap, off[i + 1]);
		CHECK_EQ(misuses(), before + 1);
		puts("overflow found");
		return;
	}
	CHECK(!"two objects are neighbours");
}

static bool
is_filled(
    struct shmalloc *heap, shmalloc_off off, size_t from, size_t size, int byte)
{
	const unsigned char *p = shmalloc_ptr(heap, off);

	for (size_t i = from; i < size; i++)
		if (p[i] != byte)
			return false;
	return true;
}

/* With fill.alloc=165 and fill.free=90. */
static void
filled(void)
{
	static const size_t size[] = { 16, 24, 1000, 20000, 60000, 400000 };
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off, more;
	size_t usable;

	/* The first call takes the tunables over. */
	shmalloc_free(heap, shmalloc_alloc(heap, 8));
	for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
		off = shmalloc_alloc(heap, size[i]);
		usable = shmalloc_usable_size(heap, off);
		CHECK(usable >= size[i]);
		CHECK(is_filled(heap, off, 0, usable, 165));
		memset(shmalloc_ptr(heap, off), 1, usable);
		more = shmalloc_realloc(heap, off, size[i] * 2);
		CHECK(is_filled(heap, more, 0, size[i], 1));
		CHECK(is_filled(
		    heap, more, usable, shmalloc_usable_size(heap, more), 165));
		shmalloc_free(heap, more);
		/* Behind the links that a free object has. */
		if (size[i] <= 60000)
			CHECK(is_filled(heap, more, 24, size[i], 90) ||
			    size[i] > 32768);
		off = shmalloc_zalloc(heap, 1, size[i]);
		CHECK(is_filled(heap, off, 0, size[i], 0));
		shmalloc_free(heap, off);
	}
	off = shmalloc_aligned_alloc(heap, 256, 1000);
	CHECK(is_filled(heap, off, 0, 1000, 165));
	shmalloc_free(heap, off);
	shmalloc_detach(heap);
}

/* With both at 0 again: nothing is touched. */
static void
unfilled(void)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	shmalloc_off off = shmalloc_alloc(heap, 500), again;

	memset(shmalloc_ptr(heap, off), 7, 500);
	shmalloc_free(heap, off);
	again = shmalloc_alloc(heap, 500);
	CHECK_EQ(again, off);
	CHECK(is_filled(heap, again, 24, 500, 7));
	shmalloc_free(heap, again);
	shmalloc_detach(heap);
}

/* ---- Full ---------------------------------------------------------------- */

/* Allocate SIZE bytes until there are no more, and tell why; again after all
 * was freed, when it is as many. */
static const char *
fill(struct shmalloc *heap, size_t size, size_t *ret_n)
{
	static shmalloc_off made[1u << 20];
	const char *reason;
	size_t n = 0;

	for (;;) {
		errno = 0;
		made[n] = shmalloc_alloc(heap, size);
		if (made[n] == 0)
			break;
		memset(shmalloc_ptr(heap, made[n++]), 0x5a, size);
	}
	CHECK_EQ(errno, ENOMEM);
	reason = shmalloc_last_failure(heap)->reason;
	CHECK_EQ(shmalloc_last_failure(heap)->asked, size);
	/* One that goes makes room for one. */
	shmalloc_free(heap, made[n - 1]);
	made[n - 1] = shmalloc_alloc(heap, size);
	CHECK(made[n - 1] != 0);
	shmalloc_free_batch(heap, n, made);
	*ret_n = n;
	return reason;
}

static void
full_with(size_t size)
{
	struct shmalloc *heap = heap_attach(NULL, 0);
	const char *reason;
	size_t n, again;

	/* What the regions' ends leave may be more than SIZE, in pieces. */
	reason = fill(heap, size, &n);
	CHECK(strcmp(reason, "full") == 0 || strcmp(reason, "fragmented") == 0);
	CHECK(n * size > 40u << 20);
	CHECK(figure("failures", reason) >= 1);
	reason = fill(heap, size, &again);
	CHECK(strcmp(reason, "full") == 0 || strcmp(reason, "fragmented") == 0);
	CHECK(again * 10 >= n * 9);
	shmalloc_detach(heap);
}

static void
full_small(void)
{
	full_with(1000);
}

static void
full_medium(void)
{
	full_with(60000);
}

static void
full_pages(void)
{
	full_with(300000);
}

/* Half of it is free, in pieces that are all too small and in which no whole
 * page lies that could be given back for another. */
static void
fragmented(void)
{
	static shmalloc_off made[1u << 16];
	struct shmalloc *heap = heap_attach(NULL, 0);
	size_t n = 0;

	while ((made[n] = shmalloc_alloc(heap, 3000)) != 0)
		n++;
	for (size_t i = 0; i < n; i += 2)
		shmalloc_free(heap, made[i]);
	errno = 0;
	CHECK_EQ(shmalloc_alloc(heap, 100000), 0);
	CHECK_EQ(errno, ENOMEM);
	CHECK(strcmp(shmalloc_last_failure(heap)->reason, "fragmented") == 0);
	CHECK(shmalloc_last_failure(heap)->free > 10u << 20);
	CHECK(shmalloc_last_failure(heap)->largest_free < 100000);
	CHECK(figure("failures", "fragmented") >= 1);
	for (size_t i = 1; i < n; i += 2)
		shmalloc_free(heap, made[i]);
	CHECK(shmalloc_alloc(heap, 100000) != 0);
	shmalloc_detach(heap);
}

/* ---- No daemon, or none that speaks -------------------------------------- */

/* Attach, and print the error. */
static void
attach(void)
{
	struct shmalloc_options options = SHMALLOC_OPTIONS_INIT;
	struct shmalloc *heap = NULL;
	int r;

	options.attach_timeout_ms = 1000;
	r = shmalloc_attach(NULL, &options, &heap);
	CHECK((r == 0) == (heap != NULL));
	printf("%d %s\n", r, r ? shmalloc_strerror(r) : "attached");
	shmalloc_detach(heap);
}

int
main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "free_twice", free_twice },
		{ "free_nonsense", free_nonsense },
		{ "free_forged", free_forged },
		{ "goes_on", goes_on },
		{ "overflow", overflow },
		{ "filled", filled },
		{ "unfilled", unfilled },
		{ "full_small", full_small },
		{ "full_medium", full_medium },
		{ "full_pages", full_pages },
		{ "fragmented", fragmented },
		{ "attach", attach },
	};

	return test_run(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
