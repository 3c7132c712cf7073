#include "server/job.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/log.h"
#include "server/server.h"

struct job {
	TAILQ_ENTRY(job) link; /* Guarded by worker.lock */
	struct call call;
	Proto__Reply reply;
	struct pool pool;
	Proto__Request *request; /* a copy */
	job_work_fn work;
	job_run_fn run;
	uid_t uid; /* who asks */
	int error; /* of WORK */
};

TAILQ_HEAD(job_queue, job);

struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct job_queue todo, done; /* Guarded by lock */
	struct job *now;             /* Guarded by lock; NULL: none */
	bool is_ending;              /* Guarded by lock */
	int wake;                    /* an eventfd: something is done */
	struct event *event;
};

/* ---- The thread ------------------------------------------------------------
 */

/* The next job; NULL: it is time to end. */
static struct job *
job_wait(struct worker *worker)
{
	struct job *job;
	pthread_mutex_lock(&worker->lock);
	while (TAILQ_EMPTY(&worker->todo) && !worker->is_ending)
		pthread_cond_wait(&worker->more, &worker->lock);
	job = worker->is_ending ? NULL : TAILQ_FIRST(&worker->todo);
	if (job != NULL)
		TAILQ_REMOVE(&worker->todo, job, link);
	worker->now = job;
	pthread_mutex_unlock(&worker->lock);
	return job;
}

static void *
worker_run(void *arg)
{
	struct worker *worker = arg;
	struct job *job;
	while ((job = job_wait(worker)) != NULL) {
		uint64_t one = 1;
		job->error = job->work(&job->call);
		pthread_mutex_lock(&worker->lock);
		worker->now = NULL;
		TAILQ_INSERT_TAIL(&worker->done, job, link);
		pthread_mutex_unlock(&worker->lock);
		/* It can't be full: the loop empties it. */
		if (write(worker->wake, &one, sizeof one) < 0)
			log_error("a walk cannot be reported");
	}
	return NULL;
}

/* ---- The loop --------------------------------------------------------------
 */

static void
job_free(struct job *job)
{
	proto__request__free_unpacked(job->request, NULL);
	pool_release(&job->pool);
	segment_drop(job->call.segment);
	free(job);
}

/* RUN is called also if nobody waits for the answer any more: it gives back
 * what WORK took. */
static void
job_finish(struct job *job)
{
	struct conn *conn = job->call.conn;
	if (job->error == 0)
		job->error = job->run(&job->call);
	if (conn != NULL) {
		conn->owner = NULL;
		call_timed(&job->call);
		conn_send(conn, &job->reply.base, NULL, 0);
	} else if (job->call.done != NULL && job->call.done(&job->call)) {
		job->pool = (struct pool){ 0 };
	}
	job_free(job);
}

static struct job *
job_done(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	struct job *job = TAILQ_FIRST(&worker->done);
	if (job != NULL)
		TAILQ_REMOVE(&worker->done, job, link);
	pthread_mutex_unlock(&worker->lock);
	return job;
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct worker *worker = arg;
	struct job *job;
	uint64_t n;
	(void)what;
	if (read(fd, &n, sizeof n) < 0)
		return;
	while ((job = job_done(worker)) != NULL)
		job_finish(job);
}

/* Signals are the loop's. */
static bool
thread_start(struct worker *worker)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&worker->thread, NULL, worker_run, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error == 0;
}

static void
worker_free(struct worker *worker)
{
	if (worker->event != NULL)
		event_free(worker->event);
	if (worker->wake >= 0)
		close(worker->wake);
	pthread_cond_destroy(&worker->more);
	pthread_mutex_destroy(&worker->lock);
	free(worker);
}

static struct worker *
worker_make(struct server *server)
{
	struct worker *worker = calloc(1, sizeof *worker);
	if (worker == NULL)
		return NULL;
	TAILQ_INIT(&worker->todo);
	TAILQ_INIT(&worker->done);
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->more, NULL);
	worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->wake >= 0)
		worker->event = event_new(server->base, worker->wake,
		    EV_READ | EV_PERSIST, on_wake, worker);
	if (worker->event != NULL && event_add(worker->event, NULL) == 0 &&
	    thread_start(worker))
		return worker;
	worker_free(worker);
	return NULL;
}

