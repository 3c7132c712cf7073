#include "server/config.h"

#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "server/http_address.h"

#define CONFIG_UNIT_TEXT "text"

const struct config_key_info config_keys[CONFIG_KEYS] = {
#define KEY(symbol, name, scope, unit, def, min, max, text)                    \
	{ { name, "", def, min, max, unit, "restart", text },                  \
		CONFIG_SCOPE_##scope },
#include "server/config.def"
#undef KEY
};

const char *const config_source_names[CONFIG_SOURCES] = {
	"default",
	"file",
	"argument",
	"runtime",
};

void
config_init(struct config *config)
{
	memset(config, 0, sizeof *config);
	strcpy(config->base.name, "default");
}

static void
section_release(struct config_section *section)
{
	for (size_t i = 0; i < CONFIG_KEYS; i++)
		free(section->key[i].text);
}

void
config_release(struct config *config)
{
	section_release(&config->base);
	for (size_t i = 0; i < config->n_segments; i++) {
		section_release(config->segments[i]);
		free(config->segments[i]);
	}
	free(config->segments);
	config_init(config);
}

const char *
config_name_error(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz"
				      "0123456789_.-";
	size_t len = strlen(name);
	if (len == 0)
		return "a segment's name is empty";
	if (len >= SHM_NAME_LEN)
		return "a segment's name has at most 63 characters";
	if (strspn(name, allowed) != len)
		return "a segment's name has letters, digits, '_', '.' and '-'";
	return NULL;
}

static struct config_section *
section_find(struct config *config, const char *name)
{
	if (name == NULL || strcmp(name, config->base.name) == 0)
		return &config->base;
	for (size_t i = 0; i < config->n_segments; i++)
		if (strcmp(config->segments[i]->name, name) == 0)
			return config->segments[i];
	return NULL;
}

static struct config_section *
section_add(struct config *config, const char *name)
{
	size_t n = config->n_segments;
	struct config_section **grown =
	    realloc(config->segments, (n + 1) * sizeof(*grown));
	if (grown == NULL)
		return NULL;
	config->segments = grown;
	struct config_section *section = calloc(1, sizeof *section);
	if (section == NULL)
		return NULL;
	snprintf(section->name, sizeof section->name, "%s", name);
	config->segments[config->n_segments++] = section;
	return section;
}

/* ---- Values of units that value.c does not know ----------------------- */

static int
mode_parse(const char *text, uint64_t *ret_value)
{
	char *end;
	if (strspn(text, "01234567") != strlen(text) || *text == '\0')
		return SHM_EINVAL;
	*ret_value = strtoul(text, &end, 8);
	return 0;
}

static int
user_parse(const char *text, uint64_t *ret_value)
{
	const struct passwd *user = getpwnam(text);
	if (user == NULL)
		return value_parse("", text, ret_value);
	*ret_value = user->pw_uid;
	return 0;
}

int
config_group_parse(const char *text, uint64_t *ret_value)
{
	const struct group *group = getgrnam(text);
	if (group == NULL)
		return value_parse("", text, ret_value);
	*ret_value = group->gr_gid;
	return 0;
}

static int
unit_parse(const char *unit, const char *text, uint64_t *ret_value)
{
	if (strcmp(unit, "mode") == 0)
		return mode_parse(text, ret_value);
	if (strcmp(unit, "user") == 0)
		return user_parse(text, ret_value);
	if (strcmp(unit, "group") == 0)
		return config_group_parse(text, ret_value);
	return value_parse(unit, text, ret_value);
}

/* What a value in UNIT looks like, for a message. */
static const char *
unit_example(const char *unit)
{
	static const char *const examples[][2] = {
		{ "mode", "an octal mode such as 0660" },
		{ "user", "a user's name or number" },
		{ "group", "a group's name or number" },
	};
	for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
		if (strcmp(unit, examples[i][0]) == 0)
			return examples[i][1];
	return value_example(unit);
}

/* ---- Setting ------------------------------------------------------------ */

static int
text_set(struct config_value *value, const char *text)
{
	char *copy = strdup(text);
	if (copy == NULL)
		return SHM_ENOMEM;
	free(value->text);
	value->text = copy;
	return 0;
}

static int
value_set(struct config_value *value, const struct shm_param_info *info,
    const char *text, enum config_source source, char *reason)
{
	uint64_t number = 0;
	char range[CONFIG_REASON_LEN / 2];
	if (strcmp(info->unit, CONFIG_UNIT_TEXT) == 0) {
		int error = text_set(value, text);
		if (error != 0)
			return error;
	} else if (unit_parse(info->unit, text, &number) != 0) {
		snprintf(reason, CONFIG_REASON_LEN, "%s: '%.60s' is not %s",
		    info->name, text, unit_example(info->unit));
		return SHM_EINVAL;
	} else if (value_check(info, number, range, sizeof range) != 0) {
		snprintf(
		    reason, CONFIG_REASON_LEN, "%s: %s", info->name, range);
		return SHM_ERANGE;
	}
	value->source = source;
	value->number = number;
	return 0;
}

static int
key_find(const char *name)
{
	for (int i = 0; i < CONFIG_KEYS; i++)
		if (strcmp(config_keys[i].info.name, name) == 0)
			return i;
	return -1;
}

static int
unknown_say(const char *name, char *reason)
{
	const char *near = value_suggest(
	    name, &shm_params[0].name, SHM_PARAMS, sizeof shm_params[0]);
	if (near == NULL)
		near = value_suggest(name, &config_keys[0].info.name,
		    CONFIG_KEYS, sizeof config_keys[0]);
	snprintf(reason, CONFIG_REASON_LEN, "unknown name '%.60s'%s%s%s", name,
	    near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
	    near != NULL ? "'?" : "");
	return SHM_EUNKNOWN;
}

int
config_set(struct config *config, const char *segment, const char *name,
    const char *text, enum config_source source, char reason[CONFIG_REASON_LEN])
{
	struct config_section *section = section_find(config, segment);
	const char *bad = segment != NULL ? config_name_error(segment) : NULL;
	if (bad != NULL) {
		snprintf(
		    reason, CONFIG_REASON_LEN, "'%.64s': %s", segment, bad);
		return SHM_EINVAL;
	}
	int param = shm_param_find(name);
	int key = key_find(name);
	if (param < 0 && key < 0)
		return unknown_say(name, reason);
	if (param < 0 && segment != NULL &&
	    config_keys[key].scope == CONFIG_SCOPE_DAEMON) {
		snprintf(reason, CONFIG_REASON_LEN,
		    "%s: is the daemon's, not a segment's", name);
		return SHM_EINVAL;
	}
	if (section == NULL)
		section = section_add(config, segment);
	snprintf(reason, CONFIG_REASON_LEN, "out of memory");
	if (section == NULL)
		return SHM_ENOMEM;
	if (param >= 0)
		return value_set(&section->param[param], &shm_params[param],
		    text, source, reason);
	return value_set(
	    &section->key[key], &config_keys[key].info, text, source, reason);
}

int
config_assign(struct config *config, const char *assignment,
    char reason[CONFIG_REASON_LEN])
{
	char name[2 * SHM_NAME_LEN];
	size_t len = strcspn(assignment, "=");
	if (assignment[len] == '\0' || len == 0 || len >= sizeof name) {
		snprintf(reason, CONFIG_REASON_LEN,
		    "'%.60s' is not NAME=VALUE or SEGMENT:NAME=VALUE",
		    assignment);
		return SHM_EINVAL;
	}
	memcpy(name, assignment, len);
	name[len] = '\0';
	char *colon = strchr(name, ':');
	if (colon != NULL)
		*colon = '\0';
	return config_set(config, colon != NULL ? name : NULL,
	    colon != NULL ? colon + 1 : name, assignment + len + 1,
	    CONFIG_ARGUMENT, reason);
}

/* ---- Asking ------------------------------------------------------------ */

const struct config_section *
config_section(const struct config *config, const char *segment)
{
	if (strcmp(segment, config->base.name) == 0)
		return &config->base;
	for (size_t i = 0; i < config->n_segments; i++)
		if (strcmp(config->segments[i]->name, segment) == 0)
			return config->segments[i];
	return NULL;
}

uint64_t
config_number(const struct config *config, const struct config_section *section,
    enum config_key key)
{
	if (section != NULL && section->key[key].source != CONFIG_DEFAULT)
		return section->key[key].number;
	if (config->base.key[key].source != CONFIG_DEFAULT)
		return config->base.key[key].number;
	return config_keys[key].info.def;
}

const char *
config_text(const struct config *config, enum config_key key)
{
	return config->base.key[key].text;
}

/* The first of the N that is set, or NULL. */
static const struct config_value *
value_first_set(const struct config_value *const *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (values[i]->source != CONFIG_DEFAULT)
			return values[i];
	return NULL;
}

/* A size is where limit.hard begins, so it counts where that is not set. */
uint64_t
config_param(const struct config *config, const struct config_section *section,
    enum shm_param param, enum config_source *ret_source)
{
	const struct config_section *base = &config->base;
	const struct config_section *own = section != NULL ? section : base;
	const struct config_value *values[] = { &own->param[param],
		&base->param[param] };
	const struct config_value *limits[] = { &own->param[param],
		&own->key[CONFIG_SIZE], &base->param[param],
		&base->key[CONFIG_SIZE] };
	const struct config_value *value = param == SHM_PARAM_limit_hard
	    ? value_first_set(limits, 4)
	    : value_first_set(values, 2);
	*ret_source = value != NULL ? value->source : CONFIG_DEFAULT;
	return value != NULL ? value->number : shm_params[param].def;
}

static int
section_check(const struct config *config, const struct config_section *section,
    config_report_fn report, void *arg)
{
	enum config_source source;
	char reason[CONFIG_REASON_LEN], asked[VALUE_LEN], most[VALUE_LEN];
	uint64_t reserve = config_number(config, section, CONFIG_RESERVE);
	uint64_t limit =
	    config_param(config, section, SHM_PARAM_limit_hard, &source);
	if (reserve == 0 || limit <= reserve)
		return 0;
	value_format("bytes", limit, asked);
	value_format("bytes", reserve, most);
	snprintf(reason, sizeof reason,
	    "the limit of %s (size or limit.hard) is above the reserve of %s",
	    asked, most);
	report(arg, section->name, reason);
	return 1;
}

static int
http_check(const struct config *config, config_report_fn report, void *arg)
{
	struct http_address address;
	char reason[CONFIG_REASON_LEN];
	if (http_address_parse(config_text(config, CONFIG_HTTP), &address,
		reason, sizeof reason) == 0)
		return 0;
	report(arg, "configuration", reason);
	return 1;
}

int
config_check(const struct config *config, config_report_fn report, void *arg)
{
	int n = section_check(config, &config->base, report, arg);
	n += http_check(config, report, arg);
	for (size_t i = 0; i < config->n_segments; i++)
		n += section_check(config, config->segments[i], report, arg);
	uint64_t most = config_number(config, NULL, CONFIG_MAX_SEGMENTS);
	if (config->n_segments + 1 > most) {
		report(arg, "max_segments", "more segments are configured");
		n++;
	}
	return n;
}
