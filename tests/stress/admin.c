#include "tests/stress/admin.h"

#include <err.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include <shmalloc/control.h>

#include "tests/stress/pattern.h"

/* Errors that a killed daemon, or a busy arena, accounts for. */
static bool
is_passing(int error)
{
	return error == SHMALLOC_EUNREACHABLE || error == SHMALLOC_ETIMEDOUT ||
	    error == SHMALLOC_EBUSY || error == SHMALLOC_ESYSTEM;
}

static bool
control_open(struct admin *self)
{
	int error = 0;

	if (self->control == NULL)
		error = shmalloc_control_connect(NULL, 0, &self->control);
	if (error != 0 && !is_passing(error))
		errx(1, "control: %s", shmalloc_strerror(error));
	return error == 0;
}

/* What came of a request; its REPLY isn't needed. */
static bool
control_answered(struct admin *self, const char *what, int error,
    struct shmalloc_reply *reply)
{
	if (error == 0) {
		shmalloc_control_free(reply);
		return true;
	}
	if (!is_passing(error))
		errx(
		    1, "%s: %s", what, shmalloc_control_message(self->control));
	shmalloc_control_disconnect(self->control);
	self->control = NULL;
	return false;
}

bool
admin_daemon_kill(struct admin *self)
{
	struct shmalloc_reply *reply = NULL;
	uint64_t pid = 0;
	int error;

	if (!control_open(self))
		return false;
	error = shmalloc_control_status(self->control, NULL, &reply);
	if (error == 0)
		(void)shmalloc_control_uint(
		    shmalloc_control_object(
			shmalloc_control_root(reply), "daemon"),
		    "pid", &pid);
	if (!control_answered(self, "status", error, reply))
		return false;
	return pid > 1 && kill((pid_t)pid, SIGKILL) == 0;
}

bool
admin_tune(struct admin *self)
{
	static const struct shmalloc_assignment choices[] = {
		{ "mmap_threshold", "64K" },
		{ "mmap_threshold", "1M" },
		{ "tcache.count", "0" },
		{ "tcache.count", "16" },
		{ "tcache.count", "1024" },
		{ "tcache.max", "1K" },
		{ "tcache.max", "32K" },
		{ "tcache.bytes", "64K" },
		{ "tcache.bytes", "4M" },
		{ "fastbin.max", "0" },
		{ "fastbin.max", "256" },
		{ "fastbin.limit", "4K" },
		{ "top_pad", "4K" },
		{ "top_pad", "1M" },
		{ "trim_threshold", "0" },
		{ "trim_threshold", "1M" },
		{ "decay_ms", "0" },
		{ "decay_ms", "500" },
		{ "check.level", "0" },
		{ "check.level", "2" },
		{ "arena.max", "1" },
		{ "arena.max", "0" },
		{ "lock.wait_ms", "1" },
		{ "lock.wait_ms", "10" },
		{ "retire.limit", "8M" },
		{ "retire.limit", "0" },
		{ "retire.limit", "0" },
		{ "limit.client", "4M" },
		{ "limit.client", "0" },
		{ "limit.client", "0" },
		{ "limit.hard", "48M" },
		{ "limit.hard", "1G" },
		{ "limit.hard", "1G" },
		{ "limit.hard", "1G" },
	};
	size_t i = pattern_random(&self->random) %
	    (sizeof(choices) / sizeof(*choices));
	struct shmalloc_reply *reply = NULL;

	return control_open(self) &&
	    control_answered(self, choices[i].name,
		shmalloc_control_tune_set(
		    self->control, NULL, 1, &choices[i], 0, &reply),
		reply);
}

bool
admin_trim(struct admin *self)
{
	struct shmalloc_reply *reply = NULL;

	return control_open(self) &&
	    control_answered(self, "trim",
		shmalloc_control_trim(
		    self->control, NULL, SHMALLOC_ALL_ARENAS, 0, &reply),
		reply);
}

bool
admin_stats(struct admin *self)
{
	struct shmalloc_reply *reply = NULL;

	return control_open(self) &&
	    control_answered(self, "stats",
		shmalloc_control_stats(
		    self->control, NULL, SHMALLOC_EXACT, &reply),
		reply);
}

void
admin_end(struct admin *self)
{
	struct shmalloc_reply *reply = NULL;

	for (int i = 0; i < 100; i++) {
		if (control_open(self) &&
		    control_answered(self, "tune reset",
			shmalloc_control_tune_reset(
			    self->control, NULL, NULL, &reply),
			reply)) {
			shmalloc_control_disconnect(self->control);
			return;
		}
		usleep(100000);
	}
	errx(1, "no daemon answers any more");
}
