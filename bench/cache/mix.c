/* Which requests there are, and what the keys and values are like. */
#include <err.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/cache/cache.h"
#include "bench/distribution.h"

#define MIB       (UINT64_C(1) << 20)
#define KEY_FIXED 16u /* hexadecimal digits */

/* The mixes of docs/adr/0006, for a cache of about so many PLACES. */
#define SIMPLE(name_, places, skew_, lone_, moves_)                            \
	{                                                                      \
		.name = name_, .parts = "hits,exact", .overflows = true,       \
		.keys = 100000, .skew = skew_, .lone = lone_, .moves = moves_, \
		.value_len = 240, .limit = (places)*340, .n_requests = 2000000 \
	}

const struct mix mixes[] = {
	{ .name = "get_300",
	    .parts = "speed,python",
	    .keys = 100000,
	    .skew = 0.99,
	    .value_len = 300,
	    .limit = 128 * MIB,
	    .n_requests = 1 << 20 },
	{ .name = "zipf_95_5",
	    .parts = "speed,python",
	    .keys = 100000,
	    .skew = 0.99,
	    .set = 0.05,
	    .value_len = 300,
	    .limit = 128 * MIB,
	    .n_requests = 1 << 20 },
	{ .name = "zipf_50_50",
	    .parts = "speed,deaths",
	    .keys = 100000,
	    .skew = 0.99,
	    .set = 0.5,
	    .value_len = 300,
	    .limit = 128 * MIB,
	    .n_requests = 1 << 20 },
	{ .name = "zipf_expiry",
	    .parts = "speed",
	    .keys = 100000,
	    .skew = 0.99,
	    .set = 0.05,
	    .value_len = 300,
	    .ttl_s = 1,
	    .limit = 128 * MIB,
	    .n_requests = 1 << 20 },
	{ .name = "grow_300",
	    .parts = "memory",
	    .keys = 100000,
	    .skew = 0.99,
	    .value_len = 300,
	    .n_requests = 1 },
	{ .name = "size_drift",
	    .overflows = true,
	    .parts = "speed,hits,deaths",
	    .keys = 200000,
	    .skew = 0.99,
	    .value_len = 160,
	    .drifts_to = 1600,
	    .limit = 32 * MIB,
	    .n_requests = 1 << 20 },
	{ .name = "kvcache_reg",
	    .parts = "speed,hits",
	    .is_folder = true,
	    .overflows = true,
	    .times = 4,
	    .limit = 32 * MIB,
	    .n_requests = 1 << 20 },
	{ .name = "graph_cache_follower_assocs",
	    .parts = "speed,hits",
	    .is_folder = true,
	    .overflows = true,
	    .times = 4,
	    .limit = 32 * MIB,
	    .n_requests = 1 << 20 },
	SIMPLE("zipf_0.9_of_1000", 1000, 0.9, 0, 0),
	SIMPLE("zipf_1.0_of_1000", 1000, 1.0, 0, 0),
	SIMPLE("scan_of_1000", 1000, 1.0, 0.3, 0),
	SIMPLE("moving_of_1000", 1000, 1.0, 0, 0.002),
	SIMPLE("fast_moving_of_1000", 1000, 1.0, 0, 0.05),
	SIMPLE("zipf_0.9_of_10000", 10000, 0.9, 0, 0),
	SIMPLE("zipf_1.0_of_10000", 10000, 1.0, 0, 0),
	SIMPLE("scan_of_10000", 10000, 1.0, 0.3, 0),
	SIMPLE("moving_of_10000", 10000, 1.0, 0, 0.002),
	SIMPLE("fast_moving_of_10000", 10000, 1.0, 0, 0.05),
	{ .name = NULL },
};

/* ---- Popularity ---------------------------------------------------------- */

/* The shares of the keys up to and with each, by Zipf's law. */
static double *
zipf_make(const struct mix *mix)
{
	double *below = malloc(mix->keys * sizeof(*below)), sum = 0;

	if (below == NULL)
		err(1, "malloc");
	for (uint32_t i = 0; i < mix->keys; i++) {
		sum += pow((double)i + 1, -mix->skew);
		below[i] = sum;
	}
	for (uint32_t i = 0; i < mix->keys; i++)
		below[i] /= sum;
	return below;
}

