/*
 * A cache: opening, closing, and the table of its methods.
 */
#include "src/binding.h"

PyTypeObject *cache_type;

/* ---- Calls --------------------------------------------------------------- */

bool
call_begin(struct cache *self)
{
	view_settle();
	if (self->is_closed) {
		PyErr_SetString(PyExc_ValueError, "the cache is closed");
		return false;
	}
	self->holders++;
	return true;
}

void
call_end(struct cache *self)
{
	if (--self->holders != 0)
		return;
	shmalloc_cache_close(self->cache);
	self->cache = NULL;
	Py_CLEAR(self->heap);
}

PyObject *
value_load(struct cache *self, PyObject *bytes)
{
	PyObject *value;

	if (!bytes || !self->loads)
		return bytes;
	value = PyObject_CallFunctionObjArgs(self->loads, bytes, NULL);
	Py_DECREF(bytes);
	return value;
}

/* ---- Opening ------------------------------------------------------------- */

/* OBJECT, or NULL for None; new. */
static PyObject *
unless_none(PyObject *object)
{
	if (!object || object == Py_None)
		return NULL;
	Py_INCREF(object);
	return object;
}

static PyObject *
cache_open(PyTypeObject *type, struct heap *heap, const char *name,
    const struct shmalloc_cache_options *options)
{
	allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
	struct cache *self = (struct cache *)make(type, 0);
	int error;

	if (!self)
		return NULL;
	Py_INCREF(&heap->base);
	self->heap = heap;
	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_cache_open(heap->heap, name, options, &self->cache);
	Py_END_ALLOW_THREADS;
	if (error == 0) {
		self->holders = 1;
		return &self->base;
	}
	error_raise(heap->heap, error, NULL);
	self->is_closed = true;
	Py_CLEAR(self->heap);
	Py_DECREF(&self->base);
	return NULL;
}

static PyObject *
cache_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "heap", "name", "limit", "entries", "stale",
		"dumps", "loads", "max_views", NULL };
	struct shmalloc_cache_options options = SHMALLOC_CACHE_OPTIONS_INIT;
	PyObject *stale = NULL, *dumps = NULL, *loads = NULL, *self;
	uint32_t max_views = 64;
	struct heap *heap;
	const char *name;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!s|O&O&OOOO&", names,
		heap_type, &heap, &name, number64, &options.bytes, number64,
		&options.entries, &stale, &dumps, &loads, number32,
		&max_views) ||
	    !milliseconds(stale, "stale", &options.stale_ms))
		return NULL;
	self = cache_open(type, heap, name, &options);
	if (!self)
		return NULL;
	((struct cache *)self)->dumps = unless_none(dumps);
	((struct cache *)self)->loads = unless_none(loads);
	((struct cache *)self)->max_views = max_views;
	return self;
}

/* ---- Closing ------------------------------------------------------------- */

static PyObject *
cache_close(struct cache *self, PyObject *unused)
{
	(void)unused;
	view_settle();
	if (!self->is_closed) {
		self->is_closed = true;
		call_end(self);
	}
	Py_RETURN_NONE;
}

static PyObject *
cache_destroy(struct cache *self, PyObject *unused)
{
	int error;

	(void)unused;
	if (!call_begin(self))
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_cache_destroy(self->cache);
	Py_END_ALLOW_THREADS;
	if (error != 0)
		error_raise(self->heap->heap, error, NULL);
	call_end(self);
	return error ? NULL : cache_close(self, NULL);
}

static int
cache_traverse(PyObject *object, visitproc visit, void *arg)
{
	struct cache *self = (struct cache *)object;

	Py_VISIT(Py_TYPE(object));
	Py_VISIT(self->heap);
	Py_VISIT(self->dumps);
	Py_VISIT(self->loads);
	return 0;
}

static int
cache_forget(PyObject *object)
{
	struct cache *self = (struct cache *)object;

	Py_CLEAR(self->dumps);
	Py_CLEAR(self->loads);
	return 0;
}

static void
cache_dealloc(PyObject *object)
{
	struct cache *self = (struct cache *)object;
	PyTypeObject *type = Py_TYPE(object);
	freefunc end = (freefunc)PyType_GetSlot(type, Py_tp_free);

	PyObject_GC_UnTrack(object);
	if (!self->is_closed) {
		self->is_closed = true;
		call_end(self);
	}
	(void)cache_forget(object);
	end(object);
	Py_DECREF(type);
}

static PyObject *
cache_is_closed(struct cache *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(self->is_closed);
}

/* ---- The type ------------------------------------------------------------ */

#define METHOD(name, flags, doc)                                               \
	{                                                                      \
#name, (PyCFunction)(void (*)(void))cache_##name, flags, doc   \
	}
#define KEYWORDS (METH_VARARGS | METH_KEYWORDS)

