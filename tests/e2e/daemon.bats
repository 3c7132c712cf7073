# The daemon from outside: starting, refusing, configuring, stopping, and what
# it does with bad input and with the ends of its clients.
load helper

setup() {
	wire=$BATS_TEST_DIRNAME/../tools/wire.py
	run_dir=$BATS_TEST_TMPDIR/run
	config=$BATS_TEST_TMPDIR/shmallocd.conf
}

teardown() {
	clients_end
	daemon_stop
}

log_has() {
	grep -q -- "$1" "$DAEMON_LOG"
}

# Start a client that obeys: its words go to fd ${to[i]}, what it says comes
# from ${from[i]}.  Sets $said to its first line, $client to its pid.
client_start() {
	coproc CLIENT { exec "$wire" attach "$run_dir" "$@" 3>&-; }
	client=$CLIENT_PID
	clients+=("$client")
	exec {to}>&"${CLIENT[1]}" {from}<&"${CLIENT[0]}"
	read -r -t 30 said <&"$from"
}

# Tell the last client WORD, and read what it says until it is done.
client_tell() {
	local line

	echo "$1" >&"$to"
	said=
	while read -r -t 30 line <&"$from" && [ "$line" != done ]; do
		said=$line
	done
}

clients_end() {
	local pid

	for pid in "${clients[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	clients=()
}

# The state of process PID in `clients`.
state_is() {
	[ "$(shmallocctl --json clients "$1" |
	    jq -r '.[0].state // "absent"')" = "$2" ]
}

# ---- Starting --------------------------------------------------------------

@test "a socket directory and a size are enough" {
	daemon_start --size 64M
	run -0 shmallocctl --json segment list
	[ "$(jq -r '.[0].name' <<<"$output")" = default ]
	[ "$(jq -r '.[0].limit_bytes' <<<"$output")" = $((64 << 20)) ]
	[ "$(stat -c %a "$run_dir/control")" = 600 ]
}

@test "a second daemon on the directory is refused and the first goes on" {
	daemon_start --size 64M
	run -1 shmallocd --no-config --socket "$run_dir"
	[[ $output == *"another shmallocd (pid $DAEMON_PID) serves $run_dir"* ]]
	shmallocctl status
}

@test "the sockets of a killed daemon are replaced" {
	daemon_start --size 64M --no-keeper
	kill -KILL "$DAEMON_PID"
	wait "$DAEMON_PID" || true
	[ -S "$run_dir/attach" ]
	daemon_start --size 32M
	shmallocctl status
}

@test "of two daemons that start together one serves" {
	local i pids=() served=0

	for i in 1 2 3 4; do
		shmallocd --no-config --socket "$run_dir" --size 8M \
		    2>"$BATS_TEST_TMPDIR/$i.log" 3>&- &
		pids+=($!)
	done
	wait_for shmallocctl --socket "$run_dir" status
	served=$(grep -l 'info: .* serves ' "$BATS_TEST_TMPDIR"/?.log | wc -l)
	kill -TERM "${pids[@]}" 2>/dev/null || true
	wait "${pids[@]}" || true
	[ "$served" -eq 1 ]
}

@test "something that is no socket is not replaced" {
	mkdir "$run_dir"
	echo precious >"$run_dir/attach"
	run -1 shmallocd --no-config --socket "$run_dir"
	[[ $output == *"$run_dir/attach is there and is no socket"* ]]
	[ "$(cat "$run_dir/attach")" = precious ]
}

@test "a directory whose name is too long for a socket is refused" {
	local long=$BATS_TEST_TMPDIR/$(printf 'x%.0s' {1..100})

	run -1 shmallocd --no-config --socket "$long"
	[[ $output == *"too long for a socket's name"* ]]
	[ ! -e "$long/attach" ]
}

