/*
 * What the two ways of reading the statistics share: sums over the clients'
 * counters, and a count of free pieces by size.
 */
#ifndef SHM_TALLY_H
#define SHM_TALLY_H

#include "shm/self.h"
#include "shm/stats.h"

/* ---- Clients ------------------------------------------------------------- */

/* Counters of all clients, alive or not, and of those before them. */
struct shm_clients_sum {
	uint64_t allocs, frees, requested, misuses;
	uint64_t cache_misses, refills, flushes, remote_pushed;
	uint64_t failures[SHM_FAILURES];
	uint64_t class_allocs[SHM_COUNTED], class_requested[SHM_COUNTED];
	uint64_t class_frees[SHM_COUNTED], class_misses[SHM_COUNTED];
	uint64_t cached;  /* bytes, of the living */
	uint64_t pending; /* bytes: retired by the living, held by the dead */
	uint32_t live, dead;
};

/* A hit is counted nowhere: it is an allocation that did not miss.  Allocations
 * are published later than misses. */
static inline uint64_t
shm_cache_hits(uint64_t allocs, uint64_t misses)
{
	return allocs > misses ? allocs - misses : 0;
}

void shm_clients_sum(struct shm_seg *seg, struct shm_clients_sum *ret_sum);

/* Daemon only: add the counters of CLIENT, which is dead, to the segment's, and
 * clear them; also after a daemon was killed in here. */
void shm_counters_fold(struct shm_seg *seg, struct shm_client *client);

/* ---- Free pieces --------------------------------------------------------- */

#define SHM_TALLY_SIZES (SHM_FRAG_SIZES + 1) /* and the reference size */

struct shm_tally {
	uint64_t size[SHM_TALLY_SIZES];   /* request sizes */
	uint64_t useful[SHM_TALLY_SIZES]; /* bytes in pieces that could serve */
	uint64_t bytes, pieces, largest;
	uint64_t histogram[SHM_FREE_HISTOGRAM];
	/* Bytes that were not looked at; in pieces of less than `limit`. */
	uint64_t unknown, limit;
};

void shm_tally_begin(struct shm_tally *tally, const struct shm_seg *seg);

/* A free piece of LEN bytes that could hold an object of USABLE bytes. */
void shm_tally_add(struct shm_tally *tally, uint64_t len, uint64_t usable);

/* Add what FROM has to TO. */
void shm_tally_merge(struct shm_tally *to, const struct shm_tally *from);

/* F(size[I]): 1 - useful / free; < 0: nothing is free, or it isn't known. */
double shm_tally_unusable(const struct shm_tally *tally, int i);

/* ---- The two ways -------------------------------------------------------- */

struct shm_stats_job {
	struct shm_seg *seg;
	struct shm_stats *stats; /* arenas: allocated, zeroed, with their ids */
	const struct shm_clients_sum *clients;
	struct shm_tally tally; /* of the segment */
	uint64_t below;         /* committed bytes below the heap */
};

/* Fill the bytes of every arena and of the segment, bins and tallies. */
int shm_stats_exact(struct shm_stats_job *job) SHM_MUSTCHECK;
void shm_stats_quick(struct shm_stats_job *job);

#endif
