/* The rules of `doctor`: see client/ctl/doctor.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/ctl/doctor.h"
#include "client/ctl/doctor_caches.h"
#include "client/ctl/look.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

const char *const doctor_level_names[] = {
	[DOCTOR_OK] = "ok",
	[DOCTOR_WARNING] = "warning",
	[DOCTOR_CRITICAL] = "critical",
	[DOCTOR_UNKNOWN] = "unknown",
};

/* ---- Figures ------------------------------------------------------------- */

static uint64_t
stat_of(const struct doctor_facts *facts, const char *record, const char *key)
{
	return look_uint(shmalloc_control_object(facts->stats, record), key, 0);
}

static uint64_t
parameter_of(const struct doctor_facts *facts, const char *name)
{
	size_t n = shmalloc_control_count(facts->parameters, "parameters");

	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *parameter =
		    shmalloc_control_item(facts->parameters, "parameters", i);
		const char *its = shmalloc_control_string(parameter, "name");

		if (its != NULL && strcmp(its, name) == 0)
			return look_uint(parameter, "value", 0);
	}
	return 0;
}

/* A part of ALL, 0 of nothing. */
static double
share(uint64_t part, uint64_t all)
{
	return all == 0 ? 0 : (double)part / (double)all;
}

static uint64_t
less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t
free_bytes(const struct doctor_facts *facts)
{
	return stat_of(facts, "bytes", "free_binned") +
	    stat_of(facts, "bytes", "free_fast") +
	    stat_of(facts, "bytes", "free_top") +
	    stat_of(facts, "bytes", "extents_free");
}

/* What may still be committed. */
static uint64_t
room_bytes(const struct doctor_facts *facts)
{
	return less(stat_of(facts, "segment", "limit_bytes"),
	    stat_of(facts, "bytes", "committed"));
}

static void evidence(struct doctor_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void advice(struct doctor_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
evidence(struct doctor_finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->evidence, sizeof(finding->evidence), format, args);
	va_end(args);
}

static void
advice(struct doctor_finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->run, sizeof(finding->run), format, args);
	va_end(args);
}

/* Sizes and counts in an evidence. */
#define SIZE(look, n)  look_bytes(look, (char[QUANTITY_LEN]){ "" }, n)
#define COUNT(look, n) look_count(look, (char[QUANTITY_LEN]){ "" }, n)

/* ---- Rules --------------------------------------------------------------- */

static enum doctor_level
sick_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	size_t n = shmalloc_control_count(facts->stats, "arenas"), sick = 0;
	unsigned long long first = 0;

	(void)look;
	for (size_t i = n; i-- > 0;) {
		const struct shmalloc_record *arena =
		    shmalloc_control_item(facts->stats, "arenas", i);
		const char *state = shmalloc_control_string(arena, "state");

		if (state == NULL || strcmp(state, "sick") != 0)
			continue;
		sick++;
		first = look_uint(arena, "id", 0);
	}
	if (sick == 0)
		return DOCTOR_OK;
	evidence(finding, "%zu of %zu arenas out of service, arena %llu first",
	    sick, n, first);
	advice(finding, "shmallocctl check --repair");
	return DOCTOR_CRITICAL;
}

static enum doctor_level
full_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	uint64_t limit = stat_of(facts, "segment", "limit_bytes");
	uint64_t used = stat_of(facts, "bytes", "active");
	uint64_t left = less(limit, used);
	double ratio = share(used, limit);

	if (ratio < 0.9 || left > GIB)
		return DOCTOR_OK;
	evidence(finding, "%s of %s are in use (%.0f%%), %s are left",
	    SIZE(look, used), SIZE(look, limit), ratio * 100, SIZE(look, left));
	advice(finding, "shmallocctl clients");
	return ratio >= 0.98 && left <= 128 * MIB ? DOCTOR_CRITICAL
						  : DOCTOR_WARNING;
}

