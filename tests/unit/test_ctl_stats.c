/*
 * What `stats` prints for a given reply, and so for facts that
 * a healthy daemon does not show on demand.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <string.h>

#include "client/control_internal.h"
#include "client/ctl/look.h"
#include "client/ctl/stats.h"

#define ARENAS 2

static Proto__Stats stats;
static Proto__DaemonInfo daemon_info;
static Proto__SegmentInfo segment;
static Proto__ClientCounts clients;
static Proto__Activity activity;
static Proto__Failures failures;
static Proto__Fragmentation fragmentation;
static Proto__Bytes bytes;
static Proto__ArenaStats arenas[ARENAS], *arena_list[ARENAS];
static char text[8][32];
static struct ctl ctl;

#define SET(message, field, value)                                             \
	do {                                                                   \
		(message).has_##field = 1;                                     \
		(message).field = (value);                                     \
	} while (0)

static const struct shmalloc_record *
record(void)
{
	return (const struct shmalloc_record *)(const void *)&stats;
}

static char *
word(unsigned i, const char *string)
{
	snprintf(text[i], sizeof(text[i]), "%s", string);
	return text[i];
}

static void
arena_fill(Proto__ArenaStats *arena, uint32_t id, const char *state)
{
	proto__arena_stats__init(arena);
	SET(*arena, id, id);
	arena->state = word(4 + id, state);
	SET(*arena, size_bytes, UINT64_C(64) << 20);
	SET(*arena, used_bytes, UINT64_C(48) << 20);
	SET(*arena, overhead_bytes, 307 << 10);
	SET(*arena, cached_bytes, 800 << 10);
	SET(*arena, free_bytes, UINT64_C(15623782));
	SET(*arena, largest_free_bytes, id == 0 ? 4 << 20 : 48 << 10);
	SET(*arena, free_chunks, 1207);
	SET(*arena, peak_used_bytes, UINT64_C(63019418));
	SET(*arena, unusable_ratio, id == 0 ? 0.02 : 1);
	SET(*arena, fails, id * 3);
}

static void
infos_fill(void)
{
	proto__daemon_info__init(&daemon_info);
	daemon_info.version = word(0, "0.1.0");
	SET(daemon_info, pid, 4121);
	SET(daemon_info, uptime_seconds, 273600);
	daemon_info.start_mode = word(1, "warm");
	SET(daemon_info, restarts, 3);
	SET(daemon_info, crash_recoveries, 1);
	proto__segment_info__init(&segment);
	segment.name = word(2, "default");
	SET(segment, limit_bytes, UINT64_C(256) << 20);
	proto__client_counts__init(&clients);
	SET(clients, alive, 17);
	SET(clients, reclaimed_total, 1);
	SET(clients, last_reclaimed, 1000000);
	proto__activity__init(&activity);
	SET(activity, allocs, UINT64_C(1210000000));
	SET(activity, frees, UINT64_C(1200000000));
	proto__failures__init(&failures);
	SET(failures, fragmented, 3);
	proto__fragmentation__init(&fragmentation);
	SET(fragmentation, reference_bytes, 65536);
	proto__bytes__init(&bytes);
	SET(bytes, allocated, UINT64_C(48) << 20);
}

static void
stats_fill(void)
{
	infos_fill();
	proto__stats__init(&stats);
	SET(stats, time, 1000120);
	stats.daemon = &daemon_info;
	stats.segment = &segment;
	stats.clients = &clients;
	stats.activity = &activity;
	stats.failures = &failures;
	stats.fragmentation = &fragmentation;
	stats.bytes = &bytes;
	arena_fill(&arenas[0], 0, "ok");
	arena_fill(&arenas[1], 1, "fragmented");
	for (unsigned i = 0; i < ARENAS; i++)
		arena_list[i] = &arenas[i];
	stats.n_arenas = ARENAS;
	stats.arenas = arena_list;
	ctl = (struct ctl){ .look = { .is_human = true } };
	cr_redirect_stdout();
	cr_redirect_stderr();
}

TestSuite(ctl_stats, .init = stats_fill);

Test(ctl_stats, the_head_is_for_people_on_a_terminal)
{
	stats_head(&ctl.look, record());
	fflush(stdout);
	cr_assert_stdout_eq_str(
	    "shmalloc 0.1.0  segment default  pid 4121  up 3d 4h  256M memfd  "
	    "started warm (restarts 3, crash recoveries 1)\n"
	    "clients 18 (17 alive, 1 reclaimed 2m ago)  allocs 1.21G  "
	    "frees 1.20G  failed 3 (fragmented 3, full 0, quota 0)\n");
}

Test(ctl_stats, the_head_is_in_bytes_and_whole_numbers_in_a_pipe)
{
	ctl.look.is_human = false;
	stats_head(&ctl.look, record());
	fflush(stdout);
	cr_assert_stdout_eq_str(
	    "shmalloc 0.1.0  segment default  pid 4121  up 3d 4h  "
	    "268435456 memfd  started warm (restarts 3, crash recoveries 1)\n"
	    "clients 18 (17 alive, 1 reclaimed 2m ago)  allocs 1210000000  "
	    "frees 1200000000  failed 3 (fragmented 3, full 0, quota 0)\n");
}

Test(ctl_stats, rare_failures_are_named_when_there_are_any)
{
	SET(failures, reader, 2);
	SET(clients, dying, 1);
	stats_head(&ctl.look, record());
	fflush(stdout);
	cr_assert_stdout_eq_str(
	    "shmalloc 0.1.0  segment default  pid 4121  up 3d 4h  256M memfd  "
	    "started warm (restarts 3, crash recoveries 1)\n"
	    "clients 19 (17 alive, 1 dying, 1 reclaimed 2m ago)  allocs 1.21G  "
	    "frees 1.20G  failed 5 (fragmented 3, full 0, quota 0, reader "
	    "2)\n");
}

Test(ctl_stats, arenas_are_lines_and_unknown_is_a_dash)
{
	stats_by_arena(&ctl, record());
	fflush(stdout);
	cr_assert_stdout_eq_str(
	    "ARENA SIZE USED OVERHEAD CACHED  FREE LARGEST CHUNKS FREECHK  "
	    "PEAK UNUSABLE@64K FAILS STATE\n"
	    "    0  64M  48M     307K   800K 14.9M      4M      -    1207 "
	    "60.1M           2%     0 ok\n"
	    "    1  64M  48M     307K   800K 14.9M     48K      -    1207 "
	    "60.1M         100%     3 fragmented\n");
}

Test(ctl_stats, headings_are_left_out_on_demand)
{
	ctl.opt.no_headings = true;
	stats.n_arenas = 1;
	stats_by_arena(&ctl, record());
	fflush(stdout);
	cr_assert_stdout_eq_str("0 64M 48M 307K 800K 14.9M 4M - 1207 60.1M 2% "
				"0 ok\n");
}

Test(ctl_stats, a_narrow_terminal_loses_columns_and_is_told_which)
{
	ctl.look.width = 80;
	stats_by_arena(&ctl, record());
	fflush(stdout);
	cr_assert_stdout_eq_str(
	    "ARENA SIZE USED CACHED  FREE LARGEST CHUNKS  PEAK UNUSABLE@64K "
	    "FAILS STATE\n"
	    "    0  64M  48M   800K 14.9M      4M      - 60.1M           2% "
	    "    0 ok\n"
	    "    1  64M  48M   800K 14.9M     48K      - 60.1M         100% "
	    "    3 fragmented\n");
	cr_assert_stderr_eq_str(
	    "hint: not shown in 80 columns: OVERHEAD, FREECHK\n");
}

Test(ctl_stats, a_hint_names_the_first_arena_that_cannot_serve)
{
	stats_hint(&ctl.look, record());
	cr_assert_stderr_eq_str(
	    "hint: arena 1 cannot serve 64K although 14.9M are free; see "
	    "`shmallocctl map --arena 1`\n");
}

Test(ctl_stats, no_hint_without_the_facts)
{
	SET(arenas[1], largest_free_bytes, 65536);
	stats_hint(&ctl.look, record());
	SET(arenas[1], largest_free_bytes, 1024);
	SET(arenas[1], free_bytes, 65535);
	stats_hint(&ctl.look, record());
	SET(arenas[1], free_bytes, 1 << 20);
	arenas[1].state = word(5, "sick");
	stats_hint(&ctl.look, record());
	arenas[1].state = NULL;
	stats_hint(&ctl.look, record());
	cr_assert_stderr_eq_str("");
}

Test(ctl_stats, an_empty_reply_is_printed_with_question_marks)
{
	proto__stats__init(&stats);
	stats_head(&ctl.look, record());
	stats_by_arena(&ctl, record());
	stats_by_bin(&ctl, record());
	stats_foot(&ctl.look, record());
	stats_hint(&ctl.look, record());
	fflush(stdout);
	cr_assert_stdout_eq_str(
	    "shmalloc ?  segment ?  pid ?  up ?  ? memfd  started ? "
	    "(restarts ?, crash recoveries ?)\n"
	    "clients 0 (0 alive)  allocs ?  frees ?  failed 0 (fragmented 0, "
	    "full 0, quota 0)\n"
	    "bytes allocated ?  cached ?  pending ?  metadata ?  resident ?  "
	    "retained ?  (as of the caches' last refills)\n");
}

Test(ctl_stats, what_a_client_calls_itself_is_made_harmless)
{
	segment.name = word(2, "\033[2Jx\n");
	arenas[0].state = word(4, "\033[31m");
	stats.n_arenas = 1;
	ctl.opt.no_headings = true;
	stats_head(&ctl.look, record());
	stats_by_arena(&ctl, record());
	fflush(stdout);
	cr_assert_stdout_eq_str(
	    "shmalloc 0.1.0  segment ?[2Jx?  pid 4121  up 3d 4h  256M memfd  "
	    "started warm (restarts 3, crash recoveries 1)\n"
	    "clients 18 (17 alive, 1 reclaimed 2m ago)  allocs 1.21G  "
	    "frees 1.20G  failed 3 (fragmented 3, full 0, quota 0)\n"
	    "0 64M 48M 307K 800K 14.9M 4M - 1207 60.1M 2% 0 ?[31m\n");
}
