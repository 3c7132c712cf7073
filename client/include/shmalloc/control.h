/*
 * shmalloc's control interface: ask a daemon about its segments and tune them
 * while everything runs.  shmallocctl is written with it.
 *
 *	struct shmalloc_control *control;
 *	struct shmalloc_reply *reply;
 *	uint64_t used;
 *
 *	if (shmalloc_control_connect(NULL, 0, &control) < 0)
 *		...
 *	if (shmalloc_control_stats(control, NULL, 0, &reply) == 0) {
 *		const struct shmalloc_record *bytes =
 *		    shmalloc_control_object(
 *			shmalloc_control_root(reply), "bytes");
 *
 *		if (shmalloc_control_uint(bytes, "allocated", &used) == 0)
 *			printf("%" PRIu64 "\n", used);
 *		shmalloc_control_free(reply);
 *	}
 *	shmalloc_control_disconnect(control);
 *
 * A REPLY is a tree of records.  A record's keys are those of
 * `shmallocctl --json`; they are only ever added.  A value that the daemon
 * does not know is absent.  Bytes and counts are unsigned integers, ratios
 * doubles from 0 to 1, times doubles in seconds since the epoch, durations
 * doubles in seconds.
 *
 * OWNERSHIP.  A reply is the caller's; its records and strings are valid until
 * shmalloc_control_free(), also after the connection has ended.
 *
 * ERRORS.  0 or a negative SHMALLOC_E* (shmalloc.h).  Requests give
 * SHMALLOC_EUNREACHABLE (the daemon went away), SHMALLOC_ETIMEDOUT,
 * SHMALLOC_EPROTO and SHMALLOC_EVERSION (after these four, and after
 * SHMALLOC_ESYSTEM, the connection is of no use any more, unless the daemon
 * itself refused), SHMALLOC_EPERM (not with this socket, or not by this user),
 * SHMALLOC_ENOSEGMENT, and what each says.  shmalloc_control_message() says it
 * in words.  Nothing here prints.
 *
 * THREADS.  A connection is for one thread at a time.
 */
#ifndef SHMALLOC_CONTROL_H
#define SHMALLOC_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include <shmalloc/shmalloc.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library hides what its headers do not declare. */
#pragma GCC visibility push(default)

/* ---- The connection --------------------------------------------------- */

struct shmalloc_control;

/*
 * Connect to the daemon whose sockets are in the directory DIR (NULL: the one
 * that shmalloc_attach() would use): to its socket `control`, or, where that
 * is not permitted or not there, to `control-ro`, which answers questions but
 * changes nothing.  TIMEOUT_MS bounds the connection and each answer; 0 is 5
 * seconds, and a minute for requests that walk a whole segment (exact
 * statistics, map, fit, trim, check).
 *
 * On success *RET_CONTROL is the caller's, for shmalloc_control_disconnect().
 * SHMALLOC_EUNREACHABLE, SHMALLOC_EPERM, SHMALLOC_ETIMEDOUT, SHMALLOC_EINVAL
 * (the path is too long), SHMALLOC_ESYSTEM (errno).
 */
int shmalloc_control_connect(
    const char *dir, int timeout_ms, struct shmalloc_control **ret_control);

/*
 * The same to the daemon's keeper, which answers also while the daemon is down
 * or stopped, from the segments alone: the status, statistics that are not
 * exact, tunables, segments.  What only the daemon knows is absent; other
 * requests give SHMALLOC_EUNREACHABLE, and so does this if there is no keeper.
 */
int shmalloc_control_connect_keeper(
    const char *dir, int timeout_ms, struct shmalloc_control **ret_control);

/* End the connection; NULL is fine. */
void shmalloc_control_disconnect(struct shmalloc_control *control);

/* 1 if this is the socket `control-ro`, else 0. */
int shmalloc_control_is_read_only(const struct shmalloc_control *control);

/*
 * The path of the socket `control` in DIR, NULL as in
 * shmalloc_control_connect(), whether it is there or not: for messages.  0, or
 * SHMALLOC_EINVAL if it does not fit into the LEN bytes at BUF.
 */
int shmalloc_control_path(const char *dir, char *buf, size_t len);

/*
 * What the last request's error was, in words; never NULL.  And the name it
 * was about (a parameter, a segment, a root), or NULL.  Both are valid until
 * the next request.
 */
const char *shmalloc_control_message(const struct shmalloc_control *control);
const char *shmalloc_control_subject(const struct shmalloc_control *control);

/* ---- Requests ----------------------------------------------------------- */

struct shmalloc_reply;

/* Free REPLY with all its records and strings; NULL is fine. */
void shmalloc_control_free(struct shmalloc_reply *reply);

