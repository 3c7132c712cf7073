/* `clients evict`: kill a client, and say what came back. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/ctl/command.h"
#include "client/ctl/json.h"
#include "client/ctl/look.h"
#include "client/ctl/text.h"

#define WAIT_MS 10000 /* for its memory; readers may hold some of it back */
#define LOOK_MS 5

/* What the clients with one PID hold, or what came back of them. */
struct holding {
	size_t alive, reclaimed; /* attachments */
	uint64_t bytes, chunks;  /* of those that live */
	uint64_t back_bytes, back_chunks;
	char command[64];
};

static void
holding_add(struct holding *sum, const struct shmalloc_record *client)
{
	const char *state = shmalloc_control_string(client, "state");

	if (state != NULL && strcmp(state, "reclaimed") == 0) {
		sum->reclaimed++;
		sum->back_bytes += look_uint(client, "reclaimed_bytes", 0);
		sum->back_chunks += look_uint(client, "reclaimed_chunks", 0);
		return;
	}
	sum->alive++;
	sum->bytes += look_uint(client, "held_bytes", 0);
	sum->chunks += look_uint(client, "held_chunks", 0);
	look_string(sum->command, sizeof(sum->command), client, "command");
}

static int
holding_ask(struct ctl *ctl, uint32_t pid, struct holding *ret)
{
	const struct shmalloc_record *list;
	struct shmalloc_reply *reply;
	int r = shmalloc_control_clients(
	    ctl->control, ctl->opt.segment, pid, &reply);

	if (r < 0)
		return r;
	*ret = (struct holding){ .alive = 0 };
	list = shmalloc_control_root(reply);
	for (size_t i = 0; i < shmalloc_control_count(list, "clients"); i++)
		holding_add(ret, shmalloc_control_item(list, "clients", i));
	shmalloc_control_free(reply);
	return 0;
}

/* Wait until nothing of PID's is left, or for long enough. */
static int
back_wait(struct ctl *ctl, uint32_t pid, struct holding *ret)
{
	const struct timespec pause = { 0, LOOK_MS * 1000000 };
	int r = holding_ask(ctl, pid, ret);

	for (int ms = 0; r == 0 && ret->alive != 0 && ms < WAIT_MS;
	     ms += LOOK_MS) {
		(void)nanosleep(&pause, NULL);
		r = holding_ask(ctl, pid, ret);
	}
	return r;
}

/* The list of those that are gone may lose its oldest meanwhile. */
static uint64_t
gain(uint64_t before, uint64_t after)
{
	return after > before ? after - before : 0;
}

static void
back_say(const struct ctl *ctl, uint64_t pid, const struct holding *before,
    const struct holding *after)
{
	uint64_t bytes = gain(before->back_bytes, after->back_bytes);
	uint64_t chunks = gain(before->back_chunks, after->back_chunks);
	char text[QUANTITY_LEN];

	if (ctl->opt.json) {
		json_print(
		    json_pack("{s:I, s:I, s:I, s:b}", "evicted",
			(json_int_t)pid, "reclaimed_bytes", (json_int_t)bytes,
			"reclaimed_chunks", (json_int_t)chunks, "complete",
			after->alive == 0),
		    false);
		return;
	}
	if (after->alive != 0)
		printf("%s (%llu) was killed; its memory is not all back yet\n",
		    before->command, (unsigned long long)pid);
	else
		printf("%s (%llu) was killed; %s in %llu chunks came back\n",
		    before->command, (unsigned long long)pid,
		    look_bytes(&ctl->look, text, bytes),
		    (unsigned long long)chunks);
}

static int
evict(struct ctl *ctl, uint32_t pid, const struct holding *before)
{
	char text[QUANTITY_LEN];
	struct holding after;
	int r;

	if (before->alive == 0) {
		text_error("no client has the PID %lu", (unsigned long)pid);
		return EXIT_FALSE;
	}
	r = ctl_confirm(ctl,
	    "Kill %s (%lu), which holds %s in %llu chunks that nobody else "
	    "has?",
	    before->command, (unsigned long)pid,
	    look_bytes(&ctl->look, text, before->bytes),
	    (unsigned long long)before->chunks);
	if (r != EXIT_OK)
		return r;
	r = shmalloc_control_evict(ctl->control, ctl->opt.segment, pid);
	if (r == 0)
		r = back_wait(ctl, pid, &after);
	if (r < 0)
		return ctl_fail(ctl, r);
	back_say(ctl, pid, before, &after);
	return EXIT_OK;
}

int
evict_run(struct ctl *ctl, int argc, char **argv)
{
	struct holding before;
	uint64_t pid = 0;
	int r;

	(void)argc;
	if (!quantity_parse_count(argv[0], INT32_MAX, &pid) || pid == 0) {
		text_error("clients evict: '%s' is no PID", argv[0]);
		return EXIT_USAGE;
	}
	r = ctl_connect(ctl);
	if (r != EXIT_OK)
		return r;
	r = holding_ask(ctl, (uint32_t)pid, &before);
	if (r < 0)
		return ctl_fail(ctl, r);
	return evict(ctl, (uint32_t)pid, &before);
}
