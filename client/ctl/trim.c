/* `trim`: give free pages back now. */
#include <stdio.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"

int
trim_run(struct ctl *ctl, int argc, char **argv)
{
	const struct shmalloc_record *trimmed;
	struct shmalloc_reply *reply;
	char bytes[QUANTITY_LEN];
	int r = ctl_connect(ctl);

	(void)argc, (void)argv;
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_trim(ctl->control, ctl->opt.segment,
	    (uint32_t)ctl->opt.arena, ctl->opt.dry_run ? SHMALLOC_DRY_RUN : 0,
	    &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	trimmed = shmalloc_control_root(reply);
	if (ctl->opt.json)
		json_show(trimmed, NULL);
	else
		printf("%s %s\n",
		    look_bytes_of(&ctl->look, bytes, trimmed, "bytes"),
		    look_bool(trimmed, "dry_run")
			? "could be given back to the system"
			: "given back to the system");
	shmalloc_control_free(reply);
	return EXIT_OK;
}
