/*
 * The heap profile: allocations that were sampled, with their call stacks.
 *
 * One of `profile.sample_bytes` bytes is drawn, as in tcmalloc and jemalloc:
 * the distance to the next is exponential, so that each byte has the same
 * chance whatever came before, and an object of SIZE bytes is drawn with
 * probability 1 - exp(-SIZE / rate).  It stands for 1 / that of its like.
 *
 * A sampled object, small as it may be, is an extent (tcmalloc's idea, too):
 * its free doesn't meet the fast path, which takes chunks only, and its entry
 * in the page table has room for a link.
 *
 *	samples[i].link --page--> pages[page].prev --i + 1--> samples[i]
 *
 * THE TRUTH is the page's head.  A record is in use if and only if it and its
 * page name each other and that page begins an extent that isn't FREE; it is in
 * the profile if, moreover, it is READY and the object is allocated.  So there
 * is nothing to free, nor to reclaim from the dead: the store that frees the
 * object, whoever makes it, lets its record go.  A sample's stores, in order:
 *
 *	take      the extent is CACHED, ours
 *	note      the page names the record, which names another or none
 *	claim     one swap: the record names the page, and is in use
 *	fill      the stack and the rest
 *	READY
 *	own       the tag, OWNED: publishes object and sample at once
 *
 * Killed before the last, the object is the dead client's and CACHED, goes back
 * as others do, and the record is free.
 *
 * Addresses differ per process, so that a stack names files (modules), and
 * addresses as those files have them.
 */
#ifndef SHM_SAMPLE_H
#define SHM_SAMPLE_H

#include "shm/self.h"

/* What a sample says, copied; as the caller of shm_sample_publish() saw it, or
 * as found: nothing of it can be trusted then, but for what is said here. */
struct shm_sample_copy {
	uint64_t rate, unit;
	uint32_t slot, generation, pid;
	uint32_t n_frames; /* at most SHM_FRAMES */
	char command[33];  /* ends with 0 */
	uint64_t frame[SHM_FRAMES];
	/* Found only. */
	uint64_t off, size; /* of the object; bytes that were asked for */
	uint32_t arena;     /* one that exists */
	bool is_shared;     /* it is the segment's, by its tag */
};

struct shm_module_copy {
	uint64_t start, end, file_off;
	bool is_fixed;
	uint32_t id_len; /* at most 32 */
	uint8_t id[32];
	char name[440]; /* ends with 0 */
};

/*
 * Claim a record for the extent at OFF, which is SELF's and CACHED, noted and
 * committed.  Its index plus one, or 0: none of those looked at is free, or
 * there is no memory for it; that is counted.  System calls.
 */
uint32_t shm_sample_claim(struct shm_self *self, uint64_t off);

/* Fill record INDEX, claimed for SELF's extent, with what SAMPLE says. */
void shm_sample_publish(struct shm_self *self, uint32_t index,
    const struct shm_sample_copy *sample);

/* How many records there can be, by those that have memory. */
uint32_t shm_samples_used(const struct shm_seg *seg);

/* Copy sample INDEX, which may be any number, of a segment that may be damaged.
 * False: it isn't in the profile. */
bool shm_sample_read(
    struct shm_seg *seg, uint32_t index, struct shm_sample_copy *ret_sample);

/* Note that the extent at OFF, in use by the caller, was asked for SIZE bytes.
 * _again: and leave it the sample that it may have. */
void shm_extent_note(const struct shm_seg *seg, uint64_t off, uint64_t size);
void shm_extent_note_again(
    const struct shm_seg *seg, uint64_t off, uint64_t size);

/*
 * The module like MODULE, made if it isn't there; its index plus one, or 0:
 * there is no room.  System calls.
 */
uint32_t shm_module_find(
    struct shm_self *self, const struct shm_module_copy *module);

/* Copy module INDEX, which may be any number; false: there is none. */
bool shm_module_read(const struct shm_seg *seg, uint32_t index,
    struct shm_module_copy *ret_module);

#endif
