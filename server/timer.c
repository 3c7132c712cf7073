#include "server/timer.h"

#include <inttypes.h>

#include "server/huge.h"
#include "server/log.h"
#include "server/reader.h"
#include "server/reap.h"
#include "server/slot.h"
#include "server/tune_timed.h"
#include "shm/daemon.h"
#include "shm/memory.h"

/* What need not be done with each tick is done with each tenth. */
#define SLOW_TICKS      10
/* Between two slices of giving pages back, for whatever else there is to do. */
#define MORE_US         1000
/* A daemon that ends with its last client waits so long for the first. */
#define FIRST_CLIENT_MS 30000

static void
bytes_log(const struct segment *segment, uint64_t bytes)
{
	if (bytes > 0)
		log_debug("segment %s: %" PRIu64
			  " bytes went back to the system",
		    segment->name, bytes);
}

static void
segment_tick(struct segment *segment)
{
	/* Locks without a slot that would tell of its death. */
	if (shm_repair_step(&segment->seg, REAP_REGIONS) != 0)
		log_debug("segment %s: repairs an arena whose lock a dead "
			  "client held",
		    segment->name);
	bytes_log(segment, shm_tick(&segment->seg));
}

static void
segment_slow_tick(struct segment *segment, uint64_t system_pages)
{
	struct shm_stats stats;
	shm_system_set(&segment->seg, system_pages);
	slot_sweep(segment);
	/* A reading raises the peaks. */
	if (shm_stats_read(&segment->seg, false, &stats) != 0)
		return;
	watch_look(segment, &stats);
	shm_stats_release(&stats);
}

/* Nobody is attached, and nobody waits to be. */
static bool
is_idle(const struct server *server)
{
	if (segment_clients(server) > 0 || server->attach.n > 0 ||
	    listen_is_pending(&server->attach))
		return false;
	return server->had_client ||
	    server_now_ms() - server->started_ms > FIRST_CLIENT_MS;
}

/* A tick takes a batch of free pieces from each arena, and there may be tens of
 * thousands: go on soon if there are more. */
static void
more_schedule(struct server *server)
{
	struct timeval soon = { .tv_usec = MORE_US };
	struct segment *segment;
	bool has_more = false;
	TAILQ_FOREACH(segment, &server->segments, link)
	{
		has_more |= shm_tick_has_more(&segment->seg);
	}
	if (has_more && event_add(server->more, &soon) != 0)
		log_debug("no memory for a timer: the next tick goes on");
}

static void
on_more(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;
	struct segment *segment;
	(void)fd;
	(void)what;
	TAILQ_FOREACH(segment, &server->segments, link)
	{
		bytes_log(segment, shm_tick_more(&segment->seg));
	}
	more_schedule(server);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;
	struct segment *segment;
	uint64_t system_pages = 0;
	(void)fd;
	(void)what;
	bool is_slow = server->n_ticks % SLOW_TICKS == 0;
	server->n_ticks++;
	if (is_slow) {
		system_pages = shm_memory_pages("");
		store_say_alive();
	}
	TAILQ_FOREACH(segment, &server->segments, link)
	{
		segment_tick(segment);
		tune_timed_tick(server, segment);
		reader_tick(segment);
		huge_tick(server, segment);
		if (is_slow)
			segment_slow_tick(segment, system_pages);
	}
	more_schedule(server);
	if (server->options->is_idle_exit && is_idle(server)) {
		log_info("the last client has left; ending");
		event_base_loopbreak(server->base);
	}
}

int
timer_init(struct server *server)
{
	struct timeval period = { .tv_usec = TIMER_TICK_MS * 1000 };
	server->tick = event_new(server->base, -1, EV_PERSIST, on_tick, server);
	server->more = event_new(server->base, -1, 0, on_more, server);
	if (server->tick == NULL || server->more == NULL ||
	    event_add(server->tick, &period) != 0)
		return SHM_ENOMEM;
	/* Segments must know at once what the system has left. */
	on_tick(-1, 0, server);
	return 0;
}

void
timer_release(struct server *server)
{
	if (server->tick != NULL)
		event_free(server->tick);
	if (server->more != NULL)
		event_free(server->more);
	server->tick = server->more = NULL;
}
