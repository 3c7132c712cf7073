/* JSON from replies, for --json. */
#ifndef CTL_JSON_H
#define CTL_JSON_H

#include <jansson.h>

#include "client/ctl/ctl.h"

/* RECORD, or what is under its KEY (not NULL), as a value that the caller
 * owns.  Memory that can't be had ends the program. */
json_t *json_make(const struct shmalloc_record *record, const char *key);

/* Print VALUE on stdout, on one line if IS_LINE, and free it. */
void json_print(json_t *value, bool is_line);

/* Both: print RECORD, or what is under KEY; the exit code of it. */
int json_show(const struct shmalloc_record *record, const char *key);

#endif
