/*
 * A prefork HTTP server whose workers share one cache.
 *
 *	httpd.c          the parent: socket, workers, restarts
 *	httpd_worker.c   a worker: requests, and what is missing
 *	httpd_answer.c   answers, sent from where they lie in the segment
 *	httpd_file.c     files below the document root; nothing of shmalloc
 *	httpd_board.c    counters of all workers, in the segment; /stats
 *
 * The parent listens, attaches, opens the cache and forks; each worker is a
 * client of its own.  All listen on one port, each on a socket of its own
 * (SO_REUSEPORT), so that the kernel spreads connections over them.  The parent
 * has these sockets, too: what a killed worker had not accepted yet waits for
 * its successor.
 *
 * A HIT asks the file system nothing: the answer is sent from where it lies in
 * the segment.  A MISS is a lease: one process of the machine reads the file,
 * the others wait for it.  An entry ends after ttl_ms; then one process reads
 * the file again, while the others go on with the old answer.  So a file that
 * was changed is seen ttl_ms later, and the old answer never for longer than
 * HTTPD_STALE_MS more, even if the one who reads is stopped.  What a server of
 * another folder has left in the cache, or puts there now, is no hit.
 */
#ifndef EXAMPLES_HTTPD_H
#define EXAMPLES_HTTPD_H

#include <shmalloc/cache.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTPD_NAME     "httpd" /* of the cache */
#define HTTPD_WORKERS  64      /* at most */
#define HTTPD_STALE_MS 5000

struct evbuffer;

/* What the command line says; constant. */
struct httpd_options {
	const char *root; /* the folder whose files are served */
	uint64_t port;    /* 0: any */
	uint64_t workers;
	uint64_t ttl_ms;  /* 0: a file is read once, and never again */
	uint64_t limit;   /* of the cache, in KiB; 0: what the segment has */
	uint64_t largest; /* file that is cached, in KiB */
};

/* ---- Files (httpd_file.c) -------------------------------------------- */

/* An open file, and what identifies its contents. */
struct httpd_file {
	int fd;
	uint64_t size;
	int64_t mtime_ns;
};

/*
 * Open the regular file PATH below the folder ROOT.  A path that leads out of
 * ROOT, by `..` or by a symbolic link, is refused by the kernel.  0, or an
 * HTTP status: 403, 404, 500, 503.  The caller closes *RET_FILE's fd.
 */
int httpd_file_open(int root, const char *path, struct httpd_file *ret_file);

/*
 * Read all of FILE into BUFFER, which has room for FILE->size bytes; if the
 * file changes meanwhile, FILE isn't what it was when it was opened: false.
 */
bool httpd_file_read(const struct httpd_file *file, void *buffer);

/* The media type of PATH, by its name. */
const char *httpd_file_type(const char *path);

/* ---- Counters (httpd_board.c) ---------------------------------------- */

/* HTTPD_COUNT(name, what it counts) */
#define HTTPD_COUNTS                                                           \
	HTTPD_COUNT(answers, "requests answered, with whatever status")        \
	HTTPD_COUNT(hits, "of these from the cache")                           \
	HTTPD_COUNT(reads, "files read from the file system")                  \
	HTTPD_COUNT(in_place, "hits that libevent was to send in place")       \
	HTTPD_COUNT(copied, "of these, not sent in time: the rest was copied") \
	HTTPD_COUNT(uncached, "answers past the cache")                        \
	HTTPD_COUNT(refused, "answers that are an error")

enum httpd_count {
#define HTTPD_COUNT(name, text) HTTPD_##name,
	HTTPD_COUNTS
#undef HTTPD_COUNT
	    HTTPD_N_COUNTS,
};

/* A worker's counters, which its successors go on with.  Atomic: written by
 * that worker, its pid and starts by the parent. */
struct httpd_row {
	_Alignas(64) _Atomic uint64_t pid; /* 0: none now */
	_Atomic uint64_t starts;
	_Atomic uint64_t count[HTTPD_N_COUNTS];
};

struct httpd_board {
	struct httpd_row row[HTTPD_WORKERS];
};

/* The board behind a root of HEAP, made if it is absent.  NULL with errno, or
 * with errno 0: the root holds something else. */
struct httpd_board *httpd_board_open(struct shmalloc *heap);

/* Remove it; no worker is left.  0 or SHMALLOC_E*. */
int httpd_board_remove(struct shmalloc *heap);

/* Write the counters of N workers to TEXT.  0, or -1. */
int httpd_board_print(
    const struct httpd_board *board, unsigned n, struct evbuffer *text);

/* ---- A worker (httpd_worker.c) --------------------------------------- */

/* What a worker has from its parent. */
struct httpd {
	const struct httpd_options *options;
	int listener[HTTPD_WORKERS]; /* listening, non-blocking */
	int root;                    /* the document root */
	uint64_t root_id[2];         /* which that is: device and inode */
	struct shmalloc_cache *cache;
	struct httpd_board *board;
};

/* Serve as worker NUMBER, from 0, until SIGTERM or SIGINT; the exit status. */
int httpd_work(const struct httpd *httpd, unsigned number);

#endif
