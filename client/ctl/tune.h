/* What the files of `tune` share. */
#ifndef CTL_TUNE_H
#define CTL_TUNE_H

#include "client/ctl/look.h"

#define TUNE_VALUE_LEN 64

/* Say why the last request failed with R; of an unknown parameter, also which
 * one may be meant.  The exit code. */
int tune_fail(struct ctl *ctl, int r);

/* PARAMETER's value under KEY as people write it; plain in a pipe. */
char *tune_value_text(const struct look *look, char buf[TUNE_VALUE_LEN],
    const struct shmalloc_record *parameter, const char *key);

/* Print the changes in REPLY, which is freed; the exit code. */
int tune_changes_show(struct ctl *ctl, struct shmalloc_reply *reply);

/* Set N parameters as the options --dry-run, --for and --save say, and print
 * what changed; the exit code.  Connected. */
int tune_assign(
    struct ctl *ctl, size_t n, const struct shmalloc_assignment set[]);

/* Whether these options go together; false after saying why not. */
bool tune_options_agree(const struct ctl *ctl);

/* As the command `tune save`, connected. */
int tune_save(struct ctl *ctl);

#endif
