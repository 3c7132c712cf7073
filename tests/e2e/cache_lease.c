/*
 * cache_lease CACHE KEY: take the lease for KEY, say "held", and keep it until
 * the end of standard input.
 */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include <shmalloc/cache.h>

int
main(int argc, char *argv[])
{
	struct shmalloc *heap;
	struct shmalloc_cache *cache;
	struct shmalloc_cache_view view;
	struct shmalloc_cache_lease lease;
	struct shmalloc_cache_patience patience = { .lease_ms = 600000 };
	struct shmalloc_bytes key;

	if (argc != 3)
		errx(2, "usage: cache_lease CACHE KEY");
	key = (struct shmalloc_bytes){ argv[2], strlen(argv[2]) };
	if (shmalloc_attach(NULL, NULL, &heap) != 0 ||
	    shmalloc_cache_open(heap, argv[1], NULL, &cache) != 0)
		errx(1, "no cache");
	if (shmalloc_cache_take(cache, key, &patience, &view, &lease) != 1)
		errx(1, "no lease");
	puts("held");
	fflush(stdout);
	while (getchar() != EOF)
		continue;
	return 0;
}
