/*
 * Storing.
 */
#include "src/binding.h"

/* What a store is given. */
struct store {
	struct input key, value;
	struct shmalloc_cache_terms terms;
};

typedef int store_fn(struct shmalloc_cache *cache, struct shmalloc_bytes key,
    struct shmalloc_bytes value, const struct shmalloc_cache_terms *terms);

static bool
store_begin(struct cache *self, PyObject *key, PyObject *value, PyObject *dumps,
    struct store *ret_store)
{
	if (!call_begin(self))
		return false;
	if (!input_key(key, &ret_store->key))
		goto fail_call;
	if (!input_value(value, dumps, &ret_store->value))
		goto fail_key;
	return true;

fail_key:
	input_end(&ret_store->key);
fail_call:
	call_end(self);
	return false;
}

/* ERROR as an answer: True, False if it is one of those that say that the
 * condition didn't hold, or an exception. */
static PyObject *
answer(struct cache *self, int error)
{
	if (error == 0)
		Py_RETURN_TRUE;
	if (error == SHMALLOC_CACHE_EMISS || error == SHMALLOC_EEXIST ||
	    error == SHMALLOC_ECHANGED)
		Py_RETURN_FALSE;
	return error_raise(self->heap->heap, error, NULL);
}

static PyObject *
store_end(struct cache *self, struct store *store, int error)
{
	PyObject *result = answer(self, error);

	input_end(&store->value);
	input_end(&store->key);
	call_end(self);
	return result;
}

static PyObject *
store_by(struct cache *self, PyObject *args, PyObject *kwargs,
    const char *format, store_fn *fn)
{
	static char *names[] = { "key", "value", "ttl", "flags", NULL };
	PyObject *key, *value, *ttl = NULL;
	struct store store = { .terms.flags = 0 };
	int error;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, format, names, &key,
		&value, &ttl, number32, &store.terms.flags) ||
	    !milliseconds(ttl, "ttl", &store.terms.ttl_ms) ||
	    !store_begin(self, key, value, self->dumps, &store))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	error =
	    fn(self->cache, store.key.bytes, store.value.bytes, &store.terms);
	Py_END_ALLOW_THREADS;
	return store_end(self, &store, error);
}

PyObject *
cache_set(struct cache *self, PyObject *args, PyObject *kwargs)
{
	PyObject *done =
	    store_by(self, args, kwargs, "OO|OO&:set", shmalloc_cache_set);

	if (!done)
		return NULL;
	Py_DECREF(done);
	Py_RETURN_NONE;
}

PyObject *
cache_add(struct cache *self, PyObject *args, PyObject *kwargs)
{
	return store_by(self, args, kwargs, "OO|OO&:add", shmalloc_cache_add);
}

PyObject *
cache_replace(struct cache *self, PyObject *args, PyObject *kwargs)
{
	return store_by(
	    self, args, kwargs, "OO|OO&:replace", shmalloc_cache_replace);
}

PyObject *
cache_cas(struct cache *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "key", "value", "version", "ttl", "flags",
		NULL };
	PyObject *key, *value, *ttl = NULL;
	struct store store = { .terms.flags = 0 };
	uint64_t version;
	int error;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO&|OO&:cas", names,
		&key, &value, number64, &version, &ttl, number32,
		&store.terms.flags) ||
	    !milliseconds(ttl, "ttl", &store.terms.ttl_ms) ||
	    !store_begin(self, key, value, self->dumps, &store))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_cache_cas(self->cache, store.key.bytes, version,
	    store.value.bytes, &store.terms);
	Py_END_ALLOW_THREADS;
	return store_end(self, &store, error);
}

PyObject *
cache_append(struct cache *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "key", "data", NULL };
	PyObject *key, *data;
	struct store store;
	int error;

	if (!PyArg_ParseTupleAndKeywords(
		args, kwargs, "OO:append", names, &key, &data) ||
	    !store_begin(self, key, data, NULL, &store))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_cache_append(
	    self->cache, store.key.bytes, store.value.bytes);
	Py_END_ALLOW_THREADS;
	return store_end(self, &store, error);
}

