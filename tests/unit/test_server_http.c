/* Addresses, hosts and codings: what HTTP's peers and its operators write. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "server/http_address.h"
#include "server/http_body.h"

static struct http_address address;
static char reason[256];

static int
parse(const char *text)
{
	return http_address_parse(text, &address, reason, sizeof(reason));
}

static const char *
formatted(const char *text)
{
	static char buf[HTTP_ADDRESS_LEN];

	cr_assert_eq(parse(text), 0, "%s: %s", text, reason);
	http_address_format(&address, buf);
	return buf;
}

Test(server_http, addresses_of_the_loopback_are_taken)
{
	cr_assert_str_eq(formatted("127.0.0.1:9898"), "127.0.0.1:9898");
	cr_assert_str_eq(formatted("127.1.2.3:1"), "127.1.2.3:1");
	cr_assert_str_eq(formatted("127.0.0.1:0"), "127.0.0.1:0");
	cr_assert_str_eq(formatted("localhost:80"), "127.0.0.1:80");
	cr_assert_str_eq(formatted("[::1]:80"), "[::1]:80");
	cr_assert_str_eq(formatted("unix:/a/b"), "unix:/a/b");
	cr_assert_str_eq(formatted("off"), "off");
	cr_assert_str_eq(formatted(""), "off");
	cr_assert_eq(parse(NULL), 0);
	cr_assert_eq(address.len, 0);
}

Test(server_http, other_addresses_are_refused_and_nothing_is_written)
{
	static const char *const bad[] = { "0.0.0.0:80", "128.0.0.1:80",
		"[::]:80", "[::ffff:127.0.0.1]:80", "[fe80::1]:80", "127.0.0.1",
		"[::1]", "::1", ":80", "127.0.0.1:", "127.0.0.1:x",
		"127.0.0.1:65536", "example.com:80", "localhost.:80",
		"unix:", "unix:a", "80", "OFF" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		address.len = 77;
		cr_assert_eq(parse(bad[i]), SHM_EINVAL, "%s", bad[i]);
		cr_assert_eq(address.len, 77);
		cr_assert(strncmp(reason, "http: ", 6) == 0, "%s", reason);
	}
}

Test(server_http, a_path_that_is_no_socket_s_name_is_refused)
{
	char text[256] = "unix:/";

	memset(text + 6, 'x', 120);
	cr_assert_eq(parse(text), SHM_EINVAL);
	cr_assert_not_null(strstr(reason, "longer than"));
}

Test(server_http, only_names_of_the_loopback_are_hosts)
{
	static const char *const good[] = { "localhost", "LOCALHOST:80",
		"127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:65535",
		"localhost:" };
	static const char *const bad[] = { "", ":80", "[", "[]", "[::1",
		"[::1]x", "::1", "[::2]", "localhost:80x", "localhost ",
		"localhost.", "localhost.a", "a.localhost", "127.0.0.1.a",
		"128.0.0.1", "0x7f.1", "2130706433", "127.1", "a@localhost" };

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		cr_assert(http_address_is_local_host(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_not(http_address_is_local_host(bad[i]), "%s", bad[i]);
}

Test(server_http, gzip_is_accepted_by_who_says_so_and_not_with_q_0)
{
	cr_assert(http_body_accepts_gzip("gzip"));
	cr_assert(http_body_accepts_gzip("br , GZIP;q=0.5"));
	cr_assert(http_body_accepts_gzip("br;q=0, gzip"));
	cr_assert_not(http_body_accepts_gzip(NULL));
	cr_assert_not(http_body_accepts_gzip(""));
	cr_assert_not(http_body_accepts_gzip(";;,,;q"));
	cr_assert_not(http_body_accepts_gzip("gzip;q=0, br"));
	cr_assert_not(http_body_accepts_gzip("xgzip, gzipx"));
}

Test(server_http, bytes_that_were_sent_outlive_their_body)
{
	struct http_body body;
	struct evbuffer *out = evbuffer_new();
	bool is_packed;

	cr_assert_eq(http_body_take(&body, strdup("hello"), 5, 1), 0);
	cr_assert_eq(evbuffer_add_buffer_reference(
			 out, http_body_bytes(&body, false, &is_packed)),
	    0);
	cr_assert_not(is_packed);
	cr_assert_not_null(http_body_bytes(&body, true, &is_packed));
	cr_assert(is_packed);
	http_body_release(&body);
	cr_assert_eq(evbuffer_get_length(out), 5);
	cr_assert_arr_eq(evbuffer_pullup(out, -1), "hello", 5);
	evbuffer_free(out);
}
