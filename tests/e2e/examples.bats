# The example programs, as a newcomer would try them.

bats_require_minimum_version 1.5.0
load helper

setup() {
	examples=$BATS_TEST_DIRNAME/../../examples
}

teardown() {
	daemon_stop
}

@test "the demo verifies everything on the machine's documentation" {
	run "$examples/demo.sh" "$SHMALLOC_BUILD"
	grep -v '^ok' <<<"$output" >&2
	((status == 0))
	[[ ${lines[-1]} =~ ^[1-9][0-9]*\ passed,\ 0\ failed,\ 0\ skipped$ ]]
	[ "$(grep -c '^ok - ' <<<"$output")" = "${lines[-1]%% *}" ]
}

@test "the demo serves a folder that is named, whatever its files are called" {
	local i folder="$BATS_TEST_TMPDIR/a folder"

	mkdir -p "$folder/b c"
	for ((i = 1; i <= 150; i++)); do
		head -c $((i * 400)) /dev/urandom >"$folder/b c/$i"' "%41&ü.txt'
	done
	run "$examples/demo.sh" "$SHMALLOC_BUILD" "$folder"
	grep -v '^ok' <<<"$output" >&2
	((status == 0))
	[[ ${lines[-1]} =~ ^[1-9][0-9]*\ passed,\ 0\ failed,\ 0\ skipped$ ]]
}

@test "the demo refuses a folder that holds too few files" {
	echo one >"$BATS_TEST_TMPDIR/one"
	run -1 "$examples/demo.sh" "$SHMALLOC_BUILD" "$BATS_TEST_TMPDIR"
	[[ $output == *'only 1 files; name a folder that has more'* ]]
	[ "${lines[-1]}" = '0 passed, 1 failed, 0 skipped' ]
}

@test "the demo leaves nothing behind when it is interrupted" {
	export TMPDIR=$BATS_TEST_TMPDIR
	# While the load runs.
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

@test "crowd: the table shows right bytes only, and nothing is left of it" {
	daemon_start
	# shellcheck disable=SC2046,SC2086
	${CC:-cc} -std=gnu17 -Wall -Wextra -Wpedantic -Wshadow -Wconversion \
	    -Werror -I "$examples/.." -o "$BATS_TEST_TMPDIR/crowd" \
	    "$examples/crowd.c" "$examples/cache.c" \
	    $(pkg-config --cflags --libs shmalloc libxxhash)
	run -0 "$BATS_TEST_TMPDIR/crowd" 4 20000
	echo "$output" >&2
	[ "${lines[0]}" = 'a worker was killed: another takes its place' ]
	# Entries were evicted, and left while they were being read.
	[[ ${lines[1]} =~ ^[1-9][0-9]*\ look-ups,\ [1-9][0-9]*\ found,\ [1-9][0-9]*\ of ]]
	[[ ${lines[1]} == *', 0 wrong' ]]
	[[ ${lines[2]} =~ ^[1-9][0-9]*\ entries,\ ([0-9]+)\ of\ ([0-9]+)\ bytes$ ]]
	((BASH_REMATCH[1] <= BASH_REMATCH[2] + 4 * 8192))
	wait_for figure_is .objects 0
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
