# A client that writes over its segment, peers that are many, slow or send what
# nobody asked for, and daemons that answer nonsense: the others never notice.
bats_require_minimum_version 1.5.0
load helper

# How long the scribblers write, in seconds: a variable makes it hours.
SECONDS_EACH=${SHMALLOC_SCRIBBLE_SECONDS:-1}

setup_file() {
	client_build scribble.c
	client_build cache_many.c
	client_build cache_scene.c
	holder_build
}

setup() {
	wire=$BATS_TEST_DIRNAME/../tools/wire.py
	export SCRIBBLE=$BATS_FILE_TMPDIR/scribble
	scribblers=()
	# What each test does to a segment is damage, so only the others are
	# judged at its end; see others_are_whole.
	DAMAGED=1
}

teardown() {
	scribblers_end
	daemon_stop
}

# Without a keeper, so that a daemon which crashes isn't there any more.
alone_start() {
	daemon_start --no-keeper "$@"
}

scribblers_end() {
	local pid

	for pid in "${scribblers[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	scribblers=()
}

# Start a scribbler with the arguments given; its words go to scribble.out.
scribble_start() {
	"$SCRIBBLE" "$@" >"$BATS_TEST_TMPDIR/scribble.out" 3>&- &
	scribblers+=($!)
	wait_for grep -q '^seed' "$BATS_TEST_TMPDIR/scribble.out"
}

scribble_done() {
	wait_for grep -q '^done' "$BATS_TEST_TMPDIR/scribble.out"
}

# Run COMMAND, which may say no in any of its ways, but must end by itself.
ends() {
	local status=0

	timeout -s KILL 30 "$@" >/dev/null 2>&1 || status=$?
	case $status in
	0 | 1 | 4 | 5 | 8) ;;
	*) echo "status $status: $*" >&2; return 1 ;;
	esac
}

# Every command that looks at the segment NAME, or works on it.
tools_run() {
	local command

	for command in status stats 'stats --exact' 'stats --by bin' \
	    'stats --by client' clients map 'map --arena 1' roots locks \
	    'cache list' 'tune list' 'tune set top_pad=64K' 'tune reset top_pad' check \
	    'check --repair' 'trim --dry-run' trim 'roots --remove r --yes' \
	    'segment list'; do
		# A command is a list of words.
		# shellcheck disable=SC2086
		ends shmallocctl --segment "$1" $command
	done
	kill -0 "$DAEMON_PID"
}

# The segment `default` and its client are as if nothing had happened.
others_are_whole() {
	[ "$(holder_tell alloc 3000 50)" = 'done 50' ]
	[ "$(holder_tell free)" = 'done 50' ]
	run -0 shmallocctl check
	bytes_add_up
}

@test "nothing that a client writes over its segment harms daemon, tools or others" {
	local seed=${SHMALLOC_SEED:-$RANDOM$RANDOM} end what

	echo "SHMALLOC_SEED=$seed" >&2
	alone_start --segment bad:32M
	holder_start
	for what in all heads index all; do
		CACHE_SEGMENT=bad "$BATS_FILE_TMPDIR/cache_scene" pages 0 \
		    fill 100 100
		scribble_start bad $what "$seed" 0
		end=$((SECONDS + SECONDS_EACH))
		tools_run bad
		while ((SECONDS < end)); do
			tools_run bad
		done
		others_are_whole
		# Its death is one more thing that the daemon must survive.
		scribblers_end
		tools_run bad
		others_are_whole
		shmallocctl segment destroy bad --force --yes
		shmallocctl segment create bad --size 32M
		((seed += 1))
	done
	DAMAGED=
}

@test "a segment that is written over is destroyed with its clients, and the daemon ends in order" {
	alone_start --segment bad:32M
	scribble_start bad all 1 0
	tools_run bad
	shmallocctl segment destroy bad --force --yes
	scribblers_end
	run -0 shmallocctl check
	shmallocctl segment list --json | jq -e 'length == 1'
	DAMAGED=
}

