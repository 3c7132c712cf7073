/* What clients call themselves must not reach an operator's terminal raw. */
#include <criterion/criterion.h>

#include "client/ctl/text.h"

static void
becomes(const char *raw, const char *expected)
{
	char buf[64];

	cr_assert_str_eq(text_safe(buf, sizeof(buf), raw), expected);
}

Test(ctl_text, words_pass_unchanged)
{
	becomes("", "");
	becomes("worker 7", "worker 7");
	becomes("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x98",
	    "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x98");
}

Test(ctl_text, what_a_terminal_obeys_is_replaced)
{
	becomes("\033[2Jgone", "?[2Jgone");
	becomes("a\nb\tc\r", "a?b?c?");
	becomes("\177", "?");
	becomes("\xc2\x9b"
		"2J",
	    "??2J");
}

Test(ctl_text, bytes_that_are_no_utf8_are_replaced)
{
	becomes("\xff", "?");
	becomes("\xc3", "?");
	becomes("\xc0\xaf", "??");
	becomes("\xe0\x80\xaf", "???");
	becomes("\xed\xa0\x80", "???");
	becomes("\xf4\x90\x80\x80", "????");
	cr_assert_not(text_is_utf8("a\xff"));
	cr_assert(text_is_utf8("a\nb"));
}

Test(ctl_text, long_strings_are_cut_between_characters)
{
	char buf[5];

	cr_assert_str_eq(text_safe(buf, sizeof(buf), "abcdef"), "abcd");
	cr_assert_str_eq(text_safe(buf, sizeof(buf), "abc\xc3\xbc"), "abc");
}

Test(ctl_text, null_is_empty)
{
	char buf[5];

	cr_assert_str_eq(text_safe(buf, sizeof(buf), NULL), "");
}
