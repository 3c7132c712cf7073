/* Errors in words, and the proof that both lists of them are the same. */
#include <assert.h>

#include "shm/error.h"
#include "shmalloc/shmalloc.h"

#define SHM_ERROR(name, value, text)                                           \
	static_assert((int)SHMALLOC_##name == (value), "shm/error.def");
#include "shm/error.def"
#undef SHM_ERROR

const char *
shmalloc_strerror(int error)
{
	switch (error) {
	case 0:
		return "success";
#define SHM_ERROR(name, value, text)                                           \
	case value:                                                            \
		return text;
#include "shm/error.def"
#undef SHM_ERROR
	default:
		return "unknown error";
	}
}
