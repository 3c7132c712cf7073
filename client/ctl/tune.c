/* `tune`: the parameters of a segment. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/suggest.h"
#include "client/ctl/table.h"
#include "client/ctl/text.h"
#include "client/ctl/tune.h"

#define VALUE_LEN TUNE_VALUE_LEN

/* VALUE with its UNIT, as people write it; plain in a pipe. */
static char *
value_text(const struct look *look, char buf[VALUE_LEN], const char *unit,
    uint64_t value)
{
	char number[QUANTITY_LEN];

	snprintf(number, sizeof(number), "%llu", (unsigned long long)value);
	if (look->is_human && unit != NULL && strcmp(unit, "bytes") == 0)
		quantity_bytes(number, value);
	else if (look->is_human && unit != NULL && strcmp(unit, "ms") == 0)
		quantity_ms(number, value);
	snprintf(buf, VALUE_LEN, "%s", number);
	return buf;
}

/* As ctl_fail; of an unknown parameter, also which one may be meant. */
int
tune_fail(struct ctl *ctl, int r)
{
	const char *subject = shmalloc_control_subject(ctl->control);
	struct shmalloc_reply *reply;
	struct suggest suggest;
	char name[SUGGEST_LEN], text[SUGGEST_LEN + 32];

	if (r != SHMALLOC_EUNKNOWN || subject == NULL)
		return ctl_fail(ctl, r);
	snprintf(name, sizeof(name), "%s", subject);
	suggest_init(&suggest, name);
	if (shmalloc_control_tune_list(
		ctl->control, ctl->opt.segment, NULL, 0, &reply) == 0) {
		const struct shmalloc_record *list =
		    shmalloc_control_root(reply);
		size_t n = shmalloc_control_count(list, "parameters");

		for (size_t i = 0; i < n; i++)
			suggest_offer(&suggest,
			    shmalloc_control_string(
				shmalloc_control_item(list, "parameters", i),
				"name"));
		shmalloc_control_free(reply);
	}
	text_error("there is no parameter '%s'%s", name,
	    suggest_text(&suggest, text, sizeof(text)));
	return EXIT_USAGE;
}

/* ---- list and get ------------------------------------------------------ */

/* PARAMETER's VALUE as its word or with its unit. */
static char *
parameter_text(const struct look *look, char buf[VALUE_LEN],
    const struct shmalloc_record *parameter, uint64_t value)
{
	const char *word =
	    shmalloc_control_string_item(parameter, "words", (size_t)value);

	if (word != NULL)
		return text_safe(buf, VALUE_LEN, word);
	return value_text(
	    look, buf, shmalloc_control_string(parameter, "unit"), value);
}

char *
tune_value_text(const struct look *look, char buf[VALUE_LEN],
    const struct shmalloc_record *parameter, const char *key)
{
	uint64_t value = look_uint(parameter, "value", 0);

	return parameter_text(
	    look, buf, parameter, look_uint(parameter, key, value));
}

static void
range_text(const struct look *look, const struct shmalloc_record *parameter,
    char *buf, size_t len)
{
	size_t n = shmalloc_control_count(parameter, "words"), used = 0;
	char low[VALUE_LEN], high[VALUE_LEN];

	if (n == 0) {
		snprintf(buf, len, "%s to %s",
		    tune_value_text(look, low, parameter, "min"),
		    tune_value_text(look, high, parameter, "max"));
		return;
	}
	for (size_t i = 0; i < n && used < len; i++)
		used += (size_t)snprintf(buf + used, len - used, "%s%s",
		    i == 0 ? "" : ", ",
		    parameter_text(look, low, parameter, i));
}

static void
parameter_head(const struct look *look, const struct shmalloc_record *parameter)
{
	uint64_t value = look_uint(parameter, "value", 0);
	char name[64], text[VALUE_LEN];

	printf("%s%s%s = %s", look_color(look, LOOK_BOLD),
	    look_string(name, sizeof(name), parameter, "name"),
	    look_color(look, LOOK_RESET),
	    tune_value_text(look, text, parameter, "value"));
	if (look_uint(parameter, "effective", value) != value)
		printf(" (in effect: %s)",
		    tune_value_text(look, text, parameter, "effective"));
	putchar('\n');
}

