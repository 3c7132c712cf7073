/* Sizes, counts and durations as people write and read them. */
#include <criterion/criterion.h>
#include <math.h>

#include "client/ctl/quantity.h"

struct bytes_case {
	const char *text;
	uint64_t bytes;
};

Test(ctl_quantity, sizes_have_units_of_1024)
{
	static const struct bytes_case cases[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "4096", 4096 },
		{ "64K", 65536 },
		{ "64k", 65536 },
		{ "64KB", 65536 },
		{ "64KiB", 65536 },
		{ "1.5G", UINT64_C(1610612736) },
		{ "0.5K", 512 },
		{ "12B", 12 },
		{ "3T", UINT64_C(3) << 40 },
		{ "16383P", UINT64_C(16383) << 50 },
		{ "18446744073709551615", UINT64_MAX },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bytes = 1;

		cr_assert(quantity_parse_bytes(cases[i].text, &bytes), "%s",
		    cases[i].text);
		cr_assert_eq(bytes, cases[i].bytes, "%s", cases[i].text);
	}
}

Test(ctl_quantity, what_is_no_size_is_refused_and_nothing_written)
{
	static const char *const cases[] = { "", "K", "-1", "+1", " 1", "1 ",
		"1X", "1KK", "1Kb1", "1.", ".5K", "1.K", "0x10", "1e3",
		"18446744073709551616", "16384P", "99999999999G", "1K-" };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t bytes = 77;

		cr_assert_not(
		    quantity_parse_bytes(cases[i], &bytes), "%s", cases[i]);
		cr_assert_eq(bytes, 77, "%s", cases[i]);
	}
}

Test(ctl_quantity, counts_end_at_their_maximum)
{
	uint64_t n = 77;

	cr_assert(quantity_parse_count("10", 10, &n));
	cr_assert_eq(n, 10);
	cr_assert_not(quantity_parse_count("11", 10, &n));
	cr_assert_not(quantity_parse_count("1K", 10000, &n));
	cr_assert_not(quantity_parse_count("-1", UINT64_MAX, &n));
	cr_assert_not(quantity_parse_count("", UINT64_MAX, &n));
	cr_assert_eq(n, 10);
}

Test(ctl_quantity, durations_have_units)
{
	static const struct {
		const char *text;
		double seconds;
	} cases[] = { { "2", 2 }, { "0.5", 0.5 }, { ".25", 0.25 }, { "2s", 2 },
		{ "500ms", 0.5 }, { "10m", 600 }, { "1h", 3600 },
		{ "1d", 86400 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double seconds = -1;

		cr_assert(quantity_parse_seconds(cases[i].text, &seconds), "%s",
		    cases[i].text);
		cr_assert(fabs(seconds - cases[i].seconds) < 1e-9, "%s",
		    cases[i].text);
	}
}

Test(ctl_quantity, what_is_no_duration_is_refused)
{
	static const char *const cases[] = { "", "s", "-1", "1x", "1 s", "nan",
		"inf", "0x1", "1e999", ".", "1ss" };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double seconds;

		cr_assert_not(
		    quantity_parse_seconds(cases[i], &seconds), "%s", cases[i]);
	}
}

Test(ctl_quantity, sizes_are_written_in_three_digits_or_so)
{
	static const struct bytes_case cases[] = {
		{ "0", 0 },
		{ "512", 512 },
		{ "1023", 1023 },
		{ "1K", 1024 },
		{ "1.5K", 1536 },
		{ "64M", UINT64_C(64) << 20 },
		{ "48.2M", 50541363 },
		{ "149M", 156237824 + 1 },
		{ "1.0M", (UINT64_C(1) << 20) - 1 },
		{ "64G", UINT64_C(64) << 30 },
		{ "16384P", UINT64_MAX },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[QUANTITY_LEN];

		cr_assert_str_eq(
		    quantity_bytes(buf, cases[i].bytes), cases[i].text);
	}
}

Test(ctl_quantity, what_is_written_is_read_back_if_it_is_exact)
{
	for (unsigned shift = 0; shift < 60; shift++) {
		char buf[QUANTITY_LEN];
		uint64_t bytes;

		cr_assert(quantity_parse_bytes(
		    quantity_bytes(buf, UINT64_C(1) << shift), &bytes));
		cr_assert_eq(bytes, UINT64_C(1) << shift);
	}
}

Test(ctl_quantity, counts_have_units_of_1000)
{
	static const struct bytes_case cases[] = { { "0", 0 }, { "9999", 9999 },
		{ "10.0K", 10000 }, { "41.2K", 41210 }, { "1.00M", 999600 },
		{ "1.21G", 1210000000 }, { "18.4E", UINT64_MAX } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[QUANTITY_LEN];

		cr_assert_str_eq(
		    quantity_count(buf, cases[i].bytes), cases[i].text);
	}
}

Test(ctl_quantity, durations_are_written_in_two_units)
{
	static const struct {
		const char *text;
		double seconds;
	} cases[] = { { "0s", 0 }, { "0s", -5 }, { "0s", NAN }, { "14s", 14.9 },
		{ "2m", 120 }, { "2m 5s", 125 }, { "1h", 3600 },
		{ "3d 4h", 273600 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[QUANTITY_LEN];

		cr_assert_str_eq(
		    quantity_duration(buf, cases[i].seconds), cases[i].text);
	}
}

Test(ctl_quantity, milliseconds_are_written_exactly)
{
	static const struct bytes_case cases[] = { { "0ms", 0 }, { "1ms", 1 },
		{ "1500ms", 1500 }, { "2s", 2000 }, { "90s", 90000 },
		{ "10m", 600000 }, { "1h", 3600000 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char buf[QUANTITY_LEN];

		cr_assert_str_eq(
		    quantity_ms(buf, cases[i].bytes), cases[i].text);
	}
}