/* Every SEGMENT below may be NULL: "default". */

/* Of no arena in particular. */
#define SHMALLOC_ALL_ARENAS UINT32_MAX

enum shmalloc_control_flags {
	SHMALLOC_EXACT = 1u << 0,   /* walk the segment instead of adding up */
	SHMALLOC_CHANGED = 1u << 1, /* what differs from its default */
	SHMALLOC_DRY_RUN = 1u << 2, /* say what would be done */
	SHMALLOC_REPAIR = 1u << 3,
	SHMALLOC_FORCE = 1u << 4, /* also while clients are attached */
	SHMALLOC_RESET = 1u << 8, /* count anew from here */
};

/* Whether the segment is served, by whom, how full: a record of
 * "shmalloc.status/1". */
int shmalloc_control_status(struct shmalloc_control *control,
    const char *segment, struct shmalloc_reply **ret_reply);

/*
 * The statistics, "shmalloc.stats/1".  They lag by what live thread caches did
 * since their last refill, unless FLAGS has SHMALLOC_EXACT.  SHMALLOC_EBUSY: a
 * lock could not be had for the exact form.
 */
int shmalloc_control_stats(struct shmalloc_control *control,
    const char *segment, unsigned flags, struct shmalloc_reply **ret_reply);

/* The clients, in the list "clients"; only those of process PID unless 0. */
int shmalloc_control_clients(struct shmalloc_control *control,
    const char *segment, uint32_t pid, struct shmalloc_reply **ret_reply);

/*
 * Kill the client whose process is PID, by the daemon's hand; what it held
 * comes back a moment later.  SHMALLOC_EUNKNOWN: no client has that PID;
 * SHMALLOC_EPERM: nor may the daemon kill it.
 */
int shmalloc_control_evict(
    struct shmalloc_control *control, const char *segment, uint32_t pid);

/* The arenas' locks, "shmalloc.locks/1": who holds each, and since when. */
int shmalloc_control_locks(struct shmalloc_control *control,
    const char *segment, struct shmalloc_reply **ret_reply);

/*
 * How long operations take, "shmalloc.latency/1", since the segment was made or
 * the last time that somebody asked with SHMALLOC_RESET: then they are counted
 * anew after this answer.
 */
int shmalloc_control_latency(struct shmalloc_control *control,
    const char *segment, unsigned flags, struct shmalloc_reply **ret_reply);

/*
 * The heap profile, "shmalloc.profile/1": one of "sample_bytes" bytes that are
 * allocated, with its stack, client and arena.  What pprof reads is under
 * "pprof", see shmalloc_control_bytes().  SHMALLOC_ERANGE: it is too long.
 */
int shmalloc_control_profile(struct shmalloc_control *control,
    const char *segment, struct shmalloc_reply **ret_reply);

/*
 * The last things that happened to the daemon's segments (SEGMENT: to that one
 * only), "shmalloc.events/1": those with a number above AFTER, the last MOST of
 * them (0: all there are).  "last" is what to ask after next; "lost" counts
 * those after AFTER that the daemon has forgotten.  A daemon goes on with the
 * numbers of one that was killed, if it was kept; "began" tells whether.
 */
int shmalloc_control_events(struct shmalloc_control *control,
    const char *segment, uint64_t after, uint32_t most,
    struct shmalloc_reply **ret_reply);

/*
 * What lies where, "shmalloc.map/1", in at most CELLS cells (0: 1024);
 * SHMALLOC_EBUSY as above; SHMALLOC_ERANGE: no such arena, or too many cells.
 */
int shmalloc_control_map(struct shmalloc_control *control, const char *segment,
    uint32_t arena, uint32_t cells, struct shmalloc_reply **ret_reply);

/*
 * How many objects of SIZE bytes could be allocated now, "shmalloc.fit/1":
 * where, whether COUNT (0: 1) of them are among those ("fits"), and what stands
 * in the way of more ("reason").  SHMALLOC_EBUSY as above.
 */
int shmalloc_control_fit(struct shmalloc_control *control, const char *segment,
    uint64_t size, uint64_t count, struct shmalloc_reply **ret_reply);

/*
 * The tunables, in the list "parameters": all, or the one NAME; with
 * SHMALLOC_CHANGED those that differ from their default.  SHMALLOC_EUNKNOWN.
 */
int shmalloc_control_tune_list(struct shmalloc_control *control,
    const char *segment, const char *name, unsigned flags,
    struct shmalloc_reply **ret_reply);

/* A value as people write it: 64K, 1.5G, 2s, warn, 7. */
struct shmalloc_assignment {
	const char *name;
	const char *value;
};

