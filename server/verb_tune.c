/*
 * tune list, set, reset.
 */
#include <stdio.h>
#include <string.h>

#include "server/control.h"
#include "server/log.h"
#include "server/server.h"
#include "server/tune.h"
#include "server/tune_save.h"
#include "server/tune_timed.h"

/* The words of an enum, "enum:a|b", one by one. */
static void
words_put(struct call *call, const char *words, Proto__Parameter *to)
{
	to->words = pool_array(call->pool, strlen(words), sizeof(*to->words));
	for (const char *at = words;; at++) {
		size_t len = strcspn(at, "|");
		to->words[to->n_words++] =
		    pool_printf(call->pool, "%.*s", (int)len, at);
		at += len;
		if (*at == '\0')
			return;
	}
}

static char *
word_put(struct call *call, enum shm_param param, uint64_t value)
{
	char text[VALUE_LEN];
	const char *unit = shm_params[param].unit;
	if (strncmp(unit, "enum:", 5) != 0)
		return NULL;
	value_format(unit, value, text);
	return pool_strdup(call->pool, text);
}

static char *
unit_put(struct call *call, enum shm_param param)
{
	const char *unit = shm_params[param].unit;
	bool is_enum = strncmp(unit, "enum:", 5) == 0;
	return pool_strdup(call->pool, is_enum ? "word" : unit);
}

static Proto__Parameter *
parameter_put(struct call *call, enum shm_param param)
{
	Proto__Parameter *to = pool_alloc(call->pool, sizeof *to);
	const struct shm_param_info *info = &shm_params[param];
	const struct segment *segment = call->segment;
	uint64_t reserve = shm_seg_reserve(&segment->seg);
	proto__parameter__init(to);
	to->name = pool_strdup(call->pool, info->name);
	CALL_PUT(to, value, tune_value(segment, param));
	CALL_PUT(to, effective, tune_effective(segment, param));
	CALL_PUT(to, default_,
	    param == SHM_PARAM_limit_hard ? segment->size : info->def);
	CALL_PUT(to, min, info->min);
	CALL_PUT(to, max,
	    param == SHM_PARAM_limit_hard && reserve < info->max ? reserve
								 : info->max);
	to->unit = unit_put(call, param);
	to->word = word_put(call, param, to->value);
	if (to->word != NULL)
		words_put(call, strchr(info->unit, ':') + 1, to);
	to->source = pool_strdup(
	    call->pool, config_source_names[segment->source[param]]);
	enum config_source source;
	CALL_PUT(to, configured,
	    tune_configured(&call->server->config, segment, param, &source));
	uint64_t until_ms = tune_timed_until(segment, param);
	if (until_ms != 0) {
		CALL_PUT(to, reverts, (double)until_ms / 1e3);
		CALL_PUT(to, reverts_to,
		    tune_timed_then(call->server, segment, param));
	}
	to->effect = pool_strdup(call->pool, info->effect);
	to->description = pool_strdup(call->pool, info->text);
	return to;
}

int
verb_tune_list(struct call *call)
{
	const Proto__TuneListRequest *request = call->request->tune_list;
	char reason[TUNE_REASON_LEN];
	enum shm_param only = SHM_PARAMS;
	if (request->name != NULL &&
	    tune_find(request->name, &only, reason) != 0)
		return call_fail(call, SHM_EUNKNOWN,
		    verb_text(call, request->name, 64), "%s", reason);
	Proto__ParameterList *list = pool_alloc(call->pool, sizeof *list);
	proto__parameter_list__init(list);
	list->parameters =
	    pool_array(call->pool, SHM_PARAMS, sizeof(*list->parameters));
	for (int i = 0; i < SHM_PARAMS; i++) {
		Proto__Parameter *one;
		if (only != SHM_PARAMS && only != (enum shm_param)i)
			continue;
		one = parameter_put(call, (enum shm_param)i);
		if (!request->changed || one->value != one->default_)
			list->parameters[list->n_parameters++] = one;
	}
	call->reply->parameters = list;
	call->reply->body_case = PROTO__REPLY__BODY_PARAMETERS;
	return 0;
}

static Proto__Change *
change_put(struct call *call, const struct tune_change *change, bool is_dry)
{
	Proto__Change *to = pool_alloc(call->pool, sizeof *to);
	proto__change__init(to);
	to->name = pool_strdup(call->pool, shm_params[change->param].name);
	to->unit = unit_put(call, change->param);
	CALL_PUT(to, before, change->before);
	CALL_PUT(to, after, change->after);
	to->before_word = word_put(call, change->param, change->before);
	to->after_word = word_put(call, change->param, change->after);
	CALL_PUT(to, applied, !is_dry);
	return to;
}

/* How a change is made: its time in ms (0: for good), or only said. */
struct change_way {
	uint64_t for_ms;
	bool is_dry;
};

static void
undo_note(struct segment *segment, const struct tune_change *changes, size_t n)
{
	segment->undo.n = n;
	for (size_t i = 0; i < n; i++) {
		segment->undo.was[i].param = changes[i].param;
		segment->undo.was[i].value = changes[i].before;
		segment->undo.was[i].source = segment->source[changes[i].param];
	}
}

/* Make them; what they replace can be had back. */
static int
changes_make(struct call *call, const struct tune_change *changes, size_t n,
    uint64_t for_ms, char reason[TUNE_REASON_LEN])
{
	struct segment *segment = call->segment;
	struct segment_undo before = segment->undo;
	if (n == 0)
		return 0;
	undo_note(segment, changes, n);
	int error = tune_apply(segment, changes, n, call->who, reason);
	if (error != 0) {
		segment->undo = before;
		return error;
	}
	for (size_t i = 0; i < n; i++)
		tune_timed_note(segment, &changes[i], for_ms);
	store_evict(&call->server->store, segment);
	return 0;
}

