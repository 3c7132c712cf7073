/*
 * Memory that is freed together: what one reply points to.
 */
#ifndef SERVER_POOL_H
#define SERVER_POOL_H

#include <stddef.h>

struct pool_block;

struct pool {
	struct pool_block *blocks;
	size_t left; /* bytes free in the first */
};

/* Zeroed bytes, aligned for anything.  Never NULL: without memory for a small
 * answer the daemon ends, which it says in the log. */
void *pool_alloc(struct pool *pool, size_t size);

/* An array of N elements of SIZE bytes; the product must not overflow. */
void *pool_array(struct pool *pool, size_t n, size_t size);

char *pool_strdup(struct pool *pool, const char *text);

char *pool_printf(struct pool *pool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void pool_release(struct pool *pool);

#endif
