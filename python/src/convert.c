/*
 * Python objects as bytes and milliseconds.
 */
#include <math.h>
#include <string.h>

#include "src/binding.h"

#define KEY_MAX 65536 /* see shmalloc/cache.h */

static bool
input_buffer(PyObject *object, struct input *ret_input)
{
	if (PyObject_GetBuffer(object, &ret_input->buffer, PyBUF_SIMPLE) != 0)
		return false;
	ret_input->bytes.data = ret_input->buffer.buf;
	ret_input->bytes.len = (size_t)ret_input->buffer.len;
	return true;
}

static bool
input_text(PyObject *text, struct input *ret_input)
{
	Py_ssize_t len;
	const char *utf8 = PyUnicode_AsUTF8AndSize(text, &len);

	if (!utf8)
		return false;
	ret_input->bytes.data = utf8;
	ret_input->bytes.len = (size_t)len;
	return true;
}

/* A bytes object doesn't move: no buffer is needed. */
static bool
input_bytes(PyObject *bytes, struct input *ret_input)
{
	char *data;
	Py_ssize_t len;

	if (PyBytes_AsStringAndSize(bytes, &data, &len) != 0)
		return false;
	ret_input->bytes.data = data;
	ret_input->bytes.len = (size_t)len;
	return true;
}

static bool
input_name(PyObject *key, struct input *ret_input)
{
	if (PyUnicode_Check(key))
		return input_text(key, ret_input);
	if (PyBytes_Check(key))
		return input_bytes(key, ret_input);
	if (PyObject_CheckBuffer(key))
		return input_buffer(key, ret_input);
	PyErr_Format(PyExc_TypeError, "a key is a str or bytes-like, not %R",
	    Py_TYPE(key));
	return false;
}

bool
input_key(PyObject *key, struct input *ret_input)
{
	ret_input->buffer.obj = NULL;
	if (!input_name(key, ret_input))
		return false;
	if (ret_input->bytes.len - 1 < KEY_MAX)
		return true;
	input_end(ret_input);
	error_raise(NULL, SHMALLOC_EINVAL, key);
	return false;
}

/* What dumps() gave is kept by its buffer; a str by the reference that the
 * buffer's `obj` is then. */
static bool
input_dumped(PyObject *dumped, struct input *ret_input)
{
	bool is_good;

	if (!PyUnicode_Check(dumped)) {
		is_good = input_buffer(dumped, ret_input);
		Py_DECREF(dumped);
		return is_good;
	}
	is_good = input_text(dumped, ret_input) &&
	    PyBuffer_FillInfo(&ret_input->buffer, dumped,
		(void *)(uintptr_t)ret_input->bytes.data,
		(Py_ssize_t)ret_input->bytes.len, 1, PyBUF_SIMPLE) == 0;
	Py_DECREF(dumped);
	return is_good;
}

bool
input_value(PyObject *value, PyObject *dumps, struct input *ret_input)
{
	PyObject *dumped;

	ret_input->buffer.obj = NULL;
	if (dumps) {
		dumped = PyObject_CallFunctionObjArgs(dumps, value, NULL);
		return dumped && input_dumped(dumped, ret_input);
	}
	if (PyBytes_Check(value))
		return input_bytes(value, ret_input);
	if (PyObject_CheckBuffer(value))
		return input_buffer(value, ret_input);
	PyErr_Format(PyExc_TypeError,
	    "a value is bytes-like unless the cache has a serializer, not %R",
	    Py_TYPE(value));
	return false;
}

void
input_end(struct input *input)
{
	if (input->buffer.obj)
		PyBuffer_Release(&input->buffer);
}

/* 1 with what NUMBER is, which is at most MOST; 0 with an exception. */
static int
number_parse(PyObject *number, uint64_t most, uint64_t *ret_value)
{
	PyObject *index = PyNumber_Index(number);
	uint64_t value;

	if (!index)
		return 0;
	value = PyLong_AsUnsignedLongLong(index);
	Py_DECREF(index);
	if (!PyErr_Occurred() && value <= most) {
		*ret_value = value;
		return 1;
	}
	PyErr_Format(PyExc_OverflowError, "%R is not from 0 to %llu", number,
	    (unsigned long long)most);
	return 0;
}

int
number32(PyObject *number, void *ret_uint32)
{
	uint64_t value;

	if (!number_parse(number, UINT32_MAX, &value))
		return 0;
	*(uint32_t *)ret_uint32 = (uint32_t)value;
	return 1;
}

int
number64(PyObject *number, void *ret_uint64)
{
	return number_parse(number, UINT64_MAX, ret_uint64);
}

bool
milliseconds(PyObject *seconds, const char *what, uint32_t *ret_ms)
{
	double ms;

	*ret_ms = 0;
	if (!seconds || seconds == Py_None)
		return true;
	ms = PyFloat_AsDouble(seconds) * 1000;
	if (PyErr_Occurred())
		return false;
	if (!(ms > 0 && ms <= UINT32_MAX)) {
		PyErr_Format(PyExc_ValueError,
		    "%s is above 0 and up to 4294967 seconds, or None", what);
		return false;
	}
	*ret_ms = (uint32_t)ceil(ms);
	return true;
}
