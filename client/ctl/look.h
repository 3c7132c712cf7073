/*
 * How values look here: for people on a terminal, plain numbers in a pipe; and
 * values of records, with what stands for an absent one.
 */
#ifndef CTL_LOOK_H
#define CTL_LOOK_H

#include "client/ctl/ctl.h"
#include "client/ctl/quantity.h"

/* Find out how output is to look, given the options. */
void look_find(struct look *look, const struct options *opt);

/* All of these write into BUF and return it. */
char *look_bytes(const struct look *look, char buf[QUANTITY_LEN], uint64_t n);
char *look_count(const struct look *look, char buf[QUANTITY_LEN], uint64_t n);
/* The sum of bytes or the count under KEY; "?" if it is absent. */
char *look_bytes_of(const struct look *look, char buf[QUANTITY_LEN],
    const struct shmalloc_record *record, const char *key);
char *look_count_of(const struct look *look, char buf[QUANTITY_LEN],
    const struct shmalloc_record *record, const char *key);

/* A name in digits, as a PID, and a duration; "?" if it is absent. */
char *look_id_of(char buf[QUANTITY_LEN], const struct shmalloc_record *record,
    const char *key);
char *look_duration_of(char buf[QUANTITY_LEN],
    const struct shmalloc_record *record, const char *key);

/* The value under KEY, or ABSENT. */
uint64_t look_uint(
    const struct shmalloc_record *record, const char *key, uint64_t absent);
double look_double(
    const struct shmalloc_record *record, const char *key, double absent);
bool look_bool(const struct shmalloc_record *record, const char *key);
/* The string under KEY without anything that a terminal obeys, in BUF; "?" if
 * it is absent. */
char *look_string(char *buf, size_t len, const struct shmalloc_record *record,
    const char *key);

/* Colour escapes, "" without colours. */
const char *look_color(const struct look *look, const char *escape);

#define LOOK_BOLD   "\033[1m"
#define LOOK_RED    "\033[31m"
#define LOOK_GREEN  "\033[32m"
#define LOOK_YELLOW "\033[33m"
#define LOOK_RESET  "\033[0m"

#endif
