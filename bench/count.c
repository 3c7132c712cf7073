/*
 * Allocate and free 64 bytes, PAIRS times, and nothing else: for a tool that
 * counts instructions (bench/fastpath).
 *
 *	count shmalloc|glibc PAIRS
 */
#include <err.h>
#include <stdlib.h>
#include <string.h>

#include <shmalloc/shmalloc.h>

static void
shmalloc_pairs(unsigned long n)
{
	struct shmalloc *heap;
	int error = shmalloc_attach(NULL, NULL, &heap);

	if (error != 0)
		errx(1, "attach: %s", shmalloc_strerror(error));
	for (unsigned long i = 0; i < n; i++) {
		shmalloc_off off = shmalloc_alloc(heap, 64);

		if (off == 0)
			err(1, "alloc");
		shmalloc_free(heap, off);
	}
	shmalloc_detach(heap);
}

static void
glibc_pairs(unsigned long n)
{
	for (unsigned long i = 0; i < n; i++) {
		void *volatile at = malloc(64);

		if (at == NULL)
			err(1, "malloc");
		free(at);
	}
}

int
main(int argc, char *argv[])
{
	if (argc != 3)
		errx(2, "usage: count shmalloc|glibc PAIRS");
	if (strcmp(argv[1], "glibc") == 0)
		glibc_pairs(strtoul(argv[2], NULL, 10));
	else
		shmalloc_pairs(strtoul(argv[2], NULL, 10));
	return 0;
}
