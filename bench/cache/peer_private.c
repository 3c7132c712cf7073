/*
 * Hash tables of one process, in its private memory, which evict nothing:
 * uthash, and GLib's.  Both hash by XXH3, as shmalloc's cache does.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bench/cache/cache.h"

#define HASH_FUNCTION(key, len, hash)                                          \
	((hash) = (unsigned)XXH3_64bits((key), (len)))
#include <uthash.h>

extern const struct peer peer_uthash, peer_glib;

static const char *
peer_open(uint64_t bytes)
{
	(void)bytes;
	return NULL;
}

static uint64_t before;

static void
peer_attach(void)
{
	before = resident_private(getpid());
}

/* What the process has since. */
static uint64_t
peer_resident(void)
{
	return resident_private(getpid()) - before;
}

/* ---- uthash -------------------------------------------------------------- */

struct item {
	UT_hash_handle hh;
	uint32_t value_len;
	char bytes[]; /* the key, the value */
};

static struct item *items;

static int64_t
uthash_get(const struct entry *request, char *buffer)
{
	struct item *item;

	HASH_FIND(hh, items, request->key, request->key_len, item);
	if (item == NULL)
		return -1;
	memcpy(buffer, item->bytes + request->key_len, item->value_len);
	return item->value_len;
}

static void
uthash_set(const struct entry *entry)
{
	struct item *item = malloc(
			sizeof(*item) + entry->key_len + entry->value_len),
		    *old;

	if (item == NULL)
		peer_fail("no memory");
	item->value_len = entry->value_len;
	memcpy(item->bytes, entry->key, entry->key_len);
	memcpy(item->bytes + entry->key_len, entry->value, entry->value_len);
	HASH_REPLACE(hh, items, bytes[0], entry->key_len, item, old);
	free(old);
}

const struct peer peer_uthash = {
	.name = "uthash",
	.is_private = true,
	.open = peer_open,
	.attach = peer_attach,
	.get = uthash_get,
	.set = uthash_set,
	.get_many = peer_get_each,
	.set_many = peer_set_each,
	.resident = peer_resident,
};

/* ---- GLib ---------------------------------------------------------------- */

#ifdef HAVE_GLIB
#include <glib.h>

struct record {
	uint32_t key_len, value_len;
	char bytes[]; /* the key, the value */
};

static GHashTable *table;

static guint
record_hash(gconstpointer key)
{
	const struct record *record = key;

	return (guint)XXH3_64bits(record->bytes, record->key_len);
}

static gboolean
record_is_equal(gconstpointer a, gconstpointer b)
{
	const struct record *one = a, *other = b;

	return one->key_len == other->key_len &&
	    memcmp(one->bytes, other->bytes, one->key_len) == 0;
}

static void
glib_attach(void)
{
	peer_attach();
	table =
	    g_hash_table_new_full(record_hash, record_is_equal, g_free, NULL);
}

static int64_t
glib_get(const struct entry *request, char *buffer)
{
	static _Alignas(
	    struct record) char room[sizeof(struct record) + KEY_MAX];
	struct record *probe = (void *)room;
	const struct record *record;

	probe->key_len = request->key_len;
	memcpy(probe->bytes, request->key, request->key_len);
	record = g_hash_table_lookup(table, probe);
	if (record == NULL)
		return -1;
	memcpy(buffer, record->bytes + record->key_len, record->value_len);
	return record->value_len;
}

static void
glib_set(const struct entry *entry)
{
	struct record *record =
	    g_malloc(sizeof(*record) + entry->key_len + entry->value_len);

	record->key_len = entry->key_len;
	record->value_len = entry->value_len;
	memcpy(record->bytes, entry->key, entry->key_len);
	memcpy(record->bytes + entry->key_len, entry->value, entry->value_len);
	g_hash_table_add(table, record);
}

#define glib_open peer_open
#else
#define glib_attach NULL
#define glib_get    NULL
#define glib_set    NULL
static const char *
glib_open(uint64_t bytes)
{
	(void)bytes;
	return "built without libglib2.0-dev";
}
#endif

const struct peer peer_glib = {
	.name = "glib",
	.is_private = true,
	.open = glib_open,
	.attach = glib_attach,
	.get = glib_get,
	.set = glib_set,
	.get_many = peer_get_each,
	.set_many = peer_set_each,
	.resident = peer_resident,
};
