#include "server/tune.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/journal.h"
#include "server/log.h"
#include "server/tune_timed.h"
#include "server/value.h"
#include "shm/daemon.h"

uint64_t
tune_value(const struct segment *segment, enum shm_param param)
{
	if (param == SHM_PARAM_reader_evict_ms)
		return segment->evict_ms;
	return atomic_load_explicit(
	    &segment->seg.tunables->value[param], memory_order_relaxed);
}

uint64_t
tune_effective(const struct segment *segment, enum shm_param param)
{
	const struct shm_seg *seg = &segment->seg;
	uint64_t value = tune_value(segment, param);
	if (param == SHM_PARAM_arena_max &&
	    (value == 0 || value > seg->max_arenas))
		return seg->max_arenas;
	if (param == SHM_PARAM_mmap_threshold &&
	    atomic_load_explicit(
		&seg->tunables->is_dynamic, memory_order_relaxed) != 0) {
		uint64_t grown = atomic_load_explicit(
		    &seg->super->mmap_dynamic, memory_order_relaxed);
		return grown > value ? grown : value;
	}
	return value;
}

uint64_t
tune_configured(const struct config *config, const struct segment *segment,
    enum shm_param param, enum config_source *ret_source)
{
	const struct config_section *section =
	    config_section(config, segment->name);
	uint64_t value = config_param(config, section, param, ret_source);
	/* One that was made at runtime began with a size of its own. */
	if (param == SHM_PARAM_limit_hard && section == NULL) {
		*ret_source = CONFIG_DEFAULT;
		return segment->size;
	}
	return value;
}

int
tune_find(
    const char *name, enum shm_param *ret_param, char reason[TUNE_REASON_LEN])
{
	int param = shm_param_find(name);
	if (param >= 0) {
		*ret_param = (enum shm_param)param;
		return 0;
	}
	const char *near = value_suggest(
	    name, &shm_params[0].name, SHM_PARAMS, sizeof shm_params[0]);
	snprintf(reason, TUNE_REASON_LEN, "unknown parameter '%.60s'%s%s%s",
	    name, near != NULL ? "; did you mean '" : "",
	    near != NULL ? near : "", near != NULL ? "'?" : "");
	return SHM_EUNKNOWN;
}

/* What the table's range cannot know. */
static int
bound_check(const struct segment *segment, enum shm_param param, uint64_t value,
    char *reason, size_t len)
{
	char asked[VALUE_LEN], most[VALUE_LEN];
	if (param != SHM_PARAM_limit_hard ||
	    value <= shm_seg_reserve(&segment->seg))
		return 0;
	value_format("bytes", value, asked);
	value_format("bytes", shm_seg_reserve(&segment->seg), most);
	snprintf(reason, len, "%s is above the segment's reserve of %s", asked,
	    most);
	return SHM_ERANGE;
}

int
tune_parse(const struct segment *segment, const char *name, const char *value,
    struct tune_change *ret_change, char reason[TUNE_REASON_LEN])
{
	enum shm_param param;
	uint64_t number;
	char why[TUNE_REASON_LEN / 2];
	int error = tune_find(name, &param, reason);
	if (error != 0)
		return error;
	const struct shm_param_info *info = &shm_params[param];
	if (value_parse(info->unit, value, &number) != 0) {
		bool is_word = strchr(info->unit, ':') != NULL;
		snprintf(reason, TUNE_REASON_LEN,
		    "%s: '%.60s' is not %s%s (unchanged)", info->name, value,
		    is_word ? "one of " : "", value_example(info->unit));
		return SHM_ERANGE;
	}
	if (value_check(info, number, why, sizeof why) != 0 ||
	    bound_check(segment, param, number, why, sizeof why) != 0) {
		snprintf(reason, TUNE_REASON_LEN, "%s: %s (unchanged)",
		    info->name, why);
		return SHM_ERANGE;
	}
	*ret_change = (struct tune_change){ param, tune_value(segment, param),
		number, CONFIG_RUNTIME };
	return 0;
}

static void
change_log(const struct segment *segment, const struct tune_change *change,
    const char *who)
{
	char before[VALUE_LEN], after[VALUE_LEN];
	const struct shm_param_info *info = &shm_params[change->param];
	value_format(info->unit, change->before, before);
	value_format(info->unit, change->after, after);
	journal_note(JOURNAL_TUNE, segment, NULL, "%s %s -> %s by %s",
	    info->name, before, after, who);
	log_info("segment %s: %s %s -> %s by %s", segment->name, info->name,
	    before, after, who);
}

