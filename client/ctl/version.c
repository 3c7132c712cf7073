/* `version`: of this program, and of the daemon if one answers. */
#include <stdio.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/text.h"

static void
json_version(const struct shmalloc_record *daemon)
{
	json_t *value = json_pack("{s:s, s:s}", "schema", "shmalloc.versions/1",
	    "shmallocctl", PACKAGE_VERSION);

	if (value != NULL)
		json_object_set_new(value, "shmallocd",
		    daemon == NULL ? json_null() : json_make(daemon, NULL));
	json_print(value, false);
}

static void
text_version(const struct shmalloc_record *daemon)
{
	char version[64];

	printf("shmallocctl %s\n", PACKAGE_VERSION);
	if (daemon != NULL)
		printf("shmallocd %s  protocol %llu  layout %llu\n",
		    look_string(version, sizeof(version), daemon, "version"),
		    (unsigned long long)look_uint(daemon, "protocol", 0),
		    (unsigned long long)look_uint(daemon, "layout", 0));
}

int
version_run(struct ctl *ctl, int argc, char **argv)
{
	const struct shmalloc_record *daemon = NULL;
	struct shmalloc_reply *reply = NULL;
	int r = shmalloc_control_connect(ctl->opt.socket, 0, &ctl->control);
	int code = EXIT_OK;

	(void)argc, (void)argv;
	if (r == 0) {
		r = shmalloc_control_version(ctl->control, &reply);
		if (r < 0)
			code = ctl_fail(ctl, r);
		else
			daemon = shmalloc_control_root(reply);
	} else {
		text_error("daemon: %s", shmalloc_strerror(r));
	}
	if (ctl->opt.json)
		json_version(daemon);
	else
		text_version(daemon);
	shmalloc_control_free(reply);
	return code;
}
