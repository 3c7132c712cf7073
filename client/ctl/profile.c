/* `profile`: the heap profile, for pprof. */
#include <inttypes.h>
#include <stdio.h>

#include "client/ctl/command.h"
#include "client/ctl/file.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/text.h"

/* It is no text. */
static int
terminal_refuse(void)
{
	text_error("profile: this is a file for pprof, not for a terminal");
	text_hint("shmallocctl profile -o FILE, then pprof -top FILE");
	return EXIT_USAGE;
}

/* Is there a profile?  Say why not, or what it lacks. */
static int
profile_judge(const struct shmalloc_record *profile)
{
	uint64_t lost = look_uint(profile, "lost", 0);

	if (look_uint(profile, "sample_bytes", 0) == 0) {
		if (look_uint(profile, "samples", 0) != 0) {
			text_hint("the heap profile is off; this is what was "
				  "sampled before");
			return EXIT_OK;
		}
		text_error("profile: the heap profile is off");
		text_hint("shmallocctl tune set profile.sample_bytes=512K");
		return EXIT_FALSE;
	}
	if (lost != 0)
		text_hint("%" PRIu64 " samples were not taken, as all records "
			  "were in use; raise profile.sample_bytes",
		    lost);
	return EXIT_OK;
}

/* What was written to a file; stdout has nothing else then. */
static void
profile_tell(const struct ctl *ctl, const struct shmalloc_record *profile)
{
	char bytes[QUANTITY_LEN];

	printf("%s: %s in %" PRIu64 " objects, by %" PRIu64 " samples\n",
	    ctl->opt.output, look_bytes_of(&ctl->look, bytes, profile, "bytes"),
	    look_uint(profile, "objects", 0), look_uint(profile, "samples", 0));
}

static int
profile_write(const struct ctl *ctl, const struct shmalloc_record *profile)
{
	size_t len;
	const void *data = shmalloc_control_bytes(profile, "pprof", &len);
	int code;

	if (data == NULL) {
		text_error("profile: the answer has no profile");
		return EXIT_INTERNAL;
	}
	if (ctl->opt.output == NULL) {
		/* What fails is told when stdout is closed. */
		fwrite(data, 1, len, stdout);
		return EXIT_OK;
	}
	code = file_replace(ctl->opt.output, data, len);
	if (code == EXIT_OK && !ctl->opt.json)
		profile_tell(ctl, profile);
	return code;
}

int
profile_run(struct ctl *ctl, int argc, char **argv)
{
	const struct shmalloc_record *profile;
	struct shmalloc_reply *reply;
	int code, r;

	(void)argc, (void)argv;
	if (ctl->opt.output == NULL && ctl->look.is_terminal && !ctl->opt.json)
		return terminal_refuse();
	code = ctl_connect(ctl);
	if (code != EXIT_OK)
		return code;
	r = shmalloc_control_profile(ctl->control, ctl->opt.segment, &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	profile = shmalloc_control_root(reply);
	code = profile_judge(profile);
	if (ctl->opt.json)
		json_show(profile, NULL);
	if (code == EXIT_OK && (ctl->opt.output != NULL || !ctl->opt.json))
		code = profile_write(ctl, profile);
	shmalloc_control_free(reply);
	return code;
}
