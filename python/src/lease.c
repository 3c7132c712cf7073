/*
 * Leases: who computes a missing value.
 */
#include <string.h>
#include <time.h>

#include "src/binding.h"

/* How long a wait goes on before signals are looked for, in milliseconds. */
#define SLICE 100

struct lease {
	PyObject base;
	struct cache *cache;
	struct input key; /* `bytes.data` is malloc'd */
	struct shmalloc_cache_lease lease;
	bool is_held;
	unsigned forks; /* when it was taken */
};

static PyTypeObject *lease_type;

/* ---- Ending it ----------------------------------------------------------- */

static bool
lease_is_held(const struct lease *self)
{
	return self->is_held && self->forks == view_forks();
}

static int
lease_waive_now(struct lease *self)
{
	int error;

	self->is_held = false;
	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_cache_waive(
	    self->cache->cache, self->key.bytes, &self->lease);
	Py_END_ALLOW_THREADS;
	return error;
}

/* Waive it unless it was ended; what others did to it meanwhile is no error. */
static PyObject *
lease_waive(struct lease *self, PyObject *unused)
{
	int error;

	(void)unused;
	if (!lease_is_held(self))
		Py_RETURN_NONE;
	if (!call_begin(self->cache))
		return NULL;
	error = lease_waive_now(self);
	if (error == SHMALLOC_CACHE_ELEASE || error == SHMALLOC_EGONE)
		error = 0;
	if (error != 0)
		error_raise(self->cache->heap->heap, error, NULL);
	call_end(self->cache);
	if (error != 0)
		return NULL;
	Py_RETURN_NONE;
}

static int
lease_store(struct lease *self, const struct input *value,
    const struct shmalloc_cache_terms *terms)
{
	int error;

	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_cache_fill(self->cache->cache, self->key.bytes,
	    &self->lease, value->bytes, terms);
	Py_END_ALLOW_THREADS;
	return error;
}

static PyObject *
lease_fill(struct lease *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "value", "ttl", "flags", NULL };
	struct shmalloc_cache_terms terms = { 0, 0 };
	PyObject *object, *ttl = NULL, *done = NULL;
	struct input value;
	int error;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OO&:fill", names,
		&object, &ttl, number32, &terms.flags) ||
	    !milliseconds(ttl, "ttl", &terms.ttl_ms))
		return NULL;
	if (!lease_is_held(self))
		return error_raise(NULL, SHMALLOC_CACHE_ELEASE, NULL);
	if (!call_begin(self->cache))
		return NULL;
	if (input_value(object, self->cache->dumps, &value)) {
		error = lease_store(self, &value, &terms);
		input_end(&value);
		if (error == 0 || error == SHMALLOC_CACHE_ELEASE) {
			self->is_held = false;
			done = PyBool_FromLong(error == 0);
		} else {
			error_raise(self->cache->heap->heap, error, NULL);
		}
	}
	call_end(self->cache);
	return done;
}

/* One that was forgotten is waived: nobody must wait for its end. */
static void
lease_dealloc(PyObject *object)
{
	struct lease *self = (struct lease *)object;
	PyTypeObject *type = Py_TYPE(object);
	freefunc end = (freefunc)PyType_GetSlot(type, Py_tp_free);

	if (self->cache && lease_is_held(self) && !self->cache->is_closed) {
		self->cache->holders++;
		(void)lease_waive_now(self);
		call_end(self->cache);
	}
	Py_XDECREF((PyObject *)self->cache);
	PyMem_Free((void *)(uintptr_t)self->key.bytes.data);
	end(object);
	Py_DECREF(type);
}

static PyObject *
lease_enter(struct lease *self, PyObject *unused)
{
	(void)unused;
	Py_INCREF(&self->base);
	return &self->base;
}

static PyObject *
lease_held(struct lease *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(lease_is_held(self));
}

#define METHOD(name, function, flags, doc)                                     \
	{                                                                      \
		name, (PyCFunction)(void (*)(void))function, flags, doc        \
	}

static PyMethodDef lease_methods[] = {
	METHOD("fill", lease_fill, METH_VARARGS | METH_KEYWORDS,
	    "fill($self, value, ttl=None, flags=0)\n--\n\n"
	    "Store what was computed.  False: it isn't stored, because the key "
	    "was\nstored, deleted or evicted meanwhile, or the lease was void "
	    "and another has it."),
	METHOD("waive", lease_waive, METH_NOARGS,
	    "waive($self, /)\n--\n\n"
	    "Give the lease back without a value: the next one to ask gets "
	    "it."),
	METHOD("__enter__", lease_enter, METH_NOARGS, NULL),
	METHOD("__exit__", lease_waive, METH_VARARGS,
	    "Waive it unless it was filled."),
	METHOD(NULL, NULL, 0, NULL),
};

