/* `status`: one line. */
#include <stdio.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"

static void
line_print(const struct look *look, const struct shmalloc_record *status)
{
	const struct shmalloc_record *daemon =
	    shmalloc_control_object(status, "daemon");
	const struct shmalloc_record *segment =
	    shmalloc_control_object(status, "segment");
	const struct shmalloc_record *clients =
	    shmalloc_control_object(status, "clients");
	uint64_t sick = look_uint(status, "sick_arenas", 0);
	char name[128], mode[32];
	char up[QUANTITY_LEN], pid[QUANTITY_LEN], used[QUANTITY_LEN],
	    limit[QUANTITY_LEN];

	printf("%s: %s%s%s  up %s  started %s  %s of %s used",
	    look_string(name, sizeof(name), segment, "name"),
	    look_color(look, sick == 0 ? LOOK_GREEN : LOOK_RED),
	    sick == 0 ? "ok" : "damaged", look_color(look, LOOK_RESET),
	    look_duration_of(up, daemon, "uptime_seconds"),
	    look_string(mode, sizeof(mode), daemon, "start_mode"),
	    look_bytes_of(look, used, status, "used_bytes"),
	    look_bytes_of(look, limit, segment, "limit_bytes"));
	if (look_double(status, "used_ratio", -1) >= 0)
		printf(" (%.0f%%)", 100 * look_double(status, "used_ratio", 0));
	printf("  clients %llu  pid %s",
	    (unsigned long long)look_uint(clients, "alive", 0),
	    look_id_of(pid, daemon, "pid"));
	if (sick != 0)
		printf("  sick arenas %llu", (unsigned long long)sick);
	putchar('\n');
}

int
status_run(struct ctl *ctl, int argc, char **argv)
{
	struct shmalloc_reply *reply;
	const struct shmalloc_record *status;
	int r = ctl_connect(ctl);

	(void)argc, (void)argv;
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_status(ctl->control, ctl->opt.segment, &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	status = shmalloc_control_root(reply);
	if (ctl->opt.json)
		json_show(status, NULL);
	else
		line_print(&ctl->look, status);
	r = look_uint(status, "sick_arenas", 0) == 0 ? EXIT_OK : EXIT_FALSE;
	shmalloc_control_free(reply);
	return r;
}
