/*
 * Errors as text, and the proof that the public header and the table agree.
 */
#include <assert.h>
#include <errno.h>

#include "client/heap.h"
#include "shm/error.h"

#define SHM_ERROR(name, value, text)                                           \
	static_assert((int)SHMALLOC_##name == (value), "shmalloc.h disagrees");
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

int
heap_errno(int error)
{
	switch (error) {
	case SHMALLOC_EINVAL:
		return EINVAL;
	case SHMALLOC_EBUSY:
		return EAGAIN;
	case SHMALLOC_EPERM:
	case SHMALLOC_ENOTOWNER:
		return EPERM;
	case SHMALLOC_EREADONLY:
		return EROFS;
	case SHMALLOC_ECORRUPT:
		return EIO;
	case SHMALLOC_EGONE:
		return ESTALE;
	case SHMALLOC_EUNREACHABLE:
	case SHMALLOC_ETIMEDOUT:
		return ENOTCONN;
	default:
		return ENOMEM;
	}
}

int
cache_error(void)
{
	switch (errno) {
	case EDEADLK:
		return SHMALLOC_EDEADLK;
	case ENOTCONN:
		return SHMALLOC_EUNREACHABLE;
	case ESTALE:
		return SHMALLOC_EGONE;
	case EAGAIN:
		return SHMALLOC_EBUSY;
	case EINVAL:
		return SHMALLOC_EINVAL;
	default:
		return SHMALLOC_ENOMEM;
	}
}
