/*
 * The heap profile in pprof's format: unpacked, and looked at.
 */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/profile.pb-c.h"
#include "server/pprof.h"
#include "tests/unit/fixture.h"

typedef Perftools__Profiles__Profile profile_message;
typedef Perftools__Profiles__Sample sample_message;

static struct fixture fixture;
static struct shm_seg *const seg = &fixture.seg;

static void
begin(void)
{
	fixture_begin(&fixture, FIXTURE_LIMIT, 4);
	fixture_tune(&fixture, SHM_PARAM_profile_sample_bytes, 1024);
	/* What is sampled stays allocated. */
	fixture.is_damaged = true;
}

static void
end(void)
{
	fixture_end(&fixture);
}

TestSuite(pprof, .init = begin, .fini = end);

static struct shm_sample_copy
like(uint64_t unit)
{
	return (struct shm_sample_copy){ .rate = 1024,
		.unit = unit,
		.slot = 2,
		.pid = 7,
		.command = "a b\n" };
}

/* An object of SIZE bytes with what SAMPLE says. */
static void
sample_put(uint64_t size, const struct shm_sample_copy *sample)
{
	struct shm_self *self = &fixture.self;
	uint64_t off = shm_heap_take_extent(self, shm_pages_for(size));
	uint32_t index;

	shm_extent_note(seg, off, size);
	index = shm_sample_claim(self, off);
	cr_assert_neq(index, 0);
	shm_sample_publish(self, index - 1, sample);
	fixture_tag(seg, off, self, SHM_OWNED);
}

static uint32_t
module_put(const char *name, bool is_fixed)
{
	struct shm_module_copy copy = { .start = 0x1000,
		.end = 0x3000,
		.file_off = 0x1000,
		.is_fixed = is_fixed,
		.id_len = 2,
		.id = { 0xab, 0x0c } };

	strncpy(copy.name, name, sizeof(copy.name) - 1);
	return shm_module_find(&fixture.self, &copy);
}

/* The profile, unpacked; PPROF says the rest. */
static profile_message *
profile_get(struct pprof *pprof)
{
	static uint8_t plain[1 << 20];
	z_stream stream = { 0 };
	profile_message *profile;

	cr_assert_eq(pprof_make(seg, "test", pprof), 0);
	stream.next_in = pprof->data;
	stream.avail_in = (uInt)pprof->len;
	stream.next_out = plain;
	stream.avail_out = sizeof(plain);
	cr_assert_eq(inflateInit2(&stream, 15 + 16), Z_OK);
	cr_assert_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
	inflateEnd(&stream);
	free(pprof->data);
	profile =
	    perftools__profiles__profile__unpack(NULL, stream.total_out, plain);
	cr_assert_not_null(profile);
	return profile;
}

static const char *
label(const profile_message *profile, const sample_message *sample,
    const char *key)
{
	for (size_t i = 0; i < sample->n_label; i++)
		if (strcmp(profile->string_table[sample->label[i]->key], key) ==
		    0)
			return profile->string_table[sample->label[i]->str];
	return "none";
}

Test(pprof, samples_of_one_stack_are_one_and_stand_for_their_like)
{
	struct shm_sample_copy sample = like(64);
	struct pprof pprof;
	profile_message *profile;

	sample.n_frames = 1;
	sample.frame[0] = 5;
	for (int i = 0; i < 10; i++)
		sample_put(60, &sample);
	sample.frame[0] = 6;
	sample_put(60, &sample);
	profile = profile_get(&pprof);
	cr_assert_eq(profile->n_sample, 2);
	/* 1 / (1 - exp(-1/16)) = 16.505 */
	cr_expect_eq(profile->sample[0]->value[0], 165);
	cr_expect_eq(profile->sample[0]->value[1], 9903);
	cr_expect_eq(profile->sample[1]->value[0], 17);
	cr_expect_eq(pprof.samples, 11);
	cr_expect_eq(pprof.objects, 182);
	cr_expect_eq(profile->n_location, 2);
	cr_expect_str_eq(profile->string_table[profile->sample_type[1]->type],
	    "inuse_space");
	cr_expect_eq(profile->period, 1024);
	cr_expect_str_eq(profile->string_table[0], "");
	protobuf_c_message_free_unpacked(&profile->base, NULL);
}

