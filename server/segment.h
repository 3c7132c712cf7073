/*
 * The segments that the daemon owns, by name.
 *
 * Each is a wall between tenants: it has an owner, a group and a mode, which
 * say who may attach, a limit, and clients of its own.  Its memory stays when a
 * segment is destroyed for as long as a client has it mapped.
 */
#ifndef SERVER_SEGMENT_H
#define SERVER_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "server/config.h"
#include "server/log.h"
#include "server/watch.h"
#include "shm/huge.h"
#include "shm/seg.h"
#include "shm/stats.h"

struct reader_lag;
struct server;
struct slot;
struct store_segment_name;

/* Clients that are gone stay listed for as long, and at most so many. */
#define SEGMENT_PAST_SECONDS 600
#define SEGMENT_PAST         64

/* A client that is gone. */
struct segment_past {
	struct shm_client_stats last;
	double ended; /* seconds since the epoch; 0: the entry is free */
	double noticed, repaired; /* of its slot */
	uint64_t bytes, chunks;   /* that came back */
};

/* How this daemon came to a segment. */
enum segment_start {
	SEGMENT_COLD,      /* made it */
	SEGMENT_WARM,      /* of a daemon that stopped */
	SEGMENT_RECOVERED, /* of a daemon that was killed */
};

extern const char *const segment_start_names[];

/* What operators' last change replaced, to undo it. */
struct segment_undo {
	size_t n; /* 0: there is nothing to undo */
	struct {
		uint32_t param;
		uint64_t value;
		enum config_source source;
	} was[SHM_PARAMS];
};

struct segment {
	TAILQ_ENTRY(segment) link;
	struct shm_seg seg;
	char name[SHM_NAME_LEN];
	enum segment_start start;
	bool is_restored; /* in memory that nobody else has ever had */
	uint64_t id[2];   /* a copy: the superblock can be written by clients */
	uint32_t mode;    /* permission bits */
	uid_t owner;
	gid_t group;
	uint64_t size; /* that it was made with: where limit.hard begins */
	enum config_source source[SHM_PARAMS];
	struct segment_undo undo;
	uint64_t evict_ms; /* reader.evict_ms: what the segment says is input */
	uint64_t evict_ms_kept; /* and what of it is kept, see store.h */
	bool is_evict_kept;
	struct slot *slots[SHM_CLIENTS];
	uint32_t n_slots;
	struct segment_past past[SEGMENT_PAST];
	uint32_t next_past;
	double created;        /* seconds since the epoch */
	double last_reclaimed; /* seconds since the epoch; 0: never */
	struct log_limit misuse_limit;
	uint32_t n_jobs;            /* that walk it */
	bool is_destroyed;          /* and goes when its last job has ended */
	struct shm_huge huge;       /* see server/huge.h */
	bool is_collapsing;         /* a job is at `huge` */
	struct reader_lag *readers; /* see server/reader.h; may be NULL */
	struct watch watch;
};

TAILQ_HEAD(segment_list, segment);

/* What a segment is made of. */
struct segment_spec {
	const char *name;
	uint64_t size, reserve; /* reserve 0: the default */
	uint32_t mode;
	uid_t owner; /* CONFIG_NOBODY: the daemon's */
	gid_t group;
};

/*
 * Make a segment, which the caller tunes and then keeps.  SHM_EEXIST, SHM_EBUSY
 * (max_segments), SHM_EINVAL (the name or the mode), SHM_ERANGE (a size),
 * SHM_EPERM (not allowed to give it to that owner), SHM_ENOMEM, SHM_ESYSTEM;
 * *RET_WHY then says more.
 */
int segment_create(struct server *server, const struct segment_spec *spec,
    struct segment **ret_segment, const char **ret_why) SHM_MUSTCHECK;

/*
 * Go on with the segment that was kept under NAME, whose memory is FD and
 * PINS_FD, which are taken over in any case.  SHM_EEXIST, SHM_ENOMEM, and
 * errors of shm_seg_map() and shm_daemon_start().
 */
int segment_adopt(struct server *server, const struct store_segment_name *name,
    int fd, int pins_fd, struct segment **ret_segment) SHM_MUSTCHECK;

/* Make those that CONFIG names and that are not there; errors are logged. */
int segment_create_configured(
    struct server *server, const struct config *config) SHM_MUSTCHECK;

struct segment *segment_find(struct server *server, const char *name);

uint32_t segment_count(const struct server *server);

/* Clients of all segments whose memory is not yet back. */
uint32_t segment_clients(const struct server *server);

/* Forget SEGMENT and its clients, whose connections end. */
void segment_destroy(struct server *server, struct segment *segment);

/* The same, because the daemon ends: what is kept of it stays. */
void segment_leave(struct server *server, struct segment *segment);

/* Keep SEGMENT's memory mapped, also when it is destroyed, until it is dropped
 * as often.  NULL is fine. */
void segment_hold(struct segment *segment);
void segment_drop(struct segment *segment);

/*
 * A descriptor of SEGMENT's memory for a client, which the caller owns; a
 * read-only one cannot be opened again for writing by another user.
 * SHM_ESYSTEM.
 */
int segment_descriptor(const struct segment *segment, bool is_read_only,
    int *ret_fd) SHM_MUSTCHECK;

/* Remember the client of SLOT, which is gone. */
void segment_remember(struct segment *segment, const struct slot *slot);

#endif
