/* The rules of `doctor` that are about shared caches: see client/ctl/doctor.h.
 */
#include <stdio.h>
#include <string.h>

#include "client/ctl/doctor_caches.h"
#include "client/ctl/look.h"

/* What a cache did so seldom is no finding. */
#define N_LEAST 100

/* The cache of STATS whose FIGURE is the largest, and that; NULL: all are 0. */
static const struct shmalloc_record *
cache_worst(const struct shmalloc_record *stats,
    uint64_t (*figure)(const struct shmalloc_record *cache), uint64_t *ret_most)
{
	size_t n = shmalloc_control_count(stats, "caches");
	const struct shmalloc_record *worst = NULL;

	*ret_most = 0;
	for (size_t i = 0; i < n; i++) {
		const struct shmalloc_record *cache =
		    shmalloc_control_item(stats, "caches", i);
		uint64_t its = figure(cache);

		if (its > *ret_most) {
			*ret_most = its;
			worst = cache;
		}
	}
	return worst;
}

/* CACHE's name as a word of a command that people paste; a client chose it. */
static const char *
word_of(const struct shmalloc_record *cache)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-";
	const char *name = shmalloc_control_string(cache, "cache");

	if (name == NULL || name[0] == '\0' || name[0] == '-' ||
	    name[strspn(name, plain)] != '\0')
		return "NAME";
	return name;
}

static uint64_t
failed_of(const struct shmalloc_record *cache)
{
	return look_uint(cache, "failed", 0);
}

enum doctor_level
doctor_stores_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	char n[QUANTITY_LEN], all[QUANTITY_LEN], name[64];
	uint64_t failed, stores;
	const struct shmalloc_record *cache =
	    cache_worst(facts->stats, failed_of, &failed);
	double ratio;

	stores = look_uint(cache, "stores", 0);
	if (failed < N_LEAST)
		return DOCTOR_OK;
	ratio = (double)failed / ((double)failed + (double)stores);
	if (ratio < 0.001)
		return DOCTOR_OK;
	snprintf(finding->evidence, sizeof(finding->evidence),
	    "%s of %s stores into the cache %s failed",
	    look_count(look, n, failed), look_count(look, all, failed + stores),
	    look_string(name, sizeof(name), cache, "cache"));
	snprintf(finding->run, sizeof(finding->run), "shmallocctl clients");
	return ratio >= 0.05 ? DOCTOR_CRITICAL : DOCTOR_WARNING;
}

/* What a cache without a limit evicted because nothing was left. */
static uint64_t
greed_of(const struct shmalloc_record *cache)
{
	if (look_uint(cache, "limit_bytes", 0) != 0)
		return 0;
	return look_uint(
	    shmalloc_control_object(cache, "evicted"), "memory", 0);
}

enum doctor_level
doctor_greed_rule(const struct look *look, const struct doctor_facts *facts,
    struct doctor_finding *finding)
{
	char n[QUANTITY_LEN], used[QUANTITY_LEN], name[64];
	uint64_t evicted;
	const struct shmalloc_record *cache =
	    cache_worst(facts->stats, greed_of, &evicted);
	uint64_t stores = look_uint(cache, "stores", 0);

	if (evicted < N_LEAST || evicted < stores / 100)
		return DOCTOR_OK;
	snprintf(finding->evidence, sizeof(finding->evidence),
	    "the cache %s has no limit, %s, and evicted %s because the "
	    "segment was full",
	    look_string(name, sizeof(name), cache, "cache"),
	    look_bytes_of(look, used, cache, "used_bytes"),
	    look_count(look, n, evicted));
	snprintf(finding->run, sizeof(finding->run),
	    "shmallocctl cache limit %s SIZE", word_of(cache));
	return DOCTOR_WARNING;
}