Test(pprof, labels_say_which_client_and_arena)
{
	struct shm_sample_copy sample = like(64);
	struct pprof pprof;
	profile_message *profile;

	sample_put(60, &sample);
	sample.pid = 8;
	sample_put(60, &sample);
	profile = profile_get(&pprof);
	cr_assert_eq(profile->n_sample, 2);
	cr_expect_str_eq(
	    label(profile, profile->sample[0], "client"), "7 a b?");
	cr_expect_str_eq(
	    label(profile, profile->sample[1], "client"), "8 a b?");
	cr_expect_str_eq(label(profile, profile->sample[1], "arena"), "0");
	cr_expect_str_eq(
	    label(profile, profile->sample[1], "ownership"), "private");
	protobuf_c_message_free_unpacked(&profile->base, NULL);
}

Test(pprof, addresses_of_modules_do_not_meet)
{
	struct shm_sample_copy sample = like(64);
	uint64_t one = module_put("one", false), two = module_put("two", false);
	uint64_t fixed = module_put("fixed", true);
	struct pprof pprof;
	profile_message *profile;

	sample.n_frames = 4;
	sample.frame[0] = one << SHM_FRAME_BITS | 0x1234;
	sample.frame[1] = two << SHM_FRAME_BITS | 0x1234;
	sample.frame[2] = fixed << SHM_FRAME_BITS | 0x1234;
	/* Not in it. */
	sample.frame[3] = two << SHM_FRAME_BITS | 0x4000;
	sample_put(60, &sample);
	profile = profile_get(&pprof);
	cr_assert_eq(profile->n_mapping, 3);
	cr_assert_eq(profile->n_location, 4);
	for (size_t i = 0; i < 3; i++) {
		const Perftools__Profiles__Mapping *at = profile->mapping[i];

		cr_expect_eq(at->memory_limit - at->memory_start, 0x2000);
		cr_expect_eq(at->file_offset, 0x1000);
		cr_expect_str_eq(profile->string_table[at->build_id], "ab0c");
		for (size_t j = 0; j < i; j++)
			cr_expect_neq(at->memory_start,
			    profile->mapping[j]->memory_start);
	}
	cr_expect_eq(profile->mapping[2]->memory_start, 0x1000);
	cr_expect_str_eq(
	    profile->string_table[profile->mapping[2]->filename], "fixed");
	for (size_t i = 0; i < 4; i++) {
		const Perftools__Profiles__Location *at =
		    profile->location[profile->sample[0]->location_id[i] - 1];
		const Perftools__Profiles__Mapping *in = at->mapping_id
		    ? profile->mapping[at->mapping_id - 1]
		    : NULL;

		cr_assert_eq(in == NULL, i == 3);
		if (in)
			cr_expect_eq(at->address, in->memory_start + 0x234);
	}
	protobuf_c_message_free_unpacked(&profile->base, NULL);
}

Test(pprof, numbers_that_nobody_drew_are_left_out)
{
	struct shm_sample_copy sample = like(0);
	struct pprof pprof;
	profile_message *profile;

	sample_put(60, &sample);
	sample = like(64);
	sample.rate = 0;
	sample_put(60, &sample);
	sample.rate = UINT64_MAX;
	sample_put(60, &sample);
	profile = profile_get(&pprof);
	cr_expect_eq(profile->n_sample, 0);
	cr_expect_eq(pprof.samples, 0);
	protobuf_c_message_free_unpacked(&profile->base, NULL);
}