static void
parameter_long(const struct look *look, const struct shmalloc_record *parameter)
{
	const char *effect = shmalloc_control_string(parameter, "effect");
	bool is_refill = effect != NULL && strcmp(effect, "refill") == 0;
	unsigned width =
	    look->width == 0 || look->width > 80 ? 80 : look->width;
	char value[VALUE_LEN], source[64], range[256], text[1024];

	parameter_head(look, parameter);
	range_text(look, parameter, range, sizeof(range));
	snprintf(text, sizeof(text),
	    "source %s, default %s, range %s; takes effect at the next %s",
	    look_string(source, sizeof(source), parameter, "source"),
	    tune_value_text(look, value, parameter, "default"), range,
	    is_refill ? "refill of each client" : "timer of the daemon");
	text_wrap(text, width, 4);
	look_string(text, sizeof(text), parameter, "description");
	text_wrap(text, width, 4);
}

static void
parameters_table(const struct ctl *ctl, const struct shmalloc_record *list)
{
	static const char *const keys[] = { "value", "effective", "default" };
	struct table *table = table_new(&ctl->look, !ctl->opt.no_headings);
	size_t n = shmalloc_control_count(list, "parameters");
	char buf[VALUE_LEN];

	table_column(table, "NAME", 0);
	table_column(table, "VALUE", TABLE_RIGHT);
	table_column(table, "EFFECTIVE", TABLE_RIGHT | TABLE_HIDE_1);
	table_column(table, "DEFAULT", TABLE_RIGHT);
	table_column(table, "UNIT", TABLE_HIDE_2);
	table_column(table, "SOURCE", 0);
	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *parameter =
		    shmalloc_control_item(list, "parameters", i);

		table_string(table, parameter, "name");
		for (size_t j = 0; j < sizeof(keys) / sizeof(keys[0]); j++)
			table_text(table,
			    tune_value_text(
				&ctl->look, buf, parameter, keys[j]));
		table_string(table, parameter, "unit");
		table_string(table, parameter, "source");
	}
	table_print(table);
}

int
tune_list_run(struct ctl *ctl, int argc, char **argv)
{
	const struct shmalloc_record *list;
	struct shmalloc_reply *reply;
	int r = ctl_connect(ctl);

	(void)argc, (void)argv;
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_tune_list(ctl->control, ctl->opt.segment, NULL,
	    ctl->opt.changed ? SHMALLOC_CHANGED : 0, &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	list = shmalloc_control_root(reply);
	if (ctl->opt.json) {
		json_show(list, "parameters");
	} else if (!ctl->opt.is_long) {
		parameters_table(ctl, list);
	} else {
		size_t n = shmalloc_control_count(list, "parameters");

		for (size_t i = 0; i < n; i++)
			parameter_long(&ctl->look,
			    shmalloc_control_item(list, "parameters", i));
	}
	shmalloc_control_free(reply);
	return EXIT_OK;
}

int
tune_get_run(struct ctl *ctl, int argc, char **argv)
{
	const struct shmalloc_record *parameter;
	struct shmalloc_reply *reply;
	char buf[VALUE_LEN];
	int r = ctl_connect(ctl);

	(void)argc;
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_tune_list(
	    ctl->control, ctl->opt.segment, argv[0], 0, &reply);
	if (r < 0)
		return tune_fail(ctl, r);
	parameter = shmalloc_control_item(
	    shmalloc_control_root(reply), "parameters", 0);
	if (ctl->opt.json)
		json_show(parameter, NULL);
	else
		printf("%s\n",
		    tune_value_text(&ctl->look, buf, parameter, "value"));
	shmalloc_control_free(reply);
	return EXIT_OK;
}

/* ---- set and reset ------------------------------------------------------- */

/* A change's value under KEY, or its word under WORD_KEY. */
static char *
value_of(const struct look *look, char buf[VALUE_LEN],
    const struct shmalloc_record *record, const char *key, const char *word_key)
{
	const char *word = shmalloc_control_string(record, word_key);
	uint64_t value;

	if (word != NULL && word[0] != '\0')
		return text_safe(buf, VALUE_LEN, word);
	if (shmalloc_control_uint(record, key, &value) < 0)
		return strcpy(buf, "-");
	return value_text(
	    look, buf, shmalloc_control_string(record, "unit"), value);
}

/* Is it made, and for how long? */
static const char *
change_state(const struct shmalloc_record *change, char *buf, size_t len)
{
	time_t reverts = (time_t)look_double(change, "reverts", 0);
	struct tm tm;

	if (!look_bool(change, "applied"))
		return "  dry run";
	if (reverts == 0 || localtime_r(&reverts, &tm) == NULL)
		return "  applied";
	strftime(buf, len, "  applied, reverts %F %T", &tm);
	return buf;
}

static void
changes_table(const struct ctl *ctl, const struct shmalloc_record *list)
{
	struct table *table = table_new(&ctl->look, false);
	size_t n = shmalloc_control_count(list, "changes");
	char buf[VALUE_LEN], state[64];

	table_column(table, "NAME", 0);
	table_column(table, "BEFORE", TABLE_RIGHT);
	table_column(table, "->", 0);
	table_column(table, "AFTER", 0);
	table_column(table, "STATE", 0);
	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *change =
		    shmalloc_control_item(list, "changes", i);

		table_string(table, change, "name");
		table_text(table,
		    value_of(&ctl->look, buf, change, "before", "before_word"));
		table_text(table, "->");
		table_text(table,
		    value_of(&ctl->look, buf, change, "after", "after_word"));
		table_text(table, change_state(change, state, sizeof(state)));
	}
	table_print(table);
}

