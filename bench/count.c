/*
 * Allocate and free SIZE bytes (64), PAIRS times, and nothing else: for tools
 * that count instructions (bench/fastpath, tests/golden).
 *
 *	count shmalloc|glibc PAIRS [SIZE]
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include <shmalloc/shmalloc.h>

static void
shmalloc_pairs(unsigned long n, size_t size)
{
	struct shmalloc *heap;
	int error = shmalloc_attach(NULL, NULL, &heap);

	if (error != 0)
		errx(1, "attach: %s", shmalloc_strerror(error));
	for (unsigned long i = 0; i < n; i++) {
		shmalloc_off off = shmalloc_alloc(heap, size);

		if (off == 0)
			err(1, "alloc");
		shmalloc_free(heap, off);
	}
	shmalloc_detach(heap);
}

static void
glibc_pairs(unsigned long n, size_t size)
{
	for (unsigned long i = 0; i < n; i++) {
		void *volatile at = malloc(size);

		if (at == NULL)
			err(1, "malloc");
		free(at);
	}
}

int
main(int argc, char *argv[])
{
	size_t size = argc > 3 ? strtoul(argv[3], NULL, 10) : 64;

	if (argc < 3 || argc > 4)
		errx(2, "usage: count shmalloc|glibc PAIRS [SIZE]");
	if (strcmp(argv[1], "glibc") == 0)
		glibc_pairs(strtoul(argv[2], NULL, 10), size);
	else
		shmalloc_pairs(strtoul(argv[2], NULL, 10), size);
	return 0;
}
