/*
 * The errors that functions of this project return: 0, or one of these.
 *
 * SHM_ERETRY is internal: a lock could not be had, and the caller decides what
 * to do instead.  It never reaches a user.
 */
#ifndef SHM_ERROR_H
#define SHM_ERROR_H

enum shm_error {
#define SHM_ERROR(name, value, text) SHM_##name = (value),
#include "shm/error.def"
#undef SHM_ERROR
	SHM_ERETRY = -100,
};

#define SHM_MUSTCHECK __attribute__((warn_unused_result))

#endif