static PyGetSetDef lease_getset[] = {
	{ "held", (getter)lease_held, NULL,
	    "Whether this process has neither filled nor waived it.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot lease_slots[] = {
	{ Py_tp_doc,
	    "The right to compute a missing value while others wait for it." },
	{ Py_tp_dealloc, lease_dealloc },
	{ Py_tp_methods, lease_methods },
	{ Py_tp_getset, lease_getset },
	{ 0, NULL },
};

static PyType_Spec lease_spec = {
	.name = "shmalloc._shmalloc.Lease",
	.basicsize = sizeof(struct lease),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = lease_slots,
};

/* ---- Taking one ---------------------------------------------------------- */

static struct lease *
lease_new(struct cache *cache, const struct input *key)
{
	allocfunc make = (allocfunc)PyType_GetSlot(lease_type, Py_tp_alloc);
	struct lease *self = (struct lease *)make(lease_type, 0);
	char *data;

	if (!self)
		return NULL;
	data = PyMem_Malloc(key->bytes.len + 1);
	if (!data) {
		Py_DECREF(&self->base);
		PyErr_NoMemory();
		return NULL;
	}
	memcpy(data, key->bytes.data, key->bytes.len);
	self->key.bytes = (struct shmalloc_bytes){ data, key->bytes.len };
	self->forks = view_forks();
	Py_INCREF(&cache->base);
	self->cache = cache;
	return self;
}

static uint64_t
uptime_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* What is left of WAIT_MS (0: no end) since BEGIN, at most a slice; 0: none. */
static uint32_t
slice_of(uint32_t wait_ms, uint64_t begin)
{
	uint64_t gone = uptime_ms() - begin;

	if (wait_ms == 0)
		return SLICE;
	if (gone >= wait_ms)
		return 0;
	return wait_ms - gone < SLICE ? (uint32_t)(wait_ms - gone) : SLICE;
}

/*
 * shmalloc_cache_take(), which signals don't end, in slices between which
 * Python's handlers run.  *RET_ERROR is its result; false with an exception.
 */
static bool
take_wait(struct lease *self, uint32_t lease_ms, uint32_t wait_ms,
    struct shmalloc_cache_view *ret_view, int *ret_error)
{
	struct shmalloc_cache_patience patience = { lease_ms, 1 };
	uint64_t begin = uptime_ms();
	int error;

	patience.wait_ms = slice_of(wait_ms, begin);
	do {
		Py_BEGIN_ALLOW_THREADS;
		error = shmalloc_cache_take(self->cache->cache, self->key.bytes,
		    &patience, ret_view, &self->lease);
		Py_END_ALLOW_THREADS;
		if (error != SHMALLOC_ETIMEDOUT)
			break;
		if (PyErr_CheckSignals() != 0)
			return false;
		patience.wait_ms = slice_of(wait_ms, begin);
	} while (patience.wait_ms != 0);
	*ret_error = error;
	return true;
}

/* (value, None) or (None, lease); gives SELF away. */
static PyObject *
taken(struct lease *self, int result, struct shmalloc_cache_view *view)
{
	struct cache *cache = self->cache;
	PyObject *value = NULL;

	if (result == 1) {
		self->is_held = true;
		return Py_BuildValue("ON", Py_None, &self->base);
	}
	if (result == 0) {
		value = bytes_make(view);
		shmalloc_cache_release(cache->cache, view);
		value = value_load(cache, value);
	} else {
		error_raise(cache->heap->heap, result, NULL);
	}
	Py_DECREF(&self->base);
	return value ? Py_BuildValue("NO", value, Py_None) : NULL;
}

PyObject *
cache_take(struct cache *cache, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "key", "lease", "wait", NULL };
	PyObject *name, *lease = NULL, *wait = NULL, *result = NULL;
	struct shmalloc_cache_view view;
	uint32_t lease_ms, wait_ms;
	struct lease *self = NULL;
	struct input key;
	int error;

	if (!PyArg_ParseTupleAndKeywords(
		args, kwargs, "O|OO:take", names, &name, &lease, &wait) ||
	    !milliseconds(lease, "lease", &lease_ms) ||
	    !milliseconds(wait, "wait", &wait_ms) || !call_begin(cache))
		return NULL;
	if (input_key(name, &key)) {
		self = lease_new(cache, &key);
		input_end(&key);
	}
	if (self && take_wait(self, lease_ms, wait_ms, &view, &error))
		result = taken(self, error, &view);
	else
		Py_XDECREF((PyObject *)self);
	call_end(cache);
	return result;
}

int
lease_init(PyObject *module)
{
	lease_type = (PyTypeObject *)PyType_FromSpec(&lease_spec);
	if (!lease_type)
		return -1;
	return PyModule_AddType(module, lease_type);
}
