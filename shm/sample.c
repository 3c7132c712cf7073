#include "shm/sample.h"

#include <string.h>

#include "shm/arena.h"
#include "shm/commit.h"
#include "shm/head.h"
#include "shm/region.h"

/* Records that are looked at for a free one: of those that a segment may use,
 * half are free when all of limit.hard is allocated. */
#define LOOKS   32
#define USE_MIN 128u

#define LINK_PAGE(link) ((uint32_t)(link))
#define LINK_TURN       (UINT64_C(1) << 33)

/* ---- The page's side ----------------------------------------------------- */

static void
page_note(struct shm_page *page, uint64_t size, uint32_t plus_one)
{
	shm_store(&page->next, (uint32_t)size);
	shm_store(
	    &page->prev, (uint32_t)(size >> 32 & UINT16_MAX) | plus_one << 16);
}

void
shm_extent_note(const struct shm_seg *seg, uint64_t off, uint64_t size)
{
	page_note(&seg->pages[shm_page_of(seg, off)], size, 0);
}

void
shm_extent_note_again(const struct shm_seg *seg, uint64_t off, uint64_t size)
{
	struct shm_page *page = &seg->pages[shm_page_of(seg, off)];

	page_note(page, size, shm_load(&page->prev) >> 16);
}

/* The arena and the head of the extent that begins at PAGE, any number, if it
 * names record INDEX and isn't free. */
static struct shm_arena *
page_find(struct shm_seg *seg, uint32_t page, uint32_t index,
    struct shm_head_copy *ret_head)
{
	uint64_t off = shm_page_off(seg, page);
	struct shm_arena *arena;
	bool is_extent;

	if (page / SHM_REGION_PAGES >= seg->n_regions)
		return NULL;
	arena = shm_arena_of(seg, off, &is_extent);
	if (!arena || !is_extent ||
	    shm_extent_read(
		seg, page, seg->n_regions * SHM_REGION_PAGES, ret_head) != 0 ||
	    ret_head->state == SHM_FREE || ret_head->state == SHM_FAST)
		return NULL;
	return shm_load(&seg->pages[page].prev) >> 16 == index + 1 ? arena
								   : NULL;
}

/* ---- Claiming a record --------------------------------------------------- */

static bool
sample_is_there(const struct shm_seg *seg, uint32_t index)
{
	uint64_t off = shm_offset_of(seg, &seg->samples[index]);

	return shm_committed_prefix(seg, off, sizeof(struct shm_sample)) ==
	    sizeof(struct shm_sample);
}

/* Twice what is expected if all that limit.hard allows is allocated. */
static uint32_t
samples_most(const struct shm_self *self)
{
	uint64_t rate = self->param[SHM_PARAM_profile_sample_bytes];
	uint64_t most =
	    2 * (self->param[SHM_PARAM_limit_hard] / (rate ? rate : 1));

	if (most < USE_MIN)
		return USE_MIN;
	return most < SHM_SAMPLES ? (uint32_t)most : SHM_SAMPLES;
}

/* Claim record INDEX for PAGE, unless it is in use. */
static bool
sample_claim(struct shm_self *self, uint32_t index, uint32_t page)
{
	struct shm_seg *seg = self->seg;
	struct shm_sample *sample = &seg->samples[index];
	struct shm_head_copy head;
	uint64_t link;

	if (!sample_is_there(seg, index) &&
	    shm_commit(self, shm_offset_of(seg, sample), sizeof(*sample)) != 0)
		return false;
	link = shm_get(&sample->link);
	/* One that names PAGE, as a fresh one may, is nobody else's. */
	if (LINK_PAGE(link) != page &&
	    page_find(seg, LINK_PAGE(link), index, &head))
		return false;
	return shm_cas(&sample->link, &link,
	    ((link + LINK_TURN) & ~(LINK_TURN - 1)) | page);
}

