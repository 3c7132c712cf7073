/* Reading production distributions: see bench/distribution.h. */
#include "bench/distribution.h"

#include <err.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/bench.h"

static char why[PATH_MAX + 200];

static const char *
why_set(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, sizeof(why), format, arguments);
	va_end(arguments);
	return why;
}

static void *
array_make(size_t n, size_t size)
{
	void *array = calloc(n, size);

	if (array == NULL)
		err(1, "calloc");
	return array;
}

/* The object in FILE of the folder, or NULL with `why` set. */
static json_t *
object_read(const char *folder, const char *name, const char *file)
{
	char path[PATH_MAX];
	json_error_t error;
	json_t *object;

	snprintf(path, sizeof(path), "%s/%s/%s", folder, name, file);
	object = json_load_file(path, 0, &error);
	if (object == NULL)
		why_set("%s: %s", path, error.text);
	return object;
}

/* ---- Weighted parts ------------------------------------------------------ */

static void
part_free(struct distribution_part *part)
{
	free(part->value);
	free(part->weight);
	free(part->below);
	*part = (struct distribution_part){ .n = 0 };
}

static const char *
part_fill(
    struct distribution_part *part, const json_t *values, const json_t *weights)
{
	double sum = 0;

	for (size_t i = 0; i < part->n; i++) {
		double value = json_number_value(json_array_get(values, i));
		double weight = json_number_value(json_array_get(weights, i));

		if (value < 1 || value > 1e15 || weight < 0)
			return "a value below 1, or a weight below 0";
		part->value[i] = (uint64_t)value;
		part->weight[i] = weight;
		sum += weight;
		part->below[i] = sum;
	}
	if (!(sum > 0))
		return "no weights";
	for (size_t i = 0; i < part->n; i++)
		part->below[i] /= sum;
	return NULL;
}

static const char *
part_make(
    struct distribution_part *part, const json_t *values, const json_t *weights)
{
	part->n = json_array_size(values);
	if (part->n == 0 || part->n != json_array_size(weights))
		return "not as many values as weights, or none";
	part->value = array_make(part->n, sizeof(*part->value));
	part->weight = array_make(part->n, sizeof(*part->weight));
	part->below = array_make(part->n, sizeof(*part->below));
	return part_fill(part, values, weights);
}

/* PART from two arrays of the same length in FILE. */
static const char *
part_read(const char *folder, const char *name, const char *file,
    const char *values_key, const char *weights_key,
    struct distribution_part *part)
{
	json_t *object = object_read(folder, name, file);
	const char *wrong;

	if (object == NULL)
		return why;
	wrong = part_make(part, json_object_get(object, values_key),
	    json_object_get(object, weights_key));
	json_decref(object);
	return wrong == NULL
	    ? NULL
	    : why_set("%s/%s/%s: %s", folder, name, file, wrong);
}

/* ---- The whole ----------------------------------------------------------- */

/* Ranges of keys' lengths: one value more than weights, the first one's start.
 */
static const char *
key_lens_read(json_t *test, struct distribution_part *part)
{
	const json_t *values = json_object_get(test, "keySizeRange");
	json_t *weights = json_object_get(test, "keySizeRangeProbability");
	json_t *all = json_array();
	const char *wrong;

	/* What is before the start has no weight. */
	json_array_append_new(all, json_integer(0));
	json_array_extend(all, weights);
	wrong = part_make(part, values, all);
	json_decref(all);
	return wrong;
}

static const char *
config_read(
    const char *folder, const char *name, struct distribution *distribution)
{
	json_t *object = object_read(folder, name, "config.json"), *test;
	const char *wrong = NULL;

	if (object == NULL)
		return why;
	test = json_object_get(object, "test_config");
	distribution->lone =
	    json_number_value(json_object_get(test, "loneGetRatio"));
	if (!(distribution->lone >= 0 && distribution->lone <= 1))
		wrong = "loneGetRatio is no share";
	else
		wrong = key_lens_read(test, &distribution->key_lens);
	json_decref(object);
	return wrong == NULL
	    ? NULL
	    : why_set("%s/%s/config.json: %s", folder, name, wrong);
}

