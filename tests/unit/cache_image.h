/*
 * A cache made by hand in memory, without the library that makes them: for who
 * looks at caches from outside.
 */
#ifndef TESTS_CACHE_IMAGE_H
#define TESTS_CACHE_IMAGE_H

#include "cache/layout.h"

/* Where its parts are, in bytes from BASE; all are 0 before, and aligned to 8.
 */
struct cache_image {
	char *base;
	uint64_t head;  /* sizeof(struct cache_head) */
	uint64_t table; /* cache_image_table_len() */
	uint64_t items; /* n_items times CACHE_IMAGE_ITEM */
	uint64_t n_buckets, n_items;
	uint64_t epoch_ms;
};

#define CACHE_IMAGE_ITEM (sizeof(struct cache_item) + 24)

static inline uint64_t
cache_image_table_len(uint64_t n_buckets)
{
	return sizeof(struct cache_table) +
	    n_buckets * sizeof(struct cache_bucket);
}

static inline struct cache_head *
cache_image_head(const struct cache_image *image)
{
	return (struct cache_head *)(void *)(image->base + image->head);
}

static inline struct cache_table *
cache_image_table(const struct cache_image *image)
{
	return (struct cache_table *)(void *)(image->base + image->table);
}

static inline struct cache_item *
cache_image_item(const struct cache_image *image, uint64_t i)
{
	return (struct cache_item *)(void *)(image->base + image->items +
	    i * CACHE_IMAGE_ITEM);
}

/* The place of item I: they lie in the buckets in turn. */
static inline struct cache_entry *
cache_image_entry(const struct cache_image *image, uint64_t i)
{
	struct cache_table *table = cache_image_table(image);

	return &table->bucket[i % image->n_buckets]
		    .entry[i / image->n_buckets % CACHE_ENTRIES];
}

/* Make it; item I was stored in tick I + 1. */
static inline void
cache_image_make(const struct cache_image *image)
{
	struct cache_head *head = cache_image_head(image);
	struct cache_table *table = cache_image_table(image);

	head->magic = CACHE_MAGIC;
	head->epoch_ms = image->epoch_ms;
	atomic_store(&head->limit, 1 << 20);
	atomic_store(&head->table[0], image->table);
	table->n_buckets = image->n_buckets;
	table->len = cache_image_table_len(image->n_buckets);
	atomic_store(&table->items[0], (int64_t)image->n_items);
	atomic_store(
	    &table->bytes[1], (int64_t)(image->n_items * CACHE_IMAGE_ITEM));
	for (uint64_t i = 0; i < image->n_items; i++) {
		struct cache_item *item = cache_image_item(image, i);
		struct cache_entry *entry = cache_image_entry(image, i);

		item->key_len = 8;
		item->generation = (uint32_t)i;
		item->created = (uint32_t)i + 1;
		atomic_store(&entry->tag, (i << 32 | i) + (UINT64_C(1) << 40));
		atomic_store(&entry->slot, image->items + i * CACHE_IMAGE_ITEM);
	}
}

#endif
