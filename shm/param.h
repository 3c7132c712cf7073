/*
 * The tunables: one table (shm/param.def), its indices and its metadata.
 */
#ifndef SHM_PARAM_H
#define SHM_PARAM_H

#include <stddef.h>
#include <stdint.h>

enum shm_param {
#define PARAM(name, field, type, def, min, max, unit, effect, text)            \
	SHM_PARAM_##field,
#include "shm/param.def"
#undef PARAM
	SHM_PARAMS,
};

/* The words of arena.assign. */
enum shm_assign {
	SHM_ASSIGN_CONTENTION,
	SHM_ASSIGN_THREAD,
	SHM_ASSIGN_CLIENT,
};

struct shm_param_info {
	const char *name;
	const char *type; /* "u64" or "enum" */
	uint64_t def, min, max;
	const char *unit; /* "bytes", "ms", "" or "enum:word|word" */
	const char *effect;
	const char *text;
};

/* Every parameter, indexed by enum shm_param. */
extern const struct shm_param_info shm_params[SHM_PARAMS];

/* The index of the parameter NAME, or -1. */
int shm_param_find(const char *name);

#endif