static enum doctor_level
failures_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	static const char *const reasons[] = { "full", "fragmented", "quota",
		"too_large", "reader", "system" };
	uint64_t allocs = stat_of(facts, "activity", "allocs"), sum = 0;
	uint64_t most = 0;
	const char *name = "";

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		uint64_t n = stat_of(facts, "failures", reasons[i]);

		sum += n;
		if (n > most) {
			most = n;
			name = reasons[i];
		}
	}
	/* Old ones are forgotten as others succeed. */
	if (sum < 10 || share(sum, allocs + sum) < 0.001)
		return DOCTOR_OK;
	evidence(finding, "%s of %s allocations failed, %s because of: %s",
	    COUNT(look, sum), COUNT(look, allocs + sum), COUNT(look, most),
	    name);
	advice(finding, "shmallocctl stats; shmallocctl fit SIZE");
	return share(sum, allocs + sum) >= 0.05 ? DOCTOR_CRITICAL
						: DOCTOR_WARNING;
}

static enum doctor_level
fragmentation_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	const struct shmalloc_record *frag =
	    shmalloc_control_object(facts->stats, "fragmentation");
	uint64_t reference = look_uint(frag, "reference_bytes", 0);
	uint64_t all = free_bytes(facts), room = room_bytes(facts);
	size_t n = shmalloc_control_count(frag, "unusable");
	double ratio = look_double(
	    shmalloc_control_item(frag, "unusable", n == 0 ? 0 : n - 1),
	    "ratio", 0);

	/* What can grow needs no large piece. */
	if (ratio < 0.5 || all < 4 * MIB || room > all)
		return DOCTOR_OK;
	evidence(finding,
	    "%s are free, %.0f%% of it in pieces smaller than %s; %s more may "
	    "be committed",
	    SIZE(look, all), ratio * 100, SIZE(look, reference),
	    SIZE(look, room));
	advice(
	    finding, "shmallocctl fit %" PRIu64 "; shmallocctl map", reference);
	return DOCTOR_WARNING;
}

static enum doctor_level
caches_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	uint64_t cached = stat_of(facts, "bytes", "cached");
	uint64_t limit = stat_of(facts, "segment", "limit_bytes");

	if (share(cached, limit) < 0.2 || cached < 8 * MIB)
		return DOCTOR_OK;
	evidence(finding, "%s of %s lie in thread caches (%.0f%%)",
	    SIZE(look, cached), SIZE(look, limit), share(cached, limit) * 100);
	advice(finding, "shmallocctl tune set tcache.bytes=%" PRIu64,
	    parameter_of(facts, "tcache.bytes") / 2);
	return DOCTOR_WARNING;
}

/* The client whose reader is furthest behind, or NULL. */
static const struct shmalloc_record *
reader_find(const struct doctor_facts *facts)
{
	size_t n = shmalloc_control_count(facts->clients, "clients");
	const struct shmalloc_record *worst = NULL;
	uint64_t most = 0;

	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *client =
		    shmalloc_control_item(facts->clients, "clients", i);
		uint64_t lag = look_uint(client, "reader_lag", 0);

		if (lag > most) {
			most = lag;
			worst = client;
		}
	}
	return worst;
}

static enum doctor_level
readers_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	const struct shmalloc_record *reader = reader_find(facts);
	uint64_t pending = stat_of(facts, "bytes", "pending");
	uint64_t size = stat_of(facts, "segment", "size_bytes");
	unsigned long long pid = look_uint(reader, "pid", 0);

	if (reader == NULL || share(pending, size) < 0.1 || pending < 4 * MIB)
		return DOCTOR_OK;
	evidence(finding,
	    "%s are freed and wait, %.0f%% of the segment; process %llu has "
	    "been reading for %s epochs",
	    SIZE(look, pending), share(pending, size) * 100, pid,
	    COUNT(look, look_uint(reader, "reader_lag", 0)));
	advice(finding, "shmallocctl clients %llu", pid);
	return share(pending, size) >= 0.5 ? DOCTOR_CRITICAL : DOCTOR_WARNING;
}

