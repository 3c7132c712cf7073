/* Values as people write them, and the names they nearly wrote. */
#include <criterion/criterion.h>

#include "server/value.h"

static uint64_t
parsed(const char *unit, const char *text)
{
	uint64_t value = 0;

	cr_assert_eq(value_parse(unit, text, &value), 0, "%s", text);
	return value;
}

static void
refused(const char *unit, const char *text)
{
	uint64_t value = 42;

	cr_assert_eq(value_parse(unit, text, &value), SHM_EINVAL, "%s", text);
	cr_assert_eq(value, 42);
}

Test(server_value, sizes_take_suffixes)
{
	cr_assert_eq(parsed("bytes", "0"), 0);
	cr_assert_eq(parsed("bytes", "4096"), 4096);
	cr_assert_eq(parsed("bytes", "64K"), 64 << 10);
	cr_assert_eq(parsed("bytes", "64k"), 64 << 10);
	cr_assert_eq(parsed("bytes", "64MiB"), 64 << 20);
	cr_assert_eq(parsed("bytes", "64MB"), 64 << 20);
	cr_assert_eq(parsed("bytes", "7B"), 7);
	cr_assert_eq(parsed("bytes", "1.5G"), UINT64_C(3) << 29);
	cr_assert_eq(parsed("bytes", "0.999999999T"), 1099511626676);
}

Test(server_value, durations_take_suffixes)
{
	cr_assert_eq(parsed("ms", "250"), 250);
	cr_assert_eq(parsed("ms", "250ms"), 250);
	cr_assert_eq(parsed("ms", "2s"), 2000);
	cr_assert_eq(parsed("ms", "0.5s"), 500);
	cr_assert_eq(parsed("ms", "3m"), 180000);
	cr_assert_eq(parsed("ms", "1h"), 3600000);
}

Test(server_value, words_are_an_enums_values)
{
	cr_assert_eq(parsed("enum:ignore|warn|abort", "ignore"), 0);
	cr_assert_eq(parsed("enum:ignore|warn|abort", "abort"), 2);
	refused("enum:ignore|warn|abort", "abor");
	refused("enum:ignore|warn|abort", "aborted");
	refused("enum:ignore|warn|abort", "");
	refused("enum:ignore|warn|abort", "1");
}

Test(server_value, what_is_no_value_is_refused)
{
	refused("bytes", "");
	refused("bytes", "M");
	refused("bytes", "-1");
	refused("bytes", " 1");
	refused("bytes", "1 M");
	refused("bytes", "1X");
	refused("bytes", "1MM");
	refused("bytes", "1iB");
	refused("bytes", "1.");
	refused("bytes", "1.5");
	refused("bytes", "1.0000000001G");
	refused("bytes", "0x10");
	refused("ms", "1M");
	refused("", "7K");
	refused("", "99999999999999999999");
	refused("bytes", "16777216T");
	refused("bytes", "18446744073709551616");
}

Test(server_value, what_is_written_reads_back_the_same)
{
	static const uint64_t values[] = { 0, 1, 1000, 1023, 1024, 65536,
		1048577, 268435456, 1099511627776, 1125899906842624 };
	char text[VALUE_LEN];

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		value_format("bytes", values[i], text);
		cr_assert_eq(parsed("bytes", text), values[i], "%s", text);
		value_format("ms", values[i], text);
		cr_assert_eq(parsed("ms", text), values[i], "%s", text);
		value_format("", values[i], text);
		cr_assert_eq(parsed("", text), values[i], "%s", text);
	}
	value_format("bytes", 131072, text);
	cr_assert_str_eq(text, "128K");
	value_format("ms", 90000, text);
	cr_assert_str_eq(text, "90s");
	value_format("enum:ignore|warn|abort", 1, text);
	cr_assert_str_eq(text, "warn");
	value_format("enum:ignore|warn|abort", 3, text);
	cr_assert_str_eq(text, "3");
}

Test(server_value, a_range_says_which_bound_was_crossed)
{
	const struct shm_param_info *info =
	    &shm_params[SHM_PARAM_mmap_threshold];
	char reason[80];

	cr_assert_eq(value_check(info, 65536, reason, sizeof(reason)), 0);
	cr_assert_eq(
	    value_check(info, 1024, reason, sizeof(reason)), SHM_ERANGE);
	cr_assert_str_eq(reason, "1K is below the minimum 4K");
	cr_assert_eq(
	    value_check(info, 1 << 21, reason, sizeof(reason)), SHM_ERANGE);
	cr_assert_str_eq(reason, "2M is above the maximum 1M");
}

Test(server_value, a_near_name_is_suggested_and_a_far_one_is_not)
{
	static const char *const names[] = { "decay_ms", "top_pad", "misuse" };
	size_t stride = sizeof(*names);

	cr_assert_str_eq(
	    value_suggest("decay_m", names, 3, stride), "decay_ms");
	cr_assert_str_eq(value_suggest("toppad", names, 3, stride), "top_pad");
	cr_assert_null(value_suggest("elephant", names, 3, stride));
	cr_assert_null(value_suggest("", names, 3, stride));
}
