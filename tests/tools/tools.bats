# The test tools catch what they are there to catch.

bats_require_minimum_version 1.5.0

setup()
{
	cd "$BATS_TEST_TMPDIR" || return
	tools=$BATS_TEST_DIRNAME
	. "$tools/tap.bash"
}

# Write FILE with the lines given.
write()
{
	mkdir -p "$(dirname "$1")"
	printf '%s\n' "${@:2}" >"$1"
}

# Fail unless passed, failed and skipped are as given.
counts_are()
{
	echo "counted $passed $failed $skipped, wanted $*"
	[ "$passed $failed $skipped" = "$*" ]
}

@test "layers: each folder's own includes are allowed" {
	write shm/a.c '#include "shm/arena.h"' '#include <sys/mman.h>'
	write proto/a.c '#include <protobuf-c/protobuf-c.h>' \
	    '#include "proto/frame.h"'
	write client/a.c '#include <shmalloc/shmalloc.h>' '#include "shm/a.h"'
	write client/ctl/a.c '#include <shmalloc/control.h>'
	write server/a.c '#include <event2/event.h>' '#include "proto/a.h"'
	run -0 "$tools/layers" */*.c */*/*.c
	[ -z "$output" ]
}

@test "layers: each forbidden include is refused, in each folder" {
	while read -r dir include; do
		write "$dir/a.c" '#include <errno.h>' " # include $include /**/"
		run -1 "$tools/layers" "$dir/a.c"
		echo "$output"
		[[ $output == *"$dir/a.c:2: "*"$include"* ]]
	done <<-'END'
		shm "proto/frame.h"
		shm "client/cache.h"
		shm "arena.h"
		shm <shmalloc/shmalloc.h>
		shm <event2/event.h>
		proto "shm/arena.h"
		proto <event2/event.h>
		client "server/main.h"
		client "client.h"
		client <event2/event.h>
		client/include/shmalloc "shm/arena.h"
		client/include/shmalloc "shmalloc.h"
		client/ctl "shm/arena.h"
		client/ctl "client/cache.h"
		server "client/cache.h"
		server <shmalloc/shmalloc.h>
		examples "shm/arena.h"
		bench "shm/arena.h"
		elsewhere <errno.h>
	END
}

@test "tap: passed, failed and skipped tests are told apart" {
	write tap 1..4 'ok 1 a' 'not ok 2 b' 'ok 3 c # SKIP no root' 'ok - d' \
	    '# ok, not a result' 'okay'
	tap_count tap 1
	counts_are 2 1 1
}

@test "tap: a step that ran nothing has failed" {
	write tap 1..0
	tap_count tap 0
	counts_are 0 1 0
}

@test "tap: a bad exit status is a failure even if every test passed" {
	write tap 'ok 1 a'
	tap_count tap 124
	counts_are 1 1 0
}

@test "tap: tap_run says not ok when its command fails" {
	run -0 tap_run good true
	[ "$output" = 'ok - good' ]
	run -1 tap_run bad false
	[ "$output" = 'not ok - bad' ]
}

@test "headers: a good header passes, in four compilers" {
	write shmalloc/good.h '#ifndef A' '#define A' 'int f(int);' '#endif'
	run -0 "$tools/headers" .
	[ "$(grep -c '^ok' <<<"$output")" -eq 4 ]
}

@test "headers: one that needs another, warns or lacks a guard fails" {
	for text in 'size_t f(void);' 'static int f(void) { }' 'struct s { };' \
	    'static inline void f(void) { }'; do
		write shmalloc/bad.h "$text"
		run -1 "$tools/headers" .
		[[ $output == *'not ok'* ]]
	done
}

@test "set-up: with everything there it is silent and needs no apt" {
	run -0 "$tools/../../packaging/setup"
	[ -z "$output" ]
}

@test "set-up: an unknown argument is refused" {
	run -1 "$tools/../../packaging/setup" --frobnicate
	[[ $output == *"unknown argument '--frobnicate'"* ]]
}

@test "set-up: on another system it names what to install" {
	mkdir bin
	ln -s "$(command -v sh)" bin/sh
	PATH=$PWD/bin run -1 sh "$tools/../../packaging/setup"
	[[ $output == *'not a Debian system'*gcc*criterion* ]]
}

# Compile the tests in FILE with ThreadSanitizer and the runner for it.
compile_with_fork_runner()
{
	clang -g -D_GNU_SOURCE -fsanitize=thread -pthread -o program "$1" \
	    "$tools/../unit/fork_runner.c" -lcriterion -lm
}

@test "fork runner: everything that is wrong with a test is seen" {
	cat >bad.c <<-'END'
		#include <criterion/criterion.h>
		#include <criterion/parameterized.h>
		#include <pthread.h>
		#include <stdlib.h>
		static void check(void) { cr_assert(0, "fixture"); }
		TestSuite(late, .fini = check);
		static int shared;
		static void *race(void *p) { shared++; return p; }
		Test(bad, asserts) { cr_assert_eq(1, 2); }
		Test(bad, expects) { cr_expect_eq(1, 2); }
		Test(bad, crashes) { abort(); }
		Test(bad, exits) { exit(3); }
		Test(bad, does_not_exit, .exit_code = 3) { }
		Test(bad, is_not_killed, .signal = 9) { }
		Test(bad, hangs, .timeout = 1) { for (;;) ; }
		Test(late, teardown) { }
		Test(bad, races) {
			pthread_t t;
			pthread_create(&t, NULL, race, NULL);
			race(NULL);
			pthread_join(t, NULL);
		}
		ParameterizedTestParameters(bad, third) {
			static int v[] = { 3 };
			return cr_make_param_array(int, v, 1);
		}
		ParameterizedTest(int *v, bad, third) { cr_assert(*v < 3); }
	END
	compile_with_fork_runner bad.c
	run ! ./program
	echo "$output"
	[ "$(grep -c '^not ok' <<<"$output")" -eq 10 ]
	! grep '^ok' <<<"$output"
}

@test "fork runner: what is right with a test passes" {
	cat >good.c <<-'END'
		#include <criterion/criterion.h>
		#include <criterion/parameterized.h>
		#include <stdlib.h>
		static int n;
		static void up(void) { n++; }
		TestSuite(good, .init = up);
		Test(good, fixtures, .init = up) { cr_assert_eq(n, 2); }
		Test(good, exits, .exit_code = 3) { exit(3); }
		Test(good, is_killed, .signal = 6) { abort(); }
		Test(good, skips) { cr_skip("no %s", "reason"); }
		ParameterizedTestParameters(good, twice) {
			static int v[] = { 1, 2 };
			return cr_make_param_array(int, v, 2);
		}
		ParameterizedTest(int *v, good, twice) { cr_assert(*v < 3); }
	END
	compile_with_fork_runner good.c
	run -0 ./program
	echo "$output"
	[ "$(grep -c '^ok' <<<"$output")" -eq 6 ]
	[[ $output == *'skips # SKIP no reason'* ]]
}

@test "configure: all that is missing is named, in one line" {
	[ -x "$tools/../../configure" ] || "$tools/../../bootstrap"
	PKG_CONFIG_LIBDIR=/nonexistent run -1 "$tools/../../configure" -q
	line=$(grep '^configure: error: missing packages' <<<"$output")
	for package in libevent-dev libprotobuf-c-dev libsmartcols-dev \
	    libjansson-dev libinih-dev libcriterion-dev; do
		[[ $line == *" $package"* ]]
	done
}
