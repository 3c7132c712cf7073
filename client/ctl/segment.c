/* `segment`: list, create and destroy. */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/table.h"
#include "client/ctl/text.h"

static void
user_cell(struct table *table, const struct shmalloc_record *segment)
{
	struct passwd *user = getpwuid((uid_t)look_uint(segment, "uid", 0));

	if (user == NULL)
		table_uint(table, segment, "uid");
	else
		table_text(table, user->pw_name);
}

static void
group_cell(struct table *table, const struct shmalloc_record *segment)
{
	struct group *group = getgrgid((gid_t)look_uint(segment, "gid", 0));

	if (group == NULL)
		table_uint(table, segment, "gid");
	else
		table_text(table, group->gr_name);
}

static void
segments_table(const struct ctl *ctl, const struct shmalloc_record *list)
{
	struct table *table = table_new(&ctl->look, !ctl->opt.no_headings);
	size_t n = shmalloc_control_count(list, "segments");
	char mode[16];

	table_column(table, "NAME", 0);
	table_column(table, "SIZE", TABLE_RIGHT);
	table_column(table, "USED", TABLE_RIGHT);
	table_column(table, "LIMIT", TABLE_RIGHT);
	table_column(table, "RESERVED", TABLE_RIGHT | TABLE_HIDE_1);
	table_column(table, "CLIENTS", TABLE_RIGHT);
	table_column(table, "MODE", TABLE_RIGHT);
	table_column(table, "OWNER", TABLE_HIDE_3);
	table_column(table, "GROUP", TABLE_HIDE_2);
	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *segment =
		    shmalloc_control_item(list, "segments", i);

		table_string(table, segment, "name");
		table_bytes(table, segment, "size_bytes");
		table_bytes(table, segment, "used_bytes");
		table_bytes(table, segment, "limit_bytes");
		table_bytes(table, segment, "reserved_bytes");
		table_uint(table, segment, "clients");
		snprintf(mode, sizeof(mode), "%04o",
		    (unsigned)look_uint(segment, "mode", 0) & 07777);
		table_text(table, mode);
		user_cell(table, segment);
		group_cell(table, segment);
	}
	table_print(table);
}

int
segment_list_run(struct ctl *ctl, int argc, char **argv)
{
	struct shmalloc_reply *reply;
	int r = ctl_connect(ctl);

	(void)argc, (void)argv;
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_segment_list(ctl->control, &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	if (ctl->opt.json)
		json_show(shmalloc_control_root(reply), "segments");
	else
		segments_table(ctl, shmalloc_control_root(reply));
	shmalloc_control_free(reply);
	return EXIT_OK;
}

int
segment_create_run(struct ctl *ctl, int argc, char **argv)
{
	struct shmalloc_segment_options options = SHMALLOC_SEGMENT_OPTIONS_INIT;
	char size[QUANTITY_LEN];
	int r;

	(void)argc;
	if (ctl->opt.size == 0) {
		text_error("segment create: --size is missing");
		return EXIT_USAGE;
	}
	options.limit_bytes = ctl->opt.size;
	options.reserved_bytes = ctl->opt.reserve;
	options.quota_bytes = ctl->opt.quota;
	options.mode = (uint32_t)ctl->opt.mode;
	options.group = ctl->opt.group;
	r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_segment_create(ctl->control, argv[0], &options);
	if (r < 0)
		return ctl_fail(ctl, r);
	if (ctl->opt.json)
		json_print(json_pack("{s:s}", "created", argv[0]), false);
	else
		printf("segment %s created, limit %s, mode %04o\n", argv[0],
		    look_bytes(&ctl->look, size, options.limit_bytes),
		    (unsigned)options.mode);
	return EXIT_OK;
}

int
segment_destroy_run(struct ctl *ctl, int argc, char **argv)
{
	int r;

	(void)argc;
	r = ctl_confirm(ctl,
	    "End the segment %s?  No new client can attach, and its "
	    "contents go with its last client.",
	    argv[0]);
	if (r == EXIT_OK)
		r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_segment_destroy(
	    ctl->control, argv[0], ctl->opt.force ? SHMALLOC_FORCE : 0);
	if (r < 0)
		return ctl_fail(ctl, r);
	if (ctl->opt.json)
		json_print(json_pack("{s:s}", "destroyed", argv[0]), false);
	else
		printf("segment %s destroyed\n", argv[0]);
	return EXIT_OK;
}
