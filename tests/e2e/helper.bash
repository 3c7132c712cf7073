# What end-to-end tests share: a daemon in a folder of the test's own, and a
# client that holds what it is told to.  Load it with `load helper`.

bats_require_minimum_version 1.5.0

# Compile tests/e2e/holder.c once for a file of tests; call it in setup_file.
holder_build()
{
	export HOLDER=$BATS_FILE_TMPDIR/holder
	$CC -std=gnu17 -Wall -Wextra -Werror -pthread -o "$HOLDER" \
	    "$BATS_TEST_DIRNAME/holder.c" \
	    $(pkg-config --cflags --libs shmalloc)
}

# Compile the program SOURCE of this folder, in C or C++, to a file of its name
# in $BATS_FILE_TMPDIR.
client_build()
{
	local compile="$CC -std=gnu17" library=shmalloc

	case $1 in
	cache_*) library=shmalloc-cache ;;
	*.cc)
		compile=${CC/gcc/g++}
		compile="${compile/clang/clang++} -std=c++17 -Wpedantic"
		;;
	esac
	# CC and pkg-config's answer are lists of words.
	# shellcheck disable=SC2046,SC2086
	$compile -Wall -Wextra -Werror -pthread \
	    -I "$BATS_TEST_DIRNAME/../.." \
	    -o "$BATS_FILE_TMPDIR/${1%.*}" "$BATS_TEST_DIRNAME/$1" \
	    $(pkg-config --cflags --libs "$library")
}

# A figure of the exact statistics, by its path for jq.
figure()
{
	shmallocctl --json stats --exact | jq "$1"
}

# Is it?  Figures lag while a client works, or the daemon cleans up after one.
figure_is()
{
	[ "$(figure "$1")" = "$2" ]
}

# The byte identity of the statistics, exact, in the segment NAME.
bytes_add_up()
{
	local sum='.bytes | .in_use_chunks + .cached + .pending + .free_binned
	    + .free_fast + .free_top + .extents_used + .extents_free
	    + .metadata + .unused'

	shmallocctl --json --segment "${1:-default}" stats --exact |
	    jq -e "($sum) == .segment.size_bytes" >&2
}

# Wait until COMMAND succeeds; fails after 20 seconds.
wait_for()
{
	local i

	for ((i = 0; i < 400; i++)); do
		if "$@" >/dev/null 2>&1; then
			return 0
		fi
		sleep 0.05
	done
	echo "never came true: $*" >&2
	return 1
}

# Close what a program in the background must not keep open: bats' own
# descriptor, for which bats waits, and the holders' inputs, whose end they
# wait for.
inherited_close()
{
	local fd

	exec 3>&-
	for fd in "${HOLDER_INS[@]}"; do
		exec {fd}>&-
	done
}

# The process that serves: the daemon itself, not its keeper.
server_pid()
{
	shmallocctl --json status | jq .daemon.pid
}

# Is it another one than PID, and does it answer?
server_is_not()
{
	local pid

	pid=$(server_pid) && [ -n "$pid" ] && [ "$pid" != "$1" ]
}

# Kill the daemon, and wait until the keeper's next one answers.
server_kill()
{
	local pid

	pid=$(server_pid)
	kill -KILL "$pid"
	wait_for server_is_not "$pid"
}

# Start a daemon in a fresh folder, with the arguments given (--size 64M unless
# they say a size); its log is in $DAEMON_LOG.  $DAEMON_PID is whom to signal:
# the keeper, with --no-keeper the daemon.
daemon_start()
{
	export SHMALLOC_SOCKET=${SHMALLOC_TEST_DIR:=$BATS_TEST_TMPDIR/run}
	DAEMON_LOG=$BATS_TEST_TMPDIR/daemon.log
	case " $* " in
	*' --size '*) ;;
	*) set -- --size 64M "$@" ;;
	esac
	mkdir -p "$SHMALLOC_SOCKET"
	(
		inherited_close
		exec shmallocd --no-config --socket "$SHMALLOC_SOCKET" "$@"
	) >>"$DAEMON_LOG" 2>&1 &
	DAEMON_PID=$!
	wait_for shmallocctl status || {
		cat "$DAEMON_LOG" >&2
		return 1
	}
}

# Stop it and the holders; the segments must be in order until the end, and
# each of their bytes accounted for, unless the test says by DAMAGED=1 that it
# damaged one.
daemon_stop()
{
	local status=0 name

	holders_stop
	[ -n "${DAEMON_PID-}" ] || return 0
	for name in $(shmallocctl segment list --json | jq -r '.[].name'); do
		[ -n "${DAMAGED-}" ] || {
			shmallocctl --segment "$name" check || status=1
			wait_for bytes_add_up "$name" || status=1
		}
	done
	kill -TERM "$DAEMON_PID"
	wait "$DAEMON_PID" || status=1
	DAEMON_PID=
	((status == 0)) || cat "$DAEMON_LOG" >&2
	return "$status"
}

# Start a holder with the arguments given, wait until it has done what they
# say; its PID is in $HOLDER_PID.
holder_start()
{
	local in=$BATS_TEST_TMPDIR/holder.$((${#HOLDERS[@]})).in
	local out=${in%.in}.out

	rm -f "$in"
	mkfifo "$in"
	(
		inherited_close
		exec "$HOLDER" "$@"
	) <"$in" >"$out" 2>&1 &
	HOLDER_PID=$!
	HOLDERS+=("$HOLDER_PID")
	# The holder ends when this descriptor closes.
	exec {HOLDER_IN}>"$in"
	HOLDER_INS+=("$HOLDER_IN")
	HOLDER_OUT=$out
	wait_for grep -q '^ready' "$out" || {
		cat "$out" >&2
		return 1
	}
}

# Tell the last holder to do something, and wait until it has.
holder_tell()
{
	local before

	before=$(grep -c '^done' "$HOLDER_OUT") || :
	echo "$*" >&"$HOLDER_IN"
	wait_for holder_said "$before"
	tail -n 1 "$HOLDER_OUT"
}

holder_said()
{
	(($(grep -c '^done' "$HOLDER_OUT") > $1))
}

holders_stop()
{
	local i

	for i in "${!HOLDERS[@]}"; do
		exec {HOLDER_INS[i]}>&-
	done
	for i in "${!HOLDERS[@]}"; do
		wait "${HOLDERS[i]}" || :
	done
	HOLDERS=()
	HOLDER_INS=()
}

HOLDERS=()
HOLDER_INS=()
