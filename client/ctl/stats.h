/* The parts of `stats`. */
#ifndef CTL_STATS_H
#define CTL_STATS_H

#include "client/ctl/ctl.h"

/* The two lines on top. */
void stats_head(const struct look *look, const struct shmalloc_record *stats);

/* What `--by` says. */
void stats_by_arena(const struct ctl *ctl, const struct shmalloc_record *stats);
void stats_by_bin(const struct ctl *ctl, const struct shmalloc_record *stats);

/* Every value in a line of its own, with what it means. */
void stats_long(const struct ctl *ctl, const struct shmalloc_record *stats);

/* A table of the clients in RECORD's list. */
void clients_table(const struct ctl *ctl, const struct shmalloc_record *list);

/* A table of the locks in RECORD's list. */
void locks_table(const struct ctl *ctl, const struct shmalloc_record *list);

/* The sums at the foot, and a hint if the facts ask for one. */
void stats_foot(const struct look *look, const struct shmalloc_record *stats);
void stats_hint(const struct look *look, const struct shmalloc_record *stats);

#endif
