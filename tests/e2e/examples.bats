# The example programs, as a newcomer would try them.

bats_require_minimum_version 1.5.0
load helper

setup() {
	examples=$BATS_TEST_DIRNAME/../../examples
}

teardown() {
	daemon_stop
}

@test "the demo verifies everything on the machine's package database" {
	run "$examples/demo.sh" "$SHMALLOC_BUILD"
	grep -v '^ok' <<<"$output" >&2
	((status == 0))
	[[ ${lines[-1]} =~ ^[1-9][0-9]*\ passed,\ 0\ failed,\ 0\ skipped$ ]]
	[ "$(grep -c '^ok - ' <<<"$output")" = "${lines[-1]%% *}" ]
}

@test "the demo takes text files by line, other files and folders as a whole" {
	run "$examples/demo.sh" "$SHMALLOC_BUILD" /etc/services \
	    /bin/true /usr/share/doc/bash
	grep -v '^ok' <<<"$output" >&2
	((status == 0))
	[[ ${lines[-1]} =~ ^[1-9][0-9]*\ passed,\ 0\ failed,\ 0\ skipped$ ]]
}

@test "the demo refuses files that hold too few records" {
	echo one >"$BATS_TEST_TMPDIR/few"
	run -1 "$examples/demo.sh" "$SHMALLOC_BUILD" "$BATS_TEST_TMPDIR/few"
	[[ $output == *'only 1 records; name more files, or a folder'* ]]
}

@test "the demo leaves nothing behind when it is interrupted" {
	export TMPDIR=$BATS_TEST_TMPDIR
	timeout --signal=INT 3 "$examples/demo.sh" "$SHMALLOC_BUILD" || true
	[ -z "$(ls "$TMPDIR")" ]
	# Command lines of all that runs.
	[[ $(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ') != *"$TMPDIR"* ]]
}

@test "hello finds what its first run has left" {
	daemon_start --size 64M
	# CC and pkg-config's answer are lists of words.
	# shellcheck disable=SC2046,SC2086
	${CC:-cc} "$examples/hello.c" -o "$BATS_TEST_TMPDIR/hello" \
	    $(pkg-config --cflags --libs shmalloc)
	run -0 "$BATS_TEST_TMPDIR/hello"
	first=$output
	[[ $first =~ ^hello\ from\ process\ [0-9]+$ ]]
	run -0 "$BATS_TEST_TMPDIR/hello"
	[ "$output" = "$first" ]
}

# The programs of the programmer's guide, compiled as it says.
example_build() {
	local compile=${CC:-cc} source=$examples/$1

	case $1 in
	*.cc)
		compile=${compile/gcc/g++}
		compile="${compile/clang/clang++} -std=c++17"
		;;
	*) compile+=' -std=gnu17 -Wpedantic -Wshadow -Wconversion' ;;
	esac
	# shellcheck disable=SC2046,SC2086
	$compile -Wall -Wextra -Werror -o "$BATS_TEST_TMPDIR/${1%.*}" "$source" \
	    $(pkg-config --cflags --libs shmalloc)
	# The guide shows how.
	grep -q "examples/$1" "$examples/../docs/programmers-guide.md"
}

@test "prefork: a killed worker costs its request, and nothing is left" {
	daemon_start
	example_build prefork.c
	run -0 "$BATS_TEST_TMPDIR/prefork" 4 2000
	[ "${lines[0]}" = 'a worker was killed: another takes its place' ]
	[ "${lines[-1]}" = '8000 requests by 4 workers' ]
	# The tally.
	wait_for figure_is .objects 1
	[ "$(figure .bytes.in_use_chunks)" -lt 1000 ]
}

@test "pipeline: each message arrives once, in order, and nothing is left" {
	daemon_start
	example_build pipeline.c
	"$BATS_TEST_TMPDIR/pipeline" produce 5000 3>&- &
	run -0 timeout 60 "$BATS_TEST_TMPDIR/pipeline" consume 5000
	wait $!
	[ "$output" = 'consumed 5000 messages' ]
	# The ring.
	wait_for figure_is .objects 1
}

@test "containers: one process reads the map that another has made" {
	daemon_start
	[ -e /usr/include/boost/container/map.hpp ] || skip "no Boost"
	example_build containers.cc
	"$BATS_TEST_TMPDIR/containers" write
	run -0 "$BATS_TEST_TMPDIR/containers" read
	[ "${#lines[@]}" -eq 3 ]
	[ "${lines[1]}" = 'offset: where an object is in its segment' ]
	# Replaced, the old one goes, whole.
	wait_for figure_is .objects 1
	"$BATS_TEST_TMPDIR/containers" write
	wait_for figure_is .objects 1
	run -0 "$BATS_TEST_TMPDIR/containers" read
	[ "${#lines[@]}" -eq 3 ]
}