static int
changes_apply(struct call *call, const struct tune_change *changes, size_t n,
    const struct change_way *way)
{
	char reason[TUNE_REASON_LEN];
	double reverts = server_time() + (double)way->for_ms / 1e3;
	Proto__ChangeList *list = pool_alloc(call->pool, sizeof *list);
	int error = way->is_dry
	    ? 0
	    : changes_make(call, changes, n, way->for_ms, reason);
	if (error != 0)
		return call_fail(call, error, NULL, "%s", reason);
	proto__change_list__init(list);
	list->changes = pool_array(call->pool, n, sizeof(*list->changes));
	for (size_t i = 0; i < n; i++) {
		Proto__Change *change =
		    change_put(call, &changes[i], way->is_dry);
		if (way->for_ms != 0)
			CALL_PUT(change, reverts, reverts);
		list->changes[list->n_changes++] = change;
	}
	call->reply->changes = list;
	call->reply->body_case = PROTO__REPLY__BODY_CHANGES;
	return 0;
}

/* A parameter that is set twice has its last value. */
static size_t
change_add(
    struct tune_change *changes, size_t n, const struct tune_change *change)
{
	for (size_t i = 0; i < n; i++) {
		if (changes[i].param == change->param) {
			changes[i] = *change;
			return n;
		}
	}
	changes[n] = *change;
	return n + 1;
}

int
verb_tune_set(struct call *call)
{
	const Proto__TuneSetRequest *request = call->request->tune_set;
	struct tune_change changes[SHM_PARAMS], change;
	char reason[TUNE_REASON_LEN];
	size_t n = 0;
	for (size_t i = 0; i < request->n_set; i++) {
		const Proto__Assignment *set = request->set[i];
		const char *name = set->name != NULL ? set->name : "";
		const char *value = set->value != NULL ? set->value : "";
		int error =
		    tune_parse(call->segment, name, value, &change, reason);
		if (error != 0)
			return call_fail(call, error, verb_text(call, name, 64),
			    "%s", reason);
		n = change_add(changes, n, &change);
	}
	if (n == 0)
		return call_fail(
		    call, SHM_EINVAL, NULL, "there is nothing to set");
	struct change_way way = { 0, request->dry_run };
	if (request->has_for_seconds) {
		if (!(request->for_seconds > 0 &&
			request->for_seconds <= TUNE_TIMED_MAX_SECONDS))
			return call_fail(call, SHM_ERANGE, NULL,
			    "a time is more than 0 and at most a year");
		way.for_ms = (uint64_t)(request->for_seconds * 1e3) + 1;
	}
	return changes_apply(call, changes, n, &way);
}

static bool
change_to_configured(
    struct call *call, enum shm_param param, struct tune_change *ret_change)
{
	enum config_source source;
	struct segment *segment = call->segment;
	uint64_t value =
	    tune_configured(&call->server->config, segment, param, &source);
	*ret_change = (struct tune_change){ param, tune_value(segment, param),
		value, source };
	return value != ret_change->before || segment->source[param] != source;
}

int
verb_tune_reset(struct call *call)
{
	const char *name = call->request->tune_reset->name;
	struct tune_change changes[SHM_PARAMS];
	char reason[TUNE_REASON_LEN];
	enum shm_param only = SHM_PARAMS;
	size_t n = 0;
	if (name != NULL && tune_find(name, &only, reason) != 0)
		return call_fail(call, SHM_EUNKNOWN, verb_text(call, name, 64),
		    "%s", reason);
	for (int i = 0; i < SHM_PARAMS; i++)
		if (only == SHM_PARAMS || only == (enum shm_param)i)
			n += change_to_configured(
			    call, (enum shm_param)i, &changes[n]);
	return changes_apply(
	    call, changes, n, &(struct change_way){ 0, false });
}

int
verb_tune_revert(struct call *call)
{
	const struct segment_undo *undo = &call->segment->undo;
	struct tune_change changes[SHM_PARAMS];
	if (undo->n == 0)
		return call_fail(call, SHM_EINVAL, NULL,
		    "there is nothing to revert: nobody has changed anything "
		    "since the daemon's start");
	for (size_t i = 0; i < undo->n; i++) {
		enum shm_param param = (enum shm_param)undo->was[i].param;
		changes[i] = (struct tune_change){ param,
			tune_value(call->segment, param), undo->was[i].value,
			undo->was[i].source };
	}
	return changes_apply(call, changes, undo->n,
	    &(struct change_way){ 0, call->request->tune_revert->dry_run });
}

int
verb_tune_save(struct call *call)
{
	char reason[TUNE_REASON_LEN];
	struct tune_saved saved;
	int error = tune_save(call->server, &saved, reason);
	if (error != 0)
		return call_fail(call, error, NULL, "%s", reason);
	Proto__Saved *to = pool_alloc(call->pool, sizeof *to);
	proto__saved__init(to);
	to->schema = pool_strdup(call->pool, "shmalloc.saved/1");
	to->path = pool_strdup(call->pool, saved.path);
	CALL_PUT(to, parameters, saved.n);
	to->skipped = pool_array(
	    call->pool, segment_count(call->server), sizeof(*to->skipped));
	const struct segment *segment;
	TAILQ_FOREACH(segment, &call->server->segments, link)
	if (tune_is_skipped(call->server, segment))
		to->skipped[to->n_skipped++] =
		    pool_strdup(call->pool, segment->name);
	log_info(
	    "%u parameters saved to %s by %s", saved.n, saved.path, call->who);
	call->reply->saved = to;
	call->reply->body_case = PROTO__REPLY__BODY_SAVED;
	return 0;
}
