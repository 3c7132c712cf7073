/*
 * LMDB: a B+ tree in a memory file, many readers, one writer at a time.  It
 * forgets nothing by itself, and nothing is flushed to a disk.
 */
#include "bench/cache/cache.h"

extern const struct peer peer_lmdb;

#ifdef HAVE_LMDB
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_LEN ((size_t)1 << 30)

static char path[108];
static MDB_env *env;
static MDB_dbi table;
static MDB_txn *reader;

static void
result_check(int result, const char *what)
{
	if (result != 0)
		peer_fail("%s: %s", what, mdb_strerror(result));
}

static void
peer_attach(void)
{
	MDB_txn *txn;

	result_check(mdb_env_create(&env), "env");
	result_check(mdb_env_set_mapsize(env, MAP_LEN), "mapsize");
	result_check(mdb_env_open(env, path,
			 MDB_NOSUBDIR | MDB_WRITEMAP | MDB_NOSYNC, 0600),
	    path);
	result_check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
	result_check(mdb_dbi_open(txn, NULL, MDB_CREATE, &table), "open");
	result_check(mdb_txn_commit(txn), "commit");
	result_check(mdb_txn_begin(env, NULL, MDB_RDONLY, &reader), "begin");
	mdb_txn_reset(reader);
}

static void
peer_close(void)
{
	char lock[sizeof(path) + 8];

	snprintf(lock, sizeof(lock), "%s-lock", path);
	unlink(path);
	unlink(lock);
}

static const char *
peer_open(uint64_t bytes)
{
	(void)bytes;
	snprintf(path, sizeof(path), "%s/lmdb", server_folder);
	peer_close();
	return NULL;
}

static MDB_val
key_of(const struct entry *entry)
{
	return (MDB_val){ entry->key_len, (char *)(uintptr_t)entry->key };
}

static int64_t
peer_get(const struct entry *request, char *buffer)
{
	MDB_val key = key_of(request), value;
	int result;

	result_check(mdb_txn_renew(reader), "renew");
	result = mdb_get(reader, table, &key, &value);
	if (result == 0)
		memcpy(buffer, value.mv_data, value.mv_size);
	mdb_txn_reset(reader);
	if (result == MDB_NOTFOUND)
		return -1;
	result_check(result, "get");
	return (int64_t)value.mv_size;
}

static void
peer_set_many(unsigned n, const struct entry entry[])
{
	MDB_txn *txn;

	result_check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
	for (unsigned i = 0; i < n; i++) {
		MDB_val key = key_of(&entry[i]);
		MDB_val value = { entry[i].value_len, entry[i].value };

		result_check(mdb_put(txn, table, &key, &value, 0), "put");
	}
	result_check(mdb_txn_commit(txn), "commit");
}

static void
peer_set(const struct entry *entry)
{
	peer_set_many(1, entry);
}

static uint64_t
peer_resident(void)
{
	struct stat stat_of;

	return stat(path, &stat_of) == 0 ? (uint64_t)stat_of.st_blocks * 512
					 : 0;
}
#else
#define peer_attach   NULL
#define peer_close    NULL
#define peer_get      NULL
#define peer_set      NULL
#define peer_set_many NULL
#define peer_resident NULL
static const char *
peer_open(uint64_t bytes)
{
	(void)bytes;
	return "built without liblmdb-dev";
}
#endif

const struct peer peer_lmdb = {
	.name = "lmdb",
	.open = peer_open,
	.close = peer_close,
	.attach = peer_attach,
	.get = peer_get,
	.set = peer_set,
	.get_many = peer_get_each,
	.set_many = peer_set_many,
	.resident = peer_resident,
};
