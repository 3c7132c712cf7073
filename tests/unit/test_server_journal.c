/* The last things that happened: what is kept, what is lost, what is new. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "server/control.h"
#include "server/journal.h"
#include "server/server.h"
#include "server/slot.h"

static struct server server;
static struct segment one = { .name = "one" }, two = { .name = "two" };
static struct pool pool;
static Proto__Reply reply;

static void
notes_make(unsigned n)
{
	for (unsigned i = 1; i <= n; i++)
		journal_note(JOURNAL_TUNE, i % 2 ? &one : &two, NULL, "%u", i);
}

/* Ask for what came after AFTER, at most MOST (0: all) of SEGMENT (or NULL). */
static const Proto__EventList *
ask(uint64_t after, uint32_t most, const char *segment)
{
	static char name[SHM_NAME_LEN];
	static Proto__EventsRequest events;
	static Proto__Request request;
	static struct call call;

	proto__request__init(&request);
	proto__events_request__init(&events);
	proto__reply__init(&reply);
	snprintf(name, sizeof(name), "%s", segment != NULL ? segment : "");
	request.segment = name;
	request.events = &events;
	CALL_PUT(&events, after, after);
	CALL_PUT(&events, most, most);
	call = (struct call){ .server = &server,
		.request = &request,
		.reply = &reply,
		.pool = &pool };
	cr_assert_eq(verb_events(&call), 0);
	return reply.events;
}

static void
end(void)
{
	pool_release(&pool);
}

/* Each test is a process: the journal begins empty. */
TestSuite(server_journal, .fini = end);

Test(server_journal, an_empty_one_is_no_error)
{
	const Proto__EventList *list = ask(0, 0, NULL);

	cr_assert_eq(list->n_events, 0);
	cr_assert_eq(list->last, 0);
	cr_assert_eq(list->lost, 0);
	cr_assert_null(journal_get(0));
	cr_assert_null(journal_get(1));
}

Test(server_journal, what_came_after_a_number_is_told_once_and_in_order)
{
	notes_make(5);
	const Proto__EventList *list = ask(2, 0, NULL);

	cr_assert_eq(list->n_events, 3);
	for (uint64_t i = 0; i < 3; i++)
		cr_assert_eq(list->events[i]->number, 3 + i);
	cr_assert_str_eq(list->events[0]->kind, "tune");
	cr_assert_str_eq(list->events[0]->segment, "one");
	cr_assert_str_eq(list->events[0]->text, "3");
	cr_assert_eq(list->last, 5);
	cr_assert_eq(ask(5, 0, NULL)->n_events, 0);
	/* Of a number that is not there yet. */
	cr_assert_eq(ask(77, 0, NULL)->n_events, 0);
	cr_assert_eq(ask(UINT64_MAX, 0, NULL)->lost, 0);
}

Test(server_journal, what_the_ring_forgot_is_counted_as_lost)
{
	notes_make(JOURNAL_LEN + 10);
	const Proto__EventList *list = ask(0, 0, NULL);

	cr_assert_eq(list->n_events, JOURNAL_LEN);
	cr_assert_eq(list->events[0]->number, 11);
	cr_assert_eq(list->lost, 10);
	cr_assert_eq(ask(4, 0, NULL)->lost, 6);
	cr_assert_eq(ask(9, 0, NULL)->lost, 1);
	cr_assert_eq(ask(10, 0, NULL)->lost, 0);
	cr_assert_eq(ask(10, 0, NULL)->n_events, JOURNAL_LEN);
	cr_assert_null(journal_get(10));
	cr_assert_not_null(journal_get(11));
}

Test(server_journal, the_last_few_are_the_last)
{
	notes_make(50);
	const Proto__EventList *list = ask(0, 3, NULL);

	cr_assert_eq(list->n_events, 3);
	cr_assert_eq(list->events[0]->number, 48);
	cr_assert_eq(list->events[2]->number, 50);
}

Test(server_journal, one_segment_s_are_told_apart)
{
	notes_make(9);
	journal_note(JOURNAL_START, NULL, NULL, "begun");
	const Proto__EventList *list = ask(0, 3, "two");

	cr_assert_eq(list->n_events, 3);
	cr_assert_eq(list->events[0]->number, 4);
	cr_assert_eq(list->events[2]->number, 8);
	cr_assert_eq(list->last, 10);
	cr_assert_eq(ask(0, 0, "three")->n_events, 0);
}

Test(server_journal, who_it_was_is_said_and_long_words_are_cut)
{
	struct slot slot = { .segment = &one, .pid = 12, .uid = 34 };
	char text[1000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	snprintf(slot.command, sizeof(slot.command), "a\nb");
	journal_note(JOURNAL_DEATH, &one, &slot, "%s", text);
	const Proto__Event *event = ask(0, 0, NULL)->events[0];

	cr_assert_eq(event->pid, 12);
	cr_assert_eq(event->uid, 34);
	cr_assert_str_eq(event->command, "a?b");
	cr_assert_eq(
	    strlen(event->text), sizeof(((struct journal_entry *)0)->text) - 1);
}

Test(server_journal, the_next_daemon_goes_on_behind_what_was_written_whole)
{
	struct journal_entry *half;
	double began;

	cr_assert_not(journal_open(-1));
	notes_make(JOURNAL_LEN + 5);
	began = journal_began();
	/* Killed while it wrote: the number wasn't there yet. */
	half = (struct journal_entry *)(uintptr_t)journal_get(JOURNAL_LEN + 5);
	half->number = 0;
	cr_assert(journal_open(journal_fd()));
	cr_assert_eq(journal_last(), JOURNAL_LEN + 4);
	cr_assert_float_eq(journal_began(), began, 0);
	journal_note(JOURNAL_START, NULL, NULL, "again");
	const Proto__EventList *list = ask(JOURNAL_LEN + 3, 0, NULL);
	cr_assert_eq(list->n_events, 2);
	cr_assert_str_eq(list->events[0]->text, "1028");
	cr_assert_str_eq(list->events[1]->text, "again");
	cr_assert_eq(ask(0, 0, NULL)->n_events, JOURNAL_LEN);
}

Test(server_journal, what_is_no_journal_is_not_gone_on_with)
{
	FILE *file = tmpfile();

	cr_assert_not_null(file);
	cr_assert_eq(fputs("no journal", file), 1);
	cr_assert_eq(fflush(file), 0);
	cr_assert_not(journal_open(dup(fileno(file))));
	fclose(file);
	cr_assert_eq(journal_last(), 0);
	notes_make(1);
	cr_assert_eq(journal_last(), 1);
}