@test "a damaged arena is out of service and named, and its segment goes on" {
	alone_start
	holder_start
	holder_tell alloc 500 100
	holder_tell scribble
	run -4 shmallocctl check
	[[ $output == *'arena 0: I'* ]]
	[ "$(shmallocctl status --json | jq .sick_arenas)" = 1 ]
	shmallocctl stats --json | jq -e '.arenas[0].state == "sick"'
	shmallocctl stats | grep -q ' sick$'
	# Others allocate, in another arena.
	holder_start
	[ "$(holder_tell alloc 500 100)" = 'done 100' ]
	[ "$(holder_tell free)" = 'done 100' ]
}

@test "check says by its exit code what it found, repaired, left or could not do" {
	alone_start
	run -0 shmallocctl check
	run -0 shmallocctl check --repair
	scribble_start default index 7 200
	scribble_done
	run -4 shmallocctl check
	[[ $output == *'arena 0: I'*' left'* ]]
	run -1 shmallocctl check --repair
	[[ $output == *'(repaired)'*', 0 left'* ]]
	run -0 shmallocctl check
	# What heads lost nobody can make again.
	scribblers_end
	scribble_start default heads 7 400
	scribble_done
	run shmallocctl check --repair
	(((status & 4) != 0))
	run -8 shmallocctl --segment absent check
	run -8 shmallocctl --socket /nonexistent check
}

@test "what a dead client held in an arena out of service comes back with its repair" {
	alone_start
	holder_start
	holder_tell alloc 500 100
	holder_tell scribble
	run -5 shmallocctl stats --exact
	holder_tell mend
	kill -KILL "$HOLDER_PID"
	holder_is() { [ "$(shmallocctl --json clients "$HOLDER_PID" |
	    jq -r '.[0].state')" = "$1" ]; }
	wait_for holder_is reclaimed
	run -1 shmallocctl check --repair
	run -0 shmallocctl check
	wait_for figure_is .bytes.allocated 0
	DAMAGED=
}

# ---- Peers -------------------------------------------------------------------

rss_kib() {
	awk '/^VmRSS/ { print $2 }' "/proc/$DAEMON_PID/status"
}

@test "thousands of connections that end no message cost little and are cut off" {
	local before after

	alone_start
	holder_start
	before=$(rss_kib)
	coproc MANY { exec "$wire" hold "$SHMALLOC_SOCKET" attach 3000 3>&-; }
	read -r -t 60 said <&"${MANY[0]}"
	[ "$said" = 'holding 3000' ]
	after=$(rss_kib)
	# A connection has a few events and the 100 bytes that came; 4 KiB
	# were promised by each.
	case $CC in
	*fsanitize*) ;;
	*) ((after - before < 3000 * 4)) ;;
	esac
	others_are_whole
	all_are_cut() { [ "$(ls "/proc/$DAEMON_PID/fd" | wc -l)" -lt 100 ]; }
	wait_for all_are_cut
	grep -q 'its message takes too long' "$DAEMON_LOG"
	echo >&"${MANY[1]}"
	DAMAGED=
}

@test "one user takes half of all connections at most, and is told so" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	alone_start -p max_connections=100
	coproc HALF {
		WIRE_UID=65534 exec "$wire" hold "$SHMALLOC_SOCKET" attach 60 \
		    3>&-
	}
	wait_for grep -q 'uid 65534) refused: this user has half' "$DAEMON_LOG"
	# Others still come in.
	holder_start
	[ "$(holder_tell alloc 10)" = 'done 1' ]
	echo >&"${HALF[1]}"
	DAMAGED=
}