static uint32_t
zipf_pick(const double *below, uint32_t n, double chance)
{
	uint32_t low = 0, high = n - 1;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (below[middle] > chance)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void
requests_zipf(struct stream *stream)
{
	const struct mix *mix = stream->mix;
	double *below = zipf_make(mix);
	uint64_t random = 88172645463325252;

	stream->ids = mix->keys;
	for (uint32_t i = 0; i < stream->n; i++) {
		uint32_t id =
		    zipf_pick(below, mix->keys, distribution_chance(&random));

		id = (id + (uint32_t)(i * mix->moves)) % mix->keys;
		if (mix->lone > 0 && distribution_chance(&random) < mix->lone)
			id = stream->ids++;
		if (mix->set > 0 && distribution_chance(&random) < mix->set)
			id |= REQUEST_SET;
		stream->request[i] = id;
	}
	free(below);
}

/* ---- Production distributions -------------------------------------------- */

static uint64_t
id_hash(uint32_t id)
{
	uint64_t x = (id + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);

	return bench_random(&x);
}

static uint32_t
bounded(uint64_t value, uint32_t least, uint32_t most)
{
	return value < least ? least : value > most ? most : (uint32_t)value;
}

static void
lens_make(struct stream *stream, const struct distribution *distribution)
{
	stream->value_len = bench_map(stream->ids * sizeof(uint32_t));
	stream->key_len = bench_map(stream->ids);
	for (uint32_t id = 0; id < stream->ids; id++) {
		uint64_t random = id_hash(id);
		double a = distribution_chance(&random);
		double b = distribution_chance(&random);
		double c = distribution_chance(&random);

		stream->value_len[id] =
		    bounded(distribution_size(distribution, a, b), VALUE_LEAST,
			VALUE_MAX);
		stream->key_len[id] =
		    (uint8_t)bounded(distribution_key_len(distribution, c,
					 distribution_chance(&random)),
			KEY_LEAST, KEY_MAX);
	}
}

static const char *
requests_folder(struct stream *stream)
{
	const struct mix *mix = stream->mix;
	struct distribution distribution;
	const char *why =
	    distribution_read(bench_folder, mix->name, &distribution);
	uint64_t random = 1;
	uint32_t *keys;

	if (why != NULL)
		return why;
	keys = distribution_keys(&distribution,
	    mix->times * (double)mix->limit / distribution_mean(&distribution));
	stream->ids = keys[distribution.buckets.n - 1];
	for (uint32_t i = 0; i < stream->n; i++) {
		uint32_t id = distribution_key(&distribution, keys, &random);

		stream->request[i] =
		    id == DISTRIBUTION_LONE ? stream->ids++ : id;
	}
	lens_make(stream, &distribution);
	free(keys);
	distribution_free(&distribution);
	return NULL;
}

/* ---- Streams ------------------------------------------------------------- */

const char *
stream_make(const struct mix *mix, struct stream *ret_stream)
{
	struct stream stream = { .mix = mix, .n = mix->n_requests };
	const char *why = NULL;

	stream.request = bench_map(stream.n * sizeof(uint32_t));
	if (mix->is_folder)
		why = requests_folder(&stream);
	else
		requests_zipf(&stream);
	*ret_stream = stream;
	if (why != NULL)
		stream_free(ret_stream);
	return why;
}

void
stream_free(struct stream *stream)
{
	munmap(stream->request, stream->n * sizeof(uint32_t));
	if (stream->value_len != NULL)
		munmap(stream->value_len, stream->ids * sizeof(uint32_t));
	if (stream->key_len != NULL)
		munmap(stream->key_len, stream->ids);
}

uint32_t
stream_value_len(const struct stream *stream, uint32_t id, uint32_t at)
{
	const struct mix *mix = stream->mix;
	double mean, spread;

	if (stream->value_len != NULL)
		return stream->value_len[id];
	if (mix->drifts_to == 0)
		return mix->value_len;
	mean = mix->value_len +
	    ((double)mix->drifts_to - mix->value_len) * at / stream->n;
	spread = 0.5 + (double)(id_hash(id) >> 11) * 0x1p-53;
	return (uint32_t)(mean * spread);
}

uint32_t
stream_key_len(const struct stream *stream, uint32_t id)
{
	return stream->key_len != NULL ? stream->key_len[id] : KEY_FIXED;
}

/* ---- Entries ------------------------------------------------------------- */

void
entry_init(struct entry *entry)
{
	memset(entry, 0, sizeof(*entry));
	memset(entry->key, 'x', sizeof(entry->key));
	/* Pages that no value reaches stay untouched. */
	entry->value = calloc(1, VALUE_MAX);
	if (entry->value == NULL)
		err(1, "calloc");
}

void
stream_key(const struct stream *stream, uint32_t id, struct entry *entry)
{
	uint64_t hash = id_hash(id);

	for (unsigned i = 0; i < KEY_FIXED; i++, hash >>= 4)
		entry->key[i] = "0123456789abcdef"[hash & 15];
	entry->key_len = stream_key_len(stream, id);
}

void
stream_value(
    const struct stream *stream, uint32_t id, uint32_t at, struct entry *entry)
{
	memcpy(entry->value, entry->key, KEY_FIXED);
	entry->value_len = stream_value_len(stream, id, at);
	entry->ttl_s = stream->mix->ttl_s;
}

bool
entry_is_right(const struct entry *request, const char *buffer, int64_t len)
{
	return len >= VALUE_LEAST &&
	    memcmp(buffer, request->key, KEY_FIXED) == 0;
}
