/*
 * What the fuzzers share.  Each is a program with one entry point that
 * libFuzzer calls with bytes of its choice; see README.md.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* libFuzzer's. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A claim that must hold whatever the input was. */
#define FUZZ_CHECK(condition)                                                  \
	do {                                                                   \
		if (!(condition)) {                                            \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__,       \
			    __LINE__, #condition);                             \
			abort();                                               \
		}                                                              \
	} while (0)

/* The input, taken from its front; zeros when there is no more. */
struct fuzz_input {
	const uint8_t *data;
	size_t len;
};

static inline uint64_t
fuzz_take(struct fuzz_input *input, unsigned n)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n && input->len > 0; i++, input->len--)
		value |= (uint64_t)*input->data++ << (8 * i);
	return value;
}

#endif
