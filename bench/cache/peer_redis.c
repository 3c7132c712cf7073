/* Redis over its unix socket, by hiredis. */
#include "bench/cache/cache.h"

extern const struct peer peer_redis;

#ifdef HAVE_HIREDIS
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

static char path[108];
static redisContext *client;

static void
peer_attach(void)
{
	client = redisConnectUnix(path);
	if (client == NULL || client->err != 0)
		peer_fail("%s", client == NULL ? path : client->errstr);
}

/* It evicts what was used least recently, by its own sampling. */
static const char *
peer_open(uint64_t bytes)
{
	char limit[24];
	char *const argv[] = { (char[]){ "redis-server" }, (char[]){ "--port" },
		(char[]){ "0" }, (char[]){ "--unixsocket" }, path,
		(char[]){ "--save" }, (char[]){ "" },
		(char[]){ "--appendonly" }, (char[]){ "no" },
		(char[]){ "--maxmemory-policy" }, (char[]){ "allkeys-lru" },
		(char[]){ "--maxmemory" }, limit, (char[]){ "--dir" },
		(char *)(uintptr_t)server_folder, NULL };

	snprintf(path, sizeof(path), "%s/redis", server_folder);
	snprintf(limit, sizeof(limit), "%zu", (size_t)bytes);
	return server_start(argv, path);
}

static void
get_send(const struct entry *request)
{
	const char *part[] = { "GET", request->key };
	const size_t len[] = { 3, request->key_len };

	redisAppendCommandArgv(client, 2, part, len);
}

static void
set_send(const struct entry *entry)
{
	char ttl[16];
	size_t ttl_len = (size_t)snprintf(ttl, sizeof(ttl), "%u", entry->ttl_s);
	const char *part[] = { "SET", entry->key, entry->value, "EX", ttl };
	const size_t len[] = { 3, entry->key_len, entry->value_len, 2,
		ttl_len };

	redisAppendCommandArgv(client, entry->ttl_s == 0 ? 3 : 5, part, len);
}

static redisReply *
reply_take(void)
{
	redisReply *reply;

	if (redisGetReply(client, (void **)&reply) != REDIS_OK)
		peer_fail("%s", client->errstr);
	if (reply->type == REDIS_REPLY_ERROR)
		peer_fail("%s", reply->str);
	return reply;
}

static int64_t
peer_get(const struct entry *request, char *buffer)
{
	redisReply *reply;
	int64_t len = -1;

	get_send(request);
	reply = reply_take();
	if (reply->type == REDIS_REPLY_STRING) {
		memcpy(buffer, reply->str, reply->len);
		len = (int64_t)reply->len;
	}
	freeReplyObject(reply);
	return len;
}

static void
peer_set(const struct entry *entry)
{
	set_send(entry);
	freeReplyObject(reply_take());
}

static void
peer_get_many(unsigned n, const struct entry request[], int64_t ret_len[])
{
	for (unsigned i = 0; i < n; i++)
		get_send(&request[i]);
	for (unsigned i = 0; i < n; i++) {
		redisReply *reply = reply_take();

		ret_len[i] = -1;
		if (reply->type == REDIS_REPLY_STRING) {
			ret_len[i] = (int64_t)reply->len;
			if (!entry_is_right(
				&request[i], reply->str, ret_len[i]))
				peer_fail("wrong content");
		}
		freeReplyObject(reply);
	}
}

static void
peer_set_many(unsigned n, const struct entry entry[])
{
	for (unsigned i = 0; i < n; i++)
		set_send(&entry[i]);
	for (unsigned i = 0; i < n; i++)
		freeReplyObject(reply_take());
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
	return "built without libhiredis-dev";
}
#endif

const struct peer peer_redis = {
	.name = "redis",
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
