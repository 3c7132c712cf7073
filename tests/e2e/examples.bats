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