uint32_t
shm_sample_claim(struct shm_self *self, uint64_t off)
{
	struct shm_seg *seg = self->seg;
	uint32_t page = shm_page_of(seg, off), most = samples_most(self);
	struct shm_page *entry = &seg->pages[page];
	uint64_t size = shm_load(&entry->next) |
	    (uint64_t)(shm_load(&entry->prev) & UINT16_MAX) << 32;

	for (int i = 0; i < LOOKS; i++) {
		uint32_t index = shm_add(&seg->super->sample_next, 1) % most;

		page_note(entry, size, index + 1);
		if (sample_claim(self, index, page))
			return index + 1;
	}
	page_note(entry, size, 0);
	shm_add(&seg->super->samples_lost, 1);
	return 0;
}

void
shm_sample_publish(
    struct shm_self *self, uint32_t index, const struct shm_sample_copy *sample)
{
	struct shm_sample *to = &self->seg->samples[index];
	uint64_t command[4];

	memcpy(command, sample->command, sizeof(command));
	shm_store(&to->rate, sample->rate);
	shm_store(&to->unit, sample->unit);
	shm_store(&to->slot, sample->slot);
	shm_store(&to->generation, sample->generation);
	shm_store(&to->pid, sample->pid);
	for (int i = 0; i < 4; i++)
		shm_store(&to->command[i], command[i]);
	for (uint32_t i = 0; i < sample->n_frames; i++)
		shm_store(&to->frame[i], sample->frame[i]);
	shm_store(&to->n_frames, sample->n_frames);
	shm_put(&to->link, shm_load(&to->link) | SHM_SAMPLE_READY);
	shm_add(&self->seg->super->sampled, 1);
}

/* ---- Reading ------------------------------------------------------------- */

uint32_t
shm_samples_used(const struct shm_seg *seg)
{
	uint64_t off = shm_offset_of(seg, seg->samples);
	uint64_t reach = shm_committed_reach(
	    seg, off, SHM_SAMPLES * sizeof(struct shm_sample));

	return (uint32_t)(reach / sizeof(struct shm_sample));
}

static void
sample_copy(const struct shm_sample *from, struct shm_sample_copy *to)
{
	uint64_t command[4];

	to->rate = shm_load(&from->rate);
	to->unit = shm_load(&from->unit);
	to->slot = shm_load(&from->slot);
	to->generation = shm_load(&from->generation);
	to->pid = shm_load(&from->pid);
	for (int i = 0; i < 4; i++)
		command[i] = shm_load(&from->command[i]);
	memcpy(to->command, command, sizeof(command));
	to->command[sizeof(command)] = '\0';
	to->n_frames = shm_load(&from->n_frames);
	if (to->n_frames > SHM_FRAMES)
		to->n_frames = SHM_FRAMES;
	for (uint32_t i = 0; i < to->n_frames; i++)
		to->frame[i] = shm_load(&from->frame[i]);
}

/* Is an object in STATE allocated, and not freed yet? */
static bool
is_allocated(enum shm_state state)
{
	return state == SHM_OWNED || state == SHM_SHARED ||
	    state == SHM_UNLINKED || shm_state_is_thread(state);
}

bool
shm_sample_read(
    struct shm_seg *seg, uint32_t index, struct shm_sample_copy *ret_sample)
{
	const struct shm_sample *sample = &seg->samples[index];
	struct shm_head_copy head;
	struct shm_arena *arena;
	uint64_t link;
	uint32_t page;

	if (index >= SHM_SAMPLES || !sample_is_there(seg, index))
		return false;
	link = shm_get(&sample->link);
	page = LINK_PAGE(link);
	if (!(link & SHM_SAMPLE_READY))
		return false;
	sample_copy(sample, ret_sample);
	atomic_thread_fence(memory_order_acquire);
	arena = page_find(seg, page, index, &head);
	if (!arena || !is_allocated(head.state))
		return false;
	ret_sample->off = shm_page_off(seg, page);
	ret_sample->size = shm_load(&seg->pages[page].next) |
	    (uint64_t)(shm_load(&seg->pages[page].prev) & UINT16_MAX) << 32;
	if (ret_sample->size > head.len)
		ret_sample->size = head.len;
	ret_sample->arena = (uint32_t)(arena - seg->arenas);
	ret_sample->is_shared = head.state == SHM_SHARED;
	/* Another's, by now? */
	return shm_get(&sample->link) == link;
}

