# The daemon's own HTTP: who may connect, what it answers, and what it costs.
load helper

setup_file() {
	holder_build
}

teardown() {
	daemon_stop
}

# Start a daemon that serves HTTP at a free port, which is in $port; with the
# arguments given.
http_start() {
	daemon_start --http 127.0.0.1:0 "$@"
	port_find
}

# The port of the daemon's last word about it.
port_find() {
	port=$(sed -n 's/.*http: listening on .*://p' "$DAEMON_LOG" | tail -n 1)
	[ -n "$port" ]
}

# What is at PATH: get PATH [ARGUMENTS OF CURL].
get() {
	curl -sS --max-time 30 "http://127.0.0.1:$port$1" "${@:2}"
}

# The status of the answer.
status_of() {
	get "$@" -o /dev/null -w '%{http_code}'
}

# Whether shmallocd takes ADDRESS, which it only looks at.
address_is_refused() {
	run -1 --separate-stderr shmallocd --no-config --check-config \
	    --http "$1"
	grep -q "$2" <<<"$output$stderr"
}

@test "what other machines can reach is refused, with the reason" {
	address_is_refused 0.0.0.0:80 'reached from other machines'
	address_is_refused 10.1.2.3:80 'reached from other machines'
	address_is_refused '[::]:80' 'reached from other machines'
	address_is_refused '[::ffff:127.0.0.1]:80' 'reached from other machines'
	address_is_refused 127.0.0.1 'is no address'
	address_is_refused example.com:80 'is no address'
	address_is_refused unix:relative 'no absolute path'
	shmallocd --no-config --check-config --http '[::1]:80'
	shmallocd --no-config --check-config --http localhost:80
	shmallocd --no-config --check-config --http off
}

@test "it is off by default, and an address that is taken ends a first start" {
	http_start
	taken=$port
	run -1 --separate-stderr shmallocd --no-config --no-keeper \
	    --socket "$BATS_TEST_TMPDIR/other" --http "127.0.0.1:$taken"
	[[ $output$stderr == *"cannot listen on 127.0.0.1:$taken"* ]]
	daemon_stop
	: >"$DAEMON_LOG"
	daemon_start
	! grep -q http: "$DAEMON_LOG"
}

@test "each document is what shmallocctl prints" {
	http_start --segment web:16M
	holder_start
	holder_tell alloc 1000 300
	holder_tell publish kept 5000
	# Asking takes time, which `control` counts.
	local words same='walk(if type == "object"
	    then del(.time, .uptime_seconds) |
		if .operation == "control" then {} else . end
	    else . end)'
	for words in stats clients locks latency map 'segment list'; do
		# A document may be a second old.
		sleep 1.1
		diff <(get "/${words/segment list/segments}.json" | jq "$same") \
		    <(shmallocctl --json $words | jq "$same")
	done
	diff <(get '/stats.json?segment=web' | jq "$same") \
	    <(shmallocctl --json --segment web stats | jq "$same")
	[ "$(status_of '/stats.json?segment=none')" = 404 ]
	[ "$(status_of '/nothing')" = 404 ]
	[ "$(get /healthz)" = ok ]
}

@test "promtool finds nothing in /metrics, which has the figures of all segments" {
	http_start --segment web:16M
	holder_start
	holder_tell alloc 1000 300
	holder_tell publish kept 5000
	sleep 1.1
	get /metrics -D "$BATS_TEST_TMPDIR/head" >"$BATS_TEST_TMPDIR/metrics"
	grep -qi '^content-type: text/plain; version=0.0.4' \
	    "$BATS_TEST_TMPDIR/head"
	run -0 promtool check metrics <"$BATS_TEST_TMPDIR/metrics"
	[ "$output" = "" ]
	local segment
	for segment in default web; do
		grep -q "^shmalloc_.*{segment=\"$segment\".*} [0-9]" \
		    "$BATS_TEST_TMPDIR/metrics"
	done
	# A figure that others know, too.
	[ "$(sed -n 's/^shmalloc_allocated_bytes{segment="default"} //p' \
	    "$BATS_TEST_TMPDIR/metrics")" = \
	    "$(shmallocctl --json stats | jq .bytes.allocated)" ]
}

