/*
 * The truth that the demo's workers look up: real records and their keys, in
 * one file that is written once and mapped by every worker.
 *
 *	file:  head | keys and values | index (one struct record each)
 *
 * A record changes over time.  Its version 0 is what was read from the machine;
 * version v is the same bytes turned to the left by v.  So whoever holds some
 * bytes and the number of their version can tell whether each byte is right.
 */
#ifndef EXAMPLES_RECORDS_H
#define EXAMPLES_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct record {
	uint64_t key; /* where it begins in the file */
	uint64_t value;
	uint64_t value_len;
	uint32_t key_len;
	uint32_t spare;
};

struct records_head {
	uint64_t magic;
	uint64_t index;    /* where it begins in the file */
	uint64_t n;        /* records */
	uint64_t bytes;    /* of all values */
	uint64_t smallest; /* bytes of a value */
	uint64_t largest;
};

/* A mapped file of records. */
struct records {
	const unsigned char *base;
	uint64_t len;
	const struct records_head *head;
	const struct record *record; /* head->n */
};

/*
 * Read the records of N FILES and write them to PATH.  No file: the stanzas of
 * the machine's package database.  A folder: each file below it is a record.  A
 * file that holds a NUL byte, or a line longer than 1 MiB, is a record too; of
 * any other, each line that isn't empty.  Exits with a message if that can't be
 * done; a file below a folder that can't be read is left out.
 */
void records_build(const char *path, int n, char *const files[]);

/* Map the file of records at PATH; exits with a message if it is none. */
struct records records_open(const char *path);

const unsigned char *records_key(
    const struct records *records, const struct record *record);

/* Write VERSION of the record to TO, which has room for value_len bytes. */
void records_compose(const struct records *records, const struct record *record,
    uint32_t version, unsigned char *to);

/* Are the LEN bytes at FROM exactly VERSION of the record? */
bool records_equal(const struct records *records, const struct record *record,
    uint32_t version, const unsigned char *from, uint64_t len);

#endif
