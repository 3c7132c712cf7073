#include "server/tune_timed.h"

#include "server/log.h"
#include "server/server.h"
#include "shm/access.h"

static uint64_t
epoch_ms(void)
{
	return (uint64_t)(server_time() * 1e3);
}

void
tune_timed_note(
    struct segment *segment, const struct tune_change *change, uint64_t for_ms)
{
	struct shm_tunables *tunables = segment->seg.tunables;
	_Atomic uint64_t *until = &tunables->until[change->param];
	/* The value first: a time without one must not be seen. */
	if (for_ms != 0 && shm_load(until) == 0)
		shm_put(&tunables->then[change->param], change->before);
	shm_put(until, for_ms == 0 ? 0 : epoch_ms() + for_ms);
}

uint64_t
tune_timed_until(const struct segment *segment, enum shm_param param)
{
	return shm_load(&segment->seg.tunables->until[param]);
}

uint64_t
tune_timed_then(const struct server *server, const struct segment *segment,
    enum shm_param param)
{
	enum config_source source;
	if (param == SHM_PARAM_reader_evict_ms)
		return tune_configured(
		    &server->config, segment, param, &source);
	return shm_load(&segment->seg.tunables->then[param]);
}

static void
value_revert(
    struct server *server, struct segment *segment, enum shm_param param)
{
	char reason[TUNE_REASON_LEN];
	enum config_source source;
	uint64_t configured =
	    tune_configured(&server->config, segment, param, &source);
	struct tune_change change = { param, tune_value(segment, param),
		tune_timed_then(server, segment, param), source };
	if (change.after != configured)
		change.source = CONFIG_RUNTIME;
	if (tune_apply(segment, &change, 1, "its time", reason) != 0)
		log_error("segment %s: %s cannot be what it was: %s",
		    segment->name, shm_params[param].name, reason);
	store_evict(&server->store, segment);
}

void
tune_timed_tick(struct server *server, struct segment *segment)
{
	struct shm_tunables *tunables = segment->seg.tunables;
	uint64_t now = epoch_ms();
	for (int i = 0; i < SHM_PARAMS; i++) {
		uint64_t until = shm_load(&tunables->until[i]);
		if (until == 0 || until > now)
			continue;
		value_revert(server, segment, (enum shm_param)i);
		shm_put(&tunables->until[i], 0);
	}
}
