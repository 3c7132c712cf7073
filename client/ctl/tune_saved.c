/* `tune diff`, `revert` and `save`: what was set, and what will be left of it.
 */
#include <stdio.h>
#include <time.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/table.h"
#include "client/ctl/text.h"
#include "client/ctl/tune.h"

/* ---- diff ---------------------------------------------------------------- */

static bool
is_different(const struct shmalloc_record *parameter)
{
	uint64_t value = look_uint(parameter, "value", 0);

	return look_uint(parameter, "configured", value) != value;
}

/* When PARAMETER's time is over, "" if it has none. */
static const char *
until_text(const struct shmalloc_record *parameter, char *buf, size_t len)
{
	time_t reverts = (time_t)look_double(parameter, "reverts", 0);
	struct tm tm;

	buf[0] = '\0';
	if (reverts != 0 && localtime_r(&reverts, &tm) != NULL)
		strftime(buf, len, "until %F %T", &tm);
	return buf;
}

static void
diff_table(const struct ctl *ctl, const struct shmalloc_record *list)
{
	struct table *table = table_new(&ctl->look, !ctl->opt.no_headings);
	size_t n = shmalloc_control_count(list, "parameters");
	char value[TUNE_VALUE_LEN], until[64];

	table_column(table, "NAME", 0);
	table_column(table, "CONFIGURED", TABLE_RIGHT);
	table_column(table, "NOW", TABLE_RIGHT);
	table_column(table, "", 0);
	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *parameter =
		    shmalloc_control_item(list, "parameters", i);

		if (!is_different(parameter))
			continue;
		table_string(table, parameter, "name");
		table_text(table,
		    tune_value_text(
			&ctl->look, value, parameter, "configured"));
		table_text(table,
		    tune_value_text(&ctl->look, value, parameter, "value"));
		table_text(table, until_text(parameter, until, sizeof(until)));
	}
	table_print(table);
}

static void
diff_json(const struct shmalloc_record *list)
{
	size_t n = shmalloc_control_count(list, "parameters");
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *parameter =
		    shmalloc_control_item(list, "parameters", i);

		if (is_different(parameter))
			json_array_append_new(
			    array, json_make(parameter, NULL));
	}
	json_print(array, false);
}

int
tune_diff_run(struct ctl *ctl, int argc, char **argv)
{
	const struct shmalloc_record *list;
	struct shmalloc_reply *reply;
	bool differs = false;
	size_t n;
	int r = ctl_connect(ctl);

	(void)argc, (void)argv;
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_tune_list(
	    ctl->control, ctl->opt.segment, NULL, 0, &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	list = shmalloc_control_root(reply);
	n = shmalloc_control_count(list, "parameters");
	for (size_t i = 0; i < n; i++)
		differs = differs ||
		    is_different(shmalloc_control_item(list, "parameters", i));
	if (ctl->opt.json)
		diff_json(list);
	else if (differs)
		diff_table(ctl, list);
	shmalloc_control_free(reply);
	return differs ? EXIT_FALSE : EXIT_OK;
}

/* ---- revert and save ----------------------------------------------------- */

int
tune_revert_run(struct ctl *ctl, int argc, char **argv)
{
	struct shmalloc_reply *reply;
	int r = ctl_connect(ctl);

	(void)argc, (void)argv;
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_tune_revert(ctl->control, ctl->opt.segment,
	    ctl->opt.dry_run ? SHMALLOC_DRY_RUN : 0, &reply);
	return r < 0 ? ctl_fail(ctl, r) : tune_changes_show(ctl, reply);
}

static void
skipped_tell(const struct shmalloc_record *saved)
{
	const char *name;

	for (size_t i = 0;
	     (name = shmalloc_control_string_item(saved, "skipped", i)) != NULL;
	     i++)
		text_hint("segment %s is in no configuration file; what was "
			  "set there was not saved",
		    name);
}

int
tune_save(struct ctl *ctl)
{
	const struct shmalloc_record *saved;
	struct shmalloc_reply *reply;
	char path[512];
	int r = shmalloc_control_tune_save(ctl->control, &reply);

	if (r < 0)
		return ctl_fail(ctl, r);
	saved = shmalloc_control_root(reply);
	if (ctl->opt.json)
		json_show(saved, NULL);
	else
		printf("%llu saved in %s\n",
		    (unsigned long long)look_uint(saved, "parameters", 0),
		    look_string(path, sizeof(path), saved, "path"));
	skipped_tell(saved);
	shmalloc_control_free(reply);
	return EXIT_OK;
}

int
tune_save_run(struct ctl *ctl, int argc, char **argv)
{
	int r = ctl_connect(ctl);

	(void)argc, (void)argv;
	return r == EXIT_OK ? tune_save(ctl) : r;
}
