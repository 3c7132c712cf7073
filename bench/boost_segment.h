/* What heap_boost.c needs of Boost.Interprocess, in C. */
#ifndef BENCH_BOOST_SEGMENT_H
#define BENCH_BOOST_SEGMENT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A segment in the LEN bytes at AT, or NULL. */
void *boost_segment_make(void *at, size_t len);

/* NULL: no memory. */
void *boost_segment_alloc(void *segment, size_t size);

void boost_segment_free(void *segment, void *at);

#ifdef __cplusplus
}
#endif

#endif
