/*
 * Views: values where they lie.
 *
 * A view is pinned by the thread that took it (shmalloc_enter), and only that
 * thread can end it.  Python may drop a memoryview in any thread, so each
 * thread that has views has a record of them, in the dictionary of its thread
 * state:
 *
 *  - released by another thread, a view is put on its thread's list of owed
 *    ones, and that thread ends it at its next call of this module;
 *  - when a thread ends, its record does, and the pins with it, as libshmalloc
 *    has it.  Views that are open then are no longer pinned, and a
 *    ResourceWarning says so;
 *  - in a child of fork() no view of its parent's is pinned.  `forks` counts,
 *    and a view or record of another count is the parent's.
 *
 * What is shown by a view that isn't pinned may change.  It stays mapped, for a
 * view keeps its cache and so the attachment.
 */
#include <pthread.h>

#include "src/binding.h"

struct view {
	PyObject base;
	struct cache *cache;
	PyObject *key;
	struct shmalloc_cache_view pin;
	const void *value;
	unsigned forks;        /* when it was taken */
	struct thread *thread; /* NULL: not pinned, or owed */
	Py_ssize_t exports;    /* buffers of it that are open */
	unsigned long ident;   /* of the thread, as in threading */
	LIST_ENTRY(view) of_thread, of_process;
};

LIST_HEAD(view_head, view);

/* A thread that has had views. */
struct thread {
	PyObject base;
	unsigned forks;
	struct view_head pinned, owed;
};

static PyTypeObject *view_type, *thread_type;
static PyObject *thread_name; /* in the dictionary of a thread state */
static struct view_head all = LIST_HEAD_INITIALIZER(all); /* pinned ones */
static unsigned forks;

/* The calling thread's record; NULL: it has none yet. */
static _Thread_local struct thread *thread_own;

/* ---- Forks --------------------------------------------------------------- */

static void
forked(void)
{
	forks++;
}

unsigned
view_forks(void)
{
	return forks;
}

/* ---- Ending -------------------------------------------------------------- */

static void
views_count(struct cache *cache, int n)
{
	if (cache->views_forks != forks)
		cache->n_views = 0;
	cache->views_forks = forks;
	cache->n_views += (unsigned)n;
}

/* VIEW is pinned no more, as far as THREAD's record goes. */
static void
view_unlist(struct view *view)
{
	LIST_REMOVE(view, of_thread);
	LIST_REMOVE(view, of_process);
	view->thread = NULL;
	if (view->forks == forks)
		views_count(view->cache, -1);
}

/* End the pin, which THREAD has: only itself can.  Another thread that clears
 * its record does so when the interpreter ends. */
static void
pin_end(struct view *view, const struct thread *thread)
{
	if (view->forks == forks && thread == thread_own)
		shmalloc_cache_release(view->cache->cache, &view->pin);
	call_end(view->cache);
}

/* Its last buffer is released. */
static void
view_end(struct view *view)
{
	struct thread *thread = view->thread;

	if (!thread)
		return;
	view_unlist(view);
	if (thread == thread_own || view->forks != forks) {
		pin_end(view, thread);
		return;
	}
	Py_INCREF(&view->base);
	LIST_INSERT_HEAD(&thread->owed, view, of_thread);
}

static void
owed_end(struct thread *thread)
{
	struct view *view;

	while ((view = LIST_FIRST(&thread->owed))) {
		LIST_REMOVE(view, of_thread);
		pin_end(view, thread);
		Py_DECREF(&view->base);
	}
}

void
view_settle(void)
{
	if (thread_own && !LIST_EMPTY(&thread_own->owed))
		owed_end(thread_own);
}

/* ---- Threads ------------------------------------------------------------- */

static void
warn(unsigned n)
{
	PyObject *type, *value, *traceback;

	PyErr_Fetch(&type, &value, &traceback);
	if (PyErr_WarnFormat(PyExc_ResourceWarning, 1,
		"a thread ended with %u views of a shmalloc cache open: "
		"what they show may change",
		n) != 0)
		PyErr_WriteUnraisable(NULL);
	PyErr_Restore(type, value, traceback);
}