@test "bad options are usage errors that say what is wrong" {
	run -2 shmallocd --sise 64M
	run -2 shmallocd --size
	run -2 shmallocd --size big
	[[ $output == *"size: 'big' is not a size such as 64M"* ]]
	run -2 shmallocd --size 1K
	[[ $output == *"size: 1K is below the minimum 1M"* ]]
	run -2 shmallocd -p decay_m=1
	[[ $output == *"unknown name 'decay_m'; did you mean 'decay_ms'?"* ]]
	run -2 shmallocd -p decay_ms
	run -2 shmallocd --segment web
	run -2 shmallocd --segment a/b:1M
	run -2 shmallocd --mode 0999
	run -2 shmallocd --group no-such-group
	run -2 shmallocd --log-level loud
	run -2 shmallocd extra
	[ ! -e "$run_dir" ]
}

@test "help and version are answered on standard output" {
	run -0 --separate-stderr shmallocd --help
	[[ $output == *"--socket DIR"* && -z $stderr ]]
	run -0 --separate-stderr shmallocd --version
	[[ $output == "shmallocd "[0-9]* && -z $stderr ]]
}

@test "in the background it returns when clients can attach" {
	export SHMALLOC_SOCKET=$run_dir
	run -0 shmallocd --no-config --background --socket "$run_dir" \
	    --log-file "$BATS_TEST_TMPDIR/background.log" 3>&-
	shmallocctl status
	pid=$(cat "$run_dir/lock")
	run -1 shmallocd --no-config --background --socket "$run_dir"
	[[ $output == *"another shmallocd"* ]]
	kill -TERM "$pid"
	wait_for test ! -e "$run_dir"
	grep -q 'info: stopped' "$BATS_TEST_TMPDIR/background.log"
}

@test "in the background it lets go of its caller's output" {
	export SHMALLOC_SOCKET=$run_dir
	# `run` reads until nobody holds the other end any more.
	run -0 shmallocd --no-config --background --socket "$run_dir" 3>&-
	kill -TERM "$(cat "$run_dir/lock")"
	wait_for test ! -e "$run_dir"
}

@test "in the background it is followed by one that obeys signals, too" {
	export SHMALLOC_SOCKET=$run_dir
	run -0 shmallocd --no-config --background --socket "$run_dir" 3>&-
	pid=$(cat "$run_dir/lock")
	server_kill
	# Each connection gets the lowest number that is free.
	shmallocctl status
	shmallocctl segment list
	kill -TERM "$pid"
	wait_for test ! -e "$run_dir"
}

@test "in the background it is kept also if whoever started it was killed" {
	export SHMALLOC_SOCKET=$run_dir
	mkdir "$run_dir"
	# It waits a while for a daemon that has the lock and no socket yet.
	exec {lock}>"$run_dir/lock"
	flock "$lock"
	shmallocd --no-config --background --socket "$run_dir" \
	    3>&- {lock}>&- &
	wait_for pgrep -P $!
	kill -KILL $!
	exec {lock}>&-
	wait_for shmallocctl status
	pid=$(cat "$run_dir/lock")
	server_kill
	kill -TERM "$pid"
	wait_for test ! -e "$run_dir/attach"
}

@test "with idle-exit it ends when its last client has left" {
	daemon_start --size 8M --idle-exit
	client_start
	client_start
	clients_end
	wait "$DAEMON_PID"
	DAEMON_PID=
	log_has 'the last client has left'
	[ ! -e "$run_dir/attach" ]
}

# ---- Configuration ----------------------------------------------------------

@test "check-config names file, line and reason" {
	printf 'decay_ms = 2s\nmmap_threshold = 1K\n[segment x]\nnope = 1\n' \
	    >"$config"
	run -1 shmallocd --check-config --config "$config"
	[[ $output == *"$config:2: mmap_threshold: 1K is below the minimum 4K"* ]]
	[[ $output == *"$config:4: unknown name 'nope'"* ]]
	echo 'decay_ms = 2s' >"$config"
	run -0 shmallocd --check-config --config "$config"
	run -1 shmallocd --check-config --config "$config.absent"
	[[ $output == *"No such file"* ]]
}