@test "what takes long to write is a job, and the same" {
	# More segments than are written at once.
	http_start --segment a:16M --segment b:16M --segment c:16M \
	    --segment d:16M --segment e:16M
	get /metrics >"$BATS_TEST_TMPDIR/metrics"
	run -0 promtool check metrics <"$BATS_TEST_TMPDIR/metrics"
	[ "$output" = "" ]
	[ "$(grep -c '^shmalloc_allocated_bytes{' \
	    "$BATS_TEST_TMPDIR/metrics")" = 6 ]
	get /metrics -H 'Accept-Encoding: gzip' | gunzip |
	    grep -q '^shmalloc_allocated_bytes{segment="e"} 0'
	# Those who leave meanwhile are nobody's loss.
	local i
	for ((i = 0; i < 20; i++)); do
		timeout 0.02 curl -s "http://127.0.0.1:$port/map.json" \
		    >"$BATS_TEST_TMPDIR/map" || :
	done
	[ "$(status_of /map.json)" = 200 ]
}

@test "nothing can be changed, and requests with a body are not read" {
	http_start
	[ "$(status_of /stats.json -X POST)" = 405 ]
	[ "$(status_of /stats.json -X DELETE)" = 405 ]
	[ "$(status_of /stats.json --data x=1)" = 413 ]
	[ "$(status_of / -H "X-Long: $(head -c 10000 /dev/zero | tr '\0' x)")" \
	    = 400 ]
	# HEAD has the head of GET, and no more.
	run -0 get / --head
	grep -qi '^content-length: [1-9]' <<<"$output"
	[ "$(get / --head | tr -d '\r' | awk 'body; /^$/ { body = 1 }')" = "" ]
}

@test "a request for a name that is not the loopback's is refused" {
	http_start
	local host
	for host in localhost "localhost:$port" 127.0.0.1 '[::1]' '[::1]:80'; do
		[ "$(status_of /stats.json -H "Host: $host")" = 200 ]
	done
	for host in evil.example localhost.evil.example 127.0.0.1.evil.example \
	    192.168.0.1 '[::2]' '[::1' '' localhost:80x; do
		[ "$(status_of /stats.json -H "Host: $host")" != 200 ]
	done
	[ "$(status_of /stats.json --request-target \
	    http://evil.example/stats.json)" = 421 ]
}

@test "every answer forbids other origins, and other sources" {
	http_start
	local path
	for path in / /stats.json /healthz /nothing; do
		get "$path" -o /dev/null -D "$BATS_TEST_TMPDIR/head"
		grep -qi "^content-security-policy: default-src 'none';" \
		    "$BATS_TEST_TMPDIR/head"
		grep -qi '^x-content-type-options: nosniff' \
		    "$BATS_TEST_TMPDIR/head"
		grep -qi '^cross-origin-resource-policy: same-origin' \
		    "$BATS_TEST_TMPDIR/head"
		! grep -qi '^access-control' "$BATS_TEST_TMPDIR/head"
	done
}

@test "who accepts gzip gets it, and the same bytes" {
	http_start
	local path
	for path in / /page.js /uPlot.iife.min.js /map.json; do
		get "$path" >"$BATS_TEST_TMPDIR/plain"
		get "$path" -H 'Accept-Encoding: br;q=1, gzip;q=0.5' \
		    >"$BATS_TEST_TMPDIR/packed"
		gunzip <"$BATS_TEST_TMPDIR/packed" |
		    cmp - "$BATS_TEST_TMPDIR/plain"
		get "$path" -H 'Accept-Encoding: gzip;q=0, br' |
		    cmp - "$BATS_TEST_TMPDIR/plain"
	done
}

@test "a socket in the file system is for whom monitor_group says" {
	local path=$BATS_TEST_TMPDIR/http.sock
	daemon_start --http "unix:$path"
	[ "$(stat -c %a "$path")" = 666 ]
	[ "$(curl -sS --unix-socket "$path" http://localhost/healthz)" = ok ]
	daemon_stop
	[ ! -e "$path" ]
	touch "$path"
	run -1 --separate-stderr shmallocd --no-config --no-keeper \
	    --socket "$BATS_TEST_TMPDIR/other" --http "unix:$path"
	[[ $output$stderr == *"$path is there"* ]]
	rm "$path"
	[ "$(id -u)" -eq 0 ] || skip "needs root to have another group"
	daemon_start --http "unix:$path" -p monitor_group=60002
	[ "$(stat -c '%a %g' "$path")" = '660 60002' ]
}

