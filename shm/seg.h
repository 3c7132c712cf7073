/*
 * A segment as one process sees it: where it is mapped, and private copies of
 * the superblock's constants, checked once, so that nobody who scribbles over
 * the superblock can lead us outside afterwards.
 */
#ifndef SHM_SEG_H
#define SHM_SEG_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/error.h"
#include "shm/layout.h"

/* What a reclaim gave back, and how far it got. */
struct shm_reclaimed {
	uint64_t chunks, bytes;
	uint64_t regions; /* visits, to one or to a run of them */
	/* The reclaim's own: the next slice begins at region `next` of the
	 * pass, in which something had to be left; or inside its run, at
	 * `page`, before which something had to be left. */
	uint32_t next, page;
	bool is_left, is_run_left;
	bool is_again;   /* part of it could not be looked at */
	bool is_waiting; /* for readers, and for nothing else */
	/* Of a client: what its threads were publishing is settled, as of that
	 * epoch; the latest visit that had to leave something of it. */
	bool is_settled;
	uint32_t generation, left_visit;
	uint64_t settled;
};

/* Has a region memory behind pages that aren't committed? */
enum shm_filled {
	SHM_FILLED_NOT,
	SHM_FILLED_PERHAPS,
	SHM_FILLED,
};

struct shm_seg {
	char *base; /* Constant; first, see shmalloc_ptr */
	uint64_t len, heap, key;
	uint32_t n_regions, max_arenas, n_bit_words;
	struct shm_super *super;
	struct shm_tunables *tunables;
	struct shm_arena *arenas;
	struct shm_root *roots;
	struct shm_client *clients;
	_Atomic uint64_t *client_bits; /* n_bit_words each */
	struct shm_thread *threads;
	_Atomic uint64_t *committed;
	_Atomic uint64_t *regions;
	struct shm_sample *samples;
	struct shm_module *modules;
	struct shm_page *pages; /* indexed by page number in the heap */
	struct shm_pins *pins;
	int fd, pins_fd;
	bool is_read_only;
	/* Daemon only: an earlier daemon's memory is not all back yet; and how
	 * far that has come. */
	bool has_leftovers;
	struct shm_reclaimed leftovers;
	/* Daemon only, owned: see shm/reclaim.c.  NULL: nobody has died. */
	struct shm_dying *dying;
	/* Daemon only, owned: how far its ticks have come in each arena; see
	 * shm/decay.c.  NULL: not begun. */
	struct shm_pass *passes;
	/* Daemon's own thread only, owned: enum shm_filled of each region; see
	 * shm/huge.h.  NULL: none has been looked at. */
	uint8_t *filled;
	/* Daemon only: it has more committed than limit.soft. */
	bool is_above_soft;
	uint64_t n_above_soft; /* times that it came to that */
	/* Daemon only: the commit word may count what the dead had reserved. */
	bool has_miscount;
	/* Daemon only: the arena whose index it is rebuilding, with its lock,
	 * plus one; and the page at which it goes on. */
	uint32_t repair_arena_plus_one, repair_next;
	/* Daemon only.  Atomic: walks of all of it end, with SHM_EBUSY. */
	_Atomic bool is_cancelled;
	/* Atomic: pages that this process may commit before it asks the system
	 * again, and when it asked; see shm/commit.c. */
	_Atomic uint64_t own_pages;
	_Atomic uint32_t own_ms;
};

/* The bytes that the heap may have: the reserve that SEG was made with. */
static inline uint64_t
shm_seg_reserve(const struct shm_seg *seg)
{
	return (uint64_t)seg->n_regions * SHM_REGION;
}

struct shm_seg_options {
	const char *name; /* 1..63 bytes */
	uint64_t limit;   /* bytes: limit.hard's first value */
	uint64_t reserve; /* bytes of heap; 0: 8 x limit, but 64 GiB at least,
			     and 1 TiB or limit at most */
	uint32_t mode;    /* of the memfd: read-write for whom, e.g. 0600 */
	uint32_t arenas;  /* at most; 0: 8 for each core */
};

/*
 * Create a segment: a sealed, sparse memfd of the reserved size and what the
 * tables take, with its superblock, tunables at their defaults, arena 0 and the
 * daemon's records committed; and the memfd of the readers' pins.  The caller
 * owns both descriptors (close-on-exec).  SHM_EINVAL (with its tables it would
 * have more than 2 TiB, among others), SHM_ESYSTEM.
 */
int shm_seg_create(const struct shm_seg_options *options, int *ret_fd,
    int *ret_pins_fd) SHM_MUSTCHECK;

/*
 * The two empty files of a segment called NAME, of RESERVED bytes, whose
 * contents come from elsewhere; as shm_seg_create() otherwise.  SHM_ECORRUPT:
 * no segment can have that size.
 */
int shm_seg_files(const char *name, uint64_t reserved, uint32_t mode,
    int *ret_fd, int *ret_pins_fd) SHM_MUSTCHECK;

/* Give the segment in FD, which nobody uses, a new id, which is random. */
int shm_seg_rename(int fd, int pins_fd, uint64_t ret_id[2]) SHM_MUSTCHECK;

/*
 * Map the segment FD and its pins, check the layout, and fill *RET_SEG, which
 * owns the descriptors from then on (on an error they stay the caller's).  The
 * mapping is left out of core dumps and is not populated under mlockall.
 * SHM_EVERSION (magic, layout or ABI), SHM_ECORRUPT, SHM_ESYSTEM.
 */
int shm_seg_map(int fd, int pins_fd, bool is_read_only,
    struct shm_seg *ret_seg) SHM_MUSTCHECK;

/* Forget what a daemon remembers of what it has begun: all of that can be begun
 * anew. */
void shm_seg_forget(struct shm_seg *seg);

/* Unmap and close. */
void shm_seg_unmap(struct shm_seg *seg);

/*
 * The one gate between offsets and pointers: the address of the LEN bytes at
 * OFF, or NULL if they do not lie wholly inside the segment.  Offsets live in
 * memory that every client can write.
 */
static inline void *
shm_at(const struct shm_seg *seg, uint64_t off, uint64_t len)
{
	if (off == 0 || off > seg->len || len > seg->len - off)
		return NULL;
	return seg->base + off;
}

/* The offset of P, an address inside the segment. */
static inline uint64_t
shm_offset_of(const struct shm_seg *seg, const volatile void *p)
{
	return (uint64_t)((const volatile char *)p - seg->base);
}

/* CLOCK_MONOTONIC_COARSE in ms, cut to 32 bits: the same in every process. */
uint32_t shm_clock_ms(void);

#endif