@test "a daemon with a wrong configuration does not start" {
	echo 'size = 1' >"$config"
	run -1 shmallocd --socket "$run_dir" --config "$config"
	[[ $output == *"$config:1: size: 1 is below the minimum 1M"* ]]
	[ ! -e "$run_dir/attach" ]
}

@test "what dump-config writes configures the same" {
	printf 'decay_ms = 2s\n[segment web]\nsize = 1G\nmode = 0660\n' \
	    >"$config"
	shmallocd --dump-config --config "$config" --size 8M >"$config.2"
	shmallocd --dump-config --config "$config.2" >"$config.3"
	diff "$config.2" "$config.3"
	grep -qx 'size = 8M' "$config.2"
	grep -qx 'mode = 0660' "$config.2"
}

@test "the log is text, or with log_format a JSON object each line" {
	echo 'log_format = json' >"$config"
	daemon_start --config "$config"
	holder_build
	# Who attaches may have any name.
	cp "$HOLDER" "$BATS_TEST_TMPDIR/a\"b\\"$'\377'
	HOLDER="$BATS_TEST_TMPDIR/a\"b\\"$'\377' holder_start
	jq -es 'length > 2 and all(.[]; (keys == ["level", "message", "pid",
	    "time"]) and .time > 0 and .level == "info")' "$DAEMON_LOG"
	jq -es 'any(.[]; .message | contains("(a\"b\\?) of user"))' \
	    "$DAEMON_LOG"
	# The keeper's lines, too.
	for i in $(seq 8); do
		wait_for shmallocctl status
		kill -ABRT "$(server_pid)"
	done
	wait_for grep -q 'giving up' "$DAEMON_LOG"
	jq -es 'any(.[]; .level == "error" and (.message | contains("giving up")))' \
	    "$DAEMON_LOG"
	wait "$DAEMON_PID" || true
	DAEMON_PID=
}

@test "SIGHUP changes what the log's lines look like" {
	echo 'log_level = debug' >"$config"
	daemon_start --config "$config"
	printf 'log_level = debug\nlog_format = json\n' >"$config"
	kill -HUP "$DAEMON_PID"
	wait_for log_has '"message":"the configuration was read again"'
	run -2 shmallocd --check-config -p log_format=xml
}

@test "a value's source is shown: default, file, argument, runtime" {
	printf 'decay_ms = 2s\ntop_pad = 8K\n' >"$config"
	daemon_start --config "$config" --size 64M -p top_pad=16K
	shmallocctl tune set misuse=warn
	run -0 shmallocctl --json tune list
	[ "$(jq -r '.[] | select(.name=="decay_ms") | .source' \
	    <<<"$output")" = file ]
	[ "$(jq -r '.[] | select(.name=="top_pad") | .source' \
	    <<<"$output")" = argument ]
	[ "$(jq -r '.[] | select(.name=="misuse") | .source' \
	    <<<"$output")" = runtime ]
	[ "$(jq -r '.[] | select(.name=="tcache.count") | .source' \
	    <<<"$output")" = default ]
}

@test "SIGHUP applies what changed, keeps what was set at runtime, and logs it" {
	printf 'decay_ms = 2s\n' >"$config"
	daemon_start --config "$config"
	shmallocctl tune set misuse=warn
	printf 'decay_ms = 3s\n[segment late]\nsize = 8M\n' >"$config"
	kill -HUP "$DAEMON_PID"
	wait_for log_has 'configuration was read again'
	[ "$(shmallocctl tune get decay_ms --bytes)" = 3000 ]
	[ "$(shmallocctl tune get misuse)" = warn ]
	shmallocctl --segment late status
	log_has 'decay_ms 2s -> 3s by configuration'
}