/* ---- Modules ------------------------------------------------------------- */

static bool
module_is_there(const struct shm_seg *seg, const struct shm_module *module)
{
	return shm_committed_prefix(seg, shm_offset_of(seg, module),
		   sizeof(*module)) == sizeof(*module);
}

static bool
module_is_same(
    const struct shm_module *module, const struct shm_module_copy *like)
{
	return module->start == like->start && module->end == like->end &&
	    module->file_off == like->file_off &&
	    module->id_len == like->id_len &&
	    memcmp(module->id, like->id, sizeof(module->id)) == 0 &&
	    strncmp(module->name, like->name, sizeof(module->name)) == 0;
}

static void
module_fill(struct shm_module *module, const struct shm_module_copy *from)
{
	module->start = from->start;
	module->end = from->end;
	module->file_off = from->file_off;
	module->is_fixed = from->is_fixed;
	module->id_len = from->id_len;
	memcpy(module->id, from->id, sizeof(module->id));
	memcpy(module->name, from->name, sizeof(module->name));
}

/* Is the client that made CLAIM gone? */
static bool
claim_is_dead(const struct shm_seg *seg, uint64_t claim)
{
	uint32_t slot = (uint32_t)claim - 1;

	return !shm_client_is_there(seg, slot) ||
	    shm_get(&seg->clients[slot].state) != SHM_CLIENT_LIVE ||
	    shm_load(&seg->clients[slot].generation) != claim >> 32;
}

/*
 * Claimed, filled, READY: as a root is.  Two clients may make one like the
 * other at once; both serve.
 */
uint32_t
shm_module_find(struct shm_self *self, const struct shm_module_copy *like)
{
	struct shm_seg *seg = self->seg;
	uint64_t mine =
	    ((uint64_t)self->slot + 1) | (uint64_t)self->generation << 32;

	for (uint32_t i = 0; i < SHM_MODULES; i++) {
		struct shm_module *module = &seg->modules[i];
		uint64_t state;

		if (!module_is_there(seg, module) &&
		    shm_commit(
			self, shm_offset_of(seg, module), sizeof(*module)) != 0)
			return 0;
		state = shm_get(&module->state);
		if (state == SHM_MODULE_READY) {
			if (module_is_same(module, like))
				return i + 1;
			continue;
		}
		if ((state != 0 && state != mine &&
			!claim_is_dead(seg, state)) ||
		    !shm_cas(&module->state, &state, mine))
			continue;
		module_fill(module, like);
		shm_put(&module->state, SHM_MODULE_READY);
		return i + 1;
	}
	return 0;
}

bool
shm_module_read(const struct shm_seg *seg, uint32_t index,
    struct shm_module_copy *ret_module)
{
	const struct shm_module *module = &seg->modules[index];

	if (index >= SHM_MODULES || !module_is_there(seg, module) ||
	    shm_get(&module->state) != SHM_MODULE_READY)
		return false;
	ret_module->start = module->start;
	ret_module->end = module->end;
	ret_module->file_off = module->file_off;
	ret_module->is_fixed = module->is_fixed != 0;
	ret_module->id_len = module->id_len;
	if (ret_module->id_len > sizeof(ret_module->id))
		ret_module->id_len = sizeof(ret_module->id);
	memcpy(ret_module->id, module->id, sizeof(ret_module->id));
	memcpy(ret_module->name, module->name, sizeof(ret_module->name));
	ret_module->name[sizeof(ret_module->name) - 1] = '\0';
	return ret_module->end > ret_module->start &&
	    ret_module->end < UINT64_C(1) << SHM_FRAME_BITS;
}