# ---- Its life ------------------------------------------------------------------

@test "the socket outlives a killed daemon, and who waits at it is answered" {
	http_start
	local before=$port keeper=$DAEMON_PID asked
	server_kill
	[ "$(get /healthz)" = ok ]
	port_find
	[ "$port" = "$before" ]
	# No daemon runs, but the socket is there.
	kill -STOP "$keeper"
	kill -KILL "$(server_pid)"
	get /stats.json >"$BATS_TEST_TMPDIR/answer" &
	asked=$!
	kill -CONT "$keeper"
	wait "$asked"
	[ "$(jq .daemon.restarts "$BATS_TEST_TMPDIR/answer")" = 2 ]
}

@test "who takes over has the same socket" {
	http_start
	local before=$port pid former=$DAEMON_PID
	pid=$(server_pid)
	(
		inherited_close
		exec shmallocd --no-config --socket "$SHMALLOC_SOCKET" \
		    --http 127.0.0.1:0 --takeover
	) >>"$DAEMON_LOG" 2>&1 &
	DAEMON_PID=$!
	wait "$former"
	wait_for server_is_not "$pid"
	port_find
	[ "$port" = "$before" ]
	[ "$(get /stats.json | jq .daemon.pid)" = "$(server_pid)" ]
}

@test "SIGHUP moves it, turns it off and on" {
	local path=$BATS_TEST_TMPDIR/http.sock conf=$BATS_TEST_TMPDIR/conf
	echo 'http = 127.0.0.1:0' >"$conf"
	SHMALLOC_TEST_DIR=$BATS_TEST_TMPDIR/run
	export SHMALLOC_SOCKET=$SHMALLOC_TEST_DIR
	daemon_start --config "$conf"
	port_find
	[ "$(get /healthz)" = ok ]
	echo "http = unix:$path" >"$conf"
	kill -HUP "$DAEMON_PID"
	wait_for curl -sS --unix-socket "$path" http://localhost/healthz
	run -7 get /healthz
	echo 'http = 0.0.0.0:80' >"$conf"
	kill -HUP "$DAEMON_PID"
	wait_for grep -q 'configuration has errors' "$DAEMON_LOG"
	[ "$(curl -sS --unix-socket "$path" http://localhost/healthz)" = ok ]
	: >"$conf"
	kill -HUP "$DAEMON_PID"
	wait_for grep -q 'http: off' "$DAEMON_LOG"
	[ ! -e "$path" ]
	echo "http = unix:$path" >"$conf"
	kill -HUP "$DAEMON_PID"
	wait_for curl -sS --unix-socket "$path" http://localhost/healthz
	# It is kept, too.
	server_kill
	[ "$(curl -sS --unix-socket "$path" http://localhost/healthz)" = ok ]
}

# ---- What it costs -------------------------------------------------------------

@test "who asks often gets the same document for a second" {
	http_start
	local begin=$SECONDS i
	for ((i = 0; i < 50; i++)); do
		get /map.json | jq .time
	done >"$BATS_TEST_TMPDIR/times"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/times")" = 50 ]
	[ "$(sort -u "$BATS_TEST_TMPDIR/times" | wc -l)" -le \
	    $((SECONDS - begin + 2)) ]
}

@test "those who say nothing keep nobody out, and are left in the end" {
	http_start
	# More than are served at a time, and all of them silent.  Those who come
	# while so many do may be counted as silent before they are read.
	python3 - "$port" >"$BATS_TEST_TMPDIR/silent" <<'END' &
import socket, sys
peers = []
for i in range(300):
    peers.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
    peers[-1].send(b"GET / HT")
print("open", flush=True)
for peer in peers:
    peer.settimeout(60)
    try:
        while peer.recv(4096):
            pass
    except ConnectionResetError:
        pass
END
	local python=$! i
	wait_for grep -q open "$BATS_TEST_TMPDIR/silent"
	for ((i = 0; i < 20; i++)); do
		[ "$(get /healthz)" = ok ]
	done
	# Those that it had no room for, and those that took too long.
	wait "$python"
	[ "$(get /healthz)" = ok ]
	shmallocctl status
}