@test "SIGHUP with a wrong file changes nothing and says where it is wrong" {
	printf 'decay_ms = 2s\n' >"$config"
	daemon_start --config "$config"
	printf 'decay_ms = 3s\nnope = 1\n' >"$config"
	kill -HUP "$DAEMON_PID"
	wait_for log_has 'was not applied'
	log_has "$config:2: unknown name 'nope'"
	[ "$(shmallocctl tune get decay_ms --bytes)" = 2000 ]
}

@test "SIGTERM and SIGINT remove the sockets and end with success" {
	local signal

	for signal in TERM INT; do
		daemon_start --size 8M
		kill "-$signal" "$DAEMON_PID"
		wait "$DAEMON_PID"
		DAEMON_PID=
		[ -z "$(ls "$run_dir")" ]
	done
}

@test "told again and again to stop it ends with success" {
	daemon_start
	server=$(server_pid)
	while kill -TERM "$server"; do
		:
	done 2>/dev/null
	wait "$DAEMON_PID"
	DAEMON_PID=
	log_has 'info: stopped'
	[ ! -e "$SHMALLOC_SOCKET/attach" ]
}

@test "for the journal lines have a priority and no time" {
	export JOURNAL_STREAM
	touch "$BATS_TEST_TMPDIR/daemon.log"
	JOURNAL_STREAM=$(stat -c %d:%i "$BATS_TEST_TMPDIR/daemon.log")
	daemon_start --size 8M
	grep -q '^<6>shmallocd .* serves ' "$DAEMON_LOG"
	unset JOURNAL_STREAM
}

# ---- Segments ----------------------------------------------------------------

@test "several segments have limits, modes and tunables of their own" {
	daemon_start --size 8M --segment web:16M --segment jobs:32M \
	    -p web:mode=0640 -p jobs:decay_ms=1s
	run -0 shmallocctl --json segment list
	[ "$(jq -r '[.[] | .name] | join(" ")' <<<"$output")" = \
	    "default web jobs" ]
	[ "$(jq '.[1].limit_bytes' <<<"$output")" = $((16 << 20)) ]
	[ "$(jq '.[1].mode' <<<"$output")" = $((0640)) ]
	[ "$(shmallocctl --segment jobs tune get decay_ms --bytes)" = 1000 ]
	[ "$(shmallocctl tune get decay_ms --bytes)" = 10000 ]
}

@test "a segment is not destroyed while a client is attached" {
	daemon_start --size 8M --segment web:16M
	client_start segment=web
	[[ $said == "error 0 fds 2 "* ]]
	run -5 shmallocctl segment destroy web --yes
	[[ $output == *"1 client(s) attached"* ]]
	clients_end
	wait_for shmallocctl segment destroy web --yes
	run ! shmallocctl --segment web status
}

@test "a segment that is destroyed by force lets its clients keep the memory" {
	daemon_start --size 8M --segment web:16M
	client_start segment=web
	client_tell map
	shmallocctl segment destroy web --force --yes
	run ! shmallocctl --segment web status
	client_tell detach
	[ "$said" = closed ]
	kill -0 "$client"
	shmallocctl status
}

@test "a limit above the reserve is refused, by set and by configuration" {
	daemon_start --size 8M --reserve 64M
	shmallocctl tune set limit.hard=64M
	run -5 shmallocctl tune set limit.hard=65M
	[[ $output == *"65M is above"*"64M"* ]]
	run -2 shmallocd --check-config --no-config --size 65M --reserve 64M ||
	    run -1 shmallocd --check-config --no-config --size 65M --reserve 64M
	[[ $output == *"above the reserve of 64M"* ]]
}

@test "a size that no segment can have is refused, with what it can have" {
	local size

	for size in 200G 1T; do
		daemon_start --size $size
		shmallocctl fit 64K
		daemon_stop
	done
	run -1 shmallocd --no-config --socket "$run_dir" --size 2T 3>&-
	[[ $output == *"too large: with its tables a segment has 2T at most"* ]]
	run -1 shmallocd --no-config --socket "$run_dir" --reserve 3T 3>&-
	[[ $output == *"a segment has 2T at most"* ]]
}

