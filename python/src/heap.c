/*
 * Attachments.
 */
#include <errno.h>

#include "src/binding.h"

#define PAGE 4096

PyTypeObject *heap_type;

/* The last reference has gone, so nobody is in a call. */
static void
heap_dealloc(PyObject *object)
{
	struct heap *self = (struct heap *)object;
	struct shmalloc *heap = self->heap;
	PyTypeObject *type = Py_TYPE(object);
	freefunc end = (freefunc)PyType_GetSlot(type, Py_tp_free);

	self->heap = NULL;
	/* Tells the daemon. */
	Py_BEGIN_ALLOW_THREADS;
	shmalloc_detach(heap);
	Py_END_ALLOW_THREADS;
	end(object);
	Py_DECREF(type);
}

static PyObject *
heap_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "segment", "flags", "timeout_ms", "label",
		NULL };
	struct shmalloc_options options = SHMALLOC_OPTIONS_INIT;
	allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
	const char *segment = NULL;
	struct heap *self;
	int error;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|zO&O&z", names,
		&segment, number32, &options.flags, number32,
		&options.attach_timeout_ms, &options.label))
		return NULL;
	self = (struct heap *)make(type, 0);
	if (!self)
		return NULL;
	Py_BEGIN_ALLOW_THREADS;
	error = shmalloc_attach(segment, &options, &self->heap);
	Py_END_ALLOW_THREADS;
	if (error == 0)
		return &self->base;
	error_raise(NULL, error, NULL);
	Py_DECREF(&self->base);
	return NULL;
}

/* Is the segment still somebody's?  There is no call to ask, but an allocation
 * that this thread's cache can't serve tells. */
static PyObject *
heap_is_gone(struct heap *self, PyObject *unused)
{
	shmalloc_off off;
	int number;

	(void)unused;
	Py_BEGIN_ALLOW_THREADS;
	off = shmalloc_aligned_alloc(self->heap, PAGE, PAGE);
	number = errno;
	shmalloc_free(self->heap, off);
	Py_END_ALLOW_THREADS;
	return PyBool_FromLong(off == 0 && number == ESTALE);
}

static PyMethodDef heap_methods[] = {
	{ "_is_gone", (PyCFunction)(void (*)(void))heap_is_gone, METH_NOARGS,
	    "Whether another segment has taken this one's place." },
	{ NULL, NULL, 0, NULL },
};

static PyType_Slot heap_slots[] = {
	{ Py_tp_doc, "An attachment to a segment." },
	{ Py_tp_new, heap_new },
	{ Py_tp_dealloc, heap_dealloc },
	{ Py_tp_methods, heap_methods },
	{ 0, NULL },
};

static PyType_Spec heap_spec = {
	.name = "shmalloc._shmalloc.Heap",
	.basicsize = sizeof(struct heap),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
	.slots = heap_slots,
};

int
heap_init(PyObject *module)
{
	heap_type = (PyTypeObject *)PyType_FromSpec(&heap_spec);
	if (!heap_type)
		return -1;
	return PyModule_AddType(module, heap_type);
}
