/*
 * Requests that walk a whole segment: their walking is done by one thread
 * beside the event loop, so that no death waits for it.
 *
 * A job owns its call.  The thread touches the segment's memory, the call's
 * reply and the call's pool, and nothing else; slots, connections and lists are
 * the loop's.  In the segment the thread is the daemon, as the loop is: both
 * only try locks, a region's walk at a time (check: an arena's), and whoever
 * finds one taken comes again.
 *
 *	on_message -> job_start -> [thread: work] -> loop: run, reply
 *
 * A segment that is destroyed meanwhile stays mapped until its jobs are done,
 * and a reply whose connection has ended is dropped.
 */
#ifndef SERVER_JOB_H
#define SERVER_JOB_H

#include "server/control.h"

/* What is done in the thread: 0, or what call_fail() gave. */
typedef int (*job_work_fn)(struct call *call);
/* What is done in the loop after that, if it gave 0. */
typedef int (*job_run_fn)(struct call *call);

/*
 * Take CALL over, its pool included, and answer it when WORK and then RUN are
 * done; its connection, if it has one, says nothing more until then.  False: no
 * thread can be had, and CALL is still the caller's.
 */
bool job_start(struct call *call, job_work_fn work, job_run_fn run);

/* The same without anybody who asked: WORK and RUN get a call that has a
 * segment and no connection. */
bool job_background(struct server *server, struct segment *segment,
    job_work_fn work, job_run_fn run);

/* Whether a job of CALL's user waits already: each may have one at work and one
 * that waits, but root and the daemon's user. */
bool job_waits(const struct call *call);

/* The connection CONN, of a job or of none, ends. */
void job_forget(struct conn *conn);

/* End the thread; the job that it is at is cancelled, the others are dropped.
 */
void job_stop(struct server *server);

#endif
