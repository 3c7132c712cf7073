/* The rules of `doctor`: each speaks at its ratio and amount, not below. */
#include <criterion/criterion.h>
#include <string.h>

#include "client/control_internal.h"
#include "client/ctl/doctor.h"
#include "client/ctl/look.h"

#define MIB (UINT64_C(1) << 20)
#define SET(record, field, number)                                             \
	((record).has_##field = 1, (record).field = (number))

/* A segment in good health, of which tests spoil something. */
static Proto__Stats stats;
static Proto__SegmentInfo segment;
static Proto__DaemonInfo server;
static Proto__Bytes bytes;
static Proto__Failures failures;
static Proto__Activity activity;
static Proto__Fragmentation frag;
static Proto__Unusable unusable, *unusables[1] = { &unusable };
static Proto__ArenaStats arena, *arenas[1] = { &arena };
static Proto__CacheStats cache, *caches[1] = { &cache };
static Proto__Evictions evicted;
static Proto__ClientList clients;
static Proto__ClientInfo client, *client_list[1] = { &client };
static Proto__LockList locks;
static Proto__LockInfo lock, *lock_list[1] = { &lock };
static Proto__ParameterList parameters;
static Proto__Parameter parameter, *parameter_list[1] = { &parameter };
static char ok_word[] = "ok", sick_word[] = "sick", alive_word[] = "alive",
	    reclaiming_word[] = "reclaiming", stopped_word[] = "stopped",
	    daemon_word[] = "daemon", check_name[] = "check.level",
	    cache_name[] = "pages", shell_name[] = "p; reboot";

static void
stats_make(void)
{
	proto__stats__init(&stats);
	proto__segment_info__init(&segment);
	proto__daemon_info__init(&server);
	proto__bytes__init(&bytes);
	proto__failures__init(&failures);
	proto__activity__init(&activity);
	proto__fragmentation__init(&frag);
	proto__unusable__init(&unusable);
	proto__arena_stats__init(&arena);
	proto__cache_stats__init(&cache);
	proto__evictions__init(&evicted);
	SET(stats, time, 1000.0);
	SET(segment, limit_bytes, 256 * MIB);
	SET(segment, size_bytes, 128 * MIB);
	SET(server, uptime_seconds, 60.0);
	SET(bytes, active, 100 * MIB);
	SET(bytes, committed, 120 * MIB);
	SET(bytes, allocated, 90 * MIB);
	SET(bytes, resident, 120 * MIB);
	SET(bytes, in_use_chunks, 95 * MIB);
	SET(bytes, free_binned, 20 * MIB);
	SET(activity, allocs, 100000000);
	SET(activity, cache_misses, 1000000);
	SET(frag, reference_bytes, 65536);
	SET(frag, internal_ratio, 0.05);
	SET(unusable, ratio, 0.9);
	SET(arena, id, 3);
	stats.segment = &segment;
	stats.daemon = &server;
	stats.bytes = &bytes;
	stats.failures = &failures;
	stats.activity = &activity;
	stats.fragmentation = &frag;
	frag.n_unusable = 1;
	frag.unusable = unusables;
	arena.state = ok_word;
	stats.n_arenas = 1;
	stats.arenas = arenas;
	cache.cache = cache_name;
	SET(cache, stores, 1000000);
	SET(cache, used_bytes, 50 * MIB);
	SET(cache, limit_bytes, 64 * MIB);
	cache.evicted = &evicted;
	stats.n_caches = 1;
	stats.caches = caches;
}

static void
others_make(void)
{
	proto__client_list__init(&clients);
	proto__client_info__init(&client);
	proto__lock_list__init(&locks);
	proto__lock_info__init(&lock);
	proto__parameter_list__init(&parameters);
	proto__parameter__init(&parameter);
	SET(client, pid, 77);
	client.state = alive_word;
	clients.n_clients = 1;
	clients.clients = client_list;
	SET(lock, arena, 3);
	SET(lock, acquisitions, 10000000);
	SET(lock, busy, 90000);
	locks.n_locks = 1;
	locks.locks = lock_list;
	parameter.name = check_name;
	SET(parameter, value, 0);
	parameters.n_parameters = 1;
	parameters.parameters = parameter_list;
}

static void
health_make(void)
{
	stats_make();
	others_make();
}

TestSuite(doctor, .init = health_make);

static const struct shmalloc_record *
record(const ProtobufCMessage *message)
{
	return (const struct shmalloc_record *)(const void *)message;
}

static struct doctor_finding last;

/* The level that the rules reach together; `last` is the only finding. */
static enum doctor_level
level(void)
{
	const struct look look = { .is_human = true };
	const struct doctor_facts facts = { record(&stats.base),
		record(&clients.base), record(&locks.base),
		record(&parameters.base) };
	enum doctor_level worst = DOCTOR_OK;
	struct doctor_finding one;
	int n = 0;

	for (size_t i = 0; i < doctor_rules(); i++) {
		enum doctor_level its = doctor_rule(i, &look, &facts, &one);

		if (its == DOCTOR_OK)
			continue;
		n++;
		last = one;
		worst = its > worst ? its : worst;
		cr_expect_gt(strlen(one.evidence), 5);
		cr_expect_gt(strlen(one.why), 5);
		cr_expect_eq(strncmp(one.run, "shmallocctl ", 12) == 0 ||
			strncmp(one.run, "journalctl ", 11) == 0,
		    1);
	}
	cr_expect_leq(n, 1);
	return worst;
}

#define EXPECT(rule_name, its_level)                                           \
	do {                                                                   \
		cr_expect_eq(level(), its_level);                              \
		cr_expect_str_eq(last.rule, rule_name);                        \
	} while (0)
#define EXPECT_OK() cr_expect_eq(level(), DOCTOR_OK, "%s", last.rule)

Test(doctor, nothing_is_found_in_good_health)
{
	EXPECT_OK();
}

Test(doctor, damage_is_critical)
{
	arena.state = sick_word;
	EXPECT("damage", DOCTOR_CRITICAL);
	cr_expect_not_null(strstr(last.evidence, "arena 3"));
}

Test(doctor, a_full_segment_has_little_left_too)
{
	SET(unusable, ratio, 0.1);
	SET(bytes, active, 235 * MIB);
	EXPECT("full", DOCTOR_WARNING);
	SET(bytes, active, 254 * MIB);
	EXPECT("full", DOCTOR_CRITICAL);
	cr_expect_not_null(strstr(last.evidence, "99%"));
	SET(segment, limit_bytes, 256 * 1024 * MIB);
	SET(bytes, active, 250 * 1024 * MIB);
	EXPECT_OK();
}

Test(doctor, failures_count_by_their_share)
{
	SET(failures, quota, 9000);
	EXPECT_OK();
	SET(failures, full, 500000);
	EXPECT("failures", DOCTOR_WARNING);
	cr_expect_not_null(strstr(last.evidence, "full"));
	SET(failures, full, 10000000);
	EXPECT("failures", DOCTOR_CRITICAL);
	SET(failures, full, 9);
	SET(failures, quota, 0);
	SET(activity, allocs, 10);
	SET(activity, cache_misses, 1);
	EXPECT_OK();
}

Test(doctor, fragmentation_matters_when_the_segment_cannot_grow)
{
	SET(bytes, committed, 250 * MIB);
	SET(bytes, resident, 150 * MIB);
	EXPECT("fragmentation", DOCTOR_WARNING);
	cr_expect_not_null(strstr(last.evidence, "90%"));
	cr_expect_not_null(strstr(last.run, "fit 65536"));
	SET(bytes, free_binned, 3 * MIB);
	EXPECT_OK();
	SET(bytes, free_binned, 20 * MIB);
	SET(unusable, ratio, 0.4);
	EXPECT_OK();
}

Test(doctor, caches_are_looked_at_as_a_part_of_the_limit)
{
	SET(bytes, cached, 60 * MIB);
	EXPECT("caches", DOCTOR_WARNING);
	SET(bytes, cached, 40 * MIB);
	EXPECT_OK();
	SET(segment, limit_bytes, 8 * MIB);
	SET(bytes, cached, 7 * MIB);
	SET(bytes, active, 7 * MIB);
	SET(unusable, ratio, 0.1);
	EXPECT_OK();
}

Test(doctor, a_reader_who_holds_much_back_is_named)
{
	SET(bytes, pending, 30 * MIB);
	EXPECT_OK();
	SET(client, reader_lag, 9);
	EXPECT("readers", DOCTOR_WARNING);
	cr_expect_not_null(strstr(last.evidence, "process 77"));
	SET(bytes, pending, 70 * MIB);
	EXPECT("readers", DOCTOR_CRITICAL);
	SET(bytes, pending, 2 * MIB);
	EXPECT_OK();
}

Test(doctor, who_holds_a_lock_for_long_is_named)
{
	SET(lock, holder_pid, 77);
	SET(lock, held_seconds, 5.0);
	lock.holder_state = stopped_word;
	EXPECT("holder", DOCTOR_WARNING);
	cr_expect_not_null(strstr(last.evidence, "process 77, stopped"));
	SET(lock, held_seconds, 0.5);
	EXPECT_OK();
	SET(lock, held_seconds, 5.0);
	lock.holder_state = daemon_word;
	EXPECT_OK();
}

Test(doctor, contention_is_a_share_of_many_looks)
{
	SET(lock, busy, 5000000);
	EXPECT("contention", DOCTOR_WARNING);
	SET(lock, busy, 90000);
	SET(lock, acquisitions, 90000);
	EXPECT_OK();
}

Test(doctor, misses_are_a_share_of_many_allocations)
{
	SET(activity, cache_misses, 30000000);
	EXPECT("misses", DOCTOR_WARNING);
	SET(activity, cache_misses, 900000);
	SET(activity, allocs, 900000);
	EXPECT_OK();
}

Test(doctor, what_is_resident_is_compared_with_what_is_used)
{
	SET(bytes, resident, 190 * MIB);
	EXPECT("resident", DOCTOR_WARNING);
	SET(bytes, allocated, 10 * MIB);
	SET(bytes, resident, 60 * MIB);
	EXPECT_OK();
}

Test(doctor, rounding_is_a_share_of_much)
{
	SET(frag, internal_ratio, 0.4);
	EXPECT_OK();
	SET(bytes, in_use_chunks, 200 * MIB);
	EXPECT("rounding", DOCTOR_WARNING);
}

Test(doctor, misuse_is_always_told)
{
	SET(activity, misuses, 1);
	EXPECT("misuse", DOCTOR_WARNING);
}

Test(doctor, a_crash_is_told_for_a_day)
{
	SET(server, crash_recoveries, 2);
	EXPECT("crash", DOCTOR_WARNING);
	SET(server, uptime_seconds, 90000.0);
	EXPECT_OK();
}

Test(doctor, the_dead_whose_memory_stays_away_are_named)
{
	client.state = reclaiming_word;
	SET(client, noticed, 995.0);
	EXPECT_OK();
	SET(client, noticed, 900.0);
	SET(client, held_bytes, 5 * MIB);
	EXPECT("dying", DOCTOR_WARNING);
	cr_expect_not_null(strstr(last.evidence, "process 77"));
}

Test(doctor, checks_that_slow_everything_are_told)
{
	SET(parameter, value, 2);
	EXPECT("debugging", DOCTOR_WARNING);
	cr_expect_str_eq(last.run, "shmallocctl tune reset check.level");
}

Test(doctor, stores_that_fail_count_by_their_share)
{
	SET(cache, failed, 900);
	EXPECT_OK();
	SET(cache, failed, 2000);
	EXPECT("stores", DOCTOR_WARNING);
	cr_expect_not_null(strstr(last.evidence, "pages"));
	SET(cache, failed, 100000);
	EXPECT("stores", DOCTOR_CRITICAL);
	SET(cache, stores, 0);
	SET(cache, failed, 99);
	EXPECT_OK();
}

Test(doctor, a_cache_that_takes_all_there_is_wants_a_limit)
{
	SET(evicted, memory, 20000);
	EXPECT_OK();
	SET(cache, limit_bytes, 0);
	EXPECT("unlimited", DOCTOR_WARNING);
	cr_expect_str_eq(last.run, "shmallocctl cache limit pages SIZE");
	/* What people paste is no client's. */
	cache.cache = shell_name;
	EXPECT("unlimited", DOCTOR_WARNING);
	cr_expect_str_eq(last.run, "shmallocctl cache limit NAME SIZE");
	SET(evicted, memory, 9000);
	EXPECT_OK();
	SET(cache, stores, 100);
	SET(evicted, memory, 99);
	EXPECT_OK();
}
