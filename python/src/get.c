/*
 * Looking up.
 */
#include <string.h>

#include "src/binding.h"

#define LARGE (128u << 10) /* bytes that take longer to copy than the lock */

/* The heap and the process, by its count of forks, in which this thread looked
 * something up last: there it is a client. */
static _Thread_local struct {
	const struct heap *heap;
	unsigned forks;
} familiar;

int
value_pin(struct cache *self, const struct input *key,
    struct shmalloc_cache_view *ret_view)
{
	int error;

	if (familiar.heap == self->heap && familiar.forks == view_forks())
		return shmalloc_cache_pin(self->cache, key->bytes, ret_view);
	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_cache_pin(self->cache, key->bytes, ret_view);
	Py_END_ALLOW_THREADS;
	familiar.heap = self->heap;
	familiar.forks = view_forks();
	return error;
}

PyObject *
bytes_make(const struct shmalloc_cache_view *view)
{
	PyObject *bytes;
	char *to;

	if (view->len < LARGE)
		return PyBytes_FromStringAndSize(
		    view->value, (Py_ssize_t)view->len);
	bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)view->len);
	if (!bytes)
		return NULL;
	/* Nobody else has it yet. */
	to = PyBytes_AsString(bytes);
	Py_BEGIN_ALLOW_THREADS;
	memcpy(to, view->value, view->len);
	Py_END_ALLOW_THREADS;
	return bytes;
}

/* What is to be made of a value that is pinned; new, or NULL with an
 * exception. */
typedef PyObject *value_fn(
    struct cache *self, const struct shmalloc_cache_view *view);

static PyObject *
bytes_of(struct cache *self, const struct shmalloc_cache_view *view)
{
	(void)self;
	return bytes_make(view);
}

static PyObject *
entry_of(struct cache *self, const struct shmalloc_cache_view *view)
{
	PyObject *ttl = Py_None, *entry;

	(void)self;
	if (view->ttl_ms < 0)
		Py_INCREF(ttl);
	else
		ttl = PyFloat_FromDouble((double)view->ttl_ms / 1000);
	if (!ttl)
		return NULL;
	entry = Py_BuildValue("y#KIOO", view->value, (Py_ssize_t)view->len,
	    (unsigned long long)view->version, (unsigned)view->flags, ttl,
	    view->is_stale ? Py_True : Py_False);
	Py_DECREF(ttl);
	return entry;
}

/*
 * Look NAME up and make of it what MAKE does.  If it is absent MISSING, which
 * is borrowed; NULL: MissingError.  Nothing of Python's that may run other code
 * is called while it is pinned.
 */
static PyObject *
value_find(
    struct cache *self, PyObject *name, value_fn *make, PyObject *missing)
{
	struct shmalloc_cache_view view;
	PyObject *value = NULL;
	struct input key;
	int error;

	if (!call_begin(self))
		return NULL;
	if (!input_key(name, &key))
		goto end;
	error = value_pin(self, &key, &view);
	input_end(&key);
	if (error == 0) {
		value = make(self, &view);
		shmalloc_cache_release(self->cache, &view);
	} else if (error == SHMALLOC_CACHE_EMISS && missing) {
		Py_INCREF(missing);
		value = missing;
	} else {
		error_raise(self->heap->heap, error, name);
	}
end:
	call_end(self);
	return value;
}

/* The value of KEY; NULL without an exception: it is absent. */
static PyObject *
value_of(struct cache *self, PyObject *key)
{
	PyObject *bytes = value_find(self, key, bytes_of, Py_None);

	if (bytes != Py_None)
		return value_load(self, bytes);
	Py_DECREF(bytes);
	return NULL;
}

PyObject *
cache_get(struct cache *self, PyObject *const *args, Py_ssize_t n_args)
{
	PyObject *value, *missing = n_args == 2 ? args[1] : Py_None;

	if (n_args < 1 || n_args > 2)
		return PyErr_Format(PyExc_TypeError,
		    "get() takes a key and a default, not %zd arguments",
		    n_args);
	value = value_of(self, args[0]);
	if (value || PyErr_Occurred())
		return value;
	Py_INCREF(missing);
	return missing;
}

PyObject *
cache_item(struct cache *self, PyObject *key)
{
	return value_load(self, value_find(self, key, bytes_of, NULL));
}

/* Put KEY and its value into FOUND if it is there. */
static int
many_add(struct cache *self, PyObject *key, PyObject *found)
{
	PyObject *value = value_of(self, key);
	int result;

	if (!value)
		return PyErr_Occurred() ? -1 : 0;
	result = PyDict_SetItem(found, key, value);
	Py_DECREF(value);
	return result;
}

PyObject *
cache_get_many(struct cache *self, PyObject *keys)
{
	PyObject *iterator = PyObject_GetIter(keys), *key, *found;
	int result = 0;

	if (!iterator)
		return NULL;
	found = PyDict_New();
	while (found && result == 0 && (key = PyIter_Next(iterator))) {
		result = many_add(self, key, found);
		Py_DECREF(key);
	}
	Py_DECREF(iterator);
	if (PyErr_Occurred())
		Py_CLEAR(found);
	return found;
}

PyObject *
cache_entry(struct cache *self, PyObject *key)
{
	return value_find(self, key, entry_of, Py_None);
}

static PyObject *
true_of(struct cache *self, const struct shmalloc_cache_view *view)
{
	(void)self;
	(void)view;
	Py_RETURN_TRUE;
}

int
cache_contains(struct cache *self, PyObject *key)
{
	PyObject *found = value_find(self, key, true_of, Py_False);

	if (!found)
		return -1;
	Py_DECREF(found);
	return found == Py_True;
}