# ---- Bad input -----------------------------------------------------------------

@test "messages that make no sense end the connection, not the daemon" {
	local socket

	daemon_start --size 8M
	for socket in attach control control-ro; do
		# Too long; garbage; empty; cut off; all bits set.
		[ "$("$wire" send "$run_dir" $socket ffffffff)" = closed ]
		[ "$("$wire" send "$run_dir" $socket 04000000 ffffffff)" = \
		    closed ]
		"$wire" send "$run_dir" $socket 00000000
		[ "$("$wire" send "$run_dir" $socket 05000000 01 end)" = \
		    closed ]
		[ "$("$wire" send "$run_dir" $socket 0a0000 end)" = closed ]
	done
	shmallocctl status
}

@test "a request that comes byte by byte is answered" {
	daemon_start --size 8M
	# protocol 1, version
	run -0 "$wire" send "$run_dir" control 05 00 wait 00 00 08 wait 01 c2 \
	    01 wait 00
	[[ $output == "answered 0"* ]]
}

@test "a sender that never ends its message is cut off" {
	daemon_start --size 8M
	[ "$("$wire" send "$run_dir" control 05000000 08)" = closed ]
	wait_for log_has 'its message takes too long'
}

@test "a request of another protocol is told which one to speak" {
	daemon_start --size 8M
	run -0 "$wire" send "$run_dir" control 05000000 0863c20100
	[[ $output == "answered -8 "*"protocol 99"* ]]
}

@test "connections above the limit are refused with a reason" {
	daemon_start --size 8M
	run -0 "$wire" open "$run_dir" control 100
	[ "$output" = "answered 64 refused 32 cut 4" ]
	wait_for shmallocctl status
	log_has 'as many connections as it takes'
}

@test "an attach is refused with the reason" {
	daemon_start --size 8M
	client_start segment=absent
	[[ $said == "error -9 fds 0 "*"no segment 'absent'"* ]]
	client_start protocol=2
	[[ $said == "error -8 fds 0 "*"protocol 2"* ]]
	client_start layout=99
	[[ $said == "error -8 fds 0 "*"layout 99"* ]]
	client_start id=12345
	[[ $said == "error -15 fds 0 "*"made anew"* ]]
}

# ---- Who may --------------------------------------------------------------------

# A request of another user: WIRE_UID, and WIRE_GID if it differs.
ask_as() {
	local uid=$1 gid=$2

	shift 2
	WIRE_UID=$uid WIRE_GID=$gid "$wire" ask "$run_dir" "$@"
}

@test "another user may look but not change" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	daemon_start
	run -1 ask_as 65534 65534 control status
	[ "$output" = "no access to the socket" ]
	[ "$(ask_as 65534 65534 control-ro status)" = "error 0 " ]
	for verb in set create trim; do
		run -0 ask_as 65534 65534 control-ro $verb
		[[ $output == "error -7 "*"use the socket control" ]]
		# Not even root changes anything there.
		run -0 ask_as 0 0 control-ro $verb
		[[ $output == "error -7 "* ]]
	done
	[ "$(shmallocctl tune get decay_ms --bytes)" = 10000 ]
}

@test "an admin group may change, and others may not even look" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	daemon_start -p admin_group=60001 -p monitor_group=60002
	[ "$(ask_as 60000 60001 control set)" = "error 0 " ]
	run -1 ask_as 60000 60000 control status
	run -1 ask_as 60000 60000 control-ro status
	run -1 ask_as 60000 60002 control status
	[ "$(ask_as 60000 60002 control-ro status)" = "error 0 " ]
	log_has 'decay_ms 10s -> 1s by uid 60000'
}

@test "who reaches the socket control without the role changes nothing" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	daemon_start
	chmod 666 "$run_dir/control"
	[ "$(ask_as 65534 65534 control status)" = "error 0 " ]
	run -0 ask_as 65534 65534 control set
	[[ $output == "error -7 "*"you are user 65534" ]]
}

