/* Reading production distributions: see bench/distribution.h. */
#include "bench/distribution.h"

#include <err.h>
#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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

/* PART from two arrays of the same length in FILE. */
static const char *
part_read(const char *folder, const char *name, const char *file,
    const char *values_key, const char *weights_key,
    struct distribution_part *part)
{
	json_t *object = object_read(folder, name, file), *values, *weights;
	const char *wrong;

	if (object == NULL)
		return why;
	values = json_object_get(object, values_key);
	weights = json_object_get(object, weights_key);
	part->n = json_array_size(values);
	if (part->n == 0 || part->n != json_array_size(weights)) {
		wrong = "not as many values as weights, or none";
	} else {
		part->value = array_make(part->n, sizeof(*part->value));
		part->weight = array_make(part->n, sizeof(*part->weight));
		part->below = array_make(part->n, sizeof(*part->below));
		wrong = part_fill(part, values, weights);
	}
	json_decref(object);
	return wrong == NULL
	    ? NULL
	    : why_set("%s/%s/%s: %s", folder, name, file, wrong);
}

/* ---- The whole ----------------------------------------------------------- */

static const char *
lone_read(const char *folder, const char *name, double *ret_lone)
{
	json_t *object = object_read(folder, name, "config.json");

	if (object == NULL)
		return why;
	*ret_lone = json_number_value(json_object_get(
	    json_object_get(object, "test_config"), "loneGetRatio"));
	json_decref(object);
	return *ret_lone >= 0 && *ret_lone <= 1
	    ? NULL
	    : why_set(
		  "%s/%s/config.json: loneGetRatio is no share", folder, name);
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
		wrong = lone_read(folder, name, &result.lone);
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

uint64_t
distribution_size(const struct distribution *distribution,
    double chance_of_range, double chance_within)
{
	const struct distribution_part *sizes = &distribution->sizes;
	size_t i = distribution_pick(sizes, chance_of_range);
	uint64_t start = range_start(sizes, i);

	return start +
	    (uint64_t)(chance_within * (double)(sizes->value[i] - start + 1));
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