static enum doctor_level
holder_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	size_t n = shmalloc_control_count(facts->locks, "locks");

	(void)look;
	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *lock =
		    shmalloc_control_item(facts->locks, "locks", i);
		const char *state =
		    shmalloc_control_string(lock, "holder_state");
		double held = look_double(lock, "held_seconds", 0);

		if (state == NULL || held < 2 || strcmp(state, "daemon") == 0)
			continue;
		evidence(finding,
		    "process %llu, %s, has held the lock of arena %llu for "
		    "%.0f s",
		    (unsigned long long)look_uint(lock, "holder_pid", 0),
		    strcmp(state, "stopped") == 0    ? "stopped"
			: strcmp(state, "dead") == 0 ? "dead"
						     : "alive",
		    (unsigned long long)look_uint(lock, "arena", 0), held);
		advice(finding, "shmallocctl locks");
		return DOCTOR_WARNING;
	}
	return DOCTOR_OK;
}

static enum doctor_level
contention_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	size_t n = shmalloc_control_count(facts->locks, "locks");
	uint64_t taken = 0, busy = 0;

	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *lock =
		    shmalloc_control_item(facts->locks, "locks", i);

		taken += look_uint(lock, "acquisitions", 0);
		busy += look_uint(lock, "busy", 0);
	}
	if (busy < 100000 || share(busy, taken) < 0.2)
		return DOCTOR_OK;
	evidence(finding, "%s of %s looks at an arena's lock found it taken",
	    COUNT(look, busy), COUNT(look, taken + busy));
	advice(finding, "shmallocctl locks; shmallocctl tune get arena.max");
	return DOCTOR_WARNING;
}

static enum doctor_level
misses_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	uint64_t misses = stat_of(facts, "activity", "cache_misses");
	uint64_t allocs = stat_of(facts, "activity", "allocs");

	if (allocs < 1000000 || share(misses, allocs) < 0.25)
		return DOCTOR_OK;
	evidence(finding, "%s of %s allocations missed the thread cache",
	    COUNT(look, misses), COUNT(look, allocs));
	advice(finding, "shmallocctl stats --by bin; shmallocctl tune list");
	return DOCTOR_WARNING;
}

static enum doctor_level
resident_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	uint64_t resident = stat_of(facts, "bytes", "resident");
	uint64_t allocated = stat_of(facts, "bytes", "allocated");

	if (allocated == 0 || share(resident, allocated) < 2 ||
	    less(resident, allocated) < 64 * MIB)
		return DOCTOR_OK;
	evidence(finding, "%s are resident for %s of objects",
	    SIZE(look, resident), SIZE(look, allocated));
	advice(finding, "shmallocctl trim --dry-run");
	return DOCTOR_WARNING;
}

static enum doctor_level
rounding_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	const struct shmalloc_record *frag =
	    shmalloc_control_object(facts->stats, "fragmentation");
	double ratio = look_double(frag, "internal_ratio", 0);
	uint64_t used = stat_of(facts, "bytes", "in_use_chunks") +
	    stat_of(facts, "bytes", "extents_used");

	if (ratio < 0.3 || ratio * (double)used < 64.0 * (double)MIB)
		return DOCTOR_OK;
	evidence(finding, "%.0f%% of %s in live objects nobody asked for",
	    ratio * 100, SIZE(look, used));
	advice(finding, "shmallocctl stats --by bin --exact");
	return DOCTOR_WARNING;
}

static enum doctor_level
misuse_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	uint64_t misuses = stat_of(facts, "activity", "misuses");

	if (misuses == 0)
		return DOCTOR_OK;
	evidence(finding, "%s double or invalid frees were refused",
	    COUNT(look, misuses));
	advice(finding, "shmallocctl tune set misuse=warn check.level=1");
	return DOCTOR_WARNING;
}