# With descriptors of all kinds, on a kernel that refuses them for us and on one
# that does not.
descriptors_send() {
	local before i

	before=$(ls "/proc/$DAEMON_PID/fd" | wc -l)
	for i in 1 2 9 200; do
		run -0 "$wire" fds "$SHMALLOC_SOCKET" attach $i
		run -0 "$wire" fds "$SHMALLOC_SOCKET" control $i
		run -0 "$wire" fds "$SHMALLOC_SOCKET" control-ro $i
		[[ $output =~ ^(answered|closed)\ $1$ ]]
	done
	fds_are() { [ "$(ls "/proc/$DAEMON_PID/fd" | wc -l)" -le "$before" ]; }
	wait_for fds_are
	shmallocctl status
}

@test "descriptors that nobody asked for are refused by the kernel, or closed" {
	local shim=$BATS_TEST_TMPDIR/old_kernel.so

	alone_start
	descriptors_send '(sent|refused)'
	daemon_stop
	${CC%% *} -shared -fPIC -o "$shim" "$BATS_TEST_DIRNAME/old_kernel.c"
	LD_PRELOAD=$shim ASAN_OPTIONS=verify_asan_link_order=0 alone_start
	descriptors_send sent
	DAMAGED=
}

# ---- Who may -----------------------------------------------------------------

@test "a client that may only read harms nobody by what it writes over the pins" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	alone_start -p mode=0644 -p reader.evict_ms=100
	holder_start
	holder_tell alloc 100 1000
	# Something that waits for readers.
	holder_tell publish thing 100
	holder_tell withdraw thing
	coproc READER {
		WIRE_UID=65534 exec "$wire" attach "$SHMALLOC_SOCKET" \
		    read_only=1 3>&-
	}
	read -r -t 30 said <&"${READER[0]}"
	[[ $said == 'error 0 fds 2 '* ]]
	reader=$READER_PID
	echo pins >&"${READER[1]}"
	read -r -t 30 said <&"${READER[0]}"
	[ "$said" = done ]
	# Longer than reader.evict_ms: it may have made itself look like one.
	sleep 1
	kill -KILL "$reader" 2>/dev/null || true
	wait "$reader" || true
	reader_is_gone() {
		shmallocctl clients --json |
		    jq -e '[.[] | select(.state != "reclaimed")] | length == 1'
	}
	wait_for reader_is_gone
	# The holder was neither taken for dead, nor for a reader that stays.
	kill -0 "$HOLDER_PID"
	[ "$(holder_tell publish thing 100)" = 'done ' ]
	[ "$(holder_tell withdraw thing)" = 'done ' ]
	[ "$(holder_tell free)" = 'done 1000' ]
	[ "$(holder_tell alloc 100 1000)" = 'done 1000' ]
	[ "$(holder_tell free)" = 'done 1000' ]
	[ "$(shmallocctl clients --json | jq '[.[] |
	    select(.state == "alive")][0].threads')" = 1 ]
	DAMAGED=
}

@test "a segment is for its owner, its group and others as its mode says" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	alone_start --segment team:8M -p team:owner=60000 -p team:group=60010 \
	    -p team:mode=0640
	attach_as() {
		WIRE_UID=$1 WIRE_GID=$2 "$wire" attach "$SHMALLOC_SOCKET" \
		    segment=team "${@:3}" <<<write
	}
	run -0 attach_as 60000 60000
	[[ $output == "error 0 fds 2 "*"writable: store write reopen"* ]]
	[[ $output != *truncate* ]]
	run -0 attach_as 60001 60010
	[[ $output == "error -7 "*"doesn't let user 60001 write to it"* ]]
	run -0 attach_as 60001 60010 read_only=1
	[[ $output == "error 0 fds 2 "*"writable: no way"* ]]
	run -0 attach_as 60002 60002 read_only=1
	[[ $output == "error -7 "*"doesn't let user 60002 read it"* ]]
	# An owner has the owner's bits, also where others have more.
	daemon_stop
	alone_start --segment team:8M -p team:owner=60000 -p team:mode=0466
	run -0 attach_as 60000 60000
	[[ $output == "error -7 "* ]]
	run -0 attach_as 60005 60005
	[[ $output == "error 0 fds 2 "* ]]
	DAMAGED=
}

