# How long operations take: who is timed, who may begin anew, who else says so.
load helper

setup_file() {
	holder_build
}

teardown() {
	daemon_stop
}

# How many of OPERATION were timed.
timed() {
	shmallocctl --json latency |
	    jq ".latency[] | select(.operation == \"$1\") | .count"
}

@test "each operation is timed, and its quantiles rise" {
	daemon_start
	holder_start
	holder_tell alloc 64 20000
	holder_tell alloc 300000 20
	holder_tell free
	run -0 shmallocctl --json latency
	jq -e '.schema == "shmalloc.latency/1" and .since == null and
	    ([.latency[].operation] == ["allocate", "free", "refill",
		"extend", "lock_wait", "control"])' <<<"$output"
	local operation
	for operation in allocate free refill extend control; do
		jq -e ".latency[] | select(.operation == \"$operation\") |
		    .count > 0 and .sum_seconds > 0 and
		    .p50_seconds <= .p90_seconds and
		    .p90_seconds <= .p99_seconds and
		    .p99_seconds <= .p999_seconds and
		    .p999_seconds <= .most_seconds and
		    ([.buckets[].n] | add) == .count and
		    (.sum_seconds <= .count * .most_seconds)" <<<"$output"
	done
	run -0 shmallocctl latency
	[[ ${lines[0]} == OPERATION*TIMED*P50*P90*P99*P99.9*MOST*SUM* ]]
	[ "${#lines[@]}" = 7 ]
}

@test "one in 16 of the calls that miss is timed" {
	daemon_start
	shmallocctl tune set tcache.count=0
	holder_start
	holder_tell alloc 100 1600
	[ "$(timed allocate)" = 100 ]
	[ "$(timed refill)" = 0 ]
}

@test "a reset is for whom may change things, and says since when" {
	daemon_start
	holder_start
	holder_tell alloc 64 20000
	[ "$(timed allocate)" -gt 0 ]
	before=$(date +%s)
	# The answer is of before.
	shmallocctl --json latency --reset |
	    jq -e '.latency[0].count > 0'
	[ "$(timed allocate)" = 0 ]
	[ "$(shmallocctl --json latency | jq .since)" -ge "$before" ]
	[ "$(id -u)" -eq 0 ] || skip 'needs root to become another user'
	chmod 755 "$BATS_TEST_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_RUN_TMPDIR" \
	    "$SHMALLOC_SOCKET"
	run -0 setpriv --reuid 65534 --regid 65534 --clear-groups \
	    shmallocctl latency
	run -4 setpriv --reuid 65534 --regid 65534 --clear-groups \
	    shmallocctl latency --reset
}

@test "the counts outlive a killed daemon, and stats have them" {
	daemon_start
	holder_start
	holder_tell alloc 64 20000
	count=$(timed allocate)
	server_kill
	[ "$(timed allocate)" = "$count" ]
	[ "$(shmallocctl --json stats | jq .latency[0].count)" = "$count" ]
}

@test "Prometheus gets a histogram of the same" {
	daemon_start --http 127.0.0.1:0
	holder_start
	holder_tell alloc 64 20000
	port=$(sed -n 's/.*http: listening on .*://p' "$DAEMON_LOG")
	curl -sS "http://127.0.0.1:$port/metrics" >"$BATS_TEST_TMPDIR/metrics"
	run -0 promtool check metrics <"$BATS_TEST_TMPDIR/metrics"
	[ "$output" = "" ]
	local of='{segment="default",operation="allocate"'
	count=$(timed allocate)
	grep -qxF "shmalloc_latency_seconds_count$of} $count" \
	    "$BATS_TEST_TMPDIR/metrics"
	grep -qxF "shmalloc_latency_seconds_bucket$of,le=\"+Inf\"} $count" \
	    "$BATS_TEST_TMPDIR/metrics"
	# Cumulative.
	sed -n "s/^shmalloc_latency_seconds_bucket$of.*} //p" \
	    "$BATS_TEST_TMPDIR/metrics" | sort -nc
}
