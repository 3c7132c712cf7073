/*
 * What a daemon, and the tools through it, do to a segment: a table of jobs.
 */
#ifndef TESTS_FUZZ_WORK_H
#define TESTS_FUZZ_WORK_H

#include "shm/seg.h"

/* How many jobs there are. */
extern const uint32_t work_jobs;

/* Make what the jobs need beside a segment. */
void work_begin(void);

/* Do job number I (any number) to SEG, with the argument CHOICE. */
void work_do(struct shm_seg *seg, uint32_t i, uint32_t choice);

#endif
