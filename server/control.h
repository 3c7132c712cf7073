/*
 * The conversations on the sockets `control` and `control-ro`: operators ask,
 * the daemon answers.  What may change something needs the admin role, and the
 * socket `control`.
 */
#ifndef SERVER_CONTROL_H
#define SERVER_CONTROL_H

#include "proto/shmalloc.pb-c.h"
#include "server/conn.h"
#include "server/pool.h"
#include "server/segment.h"

extern const struct conn_ops control_ops;
extern const struct conn_ops control_ro_ops;

/* Whether the new CONN may ask at all: SHM_EPERM and why not. */
int control_admit(struct conn *conn, const char **ret_why);

/* A request that is being answered. */
struct call {
	struct server *server;
	struct conn *conn;
	struct segment *segment; /* NULL: the verb needs none */
	const Proto__Request *request;
	Proto__Reply *reply;
	struct pool *pool; /* of all that the reply points to */
	void *work;        /* of its work function, see struct verb */
	int fd;            /* goes with the reply, or -1 */
	uint64_t since_ns; /* when it began */
	char who[96];      /* for the log */
	/* If it has no connection, told of the answer: see control_ask().
	 * True: the call, its pool included, is another job's now. */
	bool (*done)(struct call *call);
	void *asker; /* DONE's */
};

/*
 * Answer REQUEST, which changes nothing and whose answer has no descriptor, for
 * somebody in the daemon: DONE finds the answer, or the error, in the reply of
 * the call that it is given, with ASKER in it; now, or when the job is done
 * that walks the segment.
 */
void control_ask(struct server *server, const Proto__Request *request,
    bool (*done)(struct call *call), void *asker);

/* Answer ERROR, about SUBJECT (or NULL), and what is wrong.  Gives ERROR. */
int call_fail(struct call *call, int error, const char *subject,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* CALL's answer is about to go: how long that took is counted. */
void call_timed(const struct call *call);

/* Answer CALL here and now; in an onlooker.  What call_fail() gave, or 0. */
int control_answer(struct call *call);

/* Answer that it is done; 0. */
int call_done(struct call *call);

/* Set an optional field of a message of protobuf-c. */
#define CALL_PUT(message, field, number)                                       \
	((message)->has_##field = 1, (message)->field = (number))

/* What gives SHM_ERETRY, because a lock cannot be had, is tried again; by a
 * job, for in the loop nothing waits. */
#define CALL_TRIES  20
#define CALL_TRY_MS 10

/* Wait a moment before another try; false: enough of them. */
bool call_try_again(unsigned *tries);

/* Whether ERROR of a walk says nothing of the segment, but that a lock could
 * not be had, or that the daemon ends.  Then CALL has failed with SHM_EBUSY. */
bool call_walk_was_busy(struct call *call, int error);

/* ---- Verbs: each fills CALL->reply, and gives 0 or what call_fail() gave - */

int verb_status(struct call *call);
int verb_stats_work(struct call *call);
int verb_map_work(struct call *call);
int verb_trim_work(struct call *call);
int verb_check_work(struct call *call);
int verb_fit_work(struct call *call);
int verb_profile_work(struct call *call);
int verb_stats(struct call *call);
int verb_clients(struct call *call);
int verb_map(struct call *call);
int verb_tune_list(struct call *call);
int verb_tune_set(struct call *call);
int verb_tune_reset(struct call *call);
int verb_tune_revert(struct call *call);
int verb_tune_save(struct call *call);
int verb_trim(struct call *call);
int verb_check(struct call *call);
int verb_segment_list(struct call *call);
int verb_segment_create(struct call *call);
int verb_segment_destroy(struct call *call);
int verb_roots(struct call *call);
int verb_root_remove(struct call *call);
int verb_takeover(struct call *call);
int verb_version(struct call *call);
int verb_locks(struct call *call);
int verb_evict(struct call *call);
int verb_events(struct call *call);
int verb_fit(struct call *call);
int verb_latency(struct call *call);
int verb_profile(struct call *call);

/* Parts that several answers have. */
Proto__DaemonInfo *verb_daemon_info(struct call *call);
Proto__SegmentInfo *verb_segment_info(
    struct call *call, const struct segment *segment);
Proto__ClientCounts *verb_client_counts(
    struct call *call, const struct segment *segment);
Proto__Failures *verb_failures(
    struct call *call, const uint64_t from[SHM_FAILURES]);
void verb_arenas_put(
    struct call *call, const struct shm_stats *stats, Proto__Stats *to);
void verb_bins_put(
    struct call *call, const struct shm_stats *stats, Proto__Stats *to);
/* The caches of libshmalloc-cache. */
void verb_caches_put(struct call *call, Proto__Stats *to);
/* The root I if it is in use, else NULL. */
struct shm_root *verb_root_at(const struct shm_seg *seg, uint32_t i);
/* How long operations take, into an array of *RET_N. */
Proto__Latency **verb_latencies(struct call *call, size_t *ret_n);
/* How long OPERATION takes, of which one in EVERY is timed. */
struct shm_latency_stats;
Proto__Latency *verb_latency_put(struct call *call, const char *operation,
    const struct shm_latency_stats *stats, uint32_t every);
/* The text at FROM, at most LEN bytes of any content, as printable ASCII. */
char *verb_text(struct call *call, const char *from, size_t len);

#endif