static Proto__Request *
request_copy(const Proto__Request *request)
{
	size_t len = proto__request__get_packed_size(request);
	uint8_t *packed = malloc(len + 1);
	if (packed == NULL)
		return NULL;
	proto__request__pack(request, packed);
	Proto__Request *copy = proto__request__unpack(NULL, len, packed);
	free(packed);
	return copy;
}

/* The thread, which begins with its first job; NULL: it can't be had. */
static struct worker *
worker_of(struct server *server)
{
	if (server->worker == NULL)
		server->worker = worker_make(server);
	return server->worker;
}

static void
job_queue(struct worker *worker, struct job *job)
{
	job->call.reply = &job->reply;
	job->call.pool = &job->pool;
	segment_hold(job->call.segment);
	pthread_mutex_lock(&worker->lock);
	TAILQ_INSERT_TAIL(&worker->todo, job, link);
	pthread_cond_signal(&worker->more);
	pthread_mutex_unlock(&worker->lock);
}

bool
job_start(struct call *call, job_work_fn work, job_run_fn run)
{
	struct worker *worker = worker_of(call->server);
	struct job *job = worker == NULL ? NULL : calloc(1, sizeof *job);
	if (job != NULL && call->request != NULL)
		job->request = request_copy(call->request);
	if (job == NULL || (call->request != NULL && job->request == NULL)) {
		free(job);
		return false;
	}
	job->call = *call;
	job->reply = *call->reply;
	job->pool = *call->pool;
	job->call.request = job->request;
	job->work = work;
	job->run = run;
	job->uid = call->conn != NULL ? call->conn->peer.uid : (uid_t)-1;
	if (call->conn != NULL) {
		call->conn->owner = job;
		conn_suspend(call->conn);
	}
	job_queue(worker, job);
	return true;
}

bool
job_background(struct server *server, struct segment *segment, job_work_fn work,
    job_run_fn run)
{
	struct worker *worker = worker_of(server);
	struct job *job = worker == NULL ? NULL : calloc(1, sizeof *job);
	if (job == NULL)
		return false;
	job->call =
	    (struct call){ .server = server, .segment = segment, .fd = -1 };
	proto__reply__init(&job->reply);
	job->work = work;
	job->run = run;
	job->uid = (uid_t)-1;
	job_queue(worker, job);
	return true;
}

bool
job_waits(const struct call *call)
{
	struct worker *worker = call->server->worker;
	uid_t uid = call->conn != NULL ? call->conn->peer.uid : geteuid();
	const struct job *job;
	bool waits = false;
	if (worker == NULL || uid == 0 || uid == geteuid())
		return false;
	pthread_mutex_lock(&worker->lock);
	TAILQ_FOREACH(job, &worker->todo, link)
	waits |= job->uid == uid;
	pthread_mutex_unlock(&worker->lock);
	return waits;
}

void
job_forget(struct conn *conn)
{
	struct job *job = conn->owner;
	if (job != NULL)
		job->call.conn = NULL;
	conn->owner = NULL;
}

static void
queue_finish(struct job_queue *queue, bool is_done)
{
	struct job *job;
	while ((job = TAILQ_FIRST(queue)) != NULL) {
		TAILQ_REMOVE(queue, job, link);
		if (!is_done)
			job->error = call_fail(&job->call, SHM_EBUSY, NULL,
			    "the daemon is ending");
		job_finish(job);
	}
}

void
job_stop(struct server *server)
{
	struct worker *worker = server->worker;
	if (worker == NULL)
		return;
	server->worker = NULL;
	pthread_mutex_lock(&worker->lock);
	worker->is_ending = true;
	/* The job holds it until it is finished below. */
	struct segment *segment =
	    worker->now != NULL ? worker->now->call.segment : NULL;
	if (segment != NULL)
		atomic_store(&segment->seg.is_cancelled, true);
	pthread_cond_signal(&worker->more);
	pthread_mutex_unlock(&worker->lock);
	pthread_join(worker->thread, NULL);
	/* We may go on: who takes over may not begin. */
	if (segment != NULL)
		atomic_store(&segment->seg.is_cancelled, false);
	queue_finish(&worker->done, true);
	queue_finish(&worker->todo, false);
	worker_free(worker);
}
