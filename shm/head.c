/*
 * See shm/head.h.
 */
#include "shm/head.h"

#include "shm/chunk.h"
#include "shm/commit.h"

static int
head_check(const struct shm_seg *seg, const struct shm_head *head, uint64_t off,
    uint32_t unit_shift, struct shm_head_copy *ret)
{
	uint32_t word = shm_get(&head->size);
	uint32_t tag = shm_get(&head->tag);

	if (!shm_tag_is_valid(seg, off, tag))
		return SHM_ECORRUPT;
	ret->len = (uint64_t)(word >> 4) << unit_shift;
	ret->flags = word & SHM_FLAGS;
	ret->tag = tag;
	ret->state = shm_tag_state(tag);
	return 0;
}

int
shm_chunk_read(const struct shm_seg *seg, uint64_t c, uint64_t end,
    struct shm_head_copy *ret_head)
{
	if (shm_committed_prefix(seg, c, SHM_CHUNK_HEAD) < SHM_CHUNK_HEAD ||
	    head_check(seg, &shm_chunk(seg, c)->head, c + SHM_CHUNK_HEAD, 4,
		ret_head) != 0 ||
	    ret_head->len < SHM_CHUNK_MIN || ret_head->len > end - c)
		return SHM_ECORRUPT;
	return 0;
}

int
shm_extent_read(const struct shm_seg *seg, uint32_t page, uint32_t end,
    struct shm_head_copy *ret_head)
{
	const struct shm_page *entry = &seg->pages[page];
	uint64_t off = shm_offset_of(seg, entry);

	if (shm_committed_prefix(seg, off, sizeof(*entry)) < sizeof(*entry) ||
	    head_check(seg, &entry->head, shm_page_off(seg, page), 12,
		ret_head) != 0 ||
	    ret_head->len == 0 ||
	    ret_head->len > (uint64_t)(end - page) * SHM_PAGE)
		return SHM_ECORRUPT;
	return 0;
}
