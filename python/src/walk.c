/*
 * All of a cache.
 */
#include <stdlib.h>
#include <string.h>

#include "src/binding.h"

/* ---- Keys ---------------------------------------------------------------- */

/* Keys that a walk has met: a length and as many bytes, one after the other. */
struct keys {
	char *data;
	size_t len, room;
};

static bool
keys_room(struct keys *keys, size_t more)
{
	size_t room = keys->room ? keys->room : 4096;
	char *data;

	while (room - keys->len < more)
		room *= 2;
	if (room == keys->room)
		return true;
	data = realloc(keys->data, room);
	if (!data)
		return false;
	keys->data = data;
	keys->room = room;
	return true;
}

/* Without Python's lock. */
static int
keys_add(void *arg, const struct shmalloc_cache_entry *entry)
{
	struct keys *keys = arg;
	size_t len = entry->key.len;

	if (!keys_room(keys, sizeof(len) + len))
		return SHMALLOC_ENOMEM;
	memcpy(keys->data + keys->len, &len, sizeof(len));
	memcpy(keys->data + keys->len + sizeof(len), entry->key.data, len);
	keys->len += sizeof(len) + len;
	return 0;
}

static PyObject *
keys_list(const struct keys *keys)
{
	PyObject *list = PyList_New(0), *key;
	size_t len;
	int result = 0;

	for (size_t at = 0; list && at < keys->len; at += len) {
		memcpy(&len, keys->data + at, sizeof(len));
		at += sizeof(len);
		key =
		    PyBytes_FromStringAndSize(keys->data + at, (Py_ssize_t)len);
		result = key ? PyList_Append(list, key) : -1;
		Py_XDECREF(key);
		if (result != 0)
			Py_CLEAR(list);
	}
	return list;
}

PyObject *
cache_keys(struct cache *self, PyObject *unused)
{
	struct keys keys = { NULL, 0, 0 };
	PyObject *list;
	int error;

	(void)unused;
	if (!call_begin(self))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_cache_walk(self->cache, keys_add, &keys);
	Py_END_ALLOW_THREADS;
	if (error == SHMALLOC_ENOMEM)
		list = PyErr_NoMemory();
	else if (error != 0)
		list = error_raise(self->heap->heap, error, NULL);
	else
		list = keys_list(&keys);
	free(keys.data);
	call_end(self);
	return list;
}

/* ---- Without an answer --------------------------------------------------- */

static PyObject *
whole_end(struct cache *self, int error)
{
	PyObject *result = Py_None;

	if (error != 0)
		result = error_raise(self->heap->heap, error, NULL);
	else
		Py_INCREF(result);
	call_end(self);
	return result;
}

PyObject *
cache_clear(struct cache *self, PyObject *unused)
{
	int error;

	(void)unused;
	if (!call_begin(self))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_cache_clear(self->cache);
	Py_END_ALLOW_THREADS;
	return whole_end(self, error);
}

PyObject *
cache_sweep(struct cache *self, PyObject *unused)
{
	int error;

	(void)unused;
	if (!call_begin(self))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_cache_sweep(self->cache);
	Py_END_ALLOW_THREADS;
	return whole_end(self, error);
}

PyObject *
cache_limit(struct cache *self, PyObject *bytes)
{
	uint64_t limit;
	int error;

	if (!number64(bytes, &limit) || !call_begin(self))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_cache_limit(self->cache, limit);
	Py_END_ALLOW_THREADS;
	return whole_end(self, error);
}

/* ---- Figures ------------------------------------------------------------- */

static bool
stats_read(struct cache *self, struct shmalloc_cache_stats *ret_stats)
{
	int error;

	if (!call_begin(self))
		return false;
	error = shmalloc_cache_stats(self->cache, ret_stats);
	if (error != 0)
		error_raise(self->heap->heap, error, NULL);
	call_end(self);
	return error == 0;
}

static bool
figure_add(PyObject *dict, const char *name, uint64_t value)
{
	PyObject *number = PyLong_FromUnsignedLongLong(value);
	int result = number ? PyDict_SetItemString(dict, name, number) : -1;

	Py_XDECREF(number);
	return result == 0;
}

static bool
figures_add(PyObject *dict, const struct shmalloc_cache_stats *stats)
{
	for (unsigned i = 0; i < SHMALLOC_CACHE_COUNTS; i++) {
		enum shmalloc_cache_count count = i;

		if (!figure_add(dict, shmalloc_cache_count_name(count),
			stats->count[i]))
			return false;
	}
	return figure_add(dict, "entries", stats->entries) &&
	    figure_add(dict, "bytes", stats->bytes) &&
	    figure_add(dict, "table_bytes", stats->table_bytes) &&
	    figure_add(dict, "limit", stats->limit) &&
	    figure_add(dict, "tables", stats->tables) &&
	    figure_add(dict, "places", stats->places);
}

PyObject *
cache_stats(struct cache *self, PyObject *unused)
{
	struct shmalloc_cache_stats stats;
	PyObject *dict;

	(void)unused;
	if (!stats_read(self, &stats))
		return NULL;
	dict = PyDict_New();
	if (dict && !figures_add(dict, &stats))
		Py_CLEAR(dict);
	return dict;
}

Py_ssize_t
cache_len(struct cache *self)
{
	struct shmalloc_cache_stats stats;

	return stats_read(self, &stats) ? (Py_ssize_t)stats.entries : -1;
}
