#include "server/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "server/journal.h"
#include "server/log.h"
#include "server/segment.h"
#include "shm/stats.h"

/* How much the counter *BEFORE has grown, which then is NOW. */
static uint64_t
growth(uint64_t *before, uint64_t now)
{
	uint64_t by = now > *before ? now - *before : 0;
	*before = now;
	return by;
}

static void
failures_look(struct segment *segment, const struct shm_stats *stats)
{
	static const char *const names[SHM_FAILURES] = {
		[SHM_FAIL_FULL] = "full",
		[SHM_FAIL_FRAGMENTED] = "fragmented",
		[SHM_FAIL_QUOTA] = "quota",
		[SHM_FAIL_TOO_LARGE] = "too large",
		[SHM_FAIL_READER] = "reader",
		[SHM_FAIL_SYSTEM] = "system",
	};
	char text[160] = "";
	size_t len = 0;
	for (size_t i = 0; i < SHM_FAILURES; i++) {
		uint64_t n =
		    growth(&segment->watch.failures[i], stats->failures[i]);
		if (n > 0 && names[i] != NULL && len < sizeof text)
			len += (size_t)snprintf(text + len, sizeof text - len,
			    "%s%" PRIu64 " %s", len > 0 ? ", " : "", n,
			    names[i]);
	}
	if (len > 0 && segment->watch.has_begun)
		journal_note(JOURNAL_FAILURE, segment, NULL,
		    "allocations failed: %s", text);
}

static void
repairs_look(struct segment *segment, const struct shm_stats *stats)
{
	uint64_t n = growth(&segment->watch.repairs, stats->recovered_locks);
	if (n > 0 && segment->watch.has_begun)
		journal_note(JOURNAL_REPAIR, segment, NULL,
		    "%" PRIu64 " arena(s) repaired whose lock a dead client "
		    "held",
		    n);
}

/* One that is new is told; one that was mended, too. */
static void
arena_look(struct segment *segment, const struct shm_arena_stats *arena)
{
	uint64_t *word = &segment->watch.sick[arena->id % SHM_ARENAS / 64];
	uint64_t bit = UINT64_C(1) << arena->id % 64;
	bool was = (*word & bit) != 0, is = arena->state == SHM_ARENA_SICK;
	if (was == is)
		return;
	*word ^= bit;
	journal_note(JOURNAL_QUARANTINE, segment, NULL, "arena %" PRIu32 " %s",
	    arena->id,
	    is ? "is damaged and out of service; run shmallocctl check "
		 "--repair"
	       : "is back in service");
	if (is)
		log_error("segment %s: arena %" PRIu32
			  " is damaged and out of service; run shmallocctl "
			  "check --repair",
		    segment->name, arena->id);
}

static void
soft_look(struct segment *segment, const struct shm_stats *stats)
{
	uint64_t n = growth(&segment->watch.soft, segment->seg.n_above_soft);
	if (n > 0)
		journal_note(JOURNAL_LIMIT, segment, NULL,
		    "limit.soft exceeded %" PRIu64 " time(s); %" PRIu64
		    " bytes are committed now",
		    n, stats->bytes.committed);
}

void
watch_look(struct segment *segment, const struct shm_stats *stats)
{
	failures_look(segment, stats);
	repairs_look(segment, stats);
	soft_look(segment, stats);
	for (uint32_t i = 0; i < stats->n_arenas; i++)
		arena_look(segment, &stats->arenas[i]);
	segment->watch.has_begun = true;
}