/*
 * Set N tunables, all or none; with SHMALLOC_DRY_RUN only check.  What changed
 * is in the list "changes".  SHMALLOC_EUNKNOWN, SHMALLOC_EINVAL (not a value),
 * SHMALLOC_ERANGE: nothing changed, shmalloc_control_subject() is the first
 * offender's name.
 */
int shmalloc_control_tune_set(struct shmalloc_control *control,
    const char *segment, size_t n, const struct shmalloc_assignment set[],
    unsigned flags, struct shmalloc_reply **ret_reply);

/*
 * The same for SECONDS, more than 0 and at most a year: then they become what
 * they were before, also if the daemon was replaced meanwhile.
 */
int shmalloc_control_tune_set_for(struct shmalloc_control *control,
    const char *segment, size_t n, const struct shmalloc_assignment set[],
    double seconds, unsigned flags, struct shmalloc_reply **ret_reply);

/*
 * Undo the last change that was made by one of these functions, this one
 * included; with SHMALLOC_DRY_RUN only say what that would change.
 * SHMALLOC_EINVAL: there was none since the daemon's start.
 */
int shmalloc_control_tune_revert(struct shmalloc_control *control,
    const char *segment, unsigned flags, struct shmalloc_reply **ret_reply);

/*
 * Write what differs from the configuration, of all segments, to the daemon's
 * file conf.d/90-runtime.conf: "shmalloc.saved/1".  SHMALLOC_EINVAL: it reads
 * no such file; SHMALLOC_ESYSTEM: it could not write it.
 */
int shmalloc_control_tune_save(
    struct shmalloc_control *control, struct shmalloc_reply **ret_reply);

/* Give the tunable NAME (NULL: all) the value it would have after a start. */
int shmalloc_control_tune_reset(struct shmalloc_control *control,
    const char *segment, const char *name, struct shmalloc_reply **ret_reply);

/*
 * Give free pages back to the system now; with SHMALLOC_DRY_RUN say how many
 * "bytes" that would be.  SHMALLOC_ERANGE: no such arena.
 */
int shmalloc_control_trim(struct shmalloc_control *control, const char *segment,
    uint32_t arena, unsigned flags, struct shmalloc_reply **ret_reply);

/*
 * Walk everything and prove the invariants, "shmalloc.check/1"; with
 * SHMALLOC_REPAIR rebuild what can be rebuilt.  Findings are not an error.
 * SHMALLOC_EBUSY as above.
 */
int shmalloc_control_check(struct shmalloc_control *control,
    const char *segment, unsigned flags, struct shmalloc_reply **ret_reply);

/* The segments, in the list "segments". */
int shmalloc_control_segment_list(
    struct shmalloc_control *control, struct shmalloc_reply **ret_reply);

/* How to create a segment.  Initialise with SHMALLOC_SEGMENT_OPTIONS_INIT. */
struct shmalloc_segment_options {
	uint32_t size; /* sizeof(struct shmalloc_segment_options) */
	uint32_t mode; /* who may attach: permission bits */
	uint64_t limit_bytes;
	uint64_t reserved_bytes; /* 0: the daemon's choice */
	uint64_t quota_bytes;    /* for each client; 0: none */
	const char *group;       /* a name or number; NULL: the daemon's */
};

#define SHMALLOC_SEGMENT_OPTIONS_INIT                                          \
	{                                                                      \
		(uint32_t)sizeof(struct shmalloc_segment_options), 0600, 0, 0, \
		    0, NULL                                                    \
	}

/* SHMALLOC_EEXIST, SHMALLOC_EINVAL (the name), SHMALLOC_ERANGE (a size),
 * SHMALLOC_EUNKNOWN (the group). */
int shmalloc_control_segment_create(struct shmalloc_control *control,
    const char *name, const struct shmalloc_segment_options *options);

/*
 * The daemon forgets the segment NAME.  SHMALLOC_EBUSY: clients are attached;
 * with SHMALLOC_FORCE they keep their memory, which ends with the last of them.
 */
int shmalloc_control_segment_destroy(
    struct shmalloc_control *control, const char *name, unsigned flags);

/* The segment's roots, in the list "roots". */
int shmalloc_control_roots(struct shmalloc_control *control,
    const char *segment, struct shmalloc_reply **ret_reply);

/* SHMALLOC_EUNKNOWN; SHMALLOC_EBUSY: it still holds an object. */
int shmalloc_control_root_remove(
    struct shmalloc_control *control, const char *segment, const char *name);

/* The daemon's version, "shmalloc.version/1". */
int shmalloc_control_version(
    struct shmalloc_control *control, struct shmalloc_reply **ret_reply);

