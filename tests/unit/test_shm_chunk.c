/*
 * The arithmetic of sizes, bins and classes.
 */
#include <criterion/criterion.h>

#include "shm/chunk.h"

Test(chunk, a_request_fits_into_its_chunk_with_no_granule_to_spare)
{
	for (uint64_t n = 0; n <= SHM_CHUNK_MAX - SHM_CHUNK_OVER; n++) {
		uint32_t size = shm_chunk_size(n);

		cr_assert(size % SHM_GRANULE == 0 && size >= SHM_CHUNK_MIN);
		cr_assert_geq(size - SHM_CHUNK_OVER, n);
		cr_assert(size == SHM_CHUNK_MIN ||
		    size - SHM_CHUNK_OVER - n < SHM_GRANULE);
	}
}

Test(chunk, a_bins_smallest_chunk_is_in_that_bin_and_one_less_is_not)
{
	uint32_t last = shm_bin(SHM_CHUNK_MAX);

	cr_assert_lt(last, SHM_BINS);
	for (uint32_t bin = 2; bin <= last; bin++) {
		uint32_t size = shm_bin_size(bin);

		cr_assert_eq(shm_bin(size), bin);
		cr_assert_eq(shm_bin(size - SHM_GRANULE), bin - 1);
	}
}

Test(chunk, bins_below_1_KiB_hold_one_size)
{
	for (uint32_t size = SHM_CHUNK_MIN; size < SHM_LARGE_MIN;
	     size += SHM_GRANULE)
		cr_assert_eq(shm_bin_size(shm_bin(size)), size);
}

Test(chunk, larger_bins_waste_at_most_a_sixteenth)
{
	for (uint32_t size = SHM_LARGE_MIN; size <= SHM_CHUNK_MAX;
	     size += SHM_GRANULE)
		cr_assert_leq(size - shm_bin_size(shm_bin(size)), size / 16);
}

Test(chunk, a_classs_smallest_chunk_is_of_that_class_and_one_less_is_not)
{
	uint32_t last = shm_class(shm_chunk_size(262144));

	cr_assert_lt(last, SHM_CLASSES);
	for (uint32_t class = 1; class <= last; class ++) {
		uint32_t size = shm_class_size(class);

		cr_assert_eq(shm_class(size), class);
		cr_assert_eq(shm_class(size - SHM_GRANULE), class - 1);
	}
}

Test(chunk, a_large_requests_class_is_that_of_its_chunk)
{
	for (uint64_t size = SHM_LARGE_MIN - SHM_CHUNK_OVER; size <= 262144;
	     size++)
		cr_assert_eq(shm_cached_class_large(size),
		    shm_class(shm_cached_size(size)));
}

Test(chunk, each_class_begins_where_a_bin_begins)
{
	for (uint32_t class = 0; class < SHM_CLASSES - 1; class ++) {
		uint32_t size = shm_class_size(class);

		cr_assert_eq(shm_bin_size(shm_bin(size)), size);
	}
}

Test(chunk, longer_extents_are_never_in_a_lower_bin)
{
	uint32_t before = 0;

	for (uint64_t pages = 1; pages < 1 << 22; pages++) {
		uint32_t bin = shm_extent_bin(pages);

		cr_assert(bin >= before && bin < SHM_EXTENT_BINS);
		cr_assert(pages >= 64 || bin == pages);
		before = bin;
	}
	cr_assert_lt(shm_extent_bin(UINT32_MAX), SHM_EXTENT_BINS);
}

Test(chunk, classes_of_the_statistics_are_those_of_chunks_then_of_extents)
{
	cr_assert_lt(shm_class(SHM_CHUNK_MAX), SHM_CLASS_EXTENTS);
	for (uint32_t class = 0; class < SHM_CLASS_EXTENTS; class ++)
		cr_assert_eq(shm_class(shm_class_size(class)), class);
	cr_assert_eq(shm_class_of_pages(1), SHM_CLASS_EXTENTS);
	cr_assert_eq(shm_class_of_pages(3), SHM_CLASS_EXTENTS + 1);
	cr_assert_lt(shm_class_of_pages(UINT32_MAX), SHM_COUNTED);
}

Test(chunk, a_tag_says_what_it_was_made_of)
{
	struct shm_seg seg = { .key = 0x9e3779b97f4a7c15 };

	for (uint32_t state = SHM_FREE; state < SHM_STATES; state++) {
		uint32_t tag = shm_tag_base(4095, 29, state) |
		    shm_tag_check(seg.key, 4096);

		cr_assert_eq(shm_tag_owner(tag), 4095);
		cr_assert_eq(shm_tag_generation(tag), 29 % 16);
		cr_assert_eq((uint32_t)shm_tag_state(tag), state);
		cr_assert(shm_tag_is_valid(&seg, 4096, tag));
		cr_assert_not(shm_tag_is_valid(&seg, 4096, tag ^ 1));
		cr_assert_not(shm_tag_is_valid(&seg, 4096, tag & 0xfffff0ff));
	}
}

Test(chunk, a_neighbours_tag_is_not_valid_elsewhere)
{
	struct shm_seg seg = { .key = 0x9e3779b97f4a7c15 };
	int valid = 0;

	for (uint64_t off = 16; off < 1 << 16; off += 16)
		valid += shm_tag_is_valid(&seg, off + 16,
		    shm_tag_base(2, 1, SHM_OWNED) |
			shm_tag_check(seg.key, off));
	cr_assert_lt(valid, 4096 / 64);
}

Test(chunk, no_state_is_a_clients_and_a_threads)
{
	for (uint32_t state = 0; state < SHM_STATES; state++)
		cr_assert_not(
		    shm_state_is_client(state) && shm_state_is_thread(state));
}
