#include "tests/stress/pattern.h"

#include <string.h>

static uint64_t
word_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

uint64_t
pattern_random(uint64_t *state)
{
	return word_mix(*state += UINT64_C(0x9e3779b97f4a7c15));
}

/* Word I of the pattern whose second word is HASH. */
static uint64_t
word_at(uint64_t hash, size_t i)
{
	return (hash + i) * UINT64_C(0x9e3779b97f4a7c15);
}

uint64_t
pattern_seed(uint64_t first)
{
	return first >> 20;
}

void
pattern_write(void *at, size_t len, uint64_t seed)
{
	uint64_t first = seed << 20 | len, hash = word_mix(first), tail;
	uint64_t *word = at;
	size_t n = len / sizeof(*word);

	word[0] = first;
	word[1] = hash;
	for (size_t i = 2; i < n; i++)
		word[i] = word_at(hash, i);
	tail = word_at(hash, n);
	memcpy(&word[n], &tail, len % sizeof(*word));
}

/* The first LEN bytes after a good head. */
static bool
body_is_right(const uint64_t *word, size_t len)
{
	size_t n = len / sizeof(*word);
	uint64_t tail = word_at(word[1], n), wrong = 0;

	for (size_t i = 2; i < n; i++)
		wrong |= word[i] ^ word_at(word[1], i);
	return wrong == 0 && memcmp(&word[n], &tail, len % sizeof(*word)) == 0;
}

static size_t
head_length(const uint64_t *word)
{
	size_t len = (size_t)(word[0] & PATTERN_MAX);

	return word[1] == word_mix(word[0]) && len >= PATTERN_MIN ? len : 0;
}

size_t
pattern_check(const void *at, size_t room)
{
	size_t len = room < PATTERN_MIN ? 0 : head_length(at);

	return len <= room && len > 0 && body_is_right(at, len) ? len : 0;
}

bool
pattern_check_part(const void *at, size_t len, size_t all_len)
{
	/* Whole words only: what follows the last one was cut. */
	size_t whole = len == all_len ? len : len / 8 * 8;

	return head_length(at) == all_len && body_is_right(at, whole);
}