@test "the mode of a segment says who may attach, and how" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to be another user"
	daemon_start --segment shown:8M -p shown:mode=0644 \
	    --segment given:8M -p given:owner=65534
	attach_as() {
		WIRE_UID=65534 "$wire" attach "$run_dir" "$@" <<<write
	}
	run -0 attach_as segment=default
	[[ $output == "error -7 "*"doesn't let user 65534 write to it"* ]]
	run -0 attach_as segment=shown
	[[ $output == "error -7 "* ]]
	run -0 attach_as segment=shown read_only=1
	[[ $output == "error 0 fds 2 "*"writable: no way"* ]]
	# The same attempts succeed where they may.
	run -0 attach_as segment=given
	[[ $output == "error 0 fds 2 "*"writable: store write reopen"* ]]
}

@test "before Linux 6.5 a pidfd must come from the client, and be its own" {
	local shim=$BATS_TEST_TMPDIR/old_kernel.so

	# The compiler alone: a sanitizer's run-time must not come in this way.
	${CC%% *} -shared -fPIC -o "$shim" "$BATS_TEST_DIRNAME/old_kernel.c"
	LD_PRELOAD=$shim ASAN_OPTIONS=verify_asan_link_order=0 \
	    daemon_start --size 8M
	client_start
	[[ $said == "error -7 fds 0 "*"run Linux 6.5"* ]]
	client_start pidfd=$$
	[[ $said == "error -7 fds 0 "* ]]
	client_start pidfd=self
	[[ $said == "error 0 fds 2 "* ]]
	kill -KILL "$client"
	wait_for state_is "$client" reclaimed
}

# ---- The ends of clients ----------------------------------------------------------

@test "a killed client is reclaimed and stays listed" {
	daemon_start --size 8M
	client_start label=victim
	wait_for state_is "$client" alive
	kill -KILL "$client"
	wait_for state_is "$client" reclaimed
	[ "$(shmallocctl --json clients "$client" | jq -r '.[0].label')" = \
	    victim ]
}

@test "a detach is answered and frees the slot" {
	daemon_start --size 8M
	client_start
	client_tell detach
	[ "$said" = "detached 0" ]
	wait_for state_is "$client" reclaimed
	kill -0 "$client"
}

