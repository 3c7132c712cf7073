/*
 * Tables: right-aligned numbers, left-aligned words.  On a terminal that is too
 * narrow the columns that matter least are left out, and that is said.
 */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include "client/ctl/ctl.h"

struct table;

enum table_flags {
	TABLE_RIGHT = 1u << 0,
	/* The last one: what does not fit is cut off. */
	TABLE_CUT = 1u << 1,
	/* Left out in this order when it is too wide. */
	TABLE_HIDE_1 = 1u << 4,
	TABLE_HIDE_2 = 2u << 4,
	TABLE_HIDE_3 = 3u << 4,
	TABLE_HIDE_4 = 4u << 4,
};

/* A table that prints as LOOK says.  Memory that can't be had ends the
 * program; so the functions below don't fail. */
struct table *table_new(const struct look *look, bool has_headings);
void table_column(struct table *table, const char *name, unsigned flags);

/* The next cell, from left to right, then in the next line. */
void table_text(struct table *table, const char *text);
void table_color(struct table *table, const char *text, const char *color_name);

/* Of the value under KEY: "-" if it is absent. */
void table_uint(
    struct table *table, const struct shmalloc_record *record, const char *key);
void table_bytes(
    struct table *table, const struct shmalloc_record *record, const char *key);
void table_percent(
    struct table *table, const struct shmalloc_record *record, const char *key);
void table_string(
    struct table *table, const struct shmalloc_record *record, const char *key);
/* How long ago, from NOW. */
void table_age(struct table *table, const struct shmalloc_record *record,
    const char *key, double now);

/* Print it on stdout and free it. */
void table_print(struct table *table);

#endif