/* ---- Replies ------------------------------------------------------------- */

struct shmalloc_record;

/* The outermost record; never NULL. */
const struct shmalloc_record *shmalloc_control_root(
    const struct shmalloc_reply *reply);

/* In all of these RECORD may be NULL, an absent one. */

/* The record under KEY; NULL if it is absent or no record. */
const struct shmalloc_record *shmalloc_control_object(
    const struct shmalloc_record *record, const char *key);

/* How many items the list under KEY has, and its record I, NULL past the end
 * or if its items aren't records. */
size_t shmalloc_control_count(
    const struct shmalloc_record *record, const char *key);
const struct shmalloc_record *shmalloc_control_item(
    const struct shmalloc_record *record, const char *key, size_t i);

/* The value under KEY.  0, or SHMALLOC_EUNKNOWN: it is absent or of another
 * type; then *RET_VALUE stays as it is. */
int shmalloc_control_uint(
    const struct shmalloc_record *record, const char *key, uint64_t *ret_value);
int shmalloc_control_double(
    const struct shmalloc_record *record, const char *key, double *ret_value);
int shmalloc_control_bool(
    const struct shmalloc_record *record, const char *key, int *ret_value);

/* The string under KEY; NULL if it is absent or no string.  It may come from
 * an untrusted client and hold any bytes. */
const char *shmalloc_control_string(
    const struct shmalloc_record *record, const char *key);

/* The bytes under KEY, *RET_LEN of them, which are RECORD's; NULL if they are
 * absent. */
const void *shmalloc_control_bytes(
    const struct shmalloc_record *record, const char *key, size_t *ret_len);

/* The string I of the list of strings under KEY; NULL past the end or if its
 * items aren't strings. */
const char *shmalloc_control_string_item(
    const struct shmalloc_record *record, const char *key, size_t i);

/*
 * What a walk calls, in order; KEY is NULL for the items of a list and for the
 * record that the walk began with.  Members that are NULL are left out.
 * Initialise with SHMALLOC_VISITOR_INIT.
 */
struct shmalloc_visitor {
	uint32_t size; /* sizeof(struct shmalloc_visitor) */
	uint32_t reserved;
	void (*begin_object)(void *arg, const char *key);
	void (*end_object)(void *arg);
	void (*begin_array)(void *arg, const char *key);
	void (*end_array)(void *arg);
	void (*value_uint)(void *arg, const char *key, uint64_t value);
	void (*value_int)(void *arg, const char *key, int64_t value);
	void (*value_double)(void *arg, const char *key, double value);
	void (*value_bool)(void *arg, const char *key, int value);
	void (*value_string)(void *arg, const char *key, const char *value);
	void (*value_null)(void *arg, const char *key); /* absent */
};

#define SHMALLOC_VISITOR_INIT                                                  \
	{                                                                      \
		(uint32_t)sizeof(struct shmalloc_visitor), 0, NULL, NULL,      \
		    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL             \
	}

/*
 * Walk RECORD, or with KEY (not NULL) the list or record under it.  0, or
 * SHMALLOC_EUNKNOWN: there is no such key.
 */
int shmalloc_control_walk(const struct shmalloc_record *record, const char *key,
    const struct shmalloc_visitor *visitor, void *arg);

/* ---- What the values mean -------------------------------------------- */

/* A value, or a record, that a reply can have. */
struct shmalloc_metric {
	const char *path;   /* its keys: arenas[].lock.busy */
	const char *kind;   /* counter, gauge, key, info or record */
	const char *unit;   /* bytes, seconds, timestamp, ratio, count, number,
			     * flag or text; "" of a record */
	const char *series; /* its name in Prometheus; NULL: it has none */
	const char *text;   /* a sentence */
};

typedef void (*shmalloc_metric_fn)(
    void *arg, const struct shmalloc_metric *metric);

/*
 * Call FN for everything that the reply named REPLY can have, in order: stats,
 * status, clients, map, fit, parameters, changes, trimmed, checked, segments,
 * roots, version, locks or profile.  Needs no daemon.  FN's metric is valid in
 * the call; kind, unit and text for ever.  0 or SHMALLOC_EUNKNOWN.
 */
int shmalloc_control_schema(
    const char *reply, shmalloc_metric_fn fn, void *arg);

/*
 * The N replies of shmalloc_control_stats() as Prometheus reads them, text
 * format 0.0.4, for free().  0, or SHMALLOC_EINVAL (a reply of another
 * request), SHMALLOC_ESYSTEM.
 */
int shmalloc_control_prometheus(
    size_t n, struct shmalloc_reply *const stats[], char **ret_text);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