const char *
distribution_read(
    const char *folder, const char *name, struct distribution *ret_distribution)
{
	struct distribution result = { .lone = 0 };
	const char *wrong;

	if (folder == NULL)
		return "no folder of distributions (-d, $SHMALLOC_WORKLOADS)";
	wrong = part_read(folder, name, "sizes.json", "valSizeRange",
	    "valSizeRangeProbability", &result.sizes);
	if (wrong == NULL)
		wrong = part_read(folder, name, "pop.json", "popularityBuckets",
		    "popularityWeights", &result.buckets);
	if (wrong == NULL)
		wrong = config_read(folder, name, &result);
	if (wrong == NULL)
		*ret_distribution = result;
	else
		distribution_free(&result);
	return wrong;
}

void
distribution_free(struct distribution *distribution)
{
	part_free(&distribution->sizes);
	part_free(&distribution->buckets);
	part_free(&distribution->key_lens);
}

size_t
distribution_pick(const struct distribution_part *part, double chance)
{
	size_t low = 0, high = part->n - 1;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (part->below[middle] > chance)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* The range I reaches from the end of the one before it. */
static uint64_t
range_start(const struct distribution_part *sizes, size_t i)
{
	if (i == 0)
		return 1;
	/* Where they don't ascend they are sizes, not ranges. */
	return sizes->value[i - 1] < sizes->value[i] ? sizes->value[i - 1] + 1
						     : sizes->value[i];
}

static uint64_t
range_pick(const struct distribution_part *ranges, double chance_of_range,
    double chance_within)
{
	size_t i = distribution_pick(ranges, chance_of_range);
	uint64_t start = range_start(ranges, i);

	return start +
	    (uint64_t)(chance_within * (double)(ranges->value[i] - start + 1));
}

uint64_t
distribution_size(const struct distribution *distribution,
    double chance_of_range, double chance_within)
{
	return range_pick(&distribution->sizes, chance_of_range, chance_within);
}

uint64_t
distribution_key_len(const struct distribution *distribution,
    double chance_of_range, double chance_within)
{
	return range_pick(
	    &distribution->key_lens, chance_of_range, chance_within);
}

double
distribution_mean(const struct distribution *distribution)
{
	const struct distribution_part *sizes = &distribution->sizes;
	double sum = 0, weights = 0;

	for (size_t i = 0; i < sizes->n; i++) {
		sum += sizes->weight[i] / 2 *
		    (double)(range_start(sizes, i) + sizes->value[i]);
		weights += sizes->weight[i];
	}
	return sum / weights;
}

/* ---- Keys ---------------------------------------------------------------- */

double
distribution_chance(uint64_t *random)
{
	return (double)(bench_random(random) >> 11) * 0x1p-53;
}

uint32_t *
distribution_keys(const struct distribution *distribution, double keys)
{
	const struct distribution_part *buckets = &distribution->buckets;
	uint32_t *end = array_make(buckets->n, sizeof(*end)), n = 0;
	double sum = 0;

	for (size_t i = 0; i < buckets->n; i++)
		sum += (double)buckets->value[i];
	for (size_t i = 0; i < buckets->n; i++) {
		double share = (double)buckets->value[i] / sum * keys;

		n += share < 1 ? 1 : (uint32_t)share;
		end[i] = n;
	}
	return end;
}

uint32_t
distribution_key(const struct distribution *distribution, const uint32_t *keys,
    uint64_t *random)
{
	uint32_t first;
	size_t bucket;

	if (distribution_chance(random) < distribution->lone)
		return DISTRIBUTION_LONE;
	bucket = distribution_pick(
	    &distribution->buckets, distribution_chance(random));
	first = bucket == 0 ? 0 : keys[bucket - 1];
	return first + (uint32_t)bench_below(random, keys[bucket] - first);
}
