/*
 * shmallocd: what all of its parts share.
 *
 *	listen -> conn -> attach  -> slot -> reap     a client's life
 *	               -> control -> verb_*           an operator's question
 *	timer  -> segment                             the clock of every segment
 *	config -> segment, tune                       values and their sources
 *
 * One event loop; nothing in it waits.  What walks a whole segment is done by a
 * second thread: see server/job.h.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "server/config.h"
#include "server/keeper.h"
#include "server/listen.h"
#include "server/peer.h"
#include "server/rundir.h"
#include "server/segment.h"
#include "server/store.h"

/* How to make the configuration again: at the start, and on SIGHUP. */
struct server_options {
	const char *const *config_paths;
	size_t n_config_paths; /* 0: the default files, unless they are off */
	bool is_default_config_off;
	const char *const *assignments; /* NAME=VALUE or SEGMENT:NAME=VALUE */
	size_t n_assignments;
	bool is_idle_exit;     /* end when the last client has left */
	bool is_takeover;      /* from the daemon that runs */
	const char *save_path; /* or NULL */
};

TAILQ_HEAD(slot_queue, slot);

#define SERVER_SIGNALS 4

/* Dead clients whose memory is on its way back. */
struct reaper {
	struct event *timer;
	struct slot_queue ready, waiting;
	uint64_t woken_ms; /* when some of `waiting` had a turn */
};

struct http;
struct worker;

struct server {
	const struct server_options *options;
	struct event_base *base;
	struct config config;
	struct rundir dir;
	struct peer_policy policy;
	struct listener attach, control, control_ro;
	struct listener keeper; /* nobody is accepted here: see onlooker.h */
	struct store store;
	struct segment_list segments;
	struct reaper reaper;
	struct worker *worker; /* see server/job.h; NULL: not needed yet */
	struct http *http;     /* see server/http.h; NULL: it was never on */
	struct event *tick;
	struct event *more; /* pending: what a tick began goes on */
	struct event *signals[SERVER_SIGNALS];
	uint64_t started_ms; /* CLOCK_MONOTONIC */
	uint64_t n_ticks;
	unsigned config_number; /* of what is kept, see recall.h */
	bool is_save_read;      /* its segments are ours */
	bool had_client;
	enum segment_start start; /* the best of its segments' */
	int heir;                 /* socket to who takes over, or -1 */
	bool is_leaving;          /* ends, and all of it stays for another */
	bool is_given;            /* who has begun: see V9 in README.md */
	bool is_onlooker;         /* no daemon: see onlooker.h */
	bool is_again;            /* ends, so that the keeper starts another */
};

/*
 * Make CONFIG of OPTIONS.  The number of errors, each of which was reported.
 */
int server_configure(const struct server_options *options,
    struct config *config, config_report_fn report, void *arg) SHM_MUSTCHECK;

/*
 * The same without the file that operators' changes are saved in, if that is
 * read; *RET_PATH is its path, or NULL: none is.
 */
int server_configure_admin(const struct server_options *options,
    struct config *config, const char **ret_path, config_report_fn report,
    void *arg) SHM_MUSTCHECK;

/*
 * Serve OPTIONS until a signal, or the last client, ends it, going on where the
 * daemon was that left LEGACY (which is taken over).  READY (or NULL) is called
 * with ARG when clients can attach.  The exit status: EXIT_SUCCESS,
 * KEEPER_AGAIN, or EXIT_FAILURE after an error that was logged.
 */
int server_run(const struct server_options *options,
    struct keeper_legacy *legacy, void (*ready)(void *arg),
    void *arg) SHM_MUSTCHECK;

/* Reports of errors for these: into the log, or nowhere. */
void server_report_log(void *arg, const char *where, const char *reason);
void server_report_nothing(void *arg, const char *where, const char *reason);

/* Give SERVER its own configuration, or, going on, the last that had no errors.
 * SHM_EINVAL, and what recall_get() gives. */
int server_config_open(
    struct server *server, const struct kept_list *kept) SHM_MUSTCHECK;

/* Log as CONFIG says; what log_open() gives. */
int server_log_configure(const struct config *config) SHM_MUSTCHECK;

/* Who may look and who may change, by CONFIG. */
void server_policy(const struct config *config, struct peer_policy *ret_policy);

/* Read the configuration again and apply what changed; all or nothing. */
void server_reload(struct server *server);

/* CLOCK_MONOTONIC and CLOCK_REALTIME, in ms and in seconds. */
uint64_t server_now_ms(void);
double server_time(void);

#endif
