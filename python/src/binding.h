/*
 * What the files of the extension module share.
 *
 * The module is C over <shmalloc/cache.h>, and a thin one: it turns keys and
 * values into bytes, errors into exceptions, and pins into memoryviews.  What
 * needs no C is in shmalloc/ beside this folder.
 *
 * From Python 3.11 on, setup.py compiles it for the stable ABI, so that one
 * binary serves all later versions; buffers are part of that since 3.11.
 *
 * LOCKS.  Everything here is guarded by the global interpreter lock, which is
 * let go around calls that may ask the daemon for something or wait for
 * another process (attaching, storing, taking, walking), and around the copy of
 * a large value.  Other look-ups are shorter than that would take.
 */
#ifndef BINDING_H
#define BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <sys/queue.h>

#include <shmalloc/cache.h>

/* ---- error.c ------------------------------------------------------------- */

/* Fetch the exceptions of shmalloc._error.  0, or -1 with an exception. */
int error_init(void);

/*
 * Raise the exception for ERROR, a negative SHMALLOC_E* or SHMALLOC_CACHE_E*,
 * which the calling thread has just had from HEAP (NULL: from no heap).  KEY,
 * or NULL: whose absence, or length, is the error.  Always NULL.
 */
PyObject *error_raise(struct shmalloc *heap, int error, PyObject *key);

/* ---- convert.c ----------------------------------------------------------- */

/* Bytes of a Python object, and what keeps them in place. */
struct input {
	struct shmalloc_bytes bytes;
	Py_buffer buffer; /* .obj NULL: the object itself does */
};

/* The bytes of KEY: of a str its UTF-8, else its buffer.  The caller keeps KEY,
 * and ends it with input_end().  False with an exception. */
bool input_key(PyObject *key, struct input *ret_input);

/* The bytes of VALUE, through DUMPS unless that is NULL. */
bool input_value(PyObject *value, PyObject *dumps, struct input *ret_input);

void input_end(struct input *input);

/*
 * For "O&" of PyArg_Parse: an int as uint32_t or uint64_t.  Its "I" and "K"
 * keep what is left of a number that is too large or negative; these raise
 * OverflowError, and TypeError for what is no int.
 */
int number32(PyObject *number, void *ret_uint32);
int number64(PyObject *number, void *ret_uint64);

/* Seconds (None: 0) as milliseconds, rounded up.  False with an exception. */
bool milliseconds(PyObject *seconds, const char *what, uint32_t *ret_ms);

/* ---- heap.c -------------------------------------------------------------- */

/* An attachment.  Constant after it was made. */
struct heap {
	PyObject base;
	struct shmalloc *heap;
};

extern PyTypeObject *heap_type;
int heap_init(PyObject *module);

/* ---- cache.c ------------------------------------------------------------- */

struct cache {
	PyObject base;
	struct heap *heap;
	struct shmalloc_cache *cache;
	/* Calls and views that need `cache`, and 1 until close(). */
	size_t holders;
	bool is_closed;
	PyObject *dumps, *loads; /* NULL: values are bytes */
	unsigned n_views, views_forks, max_views;
};

extern PyTypeObject *cache_type;
int cache_init(PyObject *module);

/* Begin a call of SELF that ends with call_end().  False with an exception:
 * it is closed. */
bool call_begin(struct cache *self);
void call_end(struct cache *self);

/* BYTES, which is given away and may be NULL, through SELF's loads() if it has
 * one; new, or NULL with an exception. */
PyObject *value_load(struct cache *self, PyObject *bytes);

/* A copy of the pinned value of VIEW; a large one is made without the lock. */
PyObject *bytes_make(const struct shmalloc_cache_view *view);

/* Pin KEY; the first time in this process and thread without the lock, because
 * it becomes a client then.  As shmalloc_cache_pin(). */
int value_pin(struct cache *self, const struct input *key,
    struct shmalloc_cache_view *ret_view);

/* ---- get.c, store.c, walk.c, lease.c, view.c: methods of a cache --------- */

PyObject *cache_get(
    struct cache *self, PyObject *const *args, Py_ssize_t n_args);
PyObject *cache_get_many(struct cache *self, PyObject *keys);
PyObject *cache_entry(struct cache *self, PyObject *key);
PyObject *cache_item(struct cache *self, PyObject *key);
int cache_contains(struct cache *self, PyObject *key);

PyObject *cache_set(struct cache *self, PyObject *args, PyObject *kwargs);
PyObject *cache_add(struct cache *self, PyObject *args, PyObject *kwargs);
PyObject *cache_replace(struct cache *self, PyObject *args, PyObject *kwargs);
PyObject *cache_cas(struct cache *self, PyObject *args, PyObject *kwargs);
PyObject *cache_append(struct cache *self, PyObject *args, PyObject *kwargs);
PyObject *cache_incr(struct cache *self, PyObject *args, PyObject *kwargs);
PyObject *cache_touch(struct cache *self, PyObject *args, PyObject *kwargs);
PyObject *cache_delete(struct cache *self, PyObject *args, PyObject *kwargs);
int cache_assign(struct cache *self, PyObject *key, PyObject *value);

PyObject *cache_keys(struct cache *self, PyObject *unused);
PyObject *cache_clear(struct cache *self, PyObject *unused);
PyObject *cache_sweep(struct cache *self, PyObject *unused);
PyObject *cache_limit(struct cache *self, PyObject *bytes);
PyObject *cache_stats(struct cache *self, PyObject *unused);
Py_ssize_t cache_len(struct cache *self);

PyObject *cache_take(struct cache *self, PyObject *args, PyObject *kwargs);
int lease_init(PyObject *module);

PyObject *cache_view(struct cache *self, PyObject *key);
int view_init(PyObject *module);

/* Views that are open in this process, as a list. */
PyObject *view_list(PyObject *module, PyObject *unused);

/* End what other threads released of this thread's views.  At every call. */
void view_settle(void);

/* How often this process is a child of fork() since the module was loaded. */
unsigned view_forks(void);

#endif
