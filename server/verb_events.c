/*
 * events: the last things that happened; see server/journal.h.
 *
 * Whoever follows them asks again for what came after the last that he saw, of
 * the same daemon: `began` tells it from another.
 */
#include <string.h>
#include <unistd.h>

#include "server/control.h"
#include "server/journal.h"
#include "server/server.h"

/* In an answer at most: all of the ring, and less than the largest frame. */
#define EVENTS_MAX JOURNAL_LEN

static Proto__Event *
event_put(struct call *call, const struct journal_entry *from)
{
	Proto__Event *to = pool_alloc(call->pool, sizeof *to);
	proto__event__init(to);
	CALL_PUT(to, number, from->number);
	CALL_PUT(to, time, from->time);
	to->kind = pool_strdup(call->pool, journal_kind_names[from->kind]);
	if (from->segment[0] != '\0')
		to->segment = pool_strdup(call->pool, from->segment);
	to->text = verb_text(call, from->text, sizeof from->text);
	if (!from->has_client)
		return to;
	if (from->pid != 0)
		CALL_PUT(to, pid, (uint32_t)from->pid);
	CALL_PUT(to, uid, from->uid);
	to->command = verb_text(call, from->command, sizeof from->command);
	return to;
}

static bool
is_wanted(const struct call *call, const struct journal_entry *entry)
{
	const char *segment = call->request->segment;
	return segment == NULL || *segment == '\0' ||
	    strcmp(segment, entry->segment) == 0;
}

/* Those after AFTER, the last MOST of them that are wanted, in order. */
static void
events_put(
    struct call *call, uint64_t after, uint32_t most, Proto__EventList *list)
{
	uint64_t first = journal_last();
	size_t n = 0;
	for (; first > after && n < most; first--) {
		const struct journal_entry *entry = journal_get(first);
		if (entry == NULL)
			break;
		n += is_wanted(call, entry);
	}
	list->events = pool_array(call->pool, n + 1, sizeof(*list->events));
	for (uint64_t i = first + 1; i <= journal_last(); i++) {
		const struct journal_entry *entry = journal_get(i);
		if (is_wanted(call, entry))
			list->events[list->n_events++] = event_put(call, entry);
	}
}

int
verb_events(struct call *call)
{
	const Proto__EventsRequest *request = call->request->events;
	Proto__EventList *list = pool_alloc(call->pool, sizeof *list);
	uint64_t last = journal_last();
	uint64_t oldest = last < JOURNAL_LEN ? 1 : last - JOURNAL_LEN + 1;
	uint64_t after = request->after;
	uint32_t most = request->most == 0 || request->most > EVENTS_MAX
	    ? EVENTS_MAX
	    : request->most;
	proto__event_list__init(list);
	list->schema = pool_strdup(call->pool, "shmalloc.events/1");
	CALL_PUT(list, time, server_time());
	CALL_PUT(list, began, journal_began());
	CALL_PUT(list, pid, (uint32_t)getpid());
	CALL_PUT(list, last, last);
	/* Of those that were asked for. */
	CALL_PUT(list, lost, after < oldest - 1 ? oldest - 1 - after : 0);
	events_put(call, after, most, list);
	call->reply->events = list;
	call->reply->body_case = PROTO__REPLY__BODY_EVENTS;
	return 0;
}
