/* How long operations take, as a table. */
#ifndef CTL_LATENCY_H
#define CTL_LATENCY_H

#include "client/ctl/ctl.h"

/* Print those in the list "latency" of RECORD. */
void latency_table(const struct ctl *ctl, const struct shmalloc_record *record);

#endif
