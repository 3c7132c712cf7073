/* Which name somebody who mistyped one may have meant. */
#include <criterion/criterion.h>

#include "client/ctl/suggest.h"

static const char *const names[] = { "status", "stats", "clients", "tune",
	"trim", "mmap_threshold" };

static void
meant(const char *typed, const char *expected)
{
	struct suggest suggest;

	suggest_init(&suggest, typed);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		suggest_offer(&suggest, names[i]);
	cr_assert_str_eq(suggest.best, expected, "%s: %s", typed, suggest.best);
}

Test(ctl_suggest, typing_errors_find_the_name)
{
	meant("stauts", "status");
	meant("stat", "stats");
	meant("client", "clients");
	meant("tuen", "tune");
	meant("mmap", "mmap_threshold");
	meant("mmap_treshold", "mmap_threshold");
	meant("mmap_threshhold", "mmap_threshold");
}

Test(ctl_suggest, what_resembles_nothing_gets_no_suggestion)
{
	meant("", "");
	meant("xyzzy", "");
	meant("defragment", "");
	meant("0123456789012345678901234567890123456789012345678901234567890123"
	      "4567890123456789",
	    "");
}

Test(ctl_suggest, the_text_is_empty_or_a_question)
{
	struct suggest suggest;
	char text[SUGGEST_LEN + 32];

	suggest_init(&suggest, "tuen");
	cr_assert_str_eq(suggest_text(&suggest, text, sizeof(text)), "");
	suggest_offer(&suggest, "tune");
	cr_assert_str_eq(suggest_text(&suggest, text, sizeof(text)),
	    "; did you mean 'tune'?");
}