int
tune_changes_show(struct ctl *ctl, struct shmalloc_reply *reply)
{
	if (ctl->opt.json)
		json_show(shmalloc_control_root(reply), "changes");
	else
		changes_table(ctl, shmalloc_control_root(reply));
	shmalloc_control_free(reply);
	return EXIT_OK;
}

/* Take NAME=VALUE apart, in its place. */
static bool
assignment_parse(char *word, struct shmalloc_assignment *ret_assignment)
{
	char *equals = strchr(word, '=');

	if (equals == NULL || equals == word) {
		text_error("tune set: '%s' is not NAME=VALUE", word);
		return false;
	}
	*equals = '\0';
	*ret_assignment = (struct shmalloc_assignment){ word, equals + 1 };
	return true;
}

int
tune_assign(struct ctl *ctl, size_t n, const struct shmalloc_assignment set[])
{
	unsigned flags = ctl->opt.dry_run ? SHMALLOC_DRY_RUN : 0;
	struct shmalloc_reply *reply;
	int r;

	if (ctl->opt.for_seconds > 0)
		r = shmalloc_control_tune_set_for(ctl->control,
		    ctl->opt.segment, n, set, ctl->opt.for_seconds, flags,
		    &reply);
	else
		r = shmalloc_control_tune_set(
		    ctl->control, ctl->opt.segment, n, set, flags, &reply);
	if (r < 0)
		return tune_fail(ctl, r);
	r = tune_changes_show(ctl, reply);
	return r == EXIT_OK && ctl->opt.save ? tune_save(ctl) : r;
}

/* --save keeps what stays, so it does not go with the others. */
bool
tune_options_agree(const struct ctl *ctl)
{
	if (!ctl->opt.save || (!ctl->opt.dry_run && ctl->opt.for_seconds <= 0))
		return true;
	text_error("tune: --save goes neither with --dry-run nor with --for");
	return false;
}

int
tune_set_run(struct ctl *ctl, int argc, char **argv)
{
	struct shmalloc_assignment set[ASSIGNMENTS_MAX];
	int r;

	if (!tune_options_agree(ctl))
		return EXIT_USAGE;
	for (int i = 0; i < argc; i++)
		if (!assignment_parse(argv[i], &set[i]))
			return EXIT_USAGE;
	r = ctl_connect(ctl);
	return r == EXIT_OK ? tune_assign(ctl, (size_t)argc, set) : r;
}

int
tune_reset_run(struct ctl *ctl, int argc, char **argv)
{
	struct shmalloc_reply *reply;
	int r;

	if ((argc == 0) != ctl->opt.all) {
		text_error("tune reset: either NAME or --all");
		return EXIT_USAGE;
	}
	r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_tune_reset(
	    ctl->control, ctl->opt.segment, argc == 0 ? NULL : argv[0], &reply);
	return r < 0 ? tune_fail(ctl, r) : tune_changes_show(ctl, reply);
}
