/*
 * Values as people write and read them: 64M, 1G, 10s, 250ms, warn.
 *
 * The unit column of the parameter table (shm/param.def) says how a value is
 * written: bytes take K, M, G, T (powers of 1024); ms take ms, s, m, h; an enum
 * takes one of its words; a count takes digits.
 */
#ifndef SERVER_VALUE_H
#define SERVER_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "shm/error.h"
#include "shm/param.h"

/* Enough for any value that value_format() writes. */
#define VALUE_LEN 32

/* Read TEXT, a value in UNIT.  0 or SHM_EINVAL. */
int value_parse(
    const char *unit, const char *text, uint64_t *ret_value) SHM_MUSTCHECK;

/* What a value in UNIT looks like: "a size such as 64M"; an enum's, "a|b|c". */
const char *value_example(const char *unit);

/*
 * Write VALUE in the largest unit that divides it, so that value_parse() reads
 * it back exactly.
 */
void value_format(const char *unit, uint64_t value, char ret[VALUE_LEN]);

/*
 * Say in REASON (LEN bytes) why VALUE is no value of the parameter INFO, as
 * "1K is below the minimum 4K".  0 if it is one, else SHM_ERANGE.
 */
int value_check(const struct shm_param_info *info, uint64_t value, char *reason,
    size_t len) SHM_MUSTCHECK;

/*
 * The one of the N names that is nearest to NAME, if it is near enough to have
 * been meant; else NULL.  NAMES lie STRIDE bytes apart.
 */
const char *value_suggest(
    const char *name, const char *const *names, size_t n, size_t stride);

#endif