static PyMethodDef cache_methods[] = {
	METHOD(get, METH_FASTCALL,
	    "get($self, key, default=None, /)\n--\n\nThe value of KEY, or "
	    "DEFAULT."),
	METHOD(get_many, METH_O,
	    "get_many($self, keys, /)\n--\n\n"
	    "A dict of those KEYS that are there and their values."),
	{ "_entry", (PyCFunction)(void (*)(void))cache_entry, METH_O, NULL },
	METHOD(view, METH_O,
	    "view($self, key, /)\n--\n\n"
	    "The value of KEY in place, as a read-only memoryview, which stays "
	    "as it\nis until it is released.  Raises MissingError.\n\n"
	    "Use it in a with statement.  It belongs to the calling thread: "
	    "another one\nmay release it, and what it holds is given back at "
	    "the next call of its own\nthread.  It is worth nothing after a "
	    "fork, nor when its thread has ended.\n`view(key).obj` has "
	    "`version`, `flags`, `ttl`, `stale`, `pinned`."),
	METHOD(set, KEYWORDS,
	    "set($self, key, value, ttl=None, flags=0)\n--\n\n"
	    "Store VALUE for KEY, for TTL seconds (None: until it is "
	    "evicted)."),
	METHOD(add, KEYWORDS,
	    "add($self, key, value, ttl=None, flags=0)\n--\n\n"
	    "Store VALUE if KEY is absent; whether it was."),
	METHOD(replace, KEYWORDS,
	    "replace($self, key, value, ttl=None, flags=0)\n--\n\n"
	    "Store VALUE if KEY is there; whether it was."),
	METHOD(cas, KEYWORDS,
	    "cas($self, key, value, version, ttl=None, flags=0)\n--\n\n"
	    "Store VALUE if KEY is there in that VERSION (of entry() or a "
	    "view);\nwhether it was."),
	METHOD(append, KEYWORDS,
	    "append($self, key, data)\n--\n\n"
	    "Put the bytes DATA behind KEY's value; whether KEY is there."),
	METHOD(incr, KEYWORDS,
	    "incr($self, key, delta=1, initial=None, ttl=None, flags=0)\n--\n\n"
	    "Add DELTA to KEY's number; what it is now.  If KEY is absent, "
	    "store INITIAL\n(None: DELTA).  A number is 8 bytes, an int64_t."),
	METHOD(touch, KEYWORDS,
	    "touch($self, key, ttl=None)\n--\n\n"
	    "Give KEY a new end, TTL seconds from now; whether KEY is there."),
	METHOD(delete, KEYWORDS,
	    "delete($self, key, version=None)\n--\n\n"
	    "Remove KEY, if it is there in that VERSION (None: any); whether "
	    "it "
	    "was."),
	METHOD(clear, METH_NOARGS,
	    "clear($self, /)\n--\n\nRemove all that is there when the call "
	    "begins."),
	METHOD(sweep, METH_NOARGS,
	    "sweep($self, /)\n--\n\n"
	    "Drop what has ended and count anew; stores do it bit by bit."),
	METHOD(limit, METH_O,
	    "limit($self, bytes, /)\n--\n\n"
	    "Let the cache have so many BYTES; 0: what the segment has."),
	METHOD(
	    stats, METH_NOARGS, "stats($self, /)\n--\n\nFigures, as a dict."),
	{ "_keys", (PyCFunction)(void (*)(void))cache_keys, METH_NOARGS, NULL },
	{ "_take", (PyCFunction)(void (*)(void))cache_take, KEYWORDS, NULL },
	METHOD(close, METH_NOARGS,
	    "close($self, /)\n--\n\n"
	    "Forget the cache in this process, where calls of it fail from now "
	    "on; it\nstays in the segment."),
	METHOD(destroy, METH_NOARGS,
	    "destroy($self, /)\n--\n\n"
	    "Remove the cache from the segment, and close it.  Other "
	    "processes' calls\nraise GoneError from then on."),
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef cache_getset[] = {
	{ "closed", (getter)cache_is_closed, NULL,
	    "Whether close() or destroy() was called.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot cache_slots[] = {
	{ Py_tp_doc, "A cache in shared memory; shmalloc.Cache is this." },
	{ Py_tp_new, cache_new },
	{ Py_tp_dealloc, cache_dealloc },
	{ Py_tp_traverse, cache_traverse },
	{ Py_tp_clear, cache_forget },
	{ Py_tp_methods, cache_methods },
	{ Py_tp_getset, cache_getset },
	{ Py_mp_length, cache_len },
	{ Py_mp_subscript, cache_item },
	{ Py_mp_ass_subscript, cache_assign },
	{ Py_sq_contains, cache_contains },
	{ 0, NULL },
};

static PyType_Spec cache_spec = {
	.name = "shmalloc._shmalloc.Cache",
	.basicsize = sizeof(struct cache),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
	.slots = cache_slots,
};

int
cache_init(PyObject *module)
{
	cache_type = (PyTypeObject *)PyType_FromSpec(&cache_spec);
	if (!cache_type)
		return -1;
	return PyModule_AddType(module, cache_type);
}
