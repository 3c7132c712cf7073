/*
 * The module shmalloc._shmalloc.
 */
#include "src/binding.h"

static PyMethodDef methods[] = {
	{ "open_views", view_list, METH_NOARGS,
	    "open_views($module, /)\n--\n\n"
	    "The views of all caches that hold values in this process, as a "
	    "list." },
	{ NULL, NULL, 0, NULL },
};

/* Records of threads and the exceptions belong to the process. */
static bool
interpreter_is_main(void)
{
	if (PyInterpreterState_GetID(PyInterpreterState_Get()) == 0)
		return true;
	PyErr_SetString(
	    PyExc_ImportError, "shmalloc works in the main interpreter only");
	return false;
}

static int
module_exec(PyObject *module)
{
	return interpreter_is_main() && error_init() == 0 &&
		heap_init(module) == 0 && cache_init(module) == 0 &&
		lease_init(module) == 0 && view_init(module) == 0
	    ? 0
	    : -1;
}

static PyModuleDef_Slot slots[] = {
	{ Py_mod_exec, module_exec },
	{ 0, NULL },
};

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "shmalloc._shmalloc",
	.m_doc = "libshmalloc-cache; use the package shmalloc.",
	.m_methods = methods,
	.m_slots = slots,
};

PyMODINIT_FUNC PyInit__shmalloc(void);

PyMODINIT_FUNC
PyInit__shmalloc(void)
{
	return PyModuleDef_Init(&definition);
}