/* ---- Without a value ----------------------------------------------------- */

static bool
key_begin(struct cache *self, PyObject *key, struct input *ret_key)
{
	if (!call_begin(self))
		return false;
	if (input_key(key, ret_key))
		return true;
	call_end(self);
	return false;
}

static PyObject *
key_end(struct cache *self, struct input *key, int error)
{
	PyObject *result = answer(self, error);

	input_end(key);
	call_end(self);
	return result;
}

static bool
number_of(PyObject *object, int64_t missing, int64_t *ret_number)
{
	*ret_number = missing;
	if (object && object != Py_None)
		*ret_number = PyLong_AsLongLong(object);
	return !PyErr_Occurred();
}

PyObject *
cache_incr(struct cache *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "key", "delta", "initial", "ttl", "flags",
		NULL };
	struct shmalloc_cache_terms terms = { 0, 0 };
	PyObject *name, *delta = NULL, *initial = NULL, *ttl = NULL, *done;
	int64_t by, first, now = 0;
	struct input key;
	int error;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OOOO&:incr", names,
		&name, &delta, &initial, &ttl, number32, &terms.flags) ||
	    !number_of(delta, 1, &by) || !number_of(initial, by, &first) ||
	    !milliseconds(ttl, "ttl", &terms.ttl_ms) ||
	    !key_begin(self, name, &key))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_cache_increment(
	    self->cache, key.bytes, by, first, &terms, &now);
	Py_END_ALLOW_THREADS;
	done = key_end(self, &key, error);
	if (!done)
		return NULL;
	Py_DECREF(done);
	return PyLong_FromLongLong(now);
}

PyObject *
cache_touch(struct cache *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "key", "ttl", NULL };
	PyObject *name, *ttl = NULL;
	struct input key;
	uint32_t ttl_ms;
	int error;

	if (!PyArg_ParseTupleAndKeywords(
		args, kwargs, "O|O:touch", names, &name, &ttl) ||
	    !milliseconds(ttl, "ttl", &ttl_ms) || !key_begin(self, name, &key))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_cache_touch(self->cache, key.bytes, ttl_ms);
	Py_END_ALLOW_THREADS;
	return key_end(self, &key, error);
}

/* Delete NAME, if it is there in *VERSION unless that is NULL. */
static PyObject *
delete_if(struct cache *self, PyObject *name, const uint64_t *version)
{
	struct input key;
	int error;

	if (!key_begin(self, name, &key))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	error = version
	    ? shmalloc_cache_delete_version(self->cache, key.bytes, *version)
	    : shmalloc_cache_delete(self->cache, key.bytes);
	Py_END_ALLOW_THREADS;
	return key_end(self, &key, error);
}

PyObject *
cache_delete(struct cache *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "key", "version", NULL };
	PyObject *key, *version = NULL;
	uint64_t number;

	if (!PyArg_ParseTupleAndKeywords(
		args, kwargs, "O|O:delete", names, &key, &version))
		return NULL;
	if (!version || version == Py_None)
		return delete_if(self, key, NULL);
	return number64(version, &number) ? delete_if(self, key, &number)
					  : NULL;
}

/* ---- As a mapping -------------------------------------------------------- */

static int
item_delete(struct cache *self, PyObject *key)
{
	PyObject *done = delete_if(self, key, NULL);

	if (!done)
		return -1;
	Py_DECREF(done);
	if (done == Py_True)
		return 0;
	error_raise(NULL, SHMALLOC_CACHE_EMISS, key);
	return -1;
}

int
cache_assign(struct cache *self, PyObject *key, PyObject *value)
{
	PyObject *args, *done;

	if (!value)
		return item_delete(self, key);
	args = PyTuple_Pack(2, key, value);
	done = args ? cache_set(self, args, NULL) : NULL;
	Py_XDECREF(args);
	Py_XDECREF(done);
	return done ? 0 : -1;
}
