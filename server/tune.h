/*
 * The tunables of a running segment: who set what, and changing several as one
 * transaction.
 */
#ifndef SERVER_TUNE_H
#define SERVER_TUNE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/config.h"
#include "server/segment.h"

#define TUNE_REASON_LEN 256

/* A change that is asked for, or was made. */
struct tune_change {
	enum shm_param param;
	uint64_t before, after;
	enum config_source source; /* of the value after */
};

/* The value that PARAM has in SEGMENT; of reader.evict_ms, by which the daemon
 * kills, the one that the daemon was told. */
uint64_t tune_value(const struct segment *segment, enum shm_param param);

/* The value that clients act upon, where PARAM's own means "choose". */
uint64_t tune_effective(const struct segment *segment, enum shm_param param);

/* The value that PARAM has when nobody sets it at runtime, and its source. */
uint64_t tune_configured(const struct config *config,
    const struct segment *segment, enum shm_param param,
    enum config_source *ret_source);

/*
 * Read NAME and VALUE as people write them.  SHM_EUNKNOWN (with a suggestion)
 * or SHM_ERANGE, and REASON: "mmap_threshold: 1K is below the minimum 4K".
 */
int tune_parse(const struct segment *segment, const char *name,
    const char *value, struct tune_change *ret_change,
    char reason[TUNE_REASON_LEN]) SHM_MUSTCHECK;

/* As tune_parse(), of a name alone. */
int tune_find(const char *name, enum shm_param *ret_param,
    char reason[TUNE_REASON_LEN]) SHM_MUSTCHECK;

/*
 * Make all of the N changes, or none.  WHO (for the log) made them.  SHM_ERANGE
 * and REASON.
 */
int tune_apply(struct segment *segment, const struct tune_change *changes,
    size_t n, const char *who, char reason[TUNE_REASON_LEN]) SHM_MUSTCHECK;

/* Give a new SEGMENT what CONFIG says. */
void tune_configure(struct segment *segment, const struct config *config);

/*
 * Find out who set the values of SEGMENT, which an earlier daemon had: the
 * configuration where they agree, else an operator.  Nothing changes, but
 * reader.evict_ms to what was kept of it, or is configured.
 */
void tune_recover(struct segment *segment, const struct config *config);

/* The part of that which changes nothing. */
void tune_sources_find(struct segment *segment, const struct config *config);

/*
 * Apply to SEGMENT what differs between two configurations; what an operator
 * set at runtime stays unless the configuration changed there.
 */
void tune_reconfigure(struct segment *segment, const struct config *before,
    const struct config *after);

#endif
