/* Keys and values as text: what a terminal may have, and back again. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/escape.h"

static void
becomes(const void *data, size_t len, const char *expected)
{
	char *text = escape_make(data, len);
	size_t back_len;
	void *back = escape_parse(text, &back_len);

	cr_assert_str_eq(text, expected);
	cr_assert_not_null(back);
	cr_assert_eq(back_len, len);
	cr_assert_eq(memcmp(back, data, len), 0);
	free(text);
	free(back);
}

Test(ctl_escape, what_is_printable_stays)
{
	becomes("", 0, "");
	becomes("user:17 \"a\"", 11, "user:17 \"a\"");
	becomes("\xc3\xa4\xe2\x82\xac", 5, "\xc3\xa4\xe2\x82\xac");
}

Test(ctl_escape, the_rest_is_escaped)
{
	becomes("\\n", 2, "\\\\n");
	becomes("a\nb\tc\rd", 7, "a\\nb\\tc\\rd");
	becomes("\0\033[2J\177", 6, "\\x00\\x1b[2J\\x7f");
	becomes("\xff\xc0\xaf\xc2\x9b", 5, "\\xff\\xc0\\xaf\\xc2\\x9b");
}

Test(ctl_escape, a_character_that_is_cut_off_is_not_read_beyond)
{
	/* Its rest lies behind the end. */
	becomes("\xe2\x82\xac", 2, "\\xe2\\x82");
	becomes("x\xc3\xa4", 2, "x\\xc3");
}

Test(ctl_escape, every_byte_comes_back)
{
	unsigned char all[256];

	for (unsigned i = 0; i < sizeof(all); i++)
		all[i] = (unsigned char)i;
	for (size_t n = 0; n <= sizeof(all); n++) {
		char *text = escape_make(all, n);
		size_t len;
		void *back = escape_parse(text, &len);

		cr_assert_eq(len, n);
		cr_assert_eq(memcmp(back, all, n), 0);
		free(text);
		free(back);
	}
}

Test(ctl_escape, hexadecimal_digits_are_of_either_case)
{
	size_t len;
	char *bytes = escape_parse("\\xAb\\xcD", &len);

	cr_assert_eq(len, 2);
	cr_assert_eq(memcmp(bytes, "\xab\xcd", 2), 0);
	free(bytes);
}

Test(ctl_escape, what_is_no_escape_is_refused)
{
	static const char *const wrong[] = { "\\", "a\\", "\\q", "\\x", "\\x1",
		"\\xg0", "\\x0g", "\\N" };
	size_t len;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert_null(escape_parse(wrong[i], &len), "%s", wrong[i]);
}

/* Of RFC 4648, section 10. */
Test(ctl_escape, base64_is_what_the_rfc_says)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" },
		{ "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
		{ "\xff\xfe\xfb", "//77" } };

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		char *text = escape_base64(pairs[i][0], strlen(pairs[i][0]));

		cr_assert_str_eq(text, pairs[i][1]);
		free(text);
	}
}

Test(ctl_escape, json_says_how_bytes_are_written)
{
	json_t *object = json_object();

	escape_json(object, "a", "gr\xc3\xbc\0n", 6);
	escape_json(object, "b", "\xff", 1);
	escape_json(object, "c", NULL, 0);
	cr_assert_eq(json_string_length(json_object_get(object, "a")), 6);
	cr_assert_str_eq(
	    json_string_value(json_object_get(object, "a_encoding")), "utf-8");
	cr_assert_str_eq(
	    json_string_value(json_object_get(object, "b")), "/w==");
	cr_assert_str_eq(
	    json_string_value(json_object_get(object, "b_encoding")), "base64");
	cr_assert_str_eq(json_string_value(json_object_get(object, "c")), "");
	json_decref(object);
}
