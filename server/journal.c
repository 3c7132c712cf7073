#include "server/journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/server.h"
#include "server/slot.h"

const char *const journal_kind_names[JOURNAL_KINDS] = {
	[JOURNAL_START] = "start",
	[JOURNAL_SEGMENT] = "segment",
	[JOURNAL_ATTACH] = "attach",
	[JOURNAL_ORPHAN] = "orphan",
	[JOURNAL_DEATH] = "death",
	[JOURNAL_RECLAIM] = "reclaim",
	[JOURNAL_EVICT] = "evict",
	[JOURNAL_REPAIR] = "repair",
	[JOURNAL_QUARANTINE] = "quarantine",
	[JOURNAL_FAILURE] = "failure",
	[JOURNAL_LIMIT] = "limit",
	[JOURNAL_MISUSE] = "misuse",
	[JOURNAL_TUNE] = "tune",
	[JOURNAL_OPERATOR] = "operator",
};

/* Entry N is at N % JOURNAL_LEN; those of 1 to `last` that fit are there. */
static struct journal_entry ring[JOURNAL_LEN];
static uint64_t last;
static double began;

void
journal_note(enum journal_kind kind, const struct segment *segment,
    const struct slot *slot, const char *format, ...)
{
	struct journal_entry *entry = &ring[++last % JOURNAL_LEN];
	va_list args;
	*entry = (struct journal_entry){
		.number = last, .time = server_time(), .kind = kind
	};
	if (segment != NULL)
		snprintf(
		    entry->segment, sizeof entry->segment, "%s", segment->name);
	if (slot != NULL) {
		entry->has_client = true;
		entry->pid = slot->pid;
		entry->uid = slot->uid;
		snprintf(
		    entry->command, sizeof entry->command, "%s", slot->command);
	}
	if (last == 1)
		began = entry->time;
	va_start(args, format);
	vsnprintf(entry->text, sizeof entry->text, format, args);
	va_end(args);
}

uint64_t
journal_last(void)
{
	return last;
}

double
journal_began(void)
{
	return began;
}

const struct journal_entry *
journal_get(uint64_t number)
{
	const struct journal_entry *entry = &ring[number % JOURNAL_LEN];
	return number > 0 && entry->number == number ? entry : NULL;
}
