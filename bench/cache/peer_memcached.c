/* memcached over its unix socket, by libmemcached. */
#include "bench/cache/cache.h"

extern const struct peer peer_memcached;

#ifdef HAVE_MEMCACHED
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[108];
static memcached_st *single, *many;

static void
result_check(memcached_return_t result, const char *what)
{
	if (result != MEMCACHED_SUCCESS && result != MEMCACHED_BUFFERED)
		peer_fail("%s: %s", what, memcached_strerror(single, result));
}

static memcached_st *
client_make(bool is_quiet)
{
	memcached_st *client = memcached_create(NULL);

	if (client == NULL)
		peer_fail("memcached_create");
	result_check(memcached_behavior_set(
			 client, MEMCACHED_BEHAVIOR_NOREPLY, is_quiet),
	    "behavior");
	result_check(memcached_server_add_unix_socket(client, path), path);
	return client;
}

static void
peer_attach(void)
{
	single = client_make(false);
	many = client_make(true);
}

/* Values of 1 MiB and more, as threads as many as cores; the rest is as it
 * comes. */
static const char *
peer_open(uint64_t bytes)
{
	char limit[24], threads[16];
	char *const argv[] = { (char[]){ "memcached" }, (char[]){ "-s" }, path,
		(char[]){ "-m" }, limit, (char[]){ "-t" }, threads,
		(char[]){ "-I" }, (char[]){ "4m" }, (char[]){ "-u" },
		(char[]){ "root" }, NULL };

	if (bytes == 0)
		bytes = UINT64_C(1) << 30;
	if (bytes < 16u << 20)
		return "its slabs need 16 MiB";
	snprintf(path, sizeof(path), "%s/memcached", server_folder);
	snprintf(limit, sizeof(limit), "%zu", (size_t)(bytes >> 20));
	snprintf(
	    threads, sizeof(threads), "%ld", sysconf(_SC_NPROCESSORS_ONLN));
	return server_start(argv, path);
}

static int64_t
peer_get(const struct entry *request, char *buffer)
{
	memcached_return_t result;
	uint32_t flags;
	size_t len;
	char *value = memcached_get(
	    single, request->key, request->key_len, &len, &flags, &result);

	if (result == MEMCACHED_NOTFOUND)
		return -1;
	result_check(result, "get");
	memcpy(buffer, value, len);
	free(value);
	return (int64_t)len;
}

static void
peer_set(const struct entry *entry)
{
	result_check(memcached_set(single, entry->key, entry->key_len,
			 entry->value, entry->value_len, entry->ttl_s, 0),
	    "set");
}

/* Of the server's answers, which come in order, those that are misses are
 * left out. */
static void
peer_get_many(unsigned n, const struct entry request[], int64_t ret_len[])
{
	const char *key[MANY];
	size_t key_len[MANY];
	memcached_result_st *answer;
	memcached_return_t result;
	unsigned at = 0;

	for (unsigned i = 0; i < n; i++) {
		key[i] = request[i].key;
		key_len[i] = request[i].key_len;
		ret_len[i] = -1;
	}
	result_check(memcached_mget(single, key, key_len, n), "mget");
	while ((answer = memcached_fetch_result(single, NULL, &result))) {
		size_t len = memcached_result_length(answer);

		while (at < n &&
		    (memcached_result_key_length(answer) != key_len[at] ||
			memcmp(memcached_result_key_value(answer), key[at],
			    key_len[at]) != 0))
			at++;
		if (at == n ||
		    !entry_is_right(&request[at],
			memcached_result_value(answer), (int64_t)len))
			peer_fail("wrong content");
		ret_len[at++] = (int64_t)len;
		memcached_result_free(answer);
	}
}

/* No set is answered; but what is asked then is, when they are done. */
static void
peer_set_many(unsigned n, const struct entry entry[])
{
	memcached_return_t result;
	uint32_t flags;
	size_t len;

	if (n == 0)
		return;
	for (unsigned i = 0; i < n; i++)
		result_check(
		    memcached_set(many, entry[i].key, entry[i].key_len,
			entry[i].value, entry[i].value_len, entry[i].ttl_s, 0),
		    "set");
	free(memcached_get(many, entry[n - 1].key, entry[n - 1].key_len, &len,
	    &flags, &result));
	if (result != MEMCACHED_NOTFOUND)
		result_check(result, "get");
}
#else
#define peer_attach   NULL
#define peer_get      NULL
#define peer_set      NULL
#define peer_get_many NULL
#define peer_set_many NULL
static const char *
peer_open(uint64_t bytes)
{
	(void)bytes;
	return "built without libmemcached-dev";
}
#endif

const struct peer peer_memcached = {
	.name = "memcached",
	.is_server = true,
	.expires = true,
	.evicts = true,
	.open = peer_open,
	.close = server_stop,
	.attach = peer_attach,
	.get = peer_get,
	.set = peer_set,
	.get_many = peer_get_many,
	.set_many = peer_set_many,
	.resident = server_resident,
};
