/*
 * Quantities as people write and read them.  Sizes have units of 1024 (K, M,
 * G, T, P), counts of 1000, durations d, h, m, s, ms.
 */
#ifndef CTL_QUANTITY_H
#define CTL_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

#define QUANTITY_LEN 32

/* "64K", "1.5G", "4096", "2MiB": bytes.  False: it is no size, or too large. */
bool quantity_parse_bytes(const char *text, uint64_t *ret_bytes);

/* "10", 0 to MAX. */
bool quantity_parse_count(const char *text, uint64_t max, uint64_t *ret_n);

/* "2", "0.5", "2s", "500ms", "10m", "1h", "1d": seconds, not negative. */
bool quantity_parse_seconds(const char *text, double *ret_seconds);

/* All of these write into BUF and return it. */

/* Three digits or so: 64M, 48.0M, 512. */
char *quantity_bytes(char buf[QUANTITY_LEN], uint64_t bytes);
/* 1.21G, 41.2K, 512. */
char *quantity_count(char buf[QUANTITY_LEN], uint64_t n);
/* 3d 4h, 2m 5s, 14s. */
char *quantity_duration(char buf[QUANTITY_LEN], double seconds);
/* 10s, 2m, 1500ms: exact. */
char *quantity_ms(char buf[QUANTITY_LEN], uint64_t ms);

#endif
