# What happened last: who came, died, failed; and what happens next.
load helper

setup_file() {
	holder_build
}

teardown() {
	[ -z "${follower-}" ] || kill "$follower" 2>/dev/null || :
	daemon_stop
}

# The kinds of the events of process PID, in order.
kinds_of() {
	shmallocctl --json events |
	    jq -r "[.events[] | select(.pid == $1) | .kind] | join(\" \")"
}

kinds_are() {
	[ "$(kinds_of "$1")" = "$2" ]
}

# Is there an event of KIND whose text matches?
has_event() {
	shmallocctl --json events | jq -e --arg kind "$1" --arg text "$2" \
	    'any(.events[]; .kind == $kind and (.text | test($text)))'
}

# Follow, with the arguments given, into $out and $err.
follow() {
	out=$BATS_TEST_TMPDIR/out
	err=$BATS_TEST_TMPDIR/err
	(
		inherited_close
		exec shmallocctl events -f "$@"
	) >"$out" 2>"$err" &
	follower=$!
	wait_for grep -q start "$out"
}

@test "a client's life is told in order, with who it was" {
	daemon_start
	holder_start
	holder_tell alloc 1000 3
	pid=$HOLDER_PID
	kinds_are "$pid" attach
	kill -KILL "$pid"
	wait_for kinds_are "$pid" 'attach death reclaim'
	run -0 shmallocctl --json events
	jq -e '.schema == "shmalloc.events/1" and .lost == 0 and
	    .last == (.events | last).number and
	    ([.events[].number] == [range(1; .last + 1)]) and
	    ([.events[].time] | . == sort) and
	    .events[0].time == .began' <<<"$output"
	jq -e "[.events[] | select(.pid == $pid)] | all(.command == \"holder\" and
	    .segment == \"default\" and .uid == $(id -u))" <<<"$output"
	run -0 shmallocctl events
	grep -E "^20[0-9-]+T[0-9:.]+ death default pid $pid \(holder\): " \
	    <<<"$output"
}

@test "what operators do is told, and of which segment" {
	daemon_start
	shmallocctl segment create web --size 16M
	shmallocctl tune set decay_ms=2s
	shmallocctl --segment web trim
	shmallocctl check
	shmallocctl segment destroy web --yes
	has_event tune '^decay_ms 10s -> 2s by uid '
	has_event operator '^trimmed by uid '
	has_event operator '^checked by .*: 0 findings'
	run -0 shmallocctl --segment web --json events
	jq -e '[.events[].kind] == ["segment", "operator", "segment"] and
	    all(.events[]; .segment == "web")' <<<"$output"
}

@test "failures are told with their reason, once a second and all of them" {
	daemon_start --size 4M
	holder_start
	local i
	for ((i = 0; i < 30; i++)); do
		holder_tell alloc 8000000 >/dev/null
	done
	all_failures_told() {
		[ "$(shmallocctl --json events | jq '[.events[] |
		    select(.kind == "failure") | .text |
		    scan("[0-9]+") | tonumber] | add')" = \
		    "$(shmallocctl --json stats | jq '[.failures[]] | add')" ]
	}
	wait_for all_failures_told
	[ "$(shmallocctl --json events |
	    jq '[.events[] | select(.kind == "failure")] | length')" -lt 30 ]
}

@test "an arena that is put out of service is told" {
	DAMAGED=1
	daemon_start
	holder_start
	holder_tell alloc 100 3
	holder_tell scribble
	run shmallocctl check
	wait_for has_event quarantine '^arena 0 is damaged'
	grep -q 'arena 0 is damaged and out of service' "$DAEMON_LOG"
}

@test "who follows misses nothing" {
	daemon_start
	follow --json
	local i
	for ((i = 0; i < 30; i++)); do
		shmallocctl tune set "decay_ms=$((i + 2))s" >/dev/null
	done
	wait_for grep -q 'decay_ms 30s -> 31s' "$out"
	last=$(jq -s '[.[].number] | max' "$out")
	jq -se "[.[].number] == [range(1; $last + 1)]" "$out"
	[ ! -s "$err" ]
}

@test "who follows goes on with the daemon that comes after a killed one" {
	daemon_start
	follow
	holder_start
	wait_for grep -q "attach default pid $HOLDER_PID" "$out"
	server_kill
	wait_for grep -q 'another daemon goes on' "$err"
	shmallocctl tune set decay_ms=3s
	wait_for grep -q 'decay_ms 10s -> 3s' "$out"
	[ "$(grep -c ' start: ' "$out")" = 2 ]
	kill -0 "$follower"
}

@test "the last words of a killed daemon are told by the next" {
	daemon_start
	follow --json
	# More than a follower asks for between two looks: it sleeps here.
	kill -STOP "$follower"
	local i pid
	for ((i = 0; i < 20; i++)); do
		shmallocctl tune set "decay_ms=$((i + 2))s" >/dev/null
	done
	server_kill
	kill -CONT "$follower"
	shmallocctl tune set misuse=warn
	wait_for grep -q 'misuse ignore -> warn' "$out"
	has_event tune '^decay_ms 20s -> 21s by uid '
	last=$(jq -s '[.[].number] | max' "$out")
	jq -se "[.[].number] == [range(1; $last + 1)]" "$out"
	grep -q 'decay_ms 20s -> 21s' "$out"
	grep -q 'another daemon goes on' "$err"
	# One that takes over knows them, too.
	server_kill
	has_event tune '^decay_ms 20s -> 21s by uid '
}

@test "who follows ends with 3 when the daemon has stopped" {
	daemon_start
	follow
	daemon_stop
	local status=0
	wait "$follower" || status=$?
	follower=
	[ "$status" = 3 ]
}
