#include "server/pool.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/log.h"

#define BLOCK_LEN 16384u
#define ALIGN     16u

struct pool_block {
	struct pool_block *next;
	size_t len;
	_Alignas(ALIGN) char data[];
};

static void
block_add(struct pool *pool, size_t size)
{
	size_t len = size > BLOCK_LEN ? size : BLOCK_LEN;
	struct pool_block *block = calloc(1, sizeof *block + len);
	if (block == NULL) {
		log_error("out of memory for an answer of %zu bytes", size);
		abort();
	}
	block->next = pool->blocks;
	block->len = len;
	pool->blocks = block;
	pool->left = len;
}

void *
pool_alloc(struct pool *pool, size_t size)
{
	size = (size + ALIGN - 1) / ALIGN * ALIGN;
	if (size > pool->left || pool->blocks == NULL)
		block_add(pool, size);
	struct pool_block *block = pool->blocks;
	void *p = block->data + (block->len - pool->left);
	pool->left -= size;
	return p;
}

void *
pool_array(struct pool *pool, size_t n, size_t size)
{
	if (size != 0 && n > SIZE_MAX / 2 / size)
		abort();
	return pool_alloc(pool, n * size);
}

char *
pool_strdup(struct pool *pool, const char *text)
{
	size_t len = strlen(text) + 1;
	return memcpy(pool_alloc(pool, len), text, len);
}

char *
pool_printf(struct pool *pool, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return pool_strdup(pool, text);
}

void
pool_release(struct pool *pool)
{
	while (pool->blocks != NULL) {
		struct pool_block *block = pool->blocks;
		pool->blocks = block->next;
		free(block);
	}
	pool->left = 0;
}