static enum doctor_level
crash_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	const struct shmalloc_record *daemon =
	    shmalloc_control_object(facts->stats, "daemon");
	uint64_t crashes = look_uint(daemon, "crash_recoveries", 0);
	double up = look_double(daemon, "uptime_seconds", 0);

	if (crashes == 0 || up > 24 * 3600)
		return DOCTOR_OK;
	evidence(finding, "the daemon has crashed %s times, %.0f minutes ago",
	    COUNT(look, crashes), up / 60);
	advice(finding, "journalctl -u shmallocd");
	return DOCTOR_WARNING;
}

static enum doctor_level
dying_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	double now = look_double(facts->stats, "time", 0);
	size_t n = shmalloc_control_count(facts->clients, "clients");

	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *client =
		    shmalloc_control_item(facts->clients, "clients", i);
		const char *state = shmalloc_control_string(client, "state");
		double noticed = look_double(client, "noticed", now);

		if (state == NULL || strcmp(state, "reclaiming") != 0 ||
		    now - noticed < 10)
			continue;
		evidence(finding,
		    "process %llu died %.0f s ago, and %s are not back yet",
		    (unsigned long long)look_uint(client, "pid", 0),
		    now - noticed,
		    SIZE(look, look_uint(client, "held_bytes", 0)));
		advice(finding, "shmallocctl locks; shmallocctl clients");
		return DOCTOR_WARNING;
	}
	return DOCTOR_OK;
}

static enum doctor_level
debug_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	static const char *const names[] = { "check.level", "fill.alloc",
		"fill.free" };

	(void)look;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		uint64_t value = parameter_of(facts, names[i]);

		if (value == 0)
			continue;
		evidence(finding, "%s is %" PRIu64, names[i], value);
		advice(finding, "shmallocctl tune reset %s", names[i]);
		return DOCTOR_WARNING;
	}
	return DOCTOR_OK;
}

static const struct {
	const char *name;
	enum doctor_level (*run)(const struct look *look,
	    const struct doctor_facts *facts, struct doctor_finding *finding);
	const char *why;
} rules[] = {
	{ "damage", sick_rule,
	    "their heads were overwritten; nobody allocates there" },
	{ "full", full_rule,
	    "when limit.hard is reached allocations fail with the reason "
	    "full" },
	{ "failures", failures_rule,
	    "programs were told that there is no memory" },
	{ "fragmentation", fragmentation_rule,
	    "larger requests fail although memory is free, for the segment "
	    "cannot grow instead" },
	{ "caches", caches_rule,
	    "other processes get this memory only when an allocation fails" },
	{ "stores", doctor_stores_rule,
	    "all that the cache could evict did not make room: others fill "
	    "the segment" },
	{ "unlimited", doctor_greed_rule,
	    "others' allocations fail, and they evict nothing" },
	{ "readers", readers_rule,
	    "what was retired is free only when all who read before have "
	    "left" },
	{ "holder", holder_rule,
	    "the others use other arenas, but what is in this one is out of "
	    "reach" },
	{ "contention", contention_rule,
	    "threads look for another arena instead of allocating" },
	{ "misses", misses_rule,
	    "each of them takes an arena's lock, which costs much more than a "
	    "hit" },
	{ "resident", resident_rule,
	    "free pages stay for decay_ms; what is in use in each keeps the "
	    "others" },
	{ "rounding", rounding_rule,
	    "small objects pay for their heads, large ones for whole pages" },
	{ "misuse", misuse_rule,
	    "a program frees what it does not hold; it would corrupt a private "
	    "heap" },
	{ "crash", crash_rule, "clients went on, but it should not happen" },
	{ "dying", dying_rule,
	    "a lock that cannot be had, or a reader, holds it back" },
	{ "debugging", debug_rule, "it makes every allocation or free slower" },
};

size_t
doctor_rules(void)
{
	return sizeof(rules) / sizeof(rules[0]);
}

enum doctor_level
doctor_rule(size_t i, const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *ret_finding)
{
	*ret_finding = (struct doctor_finding){ .rule = rules[i].name,
		.why = rules[i].why };
	ret_finding->level = rules[i].run(look, facts, ret_finding);
	return ret_finding->level;
}
