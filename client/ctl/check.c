/* `check`: fsck's exit bits, and a line for each finding. */
#include <stdio.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/text.h"

enum check_exit {
	CHECK_CLEAN = 0,
	CHECK_REPAIRED = 1,
	CHECK_LEFT = 4,
};

static void
finding_print(const struct shmalloc_record *finding)
{
	uint64_t arena, offset;
	char text[256];

	if (shmalloc_control_uint(finding, "arena", &arena) == 0)
		printf("arena %llu: ", (unsigned long long)arena);
	printf("I%llu: %s",
	    (unsigned long long)look_uint(finding, "invariant", 0),
	    look_string(text, sizeof(text), finding, "text"));
	if (shmalloc_control_uint(finding, "offset", &offset) == 0 &&
	    offset != 0)
		printf(" at offset 0x%llx", (unsigned long long)offset);
	printf("%s\n", look_bool(finding, "repaired") ? " (repaired)" : "");
}

static void
result_print(const struct shmalloc_record *checked)
{
	size_t n = shmalloc_control_count(checked, "findings");
	uint64_t total = look_uint(checked, "findings_total", n);

	for (size_t i = 0; i < n; i++)
		finding_print(shmalloc_control_item(checked, "findings", i));
	if (total > n)
		printf("... and %llu more\n", (unsigned long long)(total - n));
	if (total == 0) {
		uint64_t arenas = look_uint(checked, "arenas", 0);

		printf("clean: %llu %s walked, nothing found\n",
		    (unsigned long long)arenas,
		    arenas == 1 ? "arena" : "arenas");
	} else
		printf("%llu found, %llu repaired, %llu left\n",
		    (unsigned long long)total,
		    (unsigned long long)look_uint(checked, "repaired", 0),
		    (unsigned long long)look_uint(checked, "left", total));
}

int
check_run(struct ctl *ctl, int argc, char **argv)
{
	const struct shmalloc_record *checked;
	struct shmalloc_reply *reply;
	int code = CHECK_CLEAN;
	int r = ctl_connect(ctl);

	(void)argc, (void)argv;
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_check(ctl->control, ctl->opt.segment,
	    ctl->opt.repair ? SHMALLOC_REPAIR : 0, &reply);
	if (r < 0)
		return ctl_fail(ctl, r);
	ctl->is_judged = true;
	checked = shmalloc_control_root(reply);
	if (ctl->opt.json)
		json_show(checked, NULL);
	else
		result_print(checked);
	if (look_uint(checked, "repaired", 0) != 0)
		code |= CHECK_REPAIRED;
	if (look_uint(checked, "left", 0) != 0) {
		code |= CHECK_LEFT;
		if (!ctl->opt.repair)
			text_hint("`shmallocctl check --repair` rebuilds what "
				  "can be rebuilt");
	}
	shmalloc_control_free(reply);
	return code;
}
