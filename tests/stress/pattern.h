/*
 * Contents that say whether they are whole: the first word holds a seed and the
 * object's length, the second one a hash of the first, and every byte after
 * them follows from those two.
 */
#ifndef TESTS_STRESS_PATTERN_H
#define TESTS_STRESS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_MIN 16u
#define PATTERN_MAX ((1u << 20) - 1)

/* The next number of a sequence; *STATE is where it stands. */
uint64_t pattern_random(uint64_t *state);

/* The low 44 bits of the seed that is in a pattern's FIRST word. */
uint64_t pattern_seed(uint64_t first);

/* Fill the LEN bytes (PATTERN_MIN..PATTERN_MAX) at AT. */
void pattern_write(void *at, size_t len, uint64_t seed);

/*
 * The length of the pattern at AT if all of it is right, else 0.  At most ROOM
 * bytes are read; a pattern that claims more is wrong.
 */
size_t pattern_check(const void *at, size_t room);

/* Are the first LEN bytes at AT those of a pattern that was at least as long,
 * and was written with ALL_LEN bytes? */
bool pattern_check_part(const void *at, size_t len, size_t all_len);

#endif