static void
change_account(struct segment *segment, const struct tune_change *change)
{
	segment->source[change->param] = change->source;
	if (change->param == SHM_PARAM_reader_evict_ms)
		segment->evict_ms = change->after;
	if (change->param == SHM_PARAM_mmap_threshold)
		shm_tunables_dynamic(
		    &segment->seg, change->source == CONFIG_DEFAULT);
}

int
tune_apply(struct segment *segment, const struct tune_change *changes, size_t n,
    const char *who, char reason[TUNE_REASON_LEN])
{
	struct shm_tunable_change set[SHM_PARAMS];
	uint32_t bad = 0;
	if (n == 0)
		return 0;
	if (n > SHM_PARAMS) {
		snprintf(reason, TUNE_REASON_LEN,
		    "more changes than parameters (unchanged)");
		return SHM_ERANGE;
	}
	for (size_t i = 0; i < n; i++)
		set[i] = (struct shm_tunable_change){ changes[i].param,
			changes[i].after };
	if (shm_tunables_set(&segment->seg, (uint32_t)n, set, &bad) != 0) {
		snprintf(reason, TUNE_REASON_LEN,
		    "%s: the value is outside of its range (unchanged)",
		    shm_params[bad < n ? changes[bad].param : 0].name);
		return SHM_ERANGE;
	}
	for (size_t i = 0; i < n; i++) {
		change_account(segment, &changes[i]);
		if (changes[i].before != changes[i].after)
			change_log(segment, &changes[i], who);
	}
	return 0;
}

/* ---- From the configuration ---------------------------------------------- */

static void
configured_apply(struct segment *segment, struct tune_change *changes, size_t n)
{
	char reason[TUNE_REASON_LEN];
	if (tune_apply(segment, changes, n, "configuration", reason) != 0)
		log_error("segment %s: %s", segment->name, reason);
	/* Nothing older comes back. */
	for (size_t i = 0; i < n; i++)
		tune_timed_note(segment, &changes[i], 0);
}

/* A configured limit above the reserve of a segment that is there. */
static bool
value_fits(const struct segment *segment, enum shm_param param, uint64_t value)
{
	char why[TUNE_REASON_LEN];
	if (bound_check(segment, param, value, why, sizeof why) == 0)
		return true;
	log_error("segment %s: %s: %s; make the segment anew with a larger "
		  "reserve",
	    segment->name, shm_params[param].name, why);
	return false;
}

void
tune_configure(struct segment *segment, const struct config *config)
{
	struct tune_change changes[SHM_PARAMS];
	size_t n = 0;
	for (int i = 0; i < SHM_PARAMS; i++) {
		enum shm_param param = (enum shm_param)i;
		enum config_source source;
		uint64_t value =
		    tune_configured(config, segment, param, &source);
		if (source != CONFIG_DEFAULT &&
		    value_fits(segment, param, value))
			changes[n++] = (struct tune_change){ param,
				tune_value(segment, param), value, source };
	}
	configured_apply(segment, changes, n);
}

/* The segment's is anybody's who may write. */
static void
evict_recover(struct segment *segment, const struct config *config)
{
	enum config_source source;
	struct shm_tunable_change set = { .param = SHM_PARAM_reader_evict_ms };
	uint32_t bad;
	segment->evict_ms = segment->is_evict_kept
	    ? segment->evict_ms_kept
	    : tune_configured(
		  config, segment, SHM_PARAM_reader_evict_ms, &source);
	set.value = segment->evict_ms;
	if (shm_tunables_set(&segment->seg, 1, &set, &bad) != 0)
		log_error("segment %s: reader.evict_ms is out of its range",
		    segment->name);
}

void
tune_recover(struct segment *segment, const struct config *config)
{
	evict_recover(segment, config);
	tune_sources_find(segment, config);
}

void
tune_sources_find(struct segment *segment, const struct config *config)
{
	for (int i = 0; i < SHM_PARAMS; i++) {
		enum shm_param param = (enum shm_param)i;
		enum config_source source;
		uint64_t value =
		    tune_configured(config, segment, param, &source);
		segment->source[param] = tune_value(segment, param) == value
		    ? source
		    : CONFIG_RUNTIME;
	}
}

void
tune_reconfigure(struct segment *segment, const struct config *before,
    const struct config *after)
{
	struct tune_change changes[SHM_PARAMS];
	size_t n = 0;
	for (int i = 0; i < SHM_PARAMS; i++) {
		enum shm_param param = (enum shm_param)i;
		enum config_source was, is;
		uint64_t old = tune_configured(before, segment, param, &was);
		uint64_t new = tune_configured(after, segment, param, &is);
		if ((old != new || was != is) &&
		    value_fits(segment, param, new))
			changes[n++] = (struct tune_change){ param,
				tune_value(segment, param), new, is };
	}
	configured_apply(segment, changes, n);
}
