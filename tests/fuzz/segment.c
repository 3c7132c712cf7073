/*
 * Fuzzes what walks a segment: the input says which words of a small segment to
 * write over, and what the daemon is asked to do then.
 *
 * The input is a list of records, each of which begins with a byte:
 *
 *	low 4 bits	where: a table below, or WHERE_WORK
 *	bits 4-5	what: see word_make()
 *	bits 6-7	how wide: 4 or 8 bytes, or one bit of the word flipped
 *
 * After the last record the daemon does everything that it ever does.
 */
#include <stdbool.h>
#include <string.h>

#include "shm/access.h"
#include "shm/arena.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/image.h"
#include "tests/fuzz/work.h"

#define RECORDS_MAX 64

static struct image image;
static struct shm_seg *const seg = &image.seg;

enum where {
	WHERE_SUPER,
	WHERE_TUNABLES,
	WHERE_ARENAS,
	WHERE_ROOTS,
	WHERE_CLIENTS,
	WHERE_BITS,
	WHERE_THREADS,
	WHERE_COMMITTED,
	WHERE_REGIONS,
	WHERE_PAGES,
	WHERE_PINS,
	WHERE_HEAD, /* of an object: size and flags */
	WHERE_TAG,  /* of an object: one with the right check bits */
	WHERE_LINKS,
	WHERE_ANY,
	WHERE_WORK, /* not a word: the daemon does something */
};

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	image_make(&image);
	work_begin();
	return 0;
}

/* ---- Places ----------------------------------------------------------------
 */

static uint64_t
object_of(uint64_t number)
{
	return image.object[number % image.n_objects];
}

/* The word number I of the LEN bytes at BASE. */
static char *
word_of(void *base, uint64_t len, uint64_t i)
{
	return (char *)base + i * 4 % len;
}

static char *
head_of(uint64_t i)
{
	_Atomic uint32_t *tag = shm_tag_at(seg, object_of(i));

	return tag == NULL
	    ? seg->base
	    : (char *)(uintptr_t)tag - offsetof(struct shm_head, tag);
}

static char *
place_find(enum where where, uint64_t i)
{
	switch (where) {
	case WHERE_TUNABLES:
		return word_of(seg->tunables, sizeof(*seg->tunables), i);
	case WHERE_ARENAS:
		return word_of(seg->arenas, 4 * sizeof(*seg->arenas), i);
	case WHERE_ROOTS:
		if (i & 0x8000)
			return word_of(
			    seg->base + image.cache, image.cache_len, i);
		return word_of(seg->roots, 4 * sizeof(*seg->roots), i);
	case WHERE_CLIENTS:
		return word_of(seg->clients, 8 * sizeof(*seg->clients), i);
	case WHERE_BITS:
		return word_of(seg->client_bits, 8 * 8 * seg->n_bit_words, i);
	case WHERE_THREADS:
		return word_of(seg->threads, 8 * sizeof(*seg->threads), i);
	case WHERE_COMMITTED:
		return word_of(seg->committed, seg->len / SHM_PAGE / 8, i);
	case WHERE_REGIONS:
		return word_of(seg->regions, seg->n_regions * UINT64_C(8), i);
	case WHERE_PAGES:
		return word_of(seg->pages,
		    (uint64_t)seg->n_regions * SHM_REGION_PAGES *
			sizeof(*seg->pages),
		    i);
	case WHERE_PINS:
		return word_of(seg->pins, 1024, i);
	case WHERE_HEAD:
		return head_of(i);
	case WHERE_LINKS:
		return seg->base + object_of(i >> 2) + (i & 3) * 8;
	case WHERE_ANY:
		return seg->base + i * 1024 % seg->len;
	default:
		return word_of(seg->super, sizeof(*seg->super), i);
	}
}

/* ---- Words -----------------------------------------------------------------
 */

/* A word that looks like something, or one from the input. */
static uint64_t
word_make(struct fuzz_input *input, unsigned what)
{
	uint64_t number;

	switch (what) {
	case 0:
		return fuzz_take(input, 8);
	case 1: /* a chunk's or an object's offset */
		number = fuzz_take(input, 2);
		return object_of(number >> 1) - (number & 1) * SHM_CHUNK_HEAD;
	case 2: /* a region's entry */
		number = fuzz_take(input, 2);
		return (number & 7) | (number >> 3 & 7) << 8 |
		    (number >> 6 & 7) << 24 | (number >> 9) << 40;
	default: /* near a power of two */
		number = fuzz_take(input, 2);
		return (UINT64_C(1) << (number & 63)) + (number >> 6 & 15) - 8;
	}
}

/* A tag that fits its object but for what it says. */
static void
tag_write(uint64_t i, uint64_t value)
{
	uint64_t off = object_of(i);
	_Atomic uint32_t *tag = shm_tag_at(seg, off);

	if (tag)
		shm_store(tag,
		    ((uint32_t)value & ~UINT32_C(255)) |
			shm_tag_check(seg->key, off));
}

/* Put VALUE, cut to WIDTH, to P; nothing beyond the word is written. */
static void
word_write(char *p, unsigned width, uint64_t value)
{
	uint32_t narrow = (uint32_t)value, old;

	if (width == 1 && (uintptr_t)p % 8 == 0) {
		memcpy(p, &value, sizeof(value));
		return;
	}
	if (width >= 2) {
		memcpy(&old, p, sizeof(old));
		narrow = old ^ UINT32_C(1) << (value & 31);
	}
	memcpy(p, &narrow, sizeof(narrow));
}

static void
record_run(struct fuzz_input *input)
{
	unsigned head = (unsigned)fuzz_take(input, 1);
	enum where where = head & 15;
	uint64_t i = fuzz_take(input, where == WHERE_WORK ? 1 : 2);

	if (where == WHERE_WORK)
		work_do(seg, (uint32_t)i, (uint32_t)fuzz_take(input, 1));
	else if (where == WHERE_TAG)
		tag_write(i, word_make(input, head >> 4 & 3));
	else
		word_write(place_find(where, i), head >> 6,
		    word_make(input, head >> 4 & 3));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input input = { data, len };
	uint32_t choice = (uint32_t)fuzz_take(&input, 1);

	for (int i = 0; i < RECORDS_MAX && input.len > 0; i++)
		record_run(&input);
	for (uint32_t i = 0; i < work_jobs; i++)
		work_do(seg, i, choice);
	for (uint32_t i = 0; i < work_jobs; i++)
		work_do(seg, i, ~choice);
	image_restore(&image);
	return 0;
}
