/*
 * Statistics as Prometheus reads them, in the text format 0.0.4.
 */
#ifndef PROTO_PROMETHEUS_H
#define PROTO_PROMETHEUS_H

#include <stdio.h>

#include "proto/frame.h"
#include "proto/shmalloc.pb-c.h"

#define PROTO_PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/*
 * Write the statistics of N segments to OUT, which may be of open_memstream().
 * Each value has the label `segment`; a value that is absent has no sample.
 * 0 or PROTO_ESYSTEM (errno): no memory, or OUT could not be written to.
 */
int proto_prometheus_write(
    FILE *out, size_t n, Proto__Stats *const stats[]) PROTO_MUSTCHECK;

#endif