@test "a client whose forked child keeps the socket is dead when it dies" {
	daemon_start --size 8M
	client_start
	client_tell fork
	child=${said#child }
	clients+=("$child")
	kill -KILL "$client"
	wait_for state_is "$client" reclaimed
	kill -0 "$child"
}

@test "a client that closes its socket but keeps its mapping is an orphan" {
	daemon_start --size 8M
	client_start
	client_tell map
	client_tell close
	wait_for state_is "$client" orphaned
	kill -KILL "$client"
	wait_for state_is "$client" reclaimed
}

@test "a client that runs another program in place is dead" {
	daemon_start --size 8M
	client_start
	client_tell map
	echo exec >&"$to"
	wait_for state_is "$client" reclaimed
	[ "$(cat "/proc/$client/comm")" = sleep ]
}

@test "one process may hold several slots" {
	daemon_start --size 8M --segment web:8M
	cat >"$BATS_TEST_TMPDIR/two.py" <<-EOF
		import sys
		sys.path.insert(0, "$(dirname "$wire")")
		import wire
		socks = []
		for options in ({}, {}, {"segment": "web"}):
		    sock = wire.connect("$run_dir", "attach")
		    sock.sendall(wire.attach_request(options))
		    wire.receive(sock)
		    socks.append(sock)
		print("ready", flush=True)
		sys.stdin.read()
	EOF
	coproc TWO { exec /usr/bin/python3 "$BATS_TEST_TMPDIR/two.py" 3>&-; }
	clients+=("$TWO_PID")
	read -r -t 30 said <&"${TWO[0]}"
	[ "$(shmallocctl --json clients "$TWO_PID" | jq length)" = 2 ]
	[ "$(shmallocctl --json --segment web clients | jq length)" = 1 ]
}

@test "attaching twice over one connection ends it and its slot" {
	daemon_start --size 8M
	client_start
	client_tell bad
	[ "$said" = closed ]
	wait_for state_is "$client" reclaimed
}

@test "a connection that the daemon ends is at its end, kept or not" {
	daemon_start --size 8M
	client_start
	client_tell map
	client_tell bad
	[ "$said" = closed ]
	wait_for state_is "$client" orphaned
}

# Start a client that writes over its segment; $said is what it did.
scribbler_start() {
	DAMAGED=1
	client_build scribbler.c
	coproc SCRIBBLER { exec "$BATS_FILE_TMPDIR/scribbler" "$@" 3>&-; }
	clients+=("$SCRIBBLER_PID")
	read -r -t 30 said <&"${SCRIBBLER[0]}"
}

@test "a slot that has somebody is not given again, whatever the segment says" {
	daemon_start --size 8M
	scribbler_start free
	[ "$said" = "error 0" ]
	[ "$(shmallocctl --json status | jq .clients.alive)" = 71 ]
	clients_end
	none_alive() {
		[ "$(shmallocctl --json status | jq .clients.alive)" = 0 ]
	}
	wait_for none_alive
}

@test "who is a client only by the segment's word is not killed" {
	daemon_start --size 8M
	client_start
	client_tell map
	client_tell detach
	scribbler_start claim "$client"
	[ "$said" = claimed ]
	server_kill
	state_is "$client" orphaned || state_is "$client" alive
	run ! shmallocctl clients evict "$client" --yes
	[[ $output == *"may not kill"* ]]
	kill -0 "$client"
}

@test "a segment that cannot be taken over is not kept for ever" {
	daemon_start --size 8M
	client_start
	for fd in "/proc/$client/fd/"*; do
		[[ $(readlink "$fd") == /memfd:shmalloc:* ]] || continue
		dd if=/dev/zero of="$fd" bs=4096 count=1 conv=notrunc
	done
	server_kill
	log_has 'cannot be taken over'
	# The new one's memory, and its pins.
	[ "$(readlink "/proc/$DAEMON_PID/fd/"* |
	    grep -c '^/memfd:shmalloc:')" = 2 ]
}

@test "a client killed 200 times in a loop leaves no slot and no descriptor" {
	daemon_start --size 8M
	pid=$(server_pid)
	before=$(ls "/proc/$pid/fd" | wc -l)
	kept=$(ls "/proc/$DAEMON_PID/fd" | wc -l)
	"$wire" kill "$run_dir" 200
	none_left() {
		[ "$(shmallocctl --json status |
		    jq '.clients.alive + .clients.dying')" = 0 ]
	}
	wait_for none_left
	[ "$(ls "/proc/$pid/fd" | wc -l)" -le $((before + 1)) ]
	[ "$(ls "/proc/$DAEMON_PID/fd" | wc -l)" -le $((kept + 1)) ]
	run -0 shmallocctl check
}

# ---- Scheduling ------------------------------------------------------------

@test "the daemon's priority is raised where that is permitted, or left" {
	[ "$(id -u)" -eq 0 ] || skip "needs root to raise a priority"
	renice 0 -p "$BASHPID" >&2
	nice_of() {
		ps -o ni= -p "$(shmallocctl --json status | jq .daemon.pid)" |
		    tr -d ' '
	}
	daemon_start
	[ "$(nice_of)" = -10 ]
	daemon_stop
	daemon_start -p priority=0
	[ "$(nice_of)" = 0 ]
	daemon_stop
	daemon_start -p priority=3
	[ "$(nice_of)" = -3 ]
	run -2 shmallocd --no-config -p priority=21 --check-config
}
