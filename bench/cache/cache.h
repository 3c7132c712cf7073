/*
 * The benchmark of the shared cache: peers x mixes x workers.
 *
 * A PEER is an adapter to one cache, in a file of its own; a MIX is which
 * requests there are and what the values are like (mix.c); a PART is what is
 * measured of them: speed, hits, memory, deaths.  Each measurement is a process
 * of its own (cell.c) which opens the peer, and adds figures to its report.
 */
#ifndef BENCH_CACHE_CACHE_H
#define BENCH_CACHE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/bench.h"

#define WORKERS_MAX 16u
#define KEY_LEAST   16u
#define KEY_MAX     250u /* memcached's */
#define VALUE_LEAST 16u
#define VALUE_MAX   (2u << 20)
#define MANY        64u /* requests that are sent together */

/* ---- Peers ---------------------------------------------------------------
 */

/* A request, or what is stored. */
struct entry {
	char key[KEY_MAX];
	uint32_t key_len, value_len;
	char *value;    /* VALUE_MAX bytes, of the process */
	uint32_t ttl_s; /* 0: no end */
};

struct peer {
	const char *name;
	bool is_private; /* one process's own: one worker, who isn't killed */
	bool is_server;  /* its workers ask another process */
	bool expires;    /* entries may have an end */
	bool evicts;     /* it can be held to a limit */
	/* What bench/cache/driver.py measures it as; it has no calls then. */
	const char *driver;
	/*
	 * In the cell's process: NULL, or why it can't be measured here.  BYTES
	 * is how much it may have, 0 as much as it
	 * wants.
	 */
	const char *(*open)(uint64_t bytes);
	void (*close)(void); /* may be NULL */
	/* In each process that calls the others; ends it if it can't. */
	void (*attach)(void);
	/* The value's length, which is in BUFFER then; -1: a miss. */
	int64_t (*get)(const struct entry *request, char *buffer);
	void (*set)(const struct entry *entry);
	/* N at once, MANY at most; what is got is told by its length, or -1. */
	void (*get_many)(
	    unsigned n, const struct entry request[], int64_t ret_len[]);
	void (*set_many)(unsigned n, const struct entry entry[]);
	uint64_t (*resident)(void); /* bytes of all of its memory */
	/* Bytes of it that no entries are in, and all that count for the
	 * limit; NULL: unknown. */
	void (*account)(uint64_t *ret_tables, uint64_t *ret_all);
};

extern const struct peer *const peers[]; /* NULL ends it */

/* Keys, and what the other process holds, as both see it; see peer_many.c. */
void peer_get_each(unsigned n, const struct entry request[], int64_t ret_len[]);
void peer_set_each(unsigned n, const struct entry entry[]);

/* Ends the process with a message; the peer failed. */
_Noreturn void peer_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* The peer that this process uses, for peer_*_each() and peer_fail(). */
extern const struct peer *peer_used;

/* ---- Servers of peers ----------------------------------------------------
 */

/* The folder for sockets and files of this run. */
extern const char *server_folder;

/*
 * Start ARGV, which listens at PATH; it ends when this process does.  NULL, or
 * why it can't be had.
 */
const char *server_start(char *const argv[], const char *path);
void server_stop(void);
uint64_t server_resident(void); /* bytes of the server's own memory */

/* Bytes of this process's own memory, and of the memory files it has open. */
uint64_t resident_private(pid_t pid);
uint64_t resident_files(void);

/* ---- Mixes ---------------------------------------------------------------
 */

struct mix {
	const char *name;
	const char *parts; /* comma list: where it is measured; see below */
	bool is_folder;    /* of a production distribution, by its name */
	bool overflows;    /* it doesn't fit into the limit */
	uint32_t keys;     /* 0: as many as `times` the limit */
	double times;
	double skew;         /* of Zipf's law */
	double set, lone;    /* shares of the requests */
	double moves;        /* how many keys the popular ones move a request */
	uint32_t value_len;  /* 0: by the distribution */
	uint32_t drifts_to;  /* the lengths' mean at the end; 0: it stays */
	uint32_t ttl_s;      /* of every entry */
	uint64_t limit;      /* bytes of the whole cache */
	uint32_t n_requests; /* of a stream */
};

