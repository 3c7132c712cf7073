/*
 * A client that does to a cache what its arguments say, and ends:
 *
 *	cache_scene NAME LIMIT WORD...
 *
 *	fill N LEN	store values of LEN bytes for key:0 to key:N-1
 *	get N		look key:0 to key:N-1 up
 *	take N		the same, as who would compute what isn't there; all are
 *	set KEY VALUE	store a text
 *	odd		store all 256 bytes under a key of odd ones
 *	ttl MS		what is stored from here on ends then
 *	destroy		remove the cache
 *
 * The cache NAME, of at most LIMIT bytes (0: no limit), is made if need be, in
 * the segment $CACHE_SEGMENT, else "default".
 */
#include <shmalloc/cache.h>

#include "tests/e2e/client.h"

static struct shmalloc_cache_terms terms;

static struct shmalloc_bytes
text(const char *s)
{
	return (struct shmalloc_bytes){ s, strlen(s) };
}

static void
fill(struct shmalloc_cache *cache, int n, size_t len)
{
	char key[32], *value = calloc(1, len + 1);
	struct shmalloc_bytes bytes = { value, len };

	CHECK(value != NULL);
	for (int i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "key:%d", i);
		CHECK_EQ(
		    shmalloc_cache_set(cache, text(key), bytes, &terms), 0);
	}
	free(value);
}

static void
look_up(struct shmalloc_cache *cache, int n)
{
	char key[32];

	for (int i = 0; i < n; i++) {
		int error;

		(void)snprintf(key, sizeof(key), "key:%d", i);
		error = shmalloc_cache_get(cache, text(key), NULL, 0, NULL);
		CHECK(error == 0 || error == SHMALLOC_CACHE_EMISS);
	}
}

static void
take(struct shmalloc_cache *cache, int n)
{
	struct shmalloc_cache_lease lease;
	struct shmalloc_cache_view view;
	char key[32];

	for (int i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "key:%d", i);
		CHECK_EQ(
		    shmalloc_cache_take(cache, text(key), NULL, &view, &lease),
		    0);
		shmalloc_cache_release(cache, &view);
	}
}

static void
odd_store(struct shmalloc_cache *cache)
{
	static const char key[] = "a\0b\n\\\xff\xc3\xa4";
	unsigned char all[256];

	for (unsigned i = 0; i < sizeof(all); i++)
		all[i] = (unsigned char)i;
	CHECK_EQ(shmalloc_cache_set(cache,
		     (struct shmalloc_bytes){ key, sizeof(key) - 1 },
		     (struct shmalloc_bytes){ all, sizeof(all) }, &terms),
	    0);
}

/* Do what WORD says, and give the word after its arguments. */
static char **
word_do(struct shmalloc_cache **cache, char **word)
{
	if (strcmp(*word, "fill") == 0) {
		fill(*cache, atoi(word[1]), (size_t)atoi(word[2]));
		return word + 3;
	}
	if (strcmp(*word, "get") == 0) {
		look_up(*cache, atoi(word[1]));
		return word + 2;
	}
	if (strcmp(*word, "take") == 0) {
		take(*cache, atoi(word[1]));
		return word + 2;
	}
	if (strcmp(*word, "set") == 0) {
		CHECK_EQ(shmalloc_cache_set(
			     *cache, text(word[1]), text(word[2]), &terms),
		    0);
		return word + 3;
	}
	if (strcmp(*word, "ttl") == 0) {
		terms.ttl_ms = (uint32_t)atoi(word[1]);
		return word + 2;
	}
	if (strcmp(*word, "destroy") == 0)
		CHECK_EQ(shmalloc_cache_destroy(*cache), 0);
	else if (strcmp(*word, "odd") == 0)
		odd_store(*cache);
	else
		CHECK(0);
	return word + 1;
}

int
main(int argc, char **argv)
{
	struct shmalloc_cache_options options = SHMALLOC_CACHE_OPTIONS_INIT;
	struct shmalloc_cache *cache;
	struct shmalloc *heap;

	CHECK(argc > 2);
	CHECK_EQ(shmalloc_attach(getenv("CACHE_SEGMENT"), NULL, &heap), 0);
	options.bytes = strtoull(argv[2], NULL, 10);
	CHECK_EQ(shmalloc_cache_open(heap, argv[1], &options, &cache), 0);
	for (char **word = argv + 3; *word != NULL;)
		word = word_do(&cache, word);
	shmalloc_cache_close(cache);
	shmalloc_detach(heap);
	return 0;
}