/* The thread ends, or this is a child of fork() and there is a new record. */
static void
thread_dealloc(PyObject *object)
{
	struct thread *self = (struct thread *)object;
	PyTypeObject *type = Py_TYPE(object);
	freefunc end = (freefunc)PyType_GetSlot(type, Py_tp_free);
	bool is_parents = self->forks != forks;
	struct view *view;
	unsigned n = 0;

	owed_end(self);
	while ((view = LIST_FIRST(&self->pinned))) {
		view_unlist(view);
		pin_end(view, self);
		n++;
	}
	if (thread_own == self)
		thread_own = NULL;
	end(object);
	Py_DECREF(type);
	if (n != 0 && !is_parents)
		warn(n);
}

/* The calling thread's record, made if need be; borrowed. */
static struct thread *
thread_get(void)
{
	PyObject *names = PyThreadState_GetDict();
	allocfunc make = (allocfunc)PyType_GetSlot(thread_type, Py_tp_alloc);
	struct thread *self;

	if (thread_own && thread_own->forks == forks)
		return thread_own;
	if (!names) {
		PyErr_SetString(PyExc_RuntimeError, "no thread state");
		return NULL;
	}
	self = (struct thread *)make(thread_type, 0);
	if (!self)
		return NULL;
	self->forks = forks;
	LIST_INIT(&self->pinned);
	LIST_INIT(&self->owed);
	if (PyDict_SetItem(names, thread_name, &self->base) == 0)
		thread_own = self;
	Py_DECREF(&self->base);
	return thread_own == self ? self : NULL;
}

static PyType_Slot thread_slots[] = {
	{ Py_tp_dealloc, thread_dealloc },
	{ 0, NULL },
};

static PyType_Spec thread_spec = {
	.name = "shmalloc._shmalloc._Thread",
	.basicsize = sizeof(struct thread),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = thread_slots,
};

/* ---- The object ---------------------------------------------------------- */

static int
view_getbuffer(struct view *self, Py_buffer *buffer, int flags)
{
	if (!self->thread || self->forks != forks) {
		PyErr_SetString(PyExc_BufferError, "the view is not pinned");
		buffer->obj = NULL;
		return -1;
	}
	if (PyBuffer_FillInfo(buffer, &self->base,
		(void *)(uintptr_t)self->value, (Py_ssize_t)self->pin.len, 1,
		flags) != 0)
		return -1;
	self->exports++;
	return 0;
}

static void
view_releasebuffer(struct view *self, Py_buffer *buffer)
{
	(void)buffer;
	if (--self->exports == 0)
		view_end(self);
}

static void
view_dealloc(PyObject *object)
{
	struct view *self = (struct view *)object;
	PyTypeObject *type = Py_TYPE(object);
	freefunc end = (freefunc)PyType_GetSlot(type, Py_tp_free);

	view_end(self);
	Py_XDECREF((PyObject *)self->cache);
	Py_XDECREF(self->key);
	end(object);
	Py_DECREF(type);
}

static PyObject *
view_is_pinned(struct view *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(self->thread && self->forks == forks);
}

static PyObject *
view_key(struct view *self, void *unused)
{
	(void)unused;
	Py_INCREF(self->key);
	return self->key;
}

static PyObject *
view_version(struct view *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(self->pin.version);
}

static PyObject *
view_flags(struct view *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(self->pin.flags);
}

static PyObject *
view_ttl(struct view *self, void *unused)
{
	(void)unused;
	if (self->pin.ttl_ms < 0)
		Py_RETURN_NONE;
	return PyFloat_FromDouble((double)self->pin.ttl_ms / 1000);
}

static PyObject *
view_stale(struct view *self, void *unused)
{
	(void)unused;
	return PyBool_FromLong(self->pin.is_stale != 0);
}

static PyObject *
view_thread(struct view *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(self->ident);
}

