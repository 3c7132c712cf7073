/* `roots`: list, and remove one. */
#include <stdio.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/table.h"

static void
roots_table(const struct ctl *ctl, const struct shmalloc_record *list)
{
	struct table *table = table_new(&ctl->look, !ctl->opt.no_headings);
	size_t n = shmalloc_control_count(list, "roots");

	table_column(table, "NAME", 0);
	table_column(table, "SLOT", TABLE_RIGHT);
	table_column(table, "OBJECT", TABLE_RIGHT);
	table_column(table, "SIZE", TABLE_RIGHT);
	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *root =
		    shmalloc_control_item(list, "roots", i);

		table_string(table, root, "name");
		table_uint(table, root, "slot");
		table_uint(table, root, "object");
		table_bytes(table, root, "size_bytes");
	}
	table_print(table);
}

static int
root_remove(struct ctl *ctl)
{
	const char *name = ctl->opt.remove;
	int r;

	r = ctl_confirm(ctl,
	    "Remove the root %s?  Programs that use it make a new, empty "
	    "one.",
	    name);
	if (r == EXIT_OK)
		r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_root_remove(ctl->control, ctl->opt.segment, name);
	if (r < 0)
		return ctl_fail(ctl, r);
	if (ctl->opt.json)
		json_print(json_pack("{s:s}", "removed", name), false);
	else
		printf("root %s removed\n", name);
	return EXIT_OK;
}

int
roots_run(struct ctl *ctl, int argc, char **argv)
{
	struct shmalloc_reply *reply;
	int r;

	(void)argc, (void)argv;
	if (ctl->opt.remove != NULL)
		return root_remove(ctl);
	r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_roots(ctl->control, ctl->opt.segment, &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	if (ctl->opt.json)
		json_show(shmalloc_control_root(reply), "roots");
	else
		roots_table(ctl, shmalloc_control_root(reply));
	shmalloc_control_free(reply);
	return EXIT_OK;
}
