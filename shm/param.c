/*
 * The table of tunables, and a thread's copy of their values.
 */
#include "shm/param.h"

#include <string.h>

#include "shm/self.h"

const struct shm_param_info shm_params[SHM_PARAMS] = {
#define PARAM(name, field, type, def, min, max, unit, effect, text)            \
	{ name, #type, def, min, max, unit, effect, text },
#include "shm/param.def"
#undef PARAM
};

int
shm_param_find(const char *name)
{
	for (int i = 0; i < SHM_PARAMS; i++)
		if (strcmp(shm_params[i].name, name) == 0)
			return i;
	return -1;
}

void
shm_self_init(struct shm_self *self, struct shm_seg *seg, uint32_t slot,
    uint32_t generation, uint32_t thread, uint32_t thread_generation)
{
	memset(self, 0, sizeof(*self));
	self->seg = seg;
	self->client = &seg->clients[slot];
	self->slot = slot;
	self->generation = generation;
	self->thread = thread;
	self->thread_generation = thread_generation;
	self->owned = shm_tag_base(slot, generation, SHM_OWNED);
	self->cached = shm_tag_base(slot, generation, SHM_CACHED);
	self->lock_word = thread | (thread_generation & 255) << 16;
	self->tunables_generation = UINT64_MAX;
	(void)shm_self_refresh(self);
}

/* A parameter's value, within its range whatever the segment says. */
static uint64_t
param_clamp(int i, uint64_t value)
{
	if (value < shm_params[i].min)
		return shm_params[i].min;
	return value > shm_params[i].max ? shm_params[i].max : value;
}

bool
shm_self_refresh(struct shm_self *self)
{
	struct shm_tunables *tunables = self->seg->tunables;
	uint64_t generation = shm_get(&tunables->generation);

	if (generation == self->tunables_generation)
		return false;
	for (int i = 0; i < SHM_PARAMS; i++)
		self->param[i] = param_clamp(i, shm_load(&tunables->value[i]));
	atomic_thread_fence(memory_order_acquire);
	/* Values that were changing are copied again at the next refill. */
	if (!(generation & 1) && shm_load(&tunables->generation) == generation)
		self->tunables_generation = generation;
	return true;
}