@test "another user's segment cannot be reached through the daemon or a client" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	alone_start
	holder_start
	as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
	for pid in "$DAEMON_PID" "$HOLDER_PID"; do
		for fd in $(ls "/proc/$pid/fd"); do
			run ! as_nobody head -c 1 "/proc/$pid/fd/$fd"
		done
		run ! as_nobody ls "/proc/$pid/map_files"
		run ! as_nobody head -c 1 "/proc/$pid/mem"
	done
	# The memory has no name either.
	run ! grep -E ' (/dev/shm|/tmp)/' "/proc/$DAEMON_PID/maps"
	grep -q ' /memfd:' "/proc/$DAEMON_PID/maps"
	DAMAGED=
}

@test "caches at all roots, of all durations, are no more than one answer" {
	local n

	DAMAGED=
	alone_start --http 127.0.0.1:0
	n=$("$BATS_FILE_TMPDIR/cache_many" many)
	[ "$n" -gt 1000 ]
	run -0 shmallocctl --json cache list
	[ "$(jq length <<<"$output")" = "$n" ]
	run -0 shmallocctl cache stats
	run -0 shmallocctl doctor
	run -0 shmallocctl metrics
	[ "$(grep -c '^shmalloc_shared_cache_entries{' <<<"$output")" = "$n" ]
}

# ---- Daemons that are none -----------------------------------------------------

# Serve one answer, a Python expression, on the socket control, then end.
false_daemon() {
	export SHMALLOC_SOCKET=$BATS_TEST_TMPDIR/false
	rm -rf "$SHMALLOC_SOCKET"
	mkdir -p "$SHMALLOC_SOCKET"
	python3 - "$SHMALLOC_SOCKET/control" "$1" \
	    "$BATS_TEST_DIRNAME/../tools" 3>&- <<-'END' &
		import socket, struct, sys
		sys.path.insert(0, sys.argv[3])
		from wire import field, frame
		s = socket.socket(socket.AF_UNIX)
		s.bind(sys.argv[1])
		s.listen()
		c, _ = s.accept()
		c.recv(65536)
		try:
		    c.sendall(eval(sys.argv[2]))
		except OSError:
		    pass
		c.close()
	END
	scribblers+=($!)
	wait_for test -S "$SHMALLOC_SOCKET/control"
}

@test "another protocol's daemon, or an answer of one, is exit code 6" {
	false_daemon 'frame(field(1, 99) + field(2, 0) + field(21, b""))'
	run -6 shmallocctl status
	false_daemon 'frame(field(1, 1) + field(2, 15) + field(3, b"old"))'
	run -6 --separate-stderr shmallocctl trim
	[[ $stderr == *old* ]]
}

@test "a daemon that answers nonsense gets an error, and no control of the terminal" {
	local answer

	for answer in 'b"\xff\xff\xff\xff"' 'b"\x04\0\0\0\xff\xff\xff\xff"' \
	    'b"\0\0\0\0"' 'b"\x10\0\0\0half"' 'b"\x01"' 'b""' \
	    'frame(field(1, 1) + field(13, b""))' \
	    'frame(field(1, 1) + field(10, b"\xff" * 50))' \
	    'struct.pack("<I", 4 << 20) + b"\x92\x01" * (1 << 21)'; do
		false_daemon "$answer"
		run timeout 20 shmallocctl status
		echo "$answer: $status"
		[[ $status = 3 || $status = 70 ]]
	done
	false_daemon 'frame(field(1, 1) + field(2, 13) + field(3, b"\x1b]0;x\x07"))'
	run --separate-stderr shmallocctl status
	[[ $stderr != *$'\e'* && $stderr != *$'\a'* ]]
}
