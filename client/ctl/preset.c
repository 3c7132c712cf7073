/* `tune preset`: sets of values with a name, client/ctl/preset.def. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/suggest.h"
#include "client/ctl/text.h"
#include "client/ctl/tune.h"

static const struct preset {
	const char *name, *text;
	const char *assignments; /* NULL: what the others name, by default */
} presets[] = {
	{ "default", "What a daemon without a configuration has.", NULL },
#define PRESET(name, text, assignments) { #name, text, assignments },
#include "client/ctl/preset.def"
#undef PRESET
};

#define PRESETS (sizeof(presets) / sizeof(presets[0]))

/* Assignments, and the room for their words. */
struct set {
	struct shmalloc_assignment assignment[ASSIGNMENTS_MAX];
	size_t n;
	char words[1024];
	char value[ASSIGNMENTS_MAX][TUNE_VALUE_LEN];
};

static void
set_parse(struct set *set, const char *assignments)
{
	char *save = NULL;

	set->n = 0;
	snprintf(set->words, sizeof(set->words), "%s", assignments);
	for (char *word = strtok_r(set->words, " ", &save);
	     word != NULL && set->n < ASSIGNMENTS_MAX;
	     word = strtok_r(NULL, " ", &save)) {
		char *equals = strchr(word, '=');

		*equals = '\0';
		set->assignment[set->n++] =
		    (struct shmalloc_assignment){ word, equals + 1 };
	}
}

/* Does any preset name the parameter? */
static bool
is_named(const char *name)
{
	static struct set set;

	for (size_t i = 0; i < PRESETS; i++) {
		if (presets[i].assignments == NULL)
			continue;
		set_parse(&set, presets[i].assignments);
		for (size_t j = 0; j < set.n; j++)
			if (strcmp(set.assignment[j].name, name) == 0)
				return true;
	}
	return false;
}

/* The defaults of LIST's parameters that presets name; its strings stay. */
static void
set_default(struct set *set, const struct shmalloc_record *list)
{
	size_t n = shmalloc_control_count(list, "parameters");

	set->n = 0;
	for (size_t i = 0; i < n && set->n < ASSIGNMENTS_MAX; i++) {
		const struct shmalloc_record *parameter =
		    shmalloc_control_item(list, "parameters", i);
		const char *name = shmalloc_control_string(parameter, "name");
		uint64_t number = look_uint(parameter, "default", 0);
		const char *word = shmalloc_control_string_item(
		    parameter, "words", (size_t)number);

		if (name == NULL || !is_named(name))
			continue;
		snprintf(
		    set->value[set->n], TUNE_VALUE_LEN, "%" PRIu64, number);
		set->assignment[set->n] = (struct shmalloc_assignment){ name,
			word != NULL ? word : set->value[set->n] };
		set->n++;
	}
}

/* ---- list ---------------------------------------------------------------- */

static void
presets_print(const struct look *look)
{
	unsigned width =
	    look->width == 0 || look->width > 80 ? 80 : look->width;

	for (size_t i = 0; i < PRESETS; i++) {
		printf("%s%s%s\n", look_color(look, LOOK_BOLD), presets[i].name,
		    look_color(look, LOOK_RESET));
		text_wrap(presets[i].text, width, 4);
		if (presets[i].assignments != NULL)
			text_wrap(presets[i].assignments, width, 4);
	}
}

static void
presets_json(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < PRESETS; i++)
		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:s?}", "name", presets[i].name,
			"text", presets[i].text, "values",
			presets[i].assignments));
	json_print(list, false);
}

/* ---- use ----------------------------------------------------------------- */

static const struct preset *
preset_find(const char *name)
{
	struct suggest suggest;
	char text[SUGGEST_LEN + 32];

	suggest_init(&suggest, name);
	for (size_t i = 0; i < PRESETS; i++) {
		if (strcmp(presets[i].name, name) == 0)
			return &presets[i];
		suggest_offer(&suggest, presets[i].name);
	}
	text_error("there is no preset '%s'%s", name,
	    suggest_text(&suggest, text, sizeof(text)));
	return NULL;
}

static int
preset_use(struct ctl *ctl, const struct preset *preset)
{
	static struct set set;
	struct shmalloc_reply *list = NULL;
	int r = ctl_connect(ctl);

	if (r != EXIT_OK)
		return r;
	if (preset->assignments != NULL) {
		set_parse(&set, preset->assignments);
		return tune_assign(ctl, set.n, set.assignment);
	}
	r = shmalloc_control_tune_list(
	    ctl->control, ctl->opt.segment, NULL, 0, &list);
	if (r < 0)
		return ctl_fail(ctl, r);
	set_default(&set, shmalloc_control_root(list));
	r = tune_assign(ctl, set.n, set.assignment);
	shmalloc_control_free(list);
	return r;
}

int
tune_preset_run(struct ctl *ctl, int argc, char **argv)
{
	const struct preset *preset;

	if (argc == 1 && strcmp(argv[0], "list") == 0) {
		if (ctl->opt.json)
			presets_json();
		else
			presets_print(&ctl->look);
		return EXIT_OK;
	}
	if (argc != 2 || strcmp(argv[0], "use") != 0) {
		text_error("tune preset: either list, or use NAME");
		return EXIT_USAGE;
	}
	if (!tune_options_agree(ctl))
		return EXIT_USAGE;
	preset = preset_find(argv[1]);
	return preset == NULL ? EXIT_USAGE : preset_use(ctl, preset);
}
