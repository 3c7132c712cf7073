/*
 * Errors as exceptions; the classes are Python (shmalloc/_error.py).
 */
#include <errno.h>

#include "src/binding.h"

static PyObject *by_code; /* dict: an error's number -> its class */

int
error_init(void)
{
	PyObject *module = PyImport_ImportModule("shmalloc._error");

	if (!module)
		return -1;
	Py_XDECREF(by_code);
	by_code = PyObject_GetAttrString(module, "BY_CODE");
	Py_DECREF(module);
	return by_code ? 0 : -1;
}

/* The class of ERROR; new.  One of a later version of the library is an Error
 * and no more. */
static PyObject *
class_of(int error)
{
	PyObject *code = PyLong_FromLong(error), *class = NULL;

	if (code)
		class = PyDict_GetItemWithError(by_code, code);
	Py_XDECREF(code);
	if (!class && !PyErr_Occurred()) {
		code = PyLong_FromLong(0);
		if (code)
			class = PyDict_GetItemWithError(by_code, code);
		Py_XDECREF(code);
	}
	if (!class && !PyErr_Occurred())
		PyErr_Format(PyExc_SystemError, "no class for error %d", error);
	Py_XINCREF(class);
	return class;
}

/* With why, as shmalloc_last_failure() tells. */
static void
memory_raise(PyObject *class, struct shmalloc *heap)
{
	const struct shmalloc_failure *why = shmalloc_last_failure(heap);

	PyErr_Format(class,
	    "%s: %s (%llu bytes asked for, %llu free, "
	    "%llu in the largest piece)",
	    shmalloc_strerror(SHMALLOC_ENOMEM), why->reason,
	    (unsigned long long)why->asked, (unsigned long long)why->free,
	    (unsigned long long)why->largest_free);
}

PyObject *
error_raise(struct shmalloc *heap, int error, PyObject *key)
{
	int number = errno;
	PyObject *class = class_of(error);

	errno = number;
	if (!class)
		return NULL;
	if (error == SHMALLOC_ESYSTEM)
		PyErr_SetFromErrno(class);
	else if (error == SHMALLOC_ENOMEM && heap)
		memory_raise(class, heap);
	else if (error == SHMALLOC_CACHE_EMISS && key)
		PyErr_SetObject(class, key);
	else if (error == SHMALLOC_EINVAL && key)
		PyErr_SetString(class, "a key is 1 to 65536 bytes");
	else
		PyErr_SetString(class, shmalloc_cache_strerror(error));
	Py_DECREF(class);
	return NULL;
}