static PyGetSetDef view_getset[] = {
	{ "pinned", (getter)view_is_pinned, NULL,
	    "Whether the value is held in place.", NULL },
	{ "key", (getter)view_key, NULL, "The key, as it was asked for.",
	    NULL },
	{ "version", (getter)view_version, NULL, "The value's version.", NULL },
	{ "flags", (getter)view_flags, NULL, "As they were stored.", NULL },
	{ "ttl", (getter)view_ttl, NULL,
	    "Seconds the value had left; None: it has no end.", NULL },
	{ "stale", (getter)view_stale, NULL, "Whether its time was over.",
	    NULL },
	{ "thread", (getter)view_thread, NULL,
	    "threading.get_ident() of the thread whose pin it is.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

static PyType_Slot view_slots[] = {
	{ Py_tp_doc,
	    "What a memoryview from Cache.view() is of (its `obj`): a value in "
	    "shared memory." },
	{ Py_tp_dealloc, view_dealloc },
	{ Py_tp_getset, view_getset },
	{ Py_bf_getbuffer, view_getbuffer },
	{ Py_bf_releasebuffer, view_releasebuffer },
	{ 0, NULL },
};

static PyType_Spec view_spec = {
	.name = "shmalloc._shmalloc.View",
	.basicsize = sizeof(struct view),
	.flags = Py_TPFLAGS_DEFAULT,
	.slots = view_slots,
};

/* ---- Taking one ---------------------------------------------------------- */

/* Pin KEY for SELF, which is the caller's new object.  0 or an error. */
static int
view_take(struct view *self, struct cache *cache, const struct input *key,
    struct thread *thread)
{
	int error = value_pin(cache, key, &self->pin);

	if (error != 0)
		return error;
	self->value = self->pin.value;
	self->forks = forks;
	self->thread = thread;
	cache->holders++;
	views_count(cache, 1);
	LIST_INSERT_HEAD(&thread->pinned, self, of_thread);
	LIST_INSERT_HEAD(&all, self, of_process);
	return 0;
}

static struct view *
view_new(struct cache *cache, PyObject *key)
{
	allocfunc make = (allocfunc)PyType_GetSlot(view_type, Py_tp_alloc);
	struct view *self = (struct view *)make(view_type, 0);

	if (!self)
		return NULL;
	Py_INCREF(&cache->base);
	Py_INCREF(key);
	self->cache = cache;
	self->key = key;
	self->ident = PyThread_get_thread_ident();
	return self;
}

static bool
views_are_few(struct cache *cache)
{
	views_count(cache, 0);
	if (cache->n_views < cache->max_views)
		return true;
	PyErr_Format(PyExc_BufferError,
	    "%u views of this cache are open: release some (max_views)",
	    cache->n_views);
	return false;
}

PyObject *
cache_view(struct cache *cache, PyObject *name)
{
	PyObject *memory = NULL;
	struct thread *thread;
	struct view *self;
	struct input key;
	int error;

	if (!call_begin(cache))
		return NULL;
	thread = views_are_few(cache) ? thread_get() : NULL;
	self = thread ? view_new(cache, name) : NULL;
	if (self && input_key(name, &key)) {
		error = view_take(self, cache, &key, thread);
		input_end(&key);
		if (error == 0)
			memory = PyMemoryView_FromObject(&self->base);
		else
			error_raise(cache->heap->heap, error, name);
	}
	Py_XDECREF((PyObject *)self);
	call_end(cache);
	return memory;
}

PyObject *
view_list(PyObject *module, PyObject *unused)
{
	PyObject *list = PyList_New(0);
	struct view *view;

	(void)module;
	(void)unused;
	if (!list)
		return NULL;
	LIST_FOREACH(view, &all, of_process)
	if (view->forks == forks && PyList_Append(list, &view->base) != 0) {
		Py_DECREF(list);
		return NULL;
	}
	return list;
}

int
view_init(PyObject *module)
{
	int error = pthread_atfork(NULL, NULL, forked);

	if (error != 0) {
		PyErr_NoMemory();
		return -1;
	}
	thread_name = PyUnicode_InternFromString("shmalloc.views");
	thread_type = (PyTypeObject *)PyType_FromSpec(&thread_spec);
	view_type = (PyTypeObject *)PyType_FromSpec(&view_spec);
	if (!thread_name || !thread_type || !view_type)
		return -1;
	return PyModule_AddType(module, view_type);
}
