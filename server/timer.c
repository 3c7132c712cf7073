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
#define HUGE_TICKS      2
/* A daemon that ends with its last client waits so long for the first. */
#define FIRST_CLIENT_MS 30000

static void
segment_tick(struct segment *segment)
{
	/* Locks without a slot that would tell of its death. */
	if (shm_repair_step(&segment->seg, REAP_REGIONS) != 0)
		log_debug("segment %s: repairs an arena whose lock a dead "
			  "client held",
		    segment->name);
	uint64_t bytes = shm_tick(&segment->seg);
	if (bytes > 0)
		log_debug("segment %s: %" PRIu64
			  " bytes went back to the system",
		    segment->name, bytes);
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

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;
	struct segment *segment;
	uint64_t system_pages = 0;
	(void)fd;
	(void)what;
	bool is_slow = server->n_ticks % SLOW_TICKS == 0;
	bool looks = server->n_ticks++ % HUGE_TICKS == 0;
	if (is_slow) {
		system_pages = shm_memory_pages("");
		store_say_alive();
	}
	TAILQ_FOREACH(segment, &server->segments, link)
	{
		segment_tick(segment);
		tune_timed_tick(server, segment);
		reader_tick(segment);
		if (looks)
			huge_tick(server, segment);
		if (is_slow)
			segment_slow_tick(segment, system_pages);
	}
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
	if (server->tick == NULL || event_add(server->tick, &period) != 0)
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
	server->tick = NULL;
}