/*
 * Besides parts, `parts` may hold "python": of Python's peers, too; "exact":
 * hits are measured of those only that exact policies are compared with.
 */
extern const struct mix mixes[]; /* one without a name ends it */

#define REQUEST_SET (UINT32_C(1) << 31) /* else: get, and set if it misses */

/* The requests of a mix: numbers of keys, with REQUEST_SET. */
struct stream {
	const struct mix *mix;
	uint32_t n, ids; /* ids: keys, and those that come but once */
	uint32_t *request;
	uint32_t *value_len; /* of each id, if it stays */
	uint8_t *key_len;
};

/* NULL, or why it can't be had.  It is memory of all processes. */
const char *stream_make(const struct mix *mix, struct stream *ret_stream);
void stream_free(struct stream *stream);

/* Bytes of a value of ID that is stored at request AT, and of its key. */
uint32_t stream_value_len(
    const struct stream *stream, uint32_t id, uint32_t at);
uint32_t stream_key_len(const struct stream *stream, uint32_t id);

/* Make ENTRY the key ID, then also what is stored for it at request AT.  It
 * must have been entry_init()'s, which writes what all keys share. */
void entry_init(struct entry *entry);
void stream_key(const struct stream *stream, uint32_t id, struct entry *entry);
void stream_value(
    const struct stream *stream, uint32_t id, uint32_t at, struct entry *entry);

/* Is the value of LEN bytes that was found for REQUEST one of its key's? */
bool entry_is_right(
    const struct entry *request, const char *buffer, int64_t len);

/* ---- Cells ---------------------------------------------------------------
 */

#define FIGURES_MAX 64u

/* What a cell reports, in memory of all its processes. */
struct report {
	char why[200]; /* it failed; "" if it did not */
	unsigned n;
	struct {
		char name[32];
		double value;
	} figure[FIGURES_MAX];
};

struct cell {
	const struct peer *peer;
	const struct stream *stream;
	unsigned workers;
	double seconds; /* timed */
	struct report *report;
};

typedef void cell_fn(struct cell *cell);

/* Measure what a Python program measures of the cell's peer. */
void python_speed(struct cell *cell);
extern const char *python_driver; /* its path, or NULL */

/* fork(), and the child ends when its parent does. */
pid_t child_start(void);

/* Run FN in a process, for so many SECONDS at most, after which it and what it
 * has started are ended. */
void cell_run(struct cell *cell, cell_fn *fn, unsigned seconds);

void report_add(struct report *report, const char *name, double value);
double report_get(const struct report *report, const char *name);

/* Start a worker of CELL's peer, which is pinned if that is no server, and
 * attaches, and runs FN. */
pid_t worker_start(struct cell *cell, unsigned number,
    void (*fn)(struct cell *cell, unsigned number, void *arg), void *arg);

/* Wait for N workers.  One that fails ends the cell, as others may wait for
 * it. */
void workers_wait(unsigned n);

/* Store all keys, or, of a mix that evicts, what the stream begins with. */
void fill_all(struct cell *cell);

/* Store the keys from ID on, to before END. */
void fill_keys(struct cell *cell, uint32_t id, uint32_t end);

/*
 * Get what the requests from AT to before END ask for, and store what misses;
 * how many were hits.  What a server is asked is sent together, MANY at once:
 * of a key that comes twice in those both may miss.
 */
uint32_t stream_replay(struct cell *cell, uint32_t at, uint32_t end);

/* MANY entries of this process. */
struct entry *entries_of_many(void);

/* ---- Parts ---------------------------------------------------------------
 */

cell_fn part_speed, part_hits, part_memory, part_deaths;

/* What is live: bytes of keys and values of all entries, and how many. */
struct live {
	uint64_t bytes, entries;
};
struct live live_count(const struct cell *cell);

/* ---- Policies ------------------------------------------------------------
 */

enum policy { POLICY_LRU, POLICY_S3FIFO };

/*
 * Simulate POLICY over STREAM, in BYTES, of which each entry takes its key's,
 * its value's and OVERHEAD: the share of gets from request FROM on that hit.
 */
double policy_hits(enum policy policy, const struct stream *stream,
    double bytes, double overhead, uint32_t from);

#endif
