# Clients that do what they must not, segments that are full, and daemons that
# are none: a clear error, and nothing changes.

bats_require_minimum_version 1.5.0
load helper

setup_file() {
	client_build misuse.c
	holder_build
}

teardown() {
	daemon_stop
}

misuse() {
	"$BATS_FILE_TMPDIR/misuse" "$1"
}

# ---- Frees -----------------------------------------------------------------

@test "a second free is counted and changes nothing, at each check.level" {
	for level in 0 1 2; do
		daemon_start -p check.level=$level
		misuse free_twice
		daemon_stop
	done
}

@test "a free of what is no object is counted and changes nothing" {
	for level in 0 1 2; do
		daemon_start -p check.level=$level
		misuse free_nonsense
		daemon_stop
	done
}

@test "with check.level 2 a forged head inside an object is no object" {
	daemon_start -p check.level=2
	misuse free_forged
}

@test "after a misuse the program goes on, unless misuse says abort" {
	daemon_start
	run -0 misuse goes_on
	[ "$output" = 'went on' ]
	! grep -i 'double\|twice' "$DAEMON_LOG"
	shmallocctl tune set misuse=warn
	run -0 misuse goes_on
	[ "$output" = 'went on' ]
	wait_for grep -i "free" "$DAEMON_LOG"
	shmallocctl tune set misuse=abort
	run -134 misuse goes_on
	[[ $output != *'went on'* ]]
	wait_for figure_is .clients.alive 0
	wait_for figure_is .bytes.allocated 0
}

@test "an overflowed header is found, and the log says who did it" {
	DAMAGED=1
	daemon_start -p misuse=warn
	run -0 misuse overflow
	[[ $output == *'overflow found'* ]]
	wait_for grep -q "pid [0-9]* (misuse, label ''), thread [0-9]*: free \
of an object whose header was overwritten at offset 0x" "$DAEMON_LOG"
	HOLDER_LABEL=shop holder_start
	holder_tell alloc 64
	holder_tell twice
	wait_for grep -q "pid $HOLDER_PID (holder, label 'shop'), thread \
$HOLDER_PID: double free" "$DAEMON_LOG"
	[ "$(shmallocctl --json clients "$HOLDER_PID" | jq '.[0].misuses')" = 1 ]
}

@test "fill.alloc and fill.free poison what is new and what is freed" {
	daemon_start -p fill.alloc=165 -p fill.free=90
	misuse filled
	shmallocctl tune reset --all
	shmallocctl tune set fill.alloc=0 fill.free=0
	misuse unfilled
}

# ---- Full ------------------------------------------------------------------

@test "a segment full of small objects says so, and is usable after frees" {
	daemon_start --size 64M
	misuse full_small
}

@test "a segment full of medium objects says so, and is usable after frees" {
	daemon_start --size 64M
	misuse full_medium
}

@test "a segment full of extents says so, and is usable after frees" {
	daemon_start --size 64M
	shmallocctl tune set mmap_threshold=64K
	misuse full_pages
}

@test "a request that no piece can serve fails as fragmented" {
	daemon_start --size 64M
	misuse fragmented
}

# ---- Daemons that are none -------------------------------------------------

# Serve ANSWERS, a list of Python expressions, one for each client, then end.
false_daemon() {
	mkdir -p "$SHMALLOC_SOCKET"
	python3 - "$SHMALLOC_SOCKET/attach" "$@" 3>&- <<-'END' &
		import socket, sys, time
		s = socket.socket(socket.AF_UNIX)
		s.bind(sys.argv[1])
		s.listen()
		for answer in sys.argv[2:]:
		    c, _ = s.accept()
		    if answer != "at once":
		        c.recv(4096)
		    if answer == "silence":
		        time.sleep(3)
		    elif answer != "at once":
		        c.sendall(eval(answer))
		    c.close()
	END
	false_pid=$!
	wait_for test -S "$SHMALLOC_SOCKET/attach"
}

@test "without a socket an attach fails at once" {
	export SHMALLOC_SOCKET=$BATS_TEST_TMPDIR/none
	run -0 misuse attach
	[[ $output == '-6 '* ]]
}

@test "a stale socket is not waited for longer than attach_timeout_ms" {
	export SHMALLOC_SOCKET=$BATS_TEST_TMPDIR/run
	false_daemon
	wait "$false_pid"
	run -0 misuse attach
	[[ $output == '-6 '* ]]
}

@test "a daemon that talks nonsense, or ends in the middle, is an error" {
	export SHMALLOC_SOCKET=$BATS_TEST_TMPDIR/run
	false_daemon 'b"\xff\xff\xff\xff"' 'b"\x03\0\0\0\xff\xff\xff"' \
	    'b"\0\0\0\0"'
	for i in {1..3}; do
		run -0 misuse attach
		echo "$i: $output"
		[[ $output =~ ^-(6|8|10)\  ]]
	done
	wait "$false_pid"
	# The next one is asked, and there is none.
	for answer in 'b"\x40\0\0\0half"' 'b"\x01"' 'b""' 'at once'; do
		rm "$SHMALLOC_SOCKET/attach"
		false_daemon "$answer"
		run -0 misuse attach
		echo "$answer: $output"
		[[ $output =~ ^-(6|10)\  ]]
		wait "$false_pid"
	done
	rm "$SHMALLOC_SOCKET/attach"
	false_daemon silence
	run -0 misuse attach
	[[ $output == '-11 '* ]]
	wait "$false_pid"
}
